import warnings

import arviz as az
import numpy as np
import pytensor
import pytest
import xarray as xr
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError
from vibayes.posterior.generation import arviz_generation


def posterior(chains=2, draws=200, **values):
    """Draws with dims chain and draw of numbers, or of functions of a generator and a shape."""
    rng = np.random.default_rng(5)
    variables = {}
    for name, value in values.items():
        array = value(rng, (chains, draws)) if callable(value) else np.full((chains, draws), value)
        own = [f"{name}_dim_{i}" for i in range(array.ndim - 2)]
        variables[name] = (("chain", "draw", *own), array)
    return xr.Dataset(variables, coords={"chain": range(chains), "draw": range(draws)})


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    with vb.Model(coords={"obs": range(30)}) as model:
        data = vb.Data("x", x, dims="obs")
        slope = vb.Normal("slope", 0, 3)
        sigma = vb.HalfNormal("sigma", 1)
        mu = vb.Deterministic("mu", slope * data, dims="obs")
        vb.Normal("y", mu, sigma, observed=2 * x + rng.normal(size=30), dims="obs")
    return model


# -- prior ------------------------------------------------------------------------------------


def test_prior_groups(regression):
    results = vb.sample_prior_predictive(40, model=regression, random_seed=1)
    assert set(results.prior.data_vars) == {"slope", "sigma", "mu"}
    assert results.prior_predictive["y"].dims == ("chain", "draw", "obs")
    assert results.prior_predictive["y"].shape == (1, 40, 30)
    x = results.constant_data["x"].values
    slope = results.prior["slope"].values
    np.testing.assert_allclose(results.prior["mu"].values, slope[..., None] * x)
    assert results.observed_data["y"].dims == ("obs",)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_prior_of_data_is_known(seed):
    with vb.Model():
        mu = vb.Normal("mu", 1, 3)
        vb.Normal("y", mu, 4, observed=np.zeros(2))
        prior = vb.sample_prior_predictive(4000, random_seed=seed)
    y = prior.prior_predictive["y"].values[0]
    assert stats.kstest(y[:, 0], stats.norm(1, 5).cdf).pvalue > 1e-3
    assert np.cov(y.T)[0, 1] == pytest.approx(9.0, rel=0.15)  # they have mu in common


def test_prior_of_some(regression):
    results = vb.sample_prior_predictive(3, regression, var_names=["sigma"], random_seed=1)
    assert list(results.prior.data_vars) == ["sigma"]
    assert not hasattr(results, "prior_predictive")
    with pytest.raises(KeyError, match="no variable 'nope'; there are slope, sigma, mu, y"):
        vb.sample_prior_predictive(3, regression, var_names=["nope"])
    with pytest.raises(ValueError, match="draws"):
        vb.sample_prior_predictive(0, regression)
    with pytest.raises(TypeError, match="No model"):
        vb.sample_prior_predictive(3)


def test_what_cannot_be_drawn_is_named():
    with vb.Model():
        flat = vb.Flat("flat")
        vb.Normal("y", flat, 1, observed=[1.0, 2.0])
        vb.CustomDist("own", flat, logp=lambda v, f: -((v - f) ** 2), observed=[1.0])
        with pytest.raises(NotImplementedError, match="'flat' has an improper prior"):
            vb.sample_prior_predictive()
        draws = posterior(flat=1.0)
        with pytest.raises(NotImplementedError, match="'own' is a CustomDist with neither"):
            vb.sample_posterior_predictive(draws)
        results = vb.sample_posterior_predictive(draws, var_names="y")
    assert results.posterior_predictive["y"].shape == (2, 200, 2)


# -- posterior --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_predictive_distribution_of_a_conjugate_model(seed):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 2.0, observed=np.full(4, 3.0))
    sd = np.sqrt(1 / (1 / 100 + 4 / 4))
    mean = sd**2 * 4 * 3.0 / 4
    draws = posterior(mu=lambda rng, shape: rng.normal(mean, sd, shape), draws=2000)
    results = vb.sample_posterior_predictive(draws, model, random_seed=seed)
    y = results.posterior_predictive["y"].values.reshape(-1, 4)
    expected = stats.norm(mean, np.hypot(sd, 2.0))
    assert stats.kstest(y[:, 0], expected.cdf).pvalue > 1e-3
    assert np.cov(y.T)[0, 1] == pytest.approx(sd**2, abs=0.25)


