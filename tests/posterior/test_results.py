import copy
import pickle

import arviz as az
import numpy as np
import pytest

import vibayes as vb
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.posterior.generation import arviz_generation

OLD = arviz_generation() == 0


@pytest.fixture(scope="module")
def approx():
    with vb.Model() as model:
        mu = vb.Normal("mu", shape=2)
        sigma = vb.HalfNormal("sigma")
        matrix = vb.Normal("matrix", shape=(2, 3))
        vb.Deterministic("total", mu.sum() + matrix.sum())
        vb.Normal("y", mu.sum(), sigma, observed=[1.0, 2.0, 3.0])
    return vb.MeanField(model=model)


@pytest.fixture
def samples(approx):
    return approx.sample(50, random_seed=1)


def test_draws_of_a_variable_by_its_name(samples):
    assert samples.varnames == ["mu", "sigma", "matrix", "total"]
    for name in samples.varnames:
        assert type(samples[name]) is np.ndarray
        np.testing.assert_array_equal(samples[name], samples.posterior[name].values[0])
    means = {var: samples[var].mean() for var in samples.varnames}
    assert means["sigma"] == pytest.approx(float(samples.posterior["sigma"].mean()))
    np.testing.assert_allclose(
        samples["total"], samples["mu"].sum(1) + samples["matrix"].sum((1, 2))
    )


def test_transformed_values(approx):
    samples = approx.sample(5, include_transformed=True)
    assert "sigma_log__" in samples.varnames
    np.testing.assert_allclose(samples["sigma"], np.exp(samples["sigma_log__"]))


def test_chains_follow_each_other(approx):
    values = np.arange(24.0).reshape(2, 3, 4)
    samples = inference_data({"posterior": dataset(approx.model, {"v": values}, ("chain", "draw"))})
    np.testing.assert_array_equal(samples["v"], values.reshape(6, 4))
    turned = samples.posterior["v"].transpose("v_dim_0", "draw", "chain").to_dataset()
    np.testing.assert_array_equal(inference_data({"posterior": turned})["v"], values.reshape(6, 4))
    first = samples.sel(chain=0)
    np.testing.assert_array_equal(first["v"], values[0])


def test_names_of_groups_come_first(approx):
    values = np.zeros((1, 3))
    sample_dims = ("chain", "draw")
    posterior = dataset(approx.model, {"posterior": values, "v": values}, sample_dims)
    prior = dataset(approx.model, {"w": values}, sample_dims)
    samples = inference_data({"posterior": posterior, "prior": prior, "v": prior})
    assert "v" in samples["posterior"]
    assert "w" in samples["v"]
    assert samples.varnames == ["posterior", "v"]
    with pytest.raises(KeyError, match="w"):
        samples["w"]
    with pytest.raises(KeyError):
        samples["nothing"]


def test_without_a_posterior(approx):
    samples = inference_data({"prior": dataset(approx.model, {"w": np.zeros(3)})})
    assert samples.varnames == []
    with pytest.raises(KeyError):
        samples["w"]


def base():
    if OLD:
        return az.InferenceData
    from xarray import DataTree

    return DataTree


def plain(samples):
    """Return the same groups as an object of the base class."""
    if OLD:
        return az.InferenceData(**{name: samples[name] for name in samples.groups()})
    return base().from_dict({name: group.to_dataset() for name, group in samples.children.items()})


def test_is_what_arviz_takes(samples):
    assert isinstance(samples, base())
    assert az.summary(samples).equals(az.summary(plain(samples)))
    assert repr(samples) == repr(plain(samples))
    assert list(samples) == list(plain(samples))
    assert "mu" not in samples
    assert samples["posterior"]["mu"].dims == ("chain", "draw", "mu_dim_0")
    if not OLD:
        assert samples["posterior/mu"].identical(samples.posterior["mu"])
        assert samples.identical(plain(samples))
        assert "DataTree" in repr(samples)


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda s: s.copy(), lambda s: pickle.loads(pickle.dumps(s))],
    ids=["copy", "deepcopy", "method", "pickle"],
)
def test_copies(samples, duplicate):
    other = duplicate(samples)
    assert type(other) is type(samples)
    assert other.varnames == samples.varnames
    np.testing.assert_array_equal(other["matrix"], samples["matrix"])
    assert list(other) == list(samples)


def test_selection_keeps_it(samples):
    some = samples.isel(draw=slice(0, 10))
    np.testing.assert_array_equal(some["mu"], samples["mu"][:10])
    assert len(samples["mu"]) == 50


def test_groups_can_be_added(samples):
    group = dataset(vb.Model(), {"y": np.zeros((1, 50, 3))}, ("chain", "draw"))
    if OLD:
        samples.add_groups(sample_stats=group)
        samples.extend(az.InferenceData(prior=group))
    else:
        samples["sample_stats"] = group
        samples.update(base().from_dict({"prior": group}).children)
    assert samples["sample_stats"]["y"].shape == samples.prior["y"].shape == (1, 50, 3)
    assert "y" not in samples.varnames
    assert len(samples["mu"]) == 50


def test_loo(approx):
    """The draws are the posterior's of a normal with known variance, and so is p_loo."""
    rng = np.random.default_rng(1)
    y, draws = rng.normal(size=30), 4000
    mu = rng.normal(y.mean(), 30**-0.5, size=(1, draws))
    logp = -0.5 * np.log(2 * np.pi) - 0.5 * (y - mu[..., None]) ** 2
    dims = ("chain", "draw")
    samples = inference_data(
        {
            "posterior": dataset(approx.model, {"mu": mu}, dims),
            "log_likelihood": dataset(approx.model, {"y": logp}, dims),
        }
    )
    loo = az.loo(samples)
    assert not loo.warning
    assert float(loo.p_loo if OLD else loo.p) == pytest.approx(y.var(), abs=0.3)


def test_plot(samples):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    if OLD:
        az.plot_posterior(samples, var_names=["sigma"])
    else:
        az.plot_dist(samples, var_names=["sigma"], backend="matplotlib")


def test_netcdf(samples, tmp_path):
    pytest.importorskip("h5netcdf")
    path = tmp_path / "samples.nc"
    samples.to_netcdf(path, engine="h5netcdf")
    again = az.from_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(again.posterior["mu"].values[0], samples["mu"])


def test_as_particles(approx, samples):
    """``vb.Empirical`` takes them, as it takes any results."""
    again = vb.Empirical(samples, model=approx.model).evaluate_over_trace(approx.model["sigma"])
    np.testing.assert_allclose(again.eval(mode="FAST_COMPILE"), samples["sigma"])
