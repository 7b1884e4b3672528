import arviz as az
import numpy as np
import pytest

import vibayes as vb
from vibayes.predictive.trace import posterior_of


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"side": ["left", "right"]}) as model:
        vb.Normal("x", shape=2, dims="side")
        vb.LogNormal("s")
    return model


@pytest.fixture(scope="module")
def approx(model):
    return vb.fit(model=model, random_seed=1, diagnose=False, progressbar=False)


def dataset(trace):
    return posterior_of(trace).posterior


def rhat(trace, name):
    found = az.rhat(dataset(trace), var_names=[name])
    return np.asarray(found[name] if name in getattr(found, "data_vars", found) else found)


def test_draws_are_dealt_to_chains(approx):
    one = dataset(approx.sample(400, random_seed=1))
    several = approx.sample(100, random_seed=1, chains=4)
    assert dict(several.posterior["x"].sizes) == {"chain": 4, "draw": 100, "side": 2}
    np.testing.assert_array_equal(several.posterior["x"].values.reshape(1, 400, 2), one["x"])
    assert (rhat(several, "x") < 1.05).all()
    weighted = approx.sample(100, random_seed=1, chains=4, importance=True)
    assert weighted.posterior["s"].shape == (4, 100)


def test_chains_of_particles_have_some_that_no_other_has(model):
    particles = vb.Empirical(size=40, model=model, random_seed=1)
    chains = particles.sample(200, random_seed=1, chains=4).posterior["x"].values
    sets = [{tuple(row) for row in chain} for chain in chains]
    assert all(not a & b for i, a in enumerate(sets) for b in sets[i + 1 :])
    known = particles.groups[0].histogram.eval()
    column = particles.groups[0].layout.slots[0]
    held = {tuple(row) for row in known[:, column.start : column.stop]}
    assert set.union(*sets) <= held
    with pytest.raises(ValueError, match="chains must be at most the number of particles, 40"):
        particles.sample(10, chains=41)
    counts = np.unique(chains.reshape(4, 200, -1)[0], axis=0, return_counts=True)[1]
    np.testing.assert_array_equal(counts, 20)  # of ten particles a chain
    with pytest.raises(ValueError, match="44 draws without replacement from 40 particles"):
        particles.sample(11, chains=4, replace=False)


def test_fits_that_differ_have_a_large_r_hat(model, approx):
    with model:
        other = vb.MeanField(random_seed=1, start={"x": [3.0, 0.0]})
    trace = vb.sample_fits([approx, other, approx], draws=300, random_seed=1)
    assert trace.posterior["x"].shape == (3, 300, 2)
    assert trace.posterior["x"].coords["side"].values.tolist() == ["left", "right"]
    assert rhat(trace, "x")[0] > 1.2
    same = vb.sample_fits([approx, approx], draws=300, random_seed=1)
    first, second = same.posterior["s"].values
    assert not (first == second).any()  # each has a seed of its own
    assert (rhat(same, "x") < 1.05).all()


@pytest.mark.parametrize("given", [[], "ab", ["one"]])
def test_what_are_no_fits(given):
    with pytest.raises((TypeError, ValueError), match="approximations must be"):
        vb.sample_fits(given)


def test_fits_of_two_models(approx):
    with vb.Model():
        vb.Normal("x")
        other = vb.MeanField()
    with pytest.raises(ValueError, match="approximations must be of one model"):
        vb.sample_fits([approx, other])


def test_some_variables_only(approx):
    whole = approx.sample(20, random_seed=1, include_transformed=True)
    some = approx.sample(20, random_seed=1, var_names=["s_log__", "x"])
    assert list(some.posterior.data_vars) == ["x", "s_log__"]
    for name in ("s_log__", "x"):
        np.testing.assert_array_equal(some.posterior[name], whole.posterior[name])
    one = approx.sample(20, random_seed=1, var_names="s", importance=True)
    assert list(one.posterior.data_vars) == ["s"]
    with pytest.raises(KeyError, match="var_names: no variable 'no'"):
        approx.sample(2, var_names="no")