def test_each_draw_is_of_its_own_draw_of_the_posterior(regression):
    rng = np.random.default_rng(3)
    slopes = rng.normal(size=(2, 5))
    draws = posterior(slope=lambda *_: slopes, sigma=1e-9, draws=5, extra=1.0, sigma_log__=0.0)
    results = vb.sample_posterior_predictive(draws, regression, var_names=["y", "mu"])
    x = results.constant_data["x"].values
    predictive = results.posterior_predictive
    np.testing.assert_allclose(predictive["y"].values, slopes[..., None] * x, atol=1e-6)
    np.testing.assert_allclose(predictive["mu"].values, slopes[..., None] * x)


def test_seeds(regression):
    draws = posterior(slope=1.0, sigma=1.0)

    def y(seed):
        results = vb.sample_posterior_predictive(draws, regression, random_seed=seed)
        return results.posterior_predictive["y"].values

    np.testing.assert_array_equal(y(1), y(1))
    assert (y(1) != y(2)).all()
    assert len(np.unique(y(1))) == y(1).size


def test_an_approximation(regression):
    approx = vb.MeanField(model=regression)
    results = vb.sample_posterior_predictive(approx, draws=50, random_seed=1)
    assert {"posterior", "posterior_predictive", "observed_data"} <= set(results_groups(results))
    assert results.posterior_predictive["y"].shape == (1, 50, 30)
    again = vb.sample_posterior_predictive(approx, draws=50, random_seed=1)
    np.testing.assert_array_equal(
        results.posterior_predictive["y"].values, again.posterior_predictive["y"].values
    )
    with pytest.raises(ValueError, match="draws"):
        vb.sample_posterior_predictive(approx, draws=-1)


def results_groups(results):
    return results.children if isinstance(results, xr.DataTree) else results.groups()


def test_extending(regression):
    samples = vb.MeanField(model=regression).sample(20, random_seed=1)
    results = vb.sample_posterior_predictive(samples, regression, random_seed=1)
    assert results is samples
    first = samples.posterior_predictive["y"].values
    vb.sample_posterior_predictive(samples, regression, random_seed=2)  # takes its place
    assert (samples.posterior_predictive["y"].values != first).all()
    new = vb.sample_posterior_predictive(
        samples, regression, extend_inferencedata=False, random_seed=1
    )
    assert set(results_groups(new)) == {"posterior_predictive", "observed_data", "constant_data"}
    np.testing.assert_array_equal(new.posterior_predictive["y"].values, first)


def test_arviz_objects_made_by_hand(regression):
    values = {"slope": np.ones((2, 7)), "sigma": np.ones((2, 7))}
    if arviz_generation() == 0:
        samples = az.from_dict(posterior=values)
    else:
        samples = az.from_dict({"posterior": values})
    assert vb.sample_posterior_predictive(samples, regression) is samples
    assert samples.posterior_predictive["y"].shape == (2, 7, 30)
    tree = xr.DataTree.from_dict({"posterior": posterior(slope=1.0, sigma=1.0)})
    vb.sample_posterior_predictive(tree, regression)
    assert tree["posterior_predictive"]["y"].shape == (2, 200, 30)


def test_variables_that_are_named_are_drawn_anew():
    with vb.Model() as model:
        mu = vb.Normal("mu", 100, 1)
        group = vb.Normal("group", mu, 1)
        vb.Normal("y", group, 1, observed=np.zeros(3))
    draws = posterior(mu=0.0, group=50.0)

    def means(names):
        results = vb.sample_posterior_predictive(draws, model, var_names=names, random_seed=1)
        return {name: float(v.mean()) for name, v in results.posterior_predictive.data_vars.items()}

    assert means(["y"]) == pytest.approx({"y": 50.0}, abs=0.5)
    assert means(["group", "y"]) == pytest.approx({"group": 0.0, "y": 0.0}, abs=0.5)
    # what depends on a variable that is drawn anew is drawn anew too
    assert means(["mu", "y"]) == pytest.approx({"mu": 100.0, "y": 100.0}, abs=0.5)


