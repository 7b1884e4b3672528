import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import evaluate

WEIGHTS = np.array([0.5, 0.2, 0.3])
MU = np.array([[0.0, 1.0, 2.0], [4.0, -2.0, 0.0], [-3.0, 0.5, 1.0]])
L = np.array(
    [
        [[1.0, 0, 0], [0.5, 0.3, 0], [0.1, 0.2, 0.5]],
        [[0.2, 0, 0], [0, 2.0, 0], [-1.0, 0, 1.0]],
        [[1.5, 0, 0], [-1.0, 0.7, 0], [0, 0, 0.1]],
    ]
)


def model():
    with vb.Model() as model:
        vb.Normal("x", 0, 1, shape=2)
        vb.HalfNormal("s", 1)
    return model


def mixture(**kwargs):
    approx = vb.GaussianMixture(3, model=model(), random_seed=1, **kwargs)
    values = {"log_weights": np.log(7 * WEIGHTS), "mu": MU, "L": L}
    for name, shared in approx.shared_params.items():
        shared.set_value(values[name].astype(shared.dtype))
    return approx


@pytest.fixture(scope="module")
def approx():
    return mixture()


def density(Z):
    return sum(
        w * stats.multivariate_normal(m, r @ r.T).pdf(Z)
        for w, m, r in zip(WEIGHTS, MU, L, strict=True)
    )


def moments():
    mean = WEIGHTS @ MU
    centred = MU - mean
    cov = np.tensordot(WEIGHTS, L @ L.transpose(0, 2, 1), 1) + (centred.T * WEIGHTS) @ centred
    return mean, cov


def test_density_of_own_draws(approx):
    draws = approx.flat_draws(50, 1)
    np.testing.assert_allclose(np.exp(draws.logq), density(draws.values), rtol=1e-8)


def test_density_anywhere(approx, rng):
    Z = 2 * rng.normal(size=(20, 3))
    (logq,) = evaluate([approx.groups[0].log_density_at(Z)])
    np.testing.assert_allclose(np.exp(logq), density(Z), rtol=1e-8)


def test_moments(approx):
    group = approx.groups[0]
    mean, std, cov, weights = evaluate([group.mean, group.std, group.cov, approx.weights])
    np.testing.assert_allclose(mean, moments()[0])
    np.testing.assert_allclose(cov, moments()[1])
    np.testing.assert_allclose(std, np.sqrt(moments()[1].diagonal()))
    np.testing.assert_allclose(weights, WEIGHTS)


def test_draws(approx):
    values = approx.flat_draws(40_000, 2).values
    mean, cov = moments()
    np.testing.assert_allclose(values.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(values.T), cov, atol=0.2)

    def cdf(x):
        sds = np.sqrt((L**2).sum(axis=2))[:, 0]
        return sum(
            w * stats.norm(m, s).cdf(x) for w, m, s in zip(WEIGHTS, MU[:, 0], sds, strict=True)
        )

    assert stats.kstest(values[:, 0], cdf).pvalue > 1e-3


def test_sample_is_on_the_scale_of_the_variables(approx):
    posterior = approx.sample(20_000, random_seed=1).posterior
    assert (posterior["s"].values > 0).all()
    assert np.log(posterior["s"].values).mean() == pytest.approx(moments()[0][2], abs=0.05)


def test_deterministic_draws_are_the_mean(approx):
    rng, flag = pytensor.shared(np.random.default_rng(1)), pt.bscalar("flag")
    always = approx.groups[0].draw(rng, 4, deterministic=True)[2]
    sometimes = approx.groups[0].draw(rng, 4, deterministic=flag)[2]
    centre = np.tile(moments()[0], (4, 1))
    for (z,) in (evaluate([always]), evaluate([sometimes], {flag: 1})):
        np.testing.assert_allclose(z, centre)
    assert (evaluate([sometimes], {flag: 0})[0] != centre).all()


@pytest.mark.parametrize("components", [1, 2, 5])
def test_components(components):
    approx = vb.GaussianMixture(components, model=model())
    mu = approx.shared_params["mu"].get_value()
    assert mu.shape == (components, 3)
    assert len(np.unique(mu, axis=0)) == components  # those that begin as one would stay one
    (weights,) = evaluate([approx.weights])
    np.testing.assert_allclose(weights, 1 / components)


def test_one_component_is_a_normal():
    approx = vb.GaussianMixture(1, model=model(), start_sigma={"x": 0.5})
    draws = approx.flat_draws(10, 1)
    group = approx.groups[0]
    mean, cov = evaluate([group.mean, group.cov])
    np.testing.assert_allclose(
        draws.logq, stats.multivariate_normal(mean, cov).logpdf(draws.values)
    )
    np.testing.assert_allclose(np.sqrt(cov.diagonal()[:2]), 0.5)


@pytest.mark.parametrize("components", [0, -1, 1.5, True, "two"])
def test_numbers_of_components_that_are_none(components):
    with pytest.raises(ValueError, match="components must be a whole number of at least 1"):
        vb.GaussianMixture(components, model=model())


def test_pickle(approx):
    copy = pickle.loads(pickle.dumps(approx))
    ours, theirs = (a.sample(20, random_seed=1).posterior for a in (approx, copy))
    for name in ("x", "s"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    copy.shared_params["mu"].set_value(0 * MU)
    np.testing.assert_array_equal(approx.shared_params["mu"].get_value(), MU)


def test_same_seed_same_draws(approx):
    first, again, other = (approx.flat_draws(5, seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.usefixtures("float32")
def test_float32():
    approx = mixture()
    draws = approx.flat_draws(50, 1)
    assert draws.values.dtype == np.float32
    np.testing.assert_allclose(np.exp(draws.logq), density(draws.values), rtol=2e-3, atol=1e-6)
