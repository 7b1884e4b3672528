import time
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.compiled_steps import check_compiled_steps
from helpers.lanes import LANE
from helpers.posteriors import seeds
from pytensor.graph.replace import graph_replace
from scipy import linalg, stats

import vibayes as vb
from vibayes.approximations.low_rank import LowRank
from vibayes.backend.modes import EVALUATE_MODE, evaluate, resolve_mode
from vibayes.exceptions import ShapeError
from vibayes.families.low_rank import LEAST_SHARE, LowRankGroup, nearest_low_rank
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


def spread(approx, rng, scale=1.0):
    """Set random parameters; return the covariance that they stand for."""
    rho, B = (approx.shared_params[name] for name in ("rho", "B"))
    approx.shared_params["mu"].set_value(rng.normal(size=approx.ddim))
    rho.set_value(rng.normal(size=rho.type.shape))
    B.set_value(scale * rng.normal(size=B.type.shape))
    D = np.logaddexp(0, rho.get_value())
    return np.diag(D**2) + B.get_value() @ B.get_value().T


@pytest.fixture
def seven():
    with vb.Model() as model:
        vb.Normal("x", 3, 1, shape=5)
        vb.HalfNormal("s", 1, shape=2, initval=[1.0, np.e])
    return model


@pytest.mark.parametrize("sigma", [None, 1e-8, 0.5, 1e6])
def test_start(seven, sigma):
    approx = LowRank(model=seven, start_sigma=None if sigma is None else {"x": sigma})
    np.testing.assert_allclose(evaluate([approx.mean])[0], [3] * 5 + [0, 1], atol=1e-12)
    expected = [sigma or np.log(2)] * 5 + [np.log(2)] * 2
    np.testing.assert_allclose(evaluate([approx.std])[0], expected, rtol=1e-7)
    B = approx.shared_params["B"].get_value()
    np.testing.assert_allclose(np.linalg.norm(B, axis=1), 0.1 * np.array(expected))
    assert np.linalg.matrix_rank(B / np.array(expected)[:, None]) == 5
    np.testing.assert_array_equal(
        B,
        LowRank(model=seven, random_seed=9, start_sigma=None if sigma is None else {"x": sigma})
        .shared_params["B"]
        .get_value(),
    )


@pytest.mark.parametrize(
    ("d", "rank", "columns"), [(1, None, 1), (3, None, 3), (20, None, 5), (20, 2, 2)]
)
def test_rank(d, rank, columns):
    with vb.Model() as model:
        vb.Normal("x", shape=d)
    assert LowRank(rank=rank, model=model).shared_params["B"].type.shape == (d, columns)
    options = None if rank is None else {"rank": rank}
    group = vb.Group(model.free_RVs, vfam="lr", options=options, model=model)
    assert type(group) is LowRankGroup
    assert group.shared_params["B"].type.shape == (d, columns)


@pytest.mark.parametrize("rank", [0, 8, 2.5, True])
def test_wrong_rank(seven, rank):
    with pytest.raises(ValueError, match="rank must be a whole number from 1 to 7"):
        LowRank(rank=rank, model=seven)


def test_wrong_options(seven):
    with pytest.raises(TypeError, match="'ranks'"):
        LowRank(ranks=3, model=seven)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("size", [None, 1, 6])
def test_logq_is_the_normal_density(seven, rng, rank, size):
    approx = LowRank(rank=rank, model=seven)
    cov = spread(approx, rng, scale=3.0)
    np.testing.assert_allclose(evaluate([approx.cov])[0], cov)
    np.testing.assert_allclose(evaluate([approx.std])[0], np.sqrt(np.diag(cov)))
    group = approx.groups[0]
    _, noise, z = group.draw(pytensor.shared(np.random.default_rng(1)), size)
    elsewhere = z * 2 + 1
    densities = [group.log_density(noise, z), group.log_density_at(elsewhere)]
    at, other, logq, logq_other = evaluate([z, elsewhere, *densities])
    q = stats.multivariate_normal(evaluate([approx.mean])[0], cov)
    np.testing.assert_allclose(logq, np.reshape(q.logpdf(at), logq.shape))
    np.testing.assert_allclose(logq_other, np.reshape(q.logpdf(other), logq.shape))


def test_logq_keeps_its_digits_where_the_low_rank_part_rules():
    """With one column and D = 1 the determinant and the distance are elementary."""
    with vb.Model() as model:
        vb.Normal("x", shape=4)
    approx = LowRank(rank=1, model=model)
    b = 1e7 * np.array([[1.0], [-2.0], [0.5], [3.0]])
    approx.shared_params["rho"].set_value(np.full(4, np.log(np.expm1(1.0))))
    approx.shared_params["B"].set_value(b)
    noise = np.array([0.3, -1.2, 0.7, 0.1, 1.5])
    (logq,) = evaluate([approx.groups[0].log_density(pt.constant(noise), None)])
    unit = b[:, 0] / np.linalg.norm(b)
    along = noise[:4] @ unit / np.linalg.norm(b) + noise[4]
    across = noise[:4] - unit * (noise[:4] @ unit)
    squares = across @ across + along**2 / (1 + 1 / (b**2).sum())
    expected = -0.5 * squares - 0.5 * np.log1p((b**2).sum()) - 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(logq, expected, rtol=1e-12)


