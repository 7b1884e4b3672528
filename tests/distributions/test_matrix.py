import functools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from pytensor.graph.replace import vectorize_graph
from scipy import special, stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logp
from vibayes.distributions.continuous import HalfNormal
from vibayes.distributions.matrix import KroneckerNormal, LKJCorr, MatrixNormal, Wishart
from vibayes.distributions.multivariate import LKJCholeskyCov
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model

RNG = np.random.default_rng(8)


def covariance(n):
    a = RNG.normal(size=(n, n))
    return a @ a.T + 0.5 * np.eye(n)


ROW, COL, THIRD = covariance(3), covariance(2), covariance(2)
MU, X = RNG.normal(size=(3, 2)), RNG.normal(size=(4, 3, 2))
SCALE = covariance(3)
chol = np.linalg.cholesky


def drawn(rv, seed=1):
    return evaluate(reseeded([rv], seed)[0])[0]


def check_moments(x, mean, cov):
    """Draws have this mean and this covariance."""
    x = x.reshape(len(x), -1)
    sd = np.sqrt(np.diag(cov))
    assert (np.abs(x.mean(axis=0) - mean.ravel()) < 5 * sd / np.sqrt(len(x))).all()
    error = (np.cov(x.T) - cov) / np.outer(sd, sd)
    assert np.abs(error).max() < 7 / np.sqrt(len(x))


def numeric_gradient(f, x, h=1e-6):
    """Return the central differences of a function of an array."""
    gradient = np.empty_like(x)
    for at in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[at] = h
        gradient[at] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


# -- MatrixNormal -----------------------------------------------------------------------------


@pytest.mark.parametrize("by_factor", [False, True])
def test_matrix_normal_is_that_of_scipy(by_factor):
    row, col, mu = pt.matrix("row", shape=(3, 3)), pt.matrix("col", shape=(2, 2)), pt.matrix("mu")
    z = pt.tensor3("z", shape=(4, 3, 2))
    names = ("rowchol", "colchol") if by_factor else ("rowcov", "colcov")
    rv = MatrixNormal.dist(mu, **dict(zip(names, (row, col), strict=True)))
    density = logp(rv, z)
    inputs = [mu, row, col, z]
    f = pytensor.function(
        inputs, [density, *pytensor.grad(density.sum(), inputs)], mode=EVALUATE_MODE
    )
    given = [MU, *((chol(ROW), chol(COL)) if by_factor else (ROW, COL)), X]
    value, by_mu, by_row, *_, by_value = f(*given)
    np.testing.assert_allclose(value, stats.matrix_normal(MU, ROW, COL).logpdf(X), rtol=1e-11)
    np.testing.assert_allclose(by_mu, -by_value.sum(axis=0), rtol=1e-9)

    def total(row):
        row = np.tril(row) if by_factor else (row + row.T) / 2
        return f(MU, row, *given[2:])[0].sum()

    by_row = np.tril(by_row) if by_factor else (by_row + by_row.T) / 2
    np.testing.assert_allclose(by_row, numeric_gradient(total, given[1]), rtol=1e-5, atol=1e-6)


def test_matrix_normal_draws():
    x = drawn(MatrixNormal.dist(MU, rowcov=ROW, colchol=chol(COL), size=20_000))
    assert x.shape == (20_000, 3, 2)
    check_moments(x, MU, np.kron(ROW, COL))


def test_matrix_normal_of_a_matrix_that_is_no_covariance():
    row = pt.matrix("row", shape=(3, 3))
    density = logp(MatrixNormal.dist(0.0, rowcov=row, colcov=COL), X).sum()
    f = pytensor.function([row], [density, pytensor.grad(density, row)], mode=EVALUATE_MODE)
    value, gradient = f(-ROW)
    assert value == -np.inf
    np.testing.assert_array_equal(gradient, np.zeros((3, 3)))


# -- Wishart ----------------------------------------------------------------------------------


