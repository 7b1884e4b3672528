import numpy as np
import pytensor
import pytest
from helpers.lanes import LANE
from helpers.posteriors import seeds
from scipy import integrate, optimize, stats
from scipy.special import gammaln

import vibayes as vb
from vibayes.backend.modes import evaluate

RATE = pytensor.shared(np.array(0.0), name="rate", shape=())
ADAM = vb.adam(learning_rate=RATE)  # one compilation for all rates


def converged(model, seed=1, n=2000, **kwargs):
    """Fit with a learning rate that goes down."""
    inference = vb.ADVI(model=model, random_seed=seed, **kwargs)
    for rate in (0.05, 0.01, 0.001):
        RATE.set_value(rate)
        inference.fit(n, obj_n_mc=5, obj_optimizer=ADAM, backend=LANE, progressbar=False)
    return inference.approx


def test_start():
    with vb.Model() as model:
        vb.Normal("x", 3, 1)
        vb.HalfNormal("s", 1, shape=2, initval=[1.0, np.e])
    approx = vb.MeanField(model=model)
    np.testing.assert_allclose(evaluate([approx.mean])[0], [3, 0, 1], atol=1e-12)
    np.testing.assert_allclose(evaluate([approx.std])[0], np.log(2))
    np.testing.assert_allclose(evaluate([approx.cov])[0], np.eye(3) * np.log(2) ** 2)
    assert set(approx.shared_params) == {"mu", "rho"}
    assert approx.ndim == approx.ddim == 3


@pytest.mark.parametrize("sigma", [1e-8, 1e-3, 0.5, 30.0, 1e6])
def test_start_sigma_is_met(sigma):
    with vb.Model() as model:
        vb.Normal("x", shape=2)
        vb.Normal("y")
    approx = vb.MeanField(model=model, start_sigma={"x": sigma})
    np.testing.assert_allclose(evaluate([approx.std])[0], [sigma, sigma, np.log(2)], rtol=1e-7)


def test_logq_is_the_normal_density():
    with vb.Model() as model:
        vb.Normal("x", shape=3)
    approx = vb.MeanField(model=model, start={"x": [1.0, -2.0, 0.5]})
    approx.shared_params["rho"].set_value(np.array([-3.0, 0.0, 2.0]))
    drawn, _ = approx.draw(7)
    z, logq = pytensor.function(
        [], [next(iter(drawn.z.values())), drawn.logq], mode="FAST_COMPILE"
    )()
    expected = (
        stats.norm(evaluate([approx.mean])[0], evaluate([approx.std])[0]).logpdf(z).sum(axis=1)
    )
    np.testing.assert_allclose(logq, expected)


@pytest.fixture(scope="module")
def normal_means():
    """Conjugate normal means: the posterior is a product of normals, known in closed form."""
    with vb.Model() as model:
        data = vb.Data("data", np.zeros((30, 3)), dims=("row", "column"))
        mu = vb.Normal("mu", 0, [10.0, 50.0, 500.0], shape=3)
        vb.Normal("y", mu, [1.0, 2.0, 5.0], observed=data)
    return model


@pytest.mark.parametrize("seed", seeds(3))
def test_recovers_a_posterior_of_its_own_family(normal_means, seed):
    rng = np.random.default_rng(seed)
    y = rng.normal([[1.0, -20.0, 300.0]], [[1.0, 2.0, 5.0]], size=(30, 3))
    vb.set_data({"data": y}, normal_means)
    approx = converged(normal_means, seed, start={"mu": y.mean(axis=0) + 1})
    precision = 30 / np.array([1.0, 4.0, 25.0]) + 1 / np.array([100.0, 2500.0, 250000.0])
    mean = (y.sum(axis=0) / np.array([1.0, 4.0, 25.0])) / precision
    sd = precision**-0.5
    np.testing.assert_array_less(np.abs(evaluate([approx.mean])[0] - mean) / sd, 0.1)
    np.testing.assert_allclose(evaluate([approx.std])[0], sd, rtol=0.05)
    evidence = sum(
        stats.multivariate_normal(np.zeros(30), s**2 * np.eye(30) + p**2).logpdf(y[:, k])
        for k, (s, p) in enumerate(zip([1.0, 2.0, 5.0], [10.0, 50.0, 500.0], strict=True))
    )
    # where q is the posterior, the ELBO is the log evidence and has no variance
    assert -approx.hist[-500:].mean() == pytest.approx(evidence, abs=0.02)


