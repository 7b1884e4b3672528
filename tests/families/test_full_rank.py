import time

import numpy as np
import pytensor
import pytest
from helpers.compiled_steps import check_compiled_steps
from helpers.lanes import LANE
from helpers.posteriors import seeds
from pytensor.graph.traversal import ancestors
from scipy import linalg, stats

import vibayes as vb
from vibayes.approximations.full_rank import FullRank
from vibayes.backend.modes import evaluate
from vibayes.families.full_rank import FullRankGroup
from vibayes.objectives.kl import KL

RATE = pytensor.shared(np.array(0.0), name="rate", shape=())
ADAM = vb.adam(learning_rate=RATE)  # one compilation for all rates


def divergence(approx, mean, cov):
    """KL(q || p) of a normal approximation from a normal distribution."""
    q_mean, q_cov = evaluate([approx.mean, approx.cov])
    precision = linalg.inv(cov)
    distance = (q_mean - mean) @ precision @ (q_mean - mean)
    log_dets = np.linalg.slogdet(cov)[1] - np.linalg.slogdet(q_cov)[1]
    return 0.5 * (np.trace(precision @ q_cov) - len(mean) + distance + log_dets)


def lower(rng, d):
    """Return a random lower triangular matrix, one diagonal element of it negative."""
    L = np.tril(rng.normal(size=(d, d))) + np.diag(1 + np.arange(d))
    L[-1, -1] *= -1
    return L


@pytest.fixture
def three():
    with vb.Model() as model:
        vb.Normal("x", 3, 1)
        vb.HalfNormal("s", 1, shape=2, initval=[1.0, np.e])
    return model


def test_start(three):
    approx = FullRank(model=three)
    np.testing.assert_allclose(evaluate([approx.mean])[0], [3, 0, 1], atol=1e-12)
    np.testing.assert_allclose(evaluate([approx.std])[0], np.log(2))
    np.testing.assert_allclose(evaluate([approx.cov])[0], np.eye(3) * np.log(2) ** 2)
    np.testing.assert_allclose(evaluate([approx.L])[0], np.eye(3) * np.log(2))
    assert {name: p.type.shape for name, p in approx.shared_params.items()} == {
        "mu": (3,),
        "L_tril": (6,),
    }


@pytest.mark.parametrize("sigma", [1e-8, 0.5, 1e6])
def test_start_sigma_is_met(three, sigma):
    approx = FullRank(model=three, start={"x": 7.0}, start_sigma={"x": sigma})
    np.testing.assert_allclose(evaluate([approx.std])[0], [sigma, np.log(2), np.log(2)], rtol=1e-12)
    assert evaluate([approx.mean])[0][0] == 7


def test_parameters_are_the_lower_triangle_row_after_row(three, rng):
    approx = FullRank(model=three)
    L = lower(rng, 3)
    approx.shared_params["L_tril"].set_value(L[np.tril_indices(3)])
    np.testing.assert_allclose(evaluate([approx.L])[0], L)
    np.testing.assert_allclose(evaluate([approx.L_chol])[0], np.linalg.cholesky(L @ L.T))
    np.testing.assert_allclose(evaluate([approx.cov])[0], L @ L.T)
    np.testing.assert_allclose(evaluate([approx.std])[0], np.sqrt(np.diag(L @ L.T)))


@pytest.mark.parametrize("size", [None, 1, 7])
def test_logq_is_the_normal_density(three, rng, size):
    approx = FullRank(model=three)
    L = lower(rng, 3)
    approx.shared_params["L_tril"].set_value(L[np.tril_indices(3)])
    group = approx.groups[0]
    _, noise, z = group.draw(pytensor.shared(np.random.default_rng(1)), size)
    elsewhere = z * 2 + 1
    densities = [group.log_density(noise, z), group.log_density_at(elsewhere)]
    at, other, logq, logq_other = evaluate([z, elsewhere, *densities])
    q = stats.multivariate_normal(evaluate([approx.mean])[0], L @ L.T)
    np.testing.assert_allclose(logq, np.reshape(q.logpdf(at), logq.shape))
    np.testing.assert_allclose(logq_other, np.reshape(q.logpdf(other), logq.shape))


def test_draws_have_the_moments(three, rng):
    approx = FullRank(model=three, start={"x": -1.0})
    L = lower(rng, 3)
    approx.shared_params["L_tril"].set_value(L[np.tril_indices(3)])
    n = 100_000
    rng_var = pytensor.shared(np.random.default_rng(3))
    (z,) = evaluate([approx.groups[0].draw(rng_var, n)[2]])
    cov = L @ L.T
    sd = np.sqrt(np.diag(cov))
    assert z.shape == (n, 3)
    np.testing.assert_array_less(
        np.abs(z.mean(axis=0) - evaluate([approx.mean])[0]), 4.5 * sd / n**0.5
    )
    # the variance of an element of a sample covariance is (v_i v_j + c_ij^2) / n
    error = np.sqrt((np.outer(sd, sd) ** 2 + cov**2) / n)
    np.testing.assert_array_less(np.abs(np.cov(z.T) - cov), 4.5 * error)
    (centre,) = evaluate([approx.groups[0].draw(rng_var, 2, deterministic=True)[2]])
    np.testing.assert_allclose(centre, np.tile(evaluate([approx.mean])[0], (2, 1)))


