"""What ArviZ, of either generation, does with the results."""

import arviz as az
import matplotlib
import numpy as np
import pytest
from scipy import stats

import vibayes as vb
from vibayes.posterior.generation import arviz_generation
from vibayes.predictive import log_density

OLD = arviz_generation() == 0


@pytest.fixture(scope="module", autouse=True)
def _no_display():
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    matplotlib.use(before)


def fitted(power, seed=1):
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 60)
    y = 1 + 2 * x + 0.3 * rng.normal(size=60)
    with vb.Model(coords={"obs": range(60)}):
        a, b = vb.Normal("a", 0, 5), vb.Normal("b", 0, 5)
        s = vb.HalfNormal("s", 1)
        vb.Normal("y", a + b * x**power, s, observed=y, dims="obs")
        approx = vb.fit(method="fullrank_advi", backend="py", random_seed=seed, diagnose=False)
        samples = vb.sample_posterior_predictive(approx, random_seed=seed)
        vb.compute_log_prior(samples)
        return vb.compute_log_likelihood(samples), x, y


@pytest.fixture(scope="module")
def line():
    return fitted(1)


@pytest.fixture(scope="module")
def parabola():
    return fitted(2)


def elpd(result):
    return result.elpd_loo if OLD else result.elpd


def test_loo(line):
    samples, x, y = line
    # leave-one-out by least squares: the predictive distribution is a t distribution
    exact = 0.0
    for i in range(60):
        X = np.column_stack([np.ones(59), np.delete(x, i)])
        inverse = np.linalg.inv(X.T @ X)
        beta = inverse @ X.T @ np.delete(y, i)
        residual = np.delete(y, i) - X @ beta
        at = np.array([1, x[i]])
        scale = np.sqrt(residual @ residual / 57 * (1 + at @ inverse @ at))
        exact += stats.t(57, at @ beta, scale).logpdf(y[i])
    assert elpd(az.loo(samples)) == pytest.approx(exact, abs=0.5)


def test_compare(line, parabola):
    table = az.compare({"parabola": parabola[0], "line": line[0]})
    assert list(table.index) == ["line", "parabola"]
    assert table["rank"].tolist() == [0, 1]


def test_posterior_predictive_plots(line):
    if OLD:
        az.plot_ppc(line[0], num_pp_samples=20)
        az.plot_loo_pit(line[0], y="y")
    else:
        az.plot_ppc_dist(line[0])
        az.plot_ppc_pit(line[0])


def test_prior_predictive_plots():
    with vb.Model():
        vb.Normal("y", vb.Normal("mu"), 1, observed=np.zeros(10))
        prior = vb.sample_prior_predictive(50, random_seed=1)
    if OLD:
        az.plot_ppc(prior, group="prior")
    else:
        az.plot_ppc_dist(prior, group="prior_predictive")


def test_draws_of_az_extract(line):
    with vb.Model() as model:
        a, b = vb.Normal("a"), vb.Normal("b")
        vb.Normal("y", a + b, 1e-9, observed=[0.0])
    extracted = az.extract(line[0])
    results = vb.sample_posterior_predictive(extracted, model)
    y = results.posterior_predictive["y"]
    assert y.dims == ("sample", "y_dim_0")
    np.testing.assert_allclose(y.values[:, 0], (extracted["a"] + extracted["b"]).values, atol=1e-6)
    assert y["draw"].dims == ("sample",)


def test_files(line, tmp_path):
    """Results go to a file and come back with all groups."""
    line[0].to_netcdf(str(tmp_path / "results.nc"))
    back = az.from_netcdf(str(tmp_path / "results.nc"))
    for group in ("posterior", "posterior_predictive", "log_likelihood", "observed_data"):
        assert getattr(back, group).sizes == getattr(line[0], group).sizes
    back.close()


def test_samples_hold_a_small_log_likelihood():
    """So that ``az.loo`` works at once; it is what compute_log_likelihood gives."""
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
        samples = vb.MeanField().sample(100, random_seed=1)
        again = vb.compute_log_likelihood(samples, extend_inferencedata=False)
    np.testing.assert_array_equal(samples.log_likelihood["y"], again["y"])


def test_samples_without_a_log_likelihood(monkeypatch):
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        x = vb.Data("x", [1.0, 2.0, 3.0])
        vb.Normal("y", mu * x, 1, observed=[1.0, 2.0, 3.0])
        approx = vb.MeanField()
        vb.set_data({"x": [1.0, 2.0]})  # of which there are no outcomes
        assert "log_likelihood" not in approx.sample(10)
        vb.set_data({"x": [1.0, 2.0, 4.0]})
        assert "log_likelihood" in approx.sample(10)
        monkeypatch.setattr(log_density, "FEW_NUMBERS", 29)
        assert "log_likelihood" not in approx.sample(10)
