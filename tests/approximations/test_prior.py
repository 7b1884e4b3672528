import numpy as np
import pytest

import vibayes as vb
from vibayes.approximations.prior import free_names
from vibayes.exceptions import ModelError

OPTIONS = dict(method="fullrank_advi", random_seed=1, progressbar=False, diagnose=False)


def fitted(data, prior=None):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10) if prior is None else prior.as_prior()["mu"]
        vb.Normal("y", mu, 1, observed=data)
        return model, vb.fit(**OPTIONS)


@pytest.mark.ci
def test_data_in_portions_give_what_all_give():
    data = np.random.default_rng(1).normal(3, 1, size=40)
    _, first = fitted(data[:10])
    model, second = fitted(data[10:], first)
    _, whole = fitted(data)
    draws = second.sample(4_000, random_seed=1).posterior["mu"]
    np.testing.assert_allclose(draws.mean(), whole.mean.eval()[0], atol=0.01)
    np.testing.assert_allclose(draws.std(), whole.std.eval()[0], rtol=0.05)
    assert [rv.name for rv in model.free_RVs] == ["prior"]


def test_correlations_supports_and_dims_are_kept():
    with vb.Model(coords={"side": ["l", "r"]}) as model:
        s = vb.HalfNormal("s")
        vb.Uniform("u", 0, s, dims="side")
        vb.Normal("other")
        approx = vb.FullRank(random_seed=1)
        root = np.tril(np.full((4, 4), 0.3)) + np.eye(4)
        approx.groups[0].set_values({"L_tril": root[np.tri(4, dtype=bool)]})
    with vb.Model(coords={"side": ["l", "r"]}) as new:
        made = approx.as_prior(["u", "s"], name="before")
    assert list(made) == ["s", "u"]
    assert new.named_vars_to_dims["u"] == ("side",)
    drawn = vb.sample_prior_predictive(4_000, model=new, random_seed=1).prior
    assert ((drawn["u"] > 0) & (drawn["u"] < drawn["s"])).all()
    own = approx.sample(4_000, random_seed=2).posterior
    for name in ("s", "u"):
        quantiles = [np.quantile(d[name], [0.1, 0.5, 0.9]) for d in (drawn, own)]
        np.testing.assert_allclose(*quantiles, rtol=0.15)
    with vb.Model(), pytest.raises(ModelError, match=r"the support of 'u' depends on 's_log__'"):
        approx.as_prior("u")
    with model, pytest.raises(ModelError, match="the open model is the one that was fitted"):
        approx.as_prior()
    with vb.Model(), pytest.raises(KeyError, match="no free variable 'q'"):
        approx.as_prior("q")


def test_particles_and_independent_normals():
    with vb.Model():
        vb.Normal("x", 3, 2)
        vb.HalfNormal("s")
        particles = vb.Empirical({"x": np.array([1.0, 3.0]), "s": np.array([1.0, 2.0])})
        mean_field = vb.MeanField(start={"x": 7.0}, start_sigma={"x": 0.5, "s": 0.1})
    with vb.Model() as new:
        particles.as_prior(name="a", random_seed=1)
        with pytest.raises(ModelError, match="already has a variable named 'x'"):
            mean_field.as_prior(name="b")
    drawn = vb.sample_prior_predictive(4_000, model=new, random_seed=1).prior
    np.testing.assert_allclose(drawn["x"].mean(), 2, atol=0.1)
    np.testing.assert_allclose(drawn["x"].std(), 1, atol=0.1)
    with vb.Model() as new:
        mean_field.as_prior()
    drawn = vb.sample_prior_predictive(4_000, model=new, random_seed=1).prior
    np.testing.assert_allclose([drawn["x"].mean(), drawn["x"].std()], [7, 0.5], rtol=0.05)


def test_groups_in_another_order_than_the_model():
    with vb.Model():
        a, b = vb.Normal("a"), vb.Normal("b")
        approx = vb.Approximation([vb.Group([b, a], vfam="full_rank")])
        approx.groups[0].set_values({"mu": [7.0, 3.0], "L_tril": [0.5, 1.0, 2.0]})
    with vb.Model() as new:
        approx.as_prior()
    drawn = vb.sample_prior_predictive(8_000, model=new, random_seed=1).prior
    a, b = (drawn[name].values.ravel() for name in "ab")
    np.testing.assert_allclose([a.mean(), b.mean()], [3, 7], atol=0.1)
    np.testing.assert_allclose(np.cov(a, b), [[5, 0.5], [0.5, 0.25]], atol=0.25)
    np.testing.assert_allclose(np.corrcoef(a, b)[0, 1], 0.5 / (5 * 0.25) ** 0.5, atol=0.05)


def test_variables_of_a_named_model_go_by_either_name():
    with vb.Model(name="one") as model:
        vb.Normal("x")
        with vb.Model(name="two"):
            vb.Normal("y")
    names = [rv.name for rv in model.free_RVs]
    for n in names:
        assert free_names(model, n) == free_names(model, n.removeprefix("one::")) == [n]
    assert free_names(model, names[::-1]) == free_names(model, None) == names
