"""The parts of the examples that draw by NUTS, to compare ADVI and SVGD with."""

import numpy as np
import pytest
from helpers.lanes import LANE
from scipy import stats

import vibayes as vb

pytest.importorskip("nutpie")

W, MU, SD = np.array([0.2, 0.8]), np.array([-0.3, 0.5]), np.array([0.1, 0.1])


@pytest.mark.ci
def test_gamma_model():
    """ "Introduction to variational inference": NUTS beside ADVI."""
    gamma_data = np.random.default_rng(8927).gamma(2.5, 1 / 1.5, size=200)
    with vb.Model() as gamma_model:
        alpha = vb.Exponential("alpha", 0.1)
        beta = vb.Exponential("beta", 0.1)

        vb.Gamma("y", alpha, beta, observed=gamma_data)

    with gamma_model:
        trace = vb.sample(random_seed=1)

    a, b = np.meshgrid(np.linspace(1, 5, 300), np.linspace(0.5, 4, 300), indexing="ij")
    logp = stats.gamma(a[..., None], scale=1 / b[..., None]).logpdf(gamma_data).sum(axis=-1)
    weights = np.exp(logp - logp.max() - 0.1 * (a + b))
    weights /= weights.sum()
    for name, grid in (("alpha", a), ("beta", b)):
        mean = (weights * grid).sum()
        sd = (weights * (grid - mean) ** 2).sum() ** 0.5
        draws = trace.posterior[name].values.flatten()
        assert draws.shape == (4000,)
        assert draws.mean() == pytest.approx(mean, abs=0.25 * sd)
        assert draws.std() == pytest.approx(sd, rel=0.2)


@pytest.mark.ci
def test_mixture_and_its_expressions():
    """The same notebook, "Basic setup"; a chain seldom crosses from one mode to the other."""
    with vb.Model() as model:
        x = vb.NormalMixture("x", w=W, mu=MU, sigma=SD)
        x2 = x**2
        sin_x = vb.math.sin(x)

    with model:
        vb.Deterministic("x2", x2)
        vb.Deterministic("sin_x", sin_x)

    with model:
        trace = vb.sample(5000, random_seed=1)

    assert trace.posterior["x"].shape == (4, 5000)
    np.testing.assert_allclose(trace.posterior["x2"], trace.posterior["x"] ** 2)
    np.testing.assert_allclose(trace["sin_x"], np.sin(trace["x"]))
    upper = trace["x"][trace["x"] > 0.1]
    assert upper.mean() == pytest.approx(0.5, abs=0.02)
    assert upper.std() == pytest.approx(0.1, abs=0.02)


@pytest.mark.ci
def test_comparison_with_a_fit():
    """The API page's comparison of VI and MCMC, with ArviZ."""
    import arviz as az

    obs_data = np.random.default_rng(1).normal(1.0, 1.0, size=40)
    with vb.Model():
        mu = vb.Normal("mu", mu=0, sigma=5)
        tau = vb.Gamma("tau", alpha=2, beta=1)
        vb.Normal("y_obs", mu=mu, tau=tau, observed=obs_data)

        approx = vb.fit(
            n=3000,
            method="fullrank_advi",
            obj_optimizer=vb.adam(learning_rate=0.02),
            random_seed=1,
            backend=LANE,
            progressbar=False,
            diagnose=False,
        )

        vi_samples = approx.sample(5000, random_seed=1)
        mcmc_samples = vb.sample(2000, tune=1000, chains=2, random_seed=1)
    comparison = az.compare({"VI": vi_samples, "MCMC": mcmc_samples})
    elpd = comparison["elpd_loo" if "elpd_loo" in comparison else "elpd"]
    assert set(comparison.index) == {"VI", "MCMC"}
    assert elpd["VI"] == pytest.approx(elpd["MCMC"], abs=0.5)  # one model, drawn in two ways
    assert mcmc_samples["mu"].shape == (4000,)


def test_mass_matrix_from_a_fit():
    """ "This can be useful, for example, when specifying a mass matrix for NUTS sampling"."""
    with vb.Model():
        x = vb.Normal("x", [0.0, 1e4], [1e-3, 1e3], shape=2)
        advi = vb.ADVI(random_seed=1)
        approx = advi.fit(progressbar=False)
        std = approx.std.eval()
        trace = vb.sample(500, tune=200, init=approx, random_seed=1)
    np.testing.assert_allclose(std, [1e-3, 1e3], rtol=0.1)
    np.testing.assert_allclose(trace["x"].std(axis=0), [1e-3, 1e3], rtol=0.15)
    assert x.name == "x"