def test_draws_have_the_moments(seven, rng):
    approx = LowRank(rank=2, model=seven)
    cov = spread(approx, rng)
    n = 100_000
    rng_var = pytensor.shared(np.random.default_rng(3))
    (z,) = evaluate([approx.groups[0].draw(rng_var, n)[2]])
    sd = np.sqrt(np.diag(cov))
    assert z.shape == (n, 7)
    np.testing.assert_array_less(
        np.abs(z.mean(axis=0) - evaluate([approx.mean])[0]), 4.5 * sd / n**0.5
    )
    # the variance of an element of a sample covariance is (v_i v_j + c_ij^2) / n
    error = np.sqrt((np.outer(sd, sd) ** 2 + cov**2) / n)
    np.testing.assert_array_less(np.abs(np.cov(z.T) - cov), 4.5 * error)
    (centre,) = evaluate([approx.groups[0].draw(rng_var, 2, deterministic=True)[2]])
    np.testing.assert_allclose(centre, np.tile(evaluate([approx.mean])[0], (2, 1)))


def density_along_draws(approx, shape):
    """Return log q as a function of its parameters and of the noise."""
    group = approx.groups[0]
    noise = pt.tensor("noise", shape=shape, dtype="float64")
    rho, B = approx.shared_params["rho"], approx.shared_params["B"]
    inputs = [rho.type("rho"), B.type("B"), noise]
    logq = group.log_density(noise, group.transform(noise)).sum()
    logq = graph_replace(logq, {rho: inputs[0], B: inputs[1]})
    return inputs, logq, [rho.get_value(), B.get_value()]


@pytest.mark.parametrize("shape", [(9,), (3, 9)])
def test_gradients_are_finite_differences(seven, rng, shape):
    approx = LowRank(rank=2, model=seven)
    spread(approx, rng)
    inputs, logq, values = density_along_draws(approx, shape)
    values.append(rng.normal(size=shape))
    gradients = evaluate(pytensor.grad(logq, inputs), dict(zip(inputs, values, strict=True)))
    function = pytensor.function(inputs, logq, mode=EVALUATE_MODE)
    for i, gradient in enumerate(gradients):
        for at in np.ndindex(gradient.shape):
            step = [np.zeros_like(v) for v in values]
            step[i][at] = 1e-5
            up = function(*(v + s for v, s in zip(values, step, strict=True)))
            down = function(*(v - s for v, s in zip(values, step, strict=True)))
            assert gradient[at] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-7)


@pytest.mark.slow  # twenty compiled steps do as much
@pytest.mark.filterwarnings("ignore:np.dot")  # inputs may have any layout here
def test_numba_gives_what_numpy_gives(seven, rng):
    approx = LowRank(rank=2, model=seven)
    spread(approx, rng)
    inputs, logq, values = density_along_draws(approx, (3, 9))
    values.append(rng.normal(size=(3, 9)))
    outputs = [logq, *pytensor.grad(logq, inputs)]
    compiled = pytensor.function(inputs, outputs, mode=resolve_mode("numba"))(*values)
    expected = evaluate(outputs, dict(zip(inputs, values, strict=True)))
    for got, want in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


# -- fits -----------------------------------------------------------------------------------------

D = 10
TARGET = np.random.default_rng(5)
LOADINGS = TARGET.normal(size=(D, 2)) * 2
DIAGONAL = TARGET.uniform(0.3, 2.0, size=D)
COV = np.diag(DIAGONAL**2) + LOADINGS @ LOADINGS.T


@pytest.fixture(scope="module")
def low_rank_target():
    with vb.Model() as model:
        mean = vb.Data("mean", np.zeros(D), dims="element")
        x = vb.Flat("x", shape=D)
        residual = x - mean
        vb.Potential("target", -0.5 * residual @ (linalg.inv(COV) @ residual))
    return model