def test_potentials_are_left_out_with_a_warning(regression):
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=[1.0])
        vb.Potential("penalty", -(mu**2))
    for call in (
        lambda: vb.sample_prior_predictive(5, model),
        lambda: vb.sample_posterior_predictive(posterior(mu=0.0), model),
        lambda: vb.compute_log_likelihood(posterior(mu=0.0), model=model),
        lambda: vb.compute_log_prior(posterior(mu=0.0), model=model),
    ):
        with pytest.warns(UserWarning, match="'penalty'") as record:
            call()
        assert record[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        vb.sample_prior_predictive(5, regression)


# -- other data -------------------------------------------------------------------------------


def test_new_rows(regression):
    samples = vb.MeanField(model=regression).sample(20, random_seed=1)
    vb.sample_posterior_predictive(samples, regression, random_seed=1)
    old = regression["x"].get_value()
    with regression:
        vb.set_data({"x": [0.0, 1e6]}, coords={"obs": ["zero", "far"]})
        try:
            vb.sample_posterior_predictive(samples, predictions=True, random_seed=1)
        finally:
            vb.set_data({"x": old}, coords={"obs": range(30)})
    y = samples.predictions["y"]
    assert y.dims == ("chain", "draw", "obs")
    assert list(y["obs"].values) == ["zero", "far"]
    slope = samples.posterior["slope"].values
    np.testing.assert_allclose(y.sel(obs="far").values / 1e6, slope, atol=1e-4)
    np.testing.assert_array_equal(samples.predictions_constant_data["x"].values, [0.0, 1e6])
    assert samples.posterior_predictive["y"].shape == (1, 20, 30)
    assert samples.observed_data["y"].shape == (30,)


def test_new_rows_without_dims():
    with vb.Model() as model:
        x = vb.Data("x", np.zeros(4))
        slope = vb.Normal("slope")
        y = vb.Normal("y", slope * x, 1e-9, observed=np.zeros(4))
        vb.Deterministic("twice", 2 * y)
        vb.set_data({"x": [1.0, 2.0]})
    results = vb.sample_posterior_predictive(
        posterior(slope=3.0), model, var_names=["y", "twice"], predictions=True
    )
    np.testing.assert_allclose(results.predictions["y"].values[0, 0], [3.0, 6.0], atol=1e-6)
    np.testing.assert_allclose(results.predictions["twice"].values[0, 0], [6.0, 12.0], atol=1e-6)


def test_new_rows_of_other_length_than_dims():
    with vb.Model(coords={"obs": range(4)}) as model:
        x = vb.Data("x", np.zeros(4))
        slope = vb.Normal("slope")
        vb.Normal("y", slope * x, 1, observed=np.zeros(4), dims="obs")
        vb.set_data({"x": [1.0, 2.0]})
    with pytest.raises(ShapeError, match="'y' do not broadcast to the lengths of its dims"):
        vb.sample_posterior_predictive(posterior(slope=3.0), model)


def test_minibatches_stand_for_the_whole_data():
    x = np.arange(1000.0)
    with vb.Model(coords={"obs": range(1000)}) as model:
        slope = vb.Normal("slope")
        rows, y = vb.Minibatch(x, 3 * x, batch_size=10)
        mu = vb.Deterministic("mu", slope * rows)
        vb.Normal("y", mu, 1e-9, observed=y, total_size=1000, dims="obs")
        other = vb.Minibatch(x, batch_size=7, random_seed=1)
        vb.Normal("alone", 0, 1, observed=other, total_size=1000)
    results = vb.sample_posterior_predictive(
        posterior(slope=3.0, draws=5), model, var_names=["y", "mu", "alone"]
    )
    predictive = results.posterior_predictive
    assert predictive["y"].dims == ("chain", "draw", "obs")
    assert predictive["alone"].shape == (2, 5, 1000)
    np.testing.assert_allclose(predictive["y"].values[1, 2], 3 * x, atol=1e-6)
    np.testing.assert_allclose(predictive["mu"].values[1, 2], 3 * x)
    np.testing.assert_array_equal(results.observed_data["y"].values, 3 * x)
    assert vb.sample_prior_predictive(3, model).prior_predictive["y"].shape == (1, 3, 1000)


def test_streams_are_refused(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros(1000))
    data = np.load(tmp_path / "y.npy", mmap_mode="r")
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=vb.Minibatch(data, batch_size=10), total_size=1000)
    for call in (vb.sample_posterior_predictive, vb.compute_log_likelihood):
        with pytest.raises(ModelError, match=r"1000 rows of .* are read from a stream"):
            call(posterior(mu=0.0), model=model)
    assert vb.sample_prior_predictive(3, model, var_names="mu").prior["mu"].shape == (1, 3)
    assert vb.compute_log_prior(posterior(mu=0.0), model=model).log_prior["mu"].shape == (2, 200)


def test_observed_variables_that_depend_on_each_other():
    with vb.Model() as model:
        mu = vb.Normal("mu")
        first = vb.Normal("first", mu, 1, observed=np.zeros(3))
        vb.Normal("second", first, 1e-9, observed=np.ones(3))
    drawn = vb.sample_posterior_predictive(posterior(mu=0.0), model).posterior_predictive
    np.testing.assert_allclose(drawn["second"].values, drawn["first"].values, atol=1e-6)