def test_wishart_is_that_of_scipy():
    nu, scale, z = pt.scalar("nu"), pt.matrix("V", shape=(3, 3)), pt.tensor3("z", shape=(2, 3, 3))
    density = logp(Wishart.dist(nu, scale), z)
    f = pytensor.function(
        [nu, scale, z], [density, *pytensor.grad(density.sum(), [nu, scale])], mode=EVALUATE_MODE
    )
    x = np.stack([ROW, 3 * SCALE])
    reference = stats.wishart(4.5, SCALE)
    value, by_nu, _ = f(4.5, SCALE, x)
    np.testing.assert_allclose(value, [reference.logpdf(v) for v in x], rtol=1e-11)
    h = 1e-6
    up, down = (sum(stats.wishart(4.5 + s * h, SCALE).logpdf(v) for v in x) for s in (1, -1))
    np.testing.assert_allclose(by_nu, (up - down) / (2 * h), rtol=1e-6)
    for bad in (-ROW, np.triu(ROW), np.zeros((3, 3))):
        value, *slopes = f(4.5, SCALE, np.stack([bad, ROW]))
        assert value[0] == -np.inf
        assert all(np.isfinite(slope).all() for slope in slopes)
    value, *slopes = f(1.5, SCALE, x)
    assert (value == -np.inf).all()
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_wishart_draws():
    """Means and covariances are nu V and nu (V_ik V_jl + V_il V_jk)."""
    nu = 5.5
    x = drawn(Wishart.dist(nu, scale_chol=chol(SCALE), size=20_000))
    assert x.shape == (20_000, 3, 3)
    row, column = np.tril_indices(3)
    v = SCALE
    cov = nu * (v[row][:, row] * v[column][:, column] + v[row][:, column] * v[column][:, row])
    flat = x[:, row, column]
    sd = np.sqrt(np.diag(cov))
    assert (np.abs(flat.mean(axis=0) - nu * v[row, column]) < 5 * sd / np.sqrt(len(x))).all()
    np.testing.assert_allclose(np.cov(flat.T) / np.outer(sd, sd), cov / np.outer(sd, sd), atol=0.1)
    log_det = np.linalg.slogdet(x)[1] - np.linalg.slogdet(SCALE)[1]
    expected = special.digamma((nu - np.arange(3)) / 2).sum() + 3 * np.log(2)
    assert abs(log_det.mean() - expected) < 5 * log_det.std() / np.sqrt(len(x))


def test_a_free_wishart_matrix():
    """The transformed density is that of the factor's elements."""
    with Model() as model:
        x = Wishart("x", 5.0, SCALE)
    value = model.rvs_to_values[x]
    assert value.type.shape == (6,)
    transform = model.rvs_to_transforms[x]
    start = evaluate([pt.broadcast_to(distribution_of(x).support_point(), (3, 3))])[0]
    np.testing.assert_allclose(start, 5 * SCALE)
    back = evaluate([transform.backward(transform.forward(pt.constant(start)))])[0]
    np.testing.assert_allclose(back, start, rtol=1e-12)


# -- LKJCorr ----------------------------------------------------------------------------------


