import numpy as np
import pytest
import xarray as xr
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError

RNG = np.random.default_rng(3)
Y, COUNTS, PAIRS = RNG.normal(size=(4, 3)), RNG.poisson(3, 5), RNG.normal(size=(6, 2))
MU, SIGMA, RATE = (
    RNG.normal(size=(2, 10, 3)),
    RNG.gamma(2, size=(2, 10)),
    RNG.gamma(2, size=(2, 10)),
)


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"row": list("wxyz"), "column": list("abc"), "pair": range(6)}) as model:
        mu = vb.Normal("mu", 0, 2, dims="column")
        sigma = vb.HalfNormal("sigma", 3)
        rate = vb.Gamma("rate", sigma, 1)
        vb.Normal("y", mu, sigma, observed=Y, dims=("row", "column"))
        vb.Poisson("counts", rate, observed=COUNTS)
        cov = np.eye(2) * sigma**2
        vb.MvNormal("pairs", np.zeros(2), cov, observed=PAIRS, dims=("pair", None))
    return model


@pytest.fixture
def posterior():
    return xr.Dataset(
        {
            "mu": (("chain", "draw", "column"), MU),
            "sigma": (("chain", "draw"), SIGMA),
            "rate": (("chain", "draw"), RATE),
        },
        coords={"chain": [3, 5], "draw": range(100, 110)},
    )


def test_log_likelihood(model, posterior):
    group = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=model)
    assert isinstance(group, xr.Dataset)
    assert group["y"].dims == ("chain", "draw", "row", "column")
    expected = stats.norm(MU[:, :, None], SIGMA[:, :, None, None]).logpdf(Y)
    np.testing.assert_allclose(group["y"].values, expected, rtol=1e-12)
    expected = stats.poisson(RATE[:, :, None]).logpmf(COUNTS)
    np.testing.assert_allclose(group["counts"].values, expected, rtol=1e-10)
    # one number an event
    assert group["pairs"].dims == ("chain", "draw", "pair")
    expected = stats.norm(0, SIGMA[..., None, None]).logpdf(PAIRS).sum(axis=-1)
    np.testing.assert_allclose(group["pairs"].values, expected, rtol=1e-10)
    assert list(group["chain"].values) == [3, 5]
    assert list(group["draw"].values) == list(range(100, 110))
    assert list(group["row"].values) == list("wxyz")


def test_log_prior(model, posterior):
    group = vb.compute_log_prior(posterior, extend_inferencedata=False, model=model)
    assert list(group.data_vars) == ["mu", "sigma", "rate"]
    assert group["mu"].dims == ("chain", "draw", "column")
    np.testing.assert_allclose(group["mu"].values, stats.norm(0, 2).logpdf(MU), rtol=1e-10)
    expected = stats.halfnorm(0, 3).logpdf(SIGMA)  # on its own scale
    np.testing.assert_allclose(group["sigma"].values, expected, rtol=1e-10)
    np.testing.assert_allclose(group["rate"].values, stats.gamma(SIGMA).logpdf(RATE), rtol=1e-10)


def test_joint_density_is_the_sum(model, posterior):
    """Both, and the log Jacobian of the logarithms, are the log density that fits work with."""
    likelihood = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=model)
    prior = vb.compute_log_prior(posterior, extend_inferencedata=False, model=model)
    at = {"chain": 1, "draw": 4}
    total = sum(float(v.isel(at).sum()) for g in (likelihood, prior) for v in g.data_vars.values())
    sigma, rate = SIGMA[1, 4], RATE[1, 4]
    point = {"mu": MU[1, 4], "sigma_log__": np.log(sigma), "rate_log__": np.log(rate)}
    logp = float(model.compile_logp(backend="py")(point))
    assert total + np.log(sigma) + np.log(rate) == pytest.approx(logp, rel=1e-10)


def test_only_what_is_needed(model, posterior):
    some = posterior.drop_vars("mu")
    group = vb.compute_log_likelihood(some, ["counts"], extend_inferencedata=False, model=model)
    assert list(group.data_vars) == ["counts"]
    with pytest.raises(ModelError, match="no draws of 'mu'"):
        vb.compute_log_likelihood(some, model=model)
    with pytest.raises(KeyError, match="no variable 'mu'; there are y, counts, pairs"):
        vb.compute_log_likelihood(posterior, ["mu"], model=model)


def test_extending(model):
    samples = vb.MeanField(model=model).sample(10, random_seed=1)
    assert vb.compute_log_likelihood(samples, model=model) is samples
    assert vb.compute_log_prior(samples, model=model) is samples
    assert samples.log_likelihood["y"].shape == (1, 10, 4, 3)
    assert samples.log_prior["mu"].shape == (1, 10, 3)


def test_an_approximation(model):
    results = vb.compute_log_likelihood(vb.MeanField(model=model), draws=10, random_seed=1)
    assert results.posterior["mu"].shape == (1, 10, 3)
    assert results.log_likelihood["y"].shape == (1, 10, 4, 3)


def test_minibatches_are_whole_and_not_scaled():
    data = np.arange(50.0)
    with vb.Model() as model:
        mu = vb.Normal("mu")
        x = vb.Minibatch(data, batch_size=5)
        vb.Normal("y", mu, 1, observed=x, total_size=50)
        # total_size without a minibatch
        vb.Normal("part", mu, 1, observed=data, total_size=1000)
    draws = xr.Dataset({"mu": (("chain", "draw"), np.ones((1, 3)))})
    results = vb.compute_log_likelihood(draws, model=model)
    expected = stats.norm(1, 1).logpdf(data)
    np.testing.assert_allclose(results.log_likelihood["y"].values[0, 2], expected, rtol=1e-12)
    np.testing.assert_allclose(results.log_likelihood["part"].values[0, 2], expected, rtol=1e-12)
    np.testing.assert_array_equal(results.observed_data["y"].values, data)


def test_other_data_are_seen():
    with vb.Model() as model:
        y = vb.Data("data", [1.0, 2.0], dims="obs")
        vb.Normal("y", vb.Normal("mu"), 1, observed=y, dims="obs")
    draws = xr.Dataset({"mu": (("chain", "draw"), np.zeros((1, 3)))})
    for data in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0, 7.0]):
        vb.set_data({"data": data}, model=model)
        group = vb.compute_log_likelihood(draws, extend_inferencedata=False, model=model)
        np.testing.assert_allclose(group["y"].values[0, 1], stats.norm.logpdf(data), rtol=1e-12)


def test_data_that_do_not_fit_each_other():
    with vb.Model() as model:
        x = vb.Data("x", np.zeros(3))
        vb.Normal("y", vb.Normal("mu") * x, 1, observed=np.zeros(3))
        vb.set_data({"x": np.zeros(4)})
    draws = xr.Dataset({"mu": (("chain", "draw"), np.zeros((1, 3)))})
    with pytest.raises(ShapeError, match="'y'"):
        vb.compute_log_likelihood(draws, model=model)


def test_data_that_depend_on_data():
    """An observed variable in the mean of another one stands for its data."""
    first, second = np.array([1.0, 2.0]), np.array([1.5, 2.5])
    with vb.Model() as model:
        x = vb.Normal("x", vb.Normal("mu"), 1, observed=first)
        vb.Normal("y", x, 1, observed=second)
    draws = xr.Dataset({"mu": (("chain", "draw"), np.zeros((1, 3)))})
    group = vb.compute_log_likelihood(draws, ["y"], extend_inferencedata=False, model=model)
    expected = np.tile(stats.norm.logpdf(second - first), (1, 3, 1))
    np.testing.assert_allclose(group["y"].values, expected, rtol=1e-12)
