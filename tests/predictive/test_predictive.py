import warnings

import arviz as az
import numpy as np
import pytensor
import pytest
import xarray as xr
from helpers.posteriors import posterior
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError
from vibayes.posterior.generation import arviz_generation


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


def test_the_older_name_of_the_number_of_draws(regression):
    options = {"model": regression, "random_seed": 1}
    few = vb.sample_prior_predictive(samples=3, **options)
    np.testing.assert_array_equal(
        few.prior["mu"], vb.sample_prior_predictive(3, **options).prior["mu"]
    )


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


def test_predictors_alone_are_exchanged():
    """As PyMC's users do: the outcomes, data too, keep the length of the first data."""
    with vb.Model(coords={"obs": range(4)}) as model:
        x = vb.Data("x", [1.0, 2.0, 3.0, 4.0], dims="obs")
        y = vb.Data("y_data", [1.0, 2.0, 3.0, 4.0], dims="obs")
        vb.Normal("y", vb.Normal("slope") * x, 1, observed=y, dims="obs")
        draws = vb.MeanField().sample(5, random_seed=1)
        vb.set_data({"x": [5.0, 6.0]}, coords={"obs": ["a", "b"]})
        new = vb.sample_posterior_predictive(draws, predictions=True, random_seed=1)
    assert new.predictions["y"].dims == ("chain", "draw", "obs")
    data = new.predictions_constant_data
    assert list(data["x"]["obs"].values) == ["a", "b"]
    assert data["y_data"].dims == ("y_data_dim_0",)
    assert model["y_data"].get_value().shape == (4,)


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
    extending = {"model": regression, "extend_inferencedata": True}
    results = vb.sample_posterior_predictive(samples, random_seed=1, **extending)
    assert results is samples
    first = samples.posterior_predictive["y"].values
    vb.sample_posterior_predictive(samples, random_seed=2, **extending)  # takes its place
    assert (samples.posterior_predictive["y"].values != first).all()
    new = vb.sample_posterior_predictive(samples, regression, random_seed=1)
    assert set(results_groups(new)) == {"posterior_predictive", "observed_data", "constant_data"}
    np.testing.assert_array_equal(new.posterior_predictive["y"].values, first)


def test_arviz_objects_made_by_hand(regression):
    values = {"slope": np.ones((2, 7)), "sigma": np.ones((2, 7))}
    if arviz_generation() == 0:
        samples = az.from_dict(posterior=values)
    else:
        samples = az.from_dict({"posterior": values})
    assert vb.sample_posterior_predictive(samples, regression, extend_inferencedata=True) is samples
    assert samples.posterior_predictive["y"].shape == (2, 7, 30)
    tree = xr.DataTree.from_dict({"posterior": posterior(slope=1.0, sigma=1.0)})
    vb.sample_posterior_predictive(tree, regression, extend_inferencedata=True)
    assert tree["posterior_predictive"]["y"].shape == (2, 200, 30)


@pytest.fixture(scope="module")
def hierarchy():
    with vb.Model() as model:
        mu = vb.Normal("mu", 100, 1)
        group = vb.Normal("group", mu, 1)
        y = vb.Normal("y", group, 1, observed=np.zeros(3))
        vb.Deterministic("double", 2 * y)
        vb.Deterministic("half", group / 2)
    return model


def means(model, draws, **kwargs):
    results = vb.sample_posterior_predictive(draws, model, random_seed=1, **kwargs)
    return {name: float(v.mean()) for name, v in results.posterior_predictive.data_vars.items()}


BOTH = posterior(mu=0.0, group=50.0)


def test_var_names_return_draws_of_the_posterior(hierarchy):
    found = means(hierarchy, BOTH, var_names=["mu", "group", "y", "half"])
    assert found == pytest.approx({"mu": 0.0, "group": 50.0, "y": 50.0, "half": 25.0}, abs=0.5)
    assert found["mu"] == 0.0


def test_deterministics_of_what_is_observed_are_drawn_with_it(hierarchy):
    assert means(hierarchy, BOTH) == pytest.approx({"double": 100.0, "y": 50.0}, abs=1)


def test_sample_vars_are_drawn_anew(hierarchy):
    found = means(hierarchy, BOTH, sample_vars="group")
    assert found == pytest.approx({"group": 0.0}, abs=0.5)
    found = means(hierarchy, BOTH, sample_vars=["mu", "group"], var_names=["mu", "y"])
    assert found == pytest.approx({"mu": 100.0, "y": 100.0}, abs=0.5)


def test_what_depends_on_sample_vars_is_kept_with_a_warning(hierarchy):
    with pytest.warns(vb.ImplicitFreezeWarning, match="'group' .* 'mu', on which") as told:
        found = means(hierarchy, BOTH, sample_vars=["mu"], var_names=["mu", "y"])
    assert found == pytest.approx({"mu": 100.0, "y": 50.0}, abs=0.5)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means(hierarchy, BOTH, sample_vars="mu", var_names=["mu", "y"], freeze_vars="group")