def test_lkj_density_is_that_of_the_covariance_without_deviations():
    """The packed covariance has, beside it, the densities of its deviations."""
    factor = np.stack([chol(c / np.sqrt(np.outer(np.diag(c), np.diag(c)))) for c in (ROW, SCALE)])
    eta = pt.scalar("eta")
    density = logp(LKJCorr.dist(3, eta), factor)
    f = pytensor.function([eta], [density, pytensor.grad(density.sum(), eta)], mode=EVALUATE_MODE)
    packed = factor[:, *np.tril_indices(3)]
    both = LKJCholeskyCov.dist(1.7, 3, HalfNormal.dist(1.0), compute_corr=False)
    with_deviations = evaluate([logp(both, packed)])[0]
    deviations = 3 * stats.halfnorm().logpdf(1.0)
    # A row of length s, its elements but the last divided by s, has the Jacobian s**k / L_kk.
    volume = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    value, slope = f(1.7)
    np.testing.assert_allclose(value, with_deviations - deviations - volume, rtol=1e-10)
    up, down = f(1.7 + 1e-6)[0].sum(), f(1.7 - 1e-6)[0].sum()
    np.testing.assert_allclose(slope, (up - down) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("eta", [0.6, 1.0, 3.0])
def test_lkj_density_integrates_to_one(eta):
    """For two rows L is one number r, of density proportional to (1 - r**2)**(eta - 1)."""
    r = np.linspace(-0.99, 0.99, 7)
    factor = np.stack([[[1.0, 0.0], [v, np.sqrt(1 - v**2)]] for v in r])
    value = evaluate([logp(LKJCorr.dist(2, eta), factor)])[0]
    np.testing.assert_allclose(value, stats.beta(eta, eta, loc=-1, scale=2).logpdf(r), rtol=1e-9)


def test_lkj_draws():
    """A correlation has a beta distribution of shape eta - 1 + n / 2 on both sides."""
    x = drawn(LKJCorr.dist(4, [1.5, 6.0], size=(4000, 2)))
    assert x.shape == (4000, 2, 4, 4)
    np.testing.assert_allclose((x**2).sum(axis=-1), 1.0)
    corr = x @ np.swapaxes(x, -1, -2)
    for i, eta in enumerate((1.5, 6.0)):
        marginal = stats.beta(eta + 1, eta + 1, loc=-1, scale=2)
        for j, k in ((1, 0), (2, 1), (3, 0), (3, 2)):
            assert stats.kstest(corr[:, i, j, k], marginal.cdf).pvalue > 1e-4


def test_lkj_of_what_is_no_factor():
    good = chol(np.array([[1.0, 0.3], [0.3, 1.0]]))
    bad = [2 * good, good.T, -good, np.zeros((2, 2))]
    value = evaluate([logp(LKJCorr.dist(2, 1.0), np.stack([good, *bad]))])[0]
    np.testing.assert_array_equal(value[1:], np.full(4, -np.inf))
    assert np.isfinite(value[0])


def test_the_density_of_a_free_lkj_factor_integrates_to_one():
    with Model() as model:
        x = LKJCorr("x", 2, 2.0)
        assert model.rvs_to_values[LKJCorr("y", 3, 2.0)].type.shape == (3,)
    transform = model.rvs_to_transforms[x]
    v = np.tan(np.linspace(-0.5, 0.5, 2001)[1:-1] * np.pi)
    free = pt.constant(v[:, None])
    density = logp(x, transform.backward(free)) + transform.log_jac_det(free)
    np.testing.assert_allclose(np.trapezoid(np.exp(evaluate([density])[0]), v), 1.0, rtol=1e-4)


# -- KroneckerNormal --------------------------------------------------------------------------

COVS = [ROW, COL, THIRD]
WAYS = {
    "covs": lambda: {"covs": COVS},
    "chols": lambda: {"chols": [chol(k) for k in COVS]},
    "evds": lambda: {"evds": [np.linalg.eigh(k) for k in COVS]},
    "symbolic": lambda: {"covs": [pytensor.shared(k, shape=k.shape) for k in COVS]},
    "unknown shapes": lambda: {"covs": [pytensor.shared(k) for k in COVS]},
}
PRODUCT = functools.reduce(np.kron, COVS)
LONG_MU, LONG = RNG.normal(size=12), RNG.normal(size=(5, 12))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sigma", by_default([0.0, 0.7], {0.7}))
def test_kronecker_normal_is_multivariate_normal(way, sigma):
    rv = KroneckerNormal.dist(LONG_MU, **WAYS[way](), sigma=sigma)
    reference = stats.multivariate_normal(LONG_MU, PRODUCT + sigma**2 * np.eye(12))
    x, z = pt.vector("x", shape=(12,)), pt.matrix("z", shape=(5, 12))
    together, batched = logp(rv, z), vectorize_graph(logp(rv, x), {x: z})
    gradient = pytensor.grad(together.sum(), z)
    f = pytensor.function([z], [together, batched, gradient], mode=EVALUATE_MODE)
    value, same, slope = f(LONG)
    np.testing.assert_allclose(value, reference.logpdf(LONG), rtol=1e-9)
    np.testing.assert_allclose(same, value, rtol=1e-12)
    expected = -np.linalg.solve(reference.cov, (LONG - LONG_MU).T).T
    np.testing.assert_allclose(slope, expected, rtol=1e-7, atol=1e-8)
    check_moments(
        drawn(KroneckerNormal.dist(LONG_MU, **WAYS[way](), sigma=sigma, size=20_000)),
        LONG_MU,
        reference.cov,
    )


@pytest.mark.parametrize("noisy", [False, True])
def test_kronecker_normal_gradients_by_parameters(noisy):
    scale, sigma = pt.scalar("scale"), pt.scalar("sigma")
    covs = [scale**2 * pt.constant(ROW), pt.constant(COL) + scale * np.eye(2), THIRD]
    rv = KroneckerNormal.dist(0.0, covs=covs, sigma=sigma if noisy else 0.0)
    density = logp(rv, LONG).sum()
    grads = pytensor.grad(density, [scale, sigma], disconnected_inputs="ignore")
    f = pytensor.function([scale, sigma], [density, *grads], mode=EVALUATE_MODE)

    def reference(scale, sigma):
        parts = [scale**2 * ROW, COL + scale * np.eye(2), THIRD]
        cov = functools.reduce(np.kron, parts) + noisy * sigma**2 * np.eye(12)
        return stats.multivariate_normal(np.zeros(12), cov).logpdf(LONG).sum()

    value, by_scale, by_sigma = f(1.3, 0.4)
    np.testing.assert_allclose(value, reference(1.3, 0.4), rtol=1e-10)
    h = 1e-6
    numeric = (reference(1.3 + h, 0.4) - reference(1.3 - h, 0.4)) / (2 * h)
    np.testing.assert_allclose(by_scale, numeric, rtol=1e-6)
    numeric = (reference(1.3, 0.4 + h) - reference(1.3, 0.4 - h)) / (2 * h)
    np.testing.assert_allclose(by_sigma, numeric, rtol=1e-5, atol=1e-8)


# -- all of them ------------------------------------------------------------------------------


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        rvs = [
            (MatrixNormal.dist(MU, ROW, colcov=COL), X[0]),
            (Wishart.dist(5.0, SCALE), ROW),
            (LKJCorr.dist(2, 1.5), np.array([[1.0, 0.0], [0.6, 0.8]])),
            (KroneckerNormal.dist(LONG_MU, covs=COVS, sigma=0.7), LONG[0]),
            (KroneckerNormal.dist(LONG_MU, covs=COVS), LONG[0]),
        ]
        results = evaluate([logp(rv, x) for rv, x in rvs] + reseeded([rv for rv, _ in rvs], 1)[0])
    assert {result.dtype.name for result in results} == {"float32"}
    expected = [
        stats.matrix_normal(MU, ROW, COL).logpdf(X[0]),
        stats.wishart(5.0, SCALE).logpdf(ROW),
        stats.beta(1.5, 1.5, loc=-1, scale=2).logpdf(0.6),
        stats.multivariate_normal(LONG_MU, PRODUCT + 0.49 * np.eye(12)).logpdf(LONG[0]),
        stats.multivariate_normal(LONG_MU, PRODUCT).logpdf(LONG[0]),
    ]
    np.testing.assert_allclose(results[:5], expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MatrixNormal.dist(MU, ROW), ValueError, "colcov or colchol"),
        (
            lambda: MatrixNormal.dist(MU, -ROW, colcov=COL),
            ParameterError,
            "rowcov must be positive",
        ),
        (
            lambda: MatrixNormal.dist(MU, rowchol=ROW, colcov=COL),
            ParameterError,
            "rowchol must be lower triangular",
        ),
        (lambda: MatrixNormal.dist(MU.T, ROW, colcov=COL), ShapeError, "broadcast"),
        (lambda: MatrixNormal.dist(MU, ROW, colcov=COL, shape=(2, 2)), ShapeError, "one event has"),
        (lambda: Wishart.dist(2.0, SCALE), ParameterError, "nu must be above 2 for 3 rows, got 2"),
        (lambda: Wishart.dist(5.0), ValueError, "V or scale_chol"),
        (lambda: Wishart.dist(5.0, pt.matrix()), ShapeError, "must be known"),
        (lambda: LKJCorr.dist(0, 1.0), ValueError, "n must be a whole number"),
        (lambda: LKJCorr.dist(3, -1.0), ParameterError, "eta must be positive"),
        (lambda: KroneckerNormal.dist(0.0), ValueError, "exactly one of covs, chols, evds"),
        (
            lambda: KroneckerNormal.dist(0.0, covs=[ROW, -COL]),
            ParameterError,
            r"covs\[1\] must be positive definite",
        ),
        (
            lambda: KroneckerNormal.dist(np.zeros(5), covs=[ROW, COL]),
            ShapeError,
            "mu has length 5, the product of .* 6",
        ),
        (
            lambda: KroneckerNormal.dist(0.0, covs=[ROW], sigma=-1.0),
            ParameterError,
            "sigma must be zero or more",
        ),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