def test_nothing_is_changed(regression):
    before = pytensor.dprint(regression.basic_RVs, file="str")
    draws = posterior(slope=1.0, sigma=1.0)
    copy = draws.copy(deep=True)
    vb.sample_posterior_predictive(draws, regression)
    vb.compute_log_likelihood(draws, model=regression)
    assert pytensor.dprint(regression.basic_RVs, file="str") == before
    assert draws.identical(copy)


def test_memory_that_is_locked():
    with vb.Model() as model:
        vb.StudentT("y", 4, vb.Normal("mu"), 1.0, observed=np.zeros(3))
    mu = np.broadcast_to(0.5, (1, 20))
    results = vb.compute_log_likelihood(
        xr.Dataset({"mu": (("chain", "draw"), mu)}), model=model
    )  # PyTensor now has locked the constants
    vb.sample_posterior_predictive(results, model, random_seed=1)
    assert results.posterior_predictive["y"].shape == (1, 20, 3)


def test_functions_are_compiled_once(regression):
    draws = posterior(slope=1.0, sigma=1.0)
    vb.sample_posterior_predictive(draws, regression)
    vb.compute_log_likelihood(draws, model=regression)
    known = set(regression.functions)
    vb.sample_posterior_predictive(draws.isel(draw=slice(10)), regression)
    vb.compute_log_likelihood(draws.isel(draw=slice(10)), model=regression)
    assert set(regression.functions) == known


def test_float32(float32):
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=[1.0, 2.0])
        vb.Poisson("k", vb.math.exp(mu), observed=[1, 2])
    results = vb.sample_posterior_predictive(posterior(mu=1.0), model)
    vb.compute_log_likelihood(results, model=model)
    assert results.posterior_predictive["y"].dtype == "float32"
    assert results.posterior_predictive["k"].dtype == "int64"
    expected = stats.norm(1, 1).logpdf([1.0, 2.0])
    np.testing.assert_allclose(results.log_likelihood["y"].values[0, 0], expected, rtol=1e-6)
    assert results.log_likelihood["y"].dtype == "float32"


def test_a_model_without_data():
    with vb.Model() as model:
        vb.Normal("x")
    assert list(vb.sample_prior_predictive(3, model).prior.data_vars) == ["x"]
    with pytest.raises(ModelError, match="no observed variables"):
        vb.sample_posterior_predictive(posterior(x=1.0), model)
    with pytest.raises(ModelError, match="no observed variables"):
        vb.compute_log_likelihood(posterior(x=1.0), model=model)


def test_amortized_variables_are_refused():
    data = np.zeros(100)
    with vb.Model() as model:
        x = vb.Minibatch(data, batch_size=10)
        z = vb.Normal("z", 0, 1, shape=10, total_size=100)
        vb.Normal("y", z, 1, observed=x, total_size=100)
        approx = vb.MeanField(local_rv={z: (x, vb.math.zeros_like(x))}, model=model)
    with pytest.raises(NotImplementedError, match="of 'z' there are draws for one minibatch"):
        vb.sample_posterior_predictive(approx)


@pytest.mark.parametrize("family", ["Gamma", "Weibull"])
def test_new_rows_of_families_with_several_parameters(family):
    """Their length is computed from parameters, which differ between draws."""
    with vb.Model():
        rows = vb.Data("rows", np.arange(5.0))
        slope = vb.Normal("slope")
        mean = vb.math.exp(slope * rows)
        getattr(vb, family)("y", alpha=1.0 + 0 * slope, beta=1 / mean, observed=np.ones(5))
        approx = vb.MeanField(random_seed=1)
        approx.shared_params["rho"].set_value(np.array([-9.0]))  # the slope is zero
        vb.set_data({"rows": np.arange(3.0)})
        new = vb.sample_posterior_predictive(approx, draws=4000, predictions=True, random_seed=1)
    drawn = new.predictions["y"].values[0]
    assert drawn.shape == (4000, 3)
    assert np.abs(drawn.mean(axis=0) - 1).max() < 5 / np.sqrt(4000)  # both are exponential


@pytest.mark.parametrize("name", ["1|group", "f8", "float32"])
def test_names_that_look_like_dtypes(name):
    with vb.Model():
        vb.Normal("y", vb.Normal(name), 1, observed=[1.0, 2.0])
        samples = vb.sample_posterior_predictive(vb.MeanField(), draws=3, random_seed=1)
    assert samples.posterior_predictive["y"].shape == (1, 3, 2)
    assert samples.posterior[name].shape == (1, 3)