def test_what_the_posterior_lacks_is_drawn(hierarchy):
    draws = posterior(mu=0.0)
    with pytest.warns(UserWarning, match=r"no draws of 'group' \(it has 'mu'\)"):
        assert means(hierarchy, draws)["y"] == pytest.approx(0.0, abs=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means(hierarchy, draws, var_names=["group", "y"])
        means(hierarchy, draws, sample_vars=["group"], var_names=["y"])


def test_data_that_changed_above_a_free_variable_are_told():
    with vb.Model() as model:
        x = vb.Data("x", [0.0, 0.0])
        center = vb.Deterministic("center", x.mean())
        e = vb.Normal("e", x, 0.1, shape=2)
        vb.Normal("y", e - center, 0.1, observed=[1.0, 2.0])
        draws = vb.MeanField(start={"e": np.zeros(2)}, start_sigma={"e": 0.01}).sample(50)
        vb.set_data({"x": [50.0, 50.0]})
    with pytest.warns(vb.ImplicitFreezeWarning, match="'e' are those .* 'x', on which it depends"):
        assert means(model, draws)["y"] == pytest.approx(-50, abs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = means(model, draws, sample_vars="e", var_names=["e", "y"])
        assert found == pytest.approx({"e": 50.0, "y": 0.0}, abs=1)
        frozen = ["e", "center"]  # as it was when the model was fitted
        assert means(model, draws, freeze_vars=frozen)["y"] == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"sample_vars": "mu", "freeze_vars": "mu"}, ValueError, "both name 'mu'"),
        ({"freeze_vars": "half"}, ModelError, "no draws of 'half'"),
        ({"sample_vars": "no"}, KeyError, "sample_vars: no variable 'no'"),
        ({"idata_kwargs": {"save": 1}}, TypeError, "idata_kwargs takes .* got 'save'"),
        ({"compile_kwargs": {"nope": 1}}, TypeError, "compile_kwargs takes 'mode' alone"),
        ({"backend": "fortran"}, ValueError, "backend must be"),
    ],
)
def test_bad_choices(hierarchy, kwargs, error, match):
    with pytest.raises(error, match=match):
        vb.sample_posterior_predictive(BOTH, hierarchy, **kwargs)


def test_points_and_plain_arrays(hierarchy):
    points = [{"mu": 0.0, "group": float(i)} for i in range(5)]
    values = vb.sample_posterior_predictive(
        points, hierarchy, var_names=["group", "y"], return_inferencedata=False, progressbar=False
    )
    assert values["y"].shape == (1, 5, 3)
    np.testing.assert_array_equal(values["group"], [np.arange(5.0)])
    with pytest.raises(TypeError, match="a list of draws must hold dicts"):
        vb.sample_posterior_predictive([*points, {"mu": 0.0}], hierarchy)


def test_names_and_labels_of_results(hierarchy):
    options = {"dims": {"y": ["row"]}, "coords": {"row": list("abc")}}
    results = vb.sample_posterior_predictive(
        BOTH, hierarchy, var_names="y", idata_kwargs=options, backend="py", random_seed=1
    )
    assert list(results.posterior_predictive["y"]["row"].values) == list("abc")
    prior = vb.sample_prior_predictive(4, hierarchy, idata_kwargs=options)
    assert prior.prior_predictive["y"].dims == ("chain", "draw", "row")
    plain = vb.sample_prior_predictive(4, hierarchy, return_inferencedata=False)
    assert plain["y"].shape == (4, 3)


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
    vb.sample_posterior_predictive(samples, regression, random_seed=1, extend_inferencedata=True)
    old = regression["x"].get_value()
    with regression:
        vb.set_data({"x": [0.0, 1e6]}, coords={"obs": ["zero", "far"]})
        try:
            vb.sample_posterior_predictive(
                samples, predictions=True, extend_inferencedata=True, random_seed=1
            )
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
    vb.sample_posterior_predictive(results, model, random_seed=1, extend_inferencedata=True)
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
    results = vb.sample_posterior_predictive(posterior(mu=1.0), model, extend_inferencedata=True)
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


@pytest.mark.parametrize("name", ["1|group", "f8", "float32"])
def test_names_that_look_like_dtypes(name):
    with vb.Model():
        vb.Normal("y", vb.Normal(name), 1, observed=[1.0, 2.0])
        samples = vb.sample_posterior_predictive(vb.MeanField(), draws=3, random_seed=1)
    assert samples.posterior_predictive["y"].shape == (1, 3, 2)
    assert samples.posterior[name].shape == (1, 3)