@pytest.mark.ci
@pytest.mark.parametrize("seed", seeds(3))
def test_recovers_low_rank_plus_diagonal(low_rank_target, seed):
    mean = np.random.default_rng(seed).normal(0, 3, size=D)
    vb.set_data({"mean": mean}, low_rank_target)
    inference = vb.KLqp(LowRank(rank=2, model=low_rank_target, random_seed=seed))
    for rate in (0.05, 0.01, 0.001):
        RATE.set_value(rate)
        inference.fit(4000, obj_n_mc=5, obj_optimizer=ADAM, backend=LANE, progressbar=False)
    assert divergence(inference.approx, mean, COV) < 0.02
    constant = 0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(COV)[1])
    assert -inference.hist[-500:].mean() == pytest.approx(constant, abs=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_the_nearest_one_is_a_stationary_point_that_can_be_inverted(seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(6, 7))
    precision = linalg.inv(A @ A.T)
    D, B = nearest_low_rank(np.linalg.cholesky(A @ A.T), 2)
    least = LEAST_SHARE / np.sqrt(precision.diagonal())
    assert np.all(0.99 * least <= D)
    difference = precision - linalg.inv(np.diag(D**2) + B @ B.T)
    slopes = difference.diagonal() * D**2  # by the logarithm of D
    assert np.abs(slopes[1.01 * least < D]).max() < 1e-3
    assert slopes.min() > -1e-3  # at the bound it would be smaller, if it might
    assert np.abs(difference @ B).max() < 0.01 * np.abs(precision @ B).max()


def test_path_derivative_vanishes_at_the_posterior(low_rank_target):
    approx = LowRank(rank=2, model=low_rank_target)
    approx.shared_params["mu"].set_value(np.zeros(D))
    approx.shared_params["rho"].set_value(np.log(np.expm1(DIAGONAL)))
    approx.shared_params["B"].set_value(LOADINGS)
    vb.set_data({"mean": np.zeros(D)}, low_rank_target)
    for n_mc in (1, 3):
        objective = KL(approx, path_derivative=True)
        gradients, _, _ = objective.gradients(approx.params, n_mc, list)
        for gradient in evaluate(gradients):
            np.testing.assert_allclose(gradient, 0, atol=1e-9)


@pytest.mark.ci
def test_compiled_steps_are_those_of_numpy():
    check_compiled_steps(partial(LowRank, rank=1))


def test_float32(float32):
    cov = np.array([[1.0, 0.8], [0.8, 2.0]])
    with vb.Model() as model:
        vb.MvNormal("x", [1.0, -1.0], cov=cov)
    inference = vb.KLqp(LowRank(rank=1, model=model, random_seed=1))
    for rate in (0.05, 0.005):
        RATE.set_value(rate)
        inference.fit(1000, obj_n_mc=5, obj_optimizer=ADAM, backend=LANE, progressbar=False)
    approx = inference.approx
    assert all(p.get_value().dtype == "float32" for p in approx.params)
    assert approx.cov.dtype == approx.std.dtype == "float32"
    assert divergence(approx, [1.0, -1.0], cov) < 0.02
    assert approx.sample(10, random_seed=1).posterior["x"].dtype == "float32"


# -- parameters of the user's own -----------------------------------------------------------------


def test_given_parameters(seven, rng):
    B = pytensor.shared(rng.normal(size=(7, 2)))  # of unknown shape
    given = {"mu": np.arange(7.0), "rho": np.zeros(7), "B": B}
    group = vb.Group(seven.free_RVs, params=given, model=seven)
    assert type(group) is LowRankGroup
    _, noise, z = group.draw(pytensor.shared(np.random.default_rng(1)), 4)
    noise, z, logq = evaluate([noise, z, group.log_density(noise, z)])
    assert noise.shape == (4, 9)
    cov = np.log(2) ** 2 * np.eye(7) + B.get_value() @ B.get_value().T
    np.testing.assert_allclose(logq, stats.multivariate_normal(np.arange(7), cov).logpdf(z))


@pytest.mark.parametrize(
    ("options", "shape", "wanted"),
    [({"rank": 3}, (7, 2), r"\(7, 3\)"), (None, (6, 2), r"\(7, None\)")],
)
def test_given_parameters_of_the_wrong_shape(seven, options, shape, wanted):
    given = {"mu": np.zeros(7), "rho": np.zeros(7), "B": np.ones(shape)}
    with pytest.raises(ShapeError, match=f"'B' of LowRankGroup must have shape {wanted}"):
        vb.Group(seven.free_RVs, params=given, options=options, model=seven)


@pytest.mark.slow
def test_cost_is_linear_in_the_number_of_dimensions():
    seconds = {}
    for d in (1000, 10_000):
        with vb.Model() as model:
            vb.Normal("x", shape=d)
        inference = vb.KLqp(LowRank(model=model, random_seed=1))
        inference.fit(10, obj_optimizer=vb.adam(learning_rate=0.001), progressbar=False)
        times = []
        for _ in range(7):
            began = time.perf_counter()
            inference.refine(200, progressbar=False)
            times.append(time.perf_counter() - began)
        seconds[d] = np.median(times)
    # ten times, and somewhat more since the state leaves the processor's nearest cache
    assert seconds[10_000] / seconds[1000] < 25