def test_a_step_makes_no_matrix():
    with vb.Model() as model:
        vb.Normal("x", shape=9)
    step = vb.ObjectiveFunction(KL(FullRank(model=model))).step(
        obj_optimizer=vb.adam(learning_rate=0.1)
    )
    graph = ancestors([step.loss, *step.updates.values()])
    assert not [v for v in graph if getattr(v.type, "ndim", 0) > 1]


def test_parameters_are_named_by_their_row_and_column(three):
    names = FullRank(model=three).groups[0].param_elements("L_tril")
    s = [f"{three.value_vars[1].name}[{i}]" for i in range(2)]
    assert names == [
        "x, x",
        f"{s[0]}, x",
        f"{s[0]}, {s[0]}",
        f"{s[1]}, x",
        *[f"{s[1]}, {i}" for i in s],
    ]


# -- fits -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression():
    """Linear regression on correlated columns: the posterior is a normal distribution."""
    X = np.random.default_rng(0).normal(size=(40, 4)).cumsum(axis=1)
    with vb.Model() as model:
        y = vb.Data("data", np.zeros(40), dims="row")
        beta = vb.Normal("beta", 0, 10, shape=4)
        vb.Normal("y", X @ beta, 2.0, observed=y)
    return model, X


def posterior(X, y):
    cov = linalg.inv(X.T @ X / 4 + np.eye(4) / 100)
    return cov @ X.T @ y / 4, cov


@pytest.mark.parametrize("seed", seeds(3))
def test_recovers_a_correlated_posterior(regression, seed):
    model, X = regression
    y = np.random.default_rng(seed).normal(X @ [1.0, -1.0, 2.0, 0.5], 2.0)
    vb.set_data({"data": y}, model)
    mean, cov = posterior(X, y)
    correlation = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    assert (correlation < -0.4).sum() >= 6  # else it would be no test
    inference = vb.KLqp(FullRank(model=model, random_seed=seed))
    for rate in (0.03, 0.005, 0.0005):
        RATE.set_value(rate)
        inference.fit(4000, obj_n_mc=5, obj_optimizer=ADAM, backend=LANE, progressbar=False)
    assert divergence(inference.approx, mean, cov) < 0.01
    marginal = stats.multivariate_normal(np.zeros(40), 4 * np.eye(40) + 100 * X @ X.T)
    # where q is the posterior, the ELBO is the log evidence and has no variance
    assert -inference.hist[-500:].mean() == pytest.approx(marginal.logpdf(y), abs=0.05)


def test_path_derivative_vanishes_at_the_posterior(regression, rng):
    model, X = regression
    y = rng.normal(size=40)
    vb.set_data({"data": y}, model)
    mean, cov = posterior(X, y)
    approx = FullRank(model=model)
    approx.shared_params["mu"].set_value(mean)
    approx.shared_params["L_tril"].set_value(np.linalg.cholesky(cov)[np.tril_indices(4)])
    for n_mc in (1, 3):
        objective = KL(approx, path_derivative=True)
        gradients, _, _ = objective.gradients(approx.params, n_mc, list)
        for gradient in evaluate(gradients):
            np.testing.assert_allclose(gradient, 0, atol=1e-9)


@pytest.mark.ci
def test_compiled_steps_are_those_of_numpy():
    check_compiled_steps(FullRank)


def test_float32(float32, rng):
    A = np.linalg.cholesky(np.array([[1.0, 0.8], [0.8, 2.0]]))
    with vb.Model() as model:
        vb.MvNormal("x", [1.0, -1.0], chol=A)
    inference = vb.KLqp(FullRank(model=model, random_seed=1))
    for rate in (0.05, 0.005):
        RATE.set_value(rate)
        inference.fit(1000, obj_n_mc=5, obj_optimizer=ADAM, backend=LANE, progressbar=False)
    approx = inference.approx
    assert all(p.get_value().dtype == "float32" for p in approx.params)
    assert approx.cov.dtype == approx.std.dtype == "float32"
    assert divergence(approx, [1.0, -1.0], A @ A.T) < 0.02
    assert approx.sample(10, random_seed=1).posterior["x"].dtype == "float32"


def test_scales_with_its_group(three):
    group = FullRankGroup(three.free_RVs[1:], model=three)
    assert group.ddim == 2
    assert group.shared_params["L_tril"].type.shape == (3,)


@pytest.mark.slow
def test_five_hundred_dimensions_take_less_than_a_millisecond_a_step():
    with vb.Model() as model:
        vb.Normal("x", shape=500)
    inference = vb.KLqp(FullRank(model=model, random_seed=1))
    inference.fit(100, obj_optimizer=vb.adam(learning_rate=0.001), progressbar=False)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        inference.refine(1000, progressbar=False)
        seconds.append(time.perf_counter() - began)
    assert np.median(seconds) < 1.0