def best_gamma_elbo(data):
    """Maximize the ELBO of a mean-field normal for a gamma likelihood by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(25)
    weights = weights / weights.sum()
    log_data, total = np.log(data).sum(), data.sum()

    def negative_elbo(theta):
        mu, sd = theta[:2], np.exp(theta[2:])
        la = (mu[0] + sd[0] * nodes)[:, None]
        lb = (mu[1] + sd[1] * nodes)[None, :]
        a, b = np.exp(la), np.exp(lb)
        logp = len(data) * (a * lb - gammaln(a)) + (a - 1) * log_data - b * total
        logp = logp + 2 * np.log(0.1) - 0.1 * a - 0.1 * b + la + lb
        expected = weights @ logp @ weights
        return -(expected + np.log(sd).sum() + np.log(2 * np.pi) + 1)

    return optimize.minimize(negative_elbo, [0.5, 0.5, -2, -2], method="L-BFGS-B")


GAMMA_DATA = np.random.default_rng(42).gamma(2, 0.5, size=200)


@pytest.fixture(scope="module")
def gamma_model():
    with vb.Model() as model:
        alpha = vb.Exponential("alpha", 0.1)
        beta = vb.Exponential("beta", 0.1)
        vb.Gamma("y", alpha, beta, observed=GAMMA_DATA)
    return model


@pytest.mark.parametrize("seed", seeds(3))
def test_gamma_model_reaches_the_best_elbo(gamma_model, seed):
    approx = converged(gamma_model, seed, n=4000)
    best = best_gamma_elbo(GAMMA_DATA)
    np.testing.assert_allclose(evaluate([approx.mean])[0], best.x[:2], atol=0.03)
    np.testing.assert_allclose(np.log(evaluate([approx.std])[0]), best.x[2:], atol=0.15)
    assert approx.hist[-4000:].mean() == pytest.approx(best.fun, abs=0.03)


def test_beta_weighs_the_divergence_from_the_prior():
    """With weight b on KL(q || prior) the optimum is the posterior with likelihood power 1/b."""
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1)
        vb.Normal("y", x, 1, observed=[2.0, 2.0, 2.0])
    for beta in (0.5, 3.0):
        approx = converged(model, beta=beta, n=1000)
        precision = 1 + 3 / beta
        assert evaluate([approx.mean])[0][0] == pytest.approx(6 / beta / precision, abs=0.05)
        assert evaluate([approx.std])[0][0] == pytest.approx(precision**-0.5, rel=0.05)


def test_float32(float32):
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        vb.Normal("y", 0, s, observed=np.random.default_rng(0).normal(0, 2, size=100))
    approx = converged(model, n=1000)
    assert all(p.get_value().dtype == "float32" for p in approx.params)
    draws = approx.sample(500, random_seed=1).posterior["s"]
    assert draws.dtype == "float32"
    grid = np.linspace(0.5, 4, 2000)
    y = np.random.default_rng(0).normal(0, 2, size=100)
    logp = stats.halfnorm(scale=1).logpdf(grid) + stats.norm(0, grid[:, None]).logpdf(y).sum(axis=1)
    weight = np.exp(logp - logp.max())
    mean = integrate.trapezoid(grid * weight, grid) / integrate.trapezoid(weight, grid)
    assert float(draws.mean()) == pytest.approx(mean, abs=0.05)
