"""Distributions of vectors and matrices, compared with SciPy and with closed forms."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from numpy.testing import assert_allclose
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg.decomposition.cholesky import Cholesky
from pytensor.tensor.linalg.solvers.triangular import SolveTriangular
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logp
from vibayes.distributions.continuous import Exponential, Gamma, HalfNormal, Normal
from vibayes.distributions.multivariate import (
    Dirichlet,
    DirichletMultinomial,
    LKJCholeskyCov,
    Multinomial,
    MvNormal,
    MvStudentT,
    ZeroSumNormal,
)
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model
from vibayes.ops.triangular import triangular_matrix

RNG = np.random.default_rng(20)
D = 3
MU = RNG.normal(size=D)
CHOL = np.tril(RNG.normal(size=(D, D))) + 2 * np.eye(D)
COV = CHOL @ CHOL.T
A = np.array([0.6, 1.0, 3.5])
P = np.array([0.2, 0.5, 0.3])
ROWS = RNG.normal(size=(5, D)) * 3
SHARES = RNG.dirichlet(A, size=5)
COUNTS = RNG.multinomial(9, P, size=5)


def values_of(*graphs, givens=None):
    results = evaluate(graphs, givens)
    return results[0] if len(results) == 1 else results


def draws_of(rv, seed=1):
    return values_of(*reseeded([rv], seed)[0])


# -- log densities ----------------------------------------------------------------------------

SCALES = {
    "cov": {"cov": COV},
    "tau": {"tau": np.linalg.inv(COV)},
    "chol": {"chol": CHOL},
    "negative diagonal": {"chol": CHOL * [1, -1, 1]},
    "upper": {"chol": CHOL.T, "lower": False},
}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES.keys())
def test_elliptical_logp(scale):
    normal = MvNormal.dist(MU, **scale)
    t_scale = {{"cov": "scale"}.get(k, k): v for k, v in scale.items()}
    student = MvStudentT.dist(2.5, mu=MU, **t_scale)
    batch = ROWS.reshape(5, 1, D) + np.zeros((1, 2, 1))
    actual = values_of(*(logp(rv, v) for rv in (normal, student) for v in (ROWS[0], ROWS, batch)))
    references = [stats.multivariate_normal(MU, COV), stats.multivariate_t(MU, COV, df=2.5)]
    expected = [r.logpdf(v) for r in references for v in (ROWS[0], ROWS, batch)]
    for a, e in zip(actual, expected, strict=True):
        assert np.shape(a) == np.shape(e)
        assert_allclose(a, e, rtol=1e-10)


def test_mv_normal_defaults_and_batches_of_parameters():
    """A scalar mean is that of each element; each covariance of a batch has its own event."""
    covs = np.stack([COV, np.eye(D), 2 * COV])
    mus = RNG.normal(size=(2, 1, D))
    values = RNG.normal(size=(4, 2, 3, D))
    batched = MvNormal.dist(mus, covs)
    assert batched.type.shape == (2, 3, D)
    actual, same = values_of(logp(batched, values), logp(MvNormal.dist(cov=COV), ROWS))
    for i in np.ndindex(4, 2, 3):
        expected = stats.multivariate_normal(mus[i[1], 0], covs[i[2]]).logpdf(values[i])
        assert_allclose(actual[i], expected)
    assert_allclose(same, stats.multivariate_normal(np.zeros(D), COV).logpdf(ROWS))


@pytest.mark.parametrize("nu", by_default([1e-3, 1.0, 30.0, 1e8, 1e15, 1e300], {1e-3, 30.0, 1e15}))
def test_mv_student_t_far_out_and_with_any_degrees_of_freedom(nu):
    """One axis at a time is the univariate distribution; far out the squares overflow."""
    x, nu_ = pt.dvector(), pt.dscalar()
    lp = logp(MvStudentT.dist(nu_, scale=np.eye(1)), x[:, None])
    function = pytensor.function(
        [x, nu_], [lp, *pytensor.grad(lp.sum(), [x, nu_])], mode=EVALUATE_MODE
    )
    points = np.array([0.0, 1e-300, 0.7, -20.0, 1e6, 1e100, -1e200, 1e300])
    with np.errstate(over="ignore"):
        actual, *gradients = function(points, nu)
        normal = stats.norm.logpdf(points)
    if nu < 100:
        # the far tail by its limit, as SciPy's squares overflow, too
        tail = stats.t(nu).logpdf(1e6) - (nu + 1) * np.log(np.abs(points[5:]) / 1e6)
        assert_allclose(actual, [*stats.t(nu).logpdf(points[:5]), *tail], rtol=1e-9)
        assert all(np.isfinite(g).all() for g in gradients)
    else:
        assert_allclose(actual[:4], normal[:4], rtol=3e3 / nu + 1e-12)
    assert not any(np.isnan(r).any() for r in (actual, *gradients))


def test_dirichlet_logp():
    batch_a = RNG.gamma(2.0, size=(5, D))
    actual, batched, one = values_of(
        logp(Dirichlet.dist(A), SHARES),
        logp(Dirichlet.dist(batch_a), SHARES),
        logp(Dirichlet.dist(A), SHARES[0]),
    )
    assert_allclose(actual, [stats.dirichlet(A).logpdf(x) for x in SHARES])
    expected = [stats.dirichlet(a).logpdf(x) for a, x in zip(batch_a, SHARES, strict=True)]
    assert_allclose(batched, expected)
    assert_allclose(one, actual[0])


def test_dirichlet_at_and_beyond_the_edge():
    def at(a, x):
        return float(values_of(logp(Dirichlet.dist(a), np.array(x))))

    assert_allclose(at([1.0, 1.0, 1.0], [0.0, 0.4, 0.6]), np.log(2))
    assert at([2.0, 1.0, 1.0], [0.0, 0.4, 0.6]) == -np.inf
    assert at([0.5, 1.0, 1.0], [0.0, 0.4, 0.6]) == np.inf
    assert at([0.5, 2.0, 1.0], [0.0, 0.0, 1.0]) == -np.inf
    assert at([2.0, 2.0, 2.0], [-0.1, 0.5, 0.6]) == -np.inf
    assert at([2.0, 2.0, 2.0], [0.3, 0.3, 0.3]) == -np.inf


def test_dirichlet_is_finite_wherever_its_transform_leads():
    with Model() as model:
        Dirichlet("p", np.array([1e-3, 1.0, 50.0]))
    z = model.value_vars[0]
    density = model.logp()
    function = pytensor.function([z], [density, pytensor.grad(density, z)], mode=EVALUATE_MODE)
    for size in (1.0, 30.0, 300.0, 700.0, 1e6):
        for direction in ([1, 0], [-1, 0], [0, 1], [1, 1], [-1, -1], [1, -1]):
            assert all(np.isfinite(r).all() for r in function(size * np.array(direction)))


def test_multinomial_logp():
    n = np.array([9, 9, 4, 0, 9])
    values = np.where(n[:, None] == 9, COUNTS, [[4, 0, 0]])
    values[3] = 0
    actual, batched = values_of(
        logp(Multinomial.dist(9, P), COUNTS), logp(Multinomial.dist(n, P), values)
    )
    assert_allclose(actual, stats.multinomial(9, P).logpmf(COUNTS))
    assert_allclose(batched, stats.multinomial(n, P).logpmf(values), atol=1e-13)


def test_dirichlet_multinomial_logp():
    large = 1e12 * P
    actual, nearly = values_of(
        logp(DirichletMultinomial.dist(9, A), COUNTS),
        logp(DirichletMultinomial.dist(9, large), COUNTS),
    )
    assert_allclose(actual, stats.dirichlet_multinomial(A, 9).logpmf(COUNTS))
    assert_allclose(nearly, stats.multinomial(9, P).logpmf(COUNTS), atol=1e-9)


@pytest.mark.parametrize(
    "dist", [Multinomial.dist(4, [0.5, 0.5, 0.0]), DirichletMultinomial.dist(4, A)]
)
def test_counts_outside_of_the_support(dist):
    values = np.array([[2, 2, 1], [5, -1, 0], [1, 1, 1]])
    assert (values_of(logp(dist, values)) == -np.inf).all()


def test_multinomial_with_impossible_outcomes():
    p = pt.dvector()
    lp = logp(Multinomial.dist(4, p), np.array([[3, 1, 0], [3, 0, 1]]))
    gradient = pytensor.grad(lp[0], p)
    actual, gradient = values_of(lp, gradient, givens={p: [0.5, 0.5, 0.0]})
    assert_allclose(actual, [np.log(4 / 16), -np.inf])
    assert_allclose(gradient, [6.0, 2.0, 0.0])


def test_multinomial_rescales_constant_probabilities():
    with pytest.warns(UserWarning, match="rescaled"):
        rv = Multinomial.dist(9, [2 / 5, 1.0, 3 / 5])
    assert_allclose(values_of(logp(rv, COUNTS)), stats.multinomial(9, P).logpmf(COUNTS))


@pytest.mark.parametrize("n_axes", [1, 2])
def test_zero_sum_normal_logp(n_axes):
    """Within the subspace it is the normal density of the covariance's range."""
    shape, sigma = (2, 3, 4), 0.7
    rv = ZeroSumNormal.dist(sigma, n_axes, shape=shape)
    value = draws_of(rv)
    center = [np.eye(k) - 1 / k for k in shape[-n_axes:]]
    cov = sigma**2 * (center[0] if n_axes == 1 else np.kron(*center))
    flat = value.reshape(*shape[:-n_axes], -1)
    expected = stats.multivariate_normal(np.zeros(len(cov)), cov, allow_singular=True).logpdf(flat)
    actual, off, scaled = values_of(
        logp(rv, value), logp(rv, value + 1e-3), logp(rv, value * 1e200)
    )
    assert_allclose(actual, expected)
    assert (off == -np.inf).all()
    assert not np.isnan(scaled).any()


def test_zero_sum_normal_with_a_batch_of_sigmas():
    sigma = np.array([0.5, 2.0])
    rv = ZeroSumNormal.dist(sigma[:, None, None], 2, support_shape=(3, 4))
    assert rv.type.shape == (2, 3, 4)
    value = draws_of(rv)
    singles = [
        logp(ZeroSumNormal.dist(s, 2, shape=(3, 4)), v) for s, v in zip(sigma, value, strict=True)
    ]
    assert_allclose(values_of(logp(rv, value)), values_of(*singles))


# -- gradients --------------------------------------------------------------------------------


def cov_of(theta):
    """A covariance matrix that depends on a vector."""
    x = np.arange(D)
    kernel = np.exp(-0.5 * np.subtract.outer(x, x) ** 2)
    return pt.exp(theta[0]) * kernel + pt.exp(theta[1]) * np.eye(D)


GRAPHS = {
    "MvNormal cov": lambda t: logp(MvNormal.dist(t, cov_of(t)), ROWS),
    "MvNormal one event": lambda t: logp(MvNormal.dist(0.0, cov_of(t)), ROWS[0] * t[2]),
    "MvNormal stack of rows": lambda t: logp(
        MvNormal.dist(t, cov_of(t)), np.stack([ROWS, 2 * ROWS])
    ),
    "MvNormal tau": lambda t: logp(MvNormal.dist(t, tau=cov_of(t)), ROWS),
    "MvNormal chol": lambda t: logp(
        MvNormal.dist(t, chol=pt.concatenate([[t], CHOL[1:]]) * np.tri(D)), ROWS
    ),
    "MvStudentT": lambda t: logp(MvStudentT.dist(pt.exp(t[2]), mu=t, Sigma=cov_of(t)), ROWS),
    "Dirichlet": lambda t: logp(Dirichlet.dist(pt.exp(t)), pt.special.softmax(t + SHARES, -1)),
    "Multinomial": lambda t: logp(Multinomial.dist(9, pt.special.softmax(t, -1)), COUNTS),
    "DirichletMultinomial": lambda t: logp(DirichletMultinomial.dist(9, pt.exp(t)), COUNTS),
    "ZeroSumNormal": lambda t: logp(
        ZeroSumNormal.dist(pt.exp(t[0]), support_shape=3), t - t.mean(keepdims=True)
    ),
    "LKJCholeskyCov": lambda t: logp(
        LKJCholeskyCov.dist(pt.exp(t[0]), 2, HalfNormal.dist(pt.exp(t[1])), compute_corr=False),
        pt.stack([pt.exp(t[0]), t[1], pt.exp(t[2])]),
    ),
}
DEAR_GRAPHS = {"MvStudentT", "MvNormal stack of rows", "MvNormal tau"}
T = np.array([0.4, -0.3, 0.8])


@pytest.mark.parametrize("name", by_default(GRAPHS, set(GRAPHS) - DEAR_GRAPHS))
def test_gradients_and_batches(name):
    """Gradients by finite differences; and vectorize_graph gives what a loop over points gives."""
    graph = GRAPHS[name]
    t, batch = pt.dvector(shape=(3,)), pt.dmatrix(shape=(4, 3))
    terms = graph(t)
    total = terms.sum()
    gradient = pytensor.grad(total, t)
    one = pytensor.function([t], [terms, total, gradient], mode=EVALUATE_MODE)
    step = 1e-6 * np.eye(3)
    numeric = [(one(T + h)[1] - one(T - h)[1]) / 2e-6 for h in step]
    assert_allclose(one(T)[2], numeric, rtol=2e-7, atol=1e-7)

    points = T + 0.3 * np.random.default_rng(1).normal(size=(4, 3))
    many = vectorize_graph([terms, gradient], {t: batch})
    for actual, expected in zip(
        values_of(*many, givens={batch: points}),
        zip(*(one(p)[::2] for p in points), strict=True),
        strict=True,
    ):
        assert_allclose(actual, np.stack(expected), rtol=1e-10)


def test_a_covariance_is_factorized_once_for_all_rows():
    """One Cholesky and one solve in the forward pass, with all rows as right-hand sides."""
    cov = pt.dmatrix(shape=(D, D))
    terms = logp(MvNormal.dist(MU, cov), ROWS)
    ops = [v.owner for v in ancestors([terms]) if v.owner and isinstance(v.owner.op, Blockwise)]
    factorizations = [n for n in ops if isinstance(n.op.core_op, Cholesky)]
    solves = [n for n in ops if isinstance(n.op.core_op, SolveTriangular)]
    assert [n.outputs[0].type.shape for n in factorizations] == [(D, D)]
    assert [n.outputs[0].type.shape for n in solves] == [(D, len(ROWS))]


def non_positive_definite_graph():
    """Log densities and gradients for a good and two bad covariances."""
    diagonal = pt.dvector()
    matrix = pt.as_tensor(COV) + pt.diag(diagonal)
    terms = [
        logp(MvNormal.dist(MU, matrix), ROWS),
        logp(MvNormal.dist(MU, tau=matrix), ROWS),
        logp(MvStudentT.dist(3.0, mu=MU, scale=matrix), ROWS),
        logp(MvNormal.dist(MU, chol=pt.diag(diagonal)), ROWS),
    ]
    return diagonal, terms + [pytensor.grad(t.sum(), diagonal) for t in terms]


def test_not_positive_definite_at_run_time():
    """Minus infinity with derivatives of zero; the rest of a batch is not affected."""
    diagonal, outputs = non_positive_definite_graph()
    function = pytensor.function([diagonal], outputs, mode=EVALUATE_MODE)
    for bad in ([-100.0, 0.0, 0.0], [0.0, 0.0, -100.0], [np.nan, 0.0, 0.0]):
        *terms, _ = results = function(np.array(bad))
        assert all((t == -np.inf).all() for t in results[:4])
        assert all((g == 0).all() for g in results[4:])
    assert all(np.isfinite(r).all() for r in function(np.ones(3)))

    covs = pt.dtensor3()
    total = logp(MvNormal.dist(MU, covs), ROWS[0])
    gradient = pytensor.grad(total[0], covs)
    terms, gradient = values_of(total, gradient, givens={covs: np.stack([COV, -COV])})
    assert_allclose(terms, [stats.multivariate_normal(MU, COV).logpdf(ROWS[0]), -np.inf])
    assert np.isfinite(gradient).all()


@pytest.mark.slow
def test_numba_agrees():
    """Values and gradients of everything, in one function; and draws of everything."""
    t, batch = pt.dvector(shape=(3,)), pt.dmatrix(shape=(2, 3))
    totals = [graph(t).sum() for graph in GRAPHS.values()]
    outputs = totals + [pytensor.grad(total, t) for total in totals]
    outputs += vectorize_graph([totals[0], outputs[len(totals)]], {t: batch})
    diagonal, broken = non_positive_definite_graph()
    inputs = [t, batch, diagonal]
    arguments = (T, np.stack([T, -T]), np.array([0.0, 0.0, -100.0]))
    expected = pytensor.function(inputs, outputs + broken, mode=EVALUATE_MODE)(*arguments)
    actual = pytensor.function(inputs, outputs + broken, mode="NUMBA")(*arguments)
    for a, e in zip(actual, expected, strict=True):
        assert_allclose(a, e, rtol=1e-9, atol=1e-12)


# -- draws ------------------------------------------------------------------------------------

N_DRAWS = 4000
each_elliptical = pytest.mark.parametrize("scale", [SCALES["cov"], SCALES["tau"], SCALES["chol"]])


@each_elliptical
def test_draws_of_mv_normal(scale):
    draws = draws_of(MvNormal.dist(MU, **scale, shape=(N_DRAWS, D)))
    for weights in (*np.eye(D), np.ones(D), np.array([1.0, -2.0, 0.5])):
        reference = stats.norm(weights @ MU, np.sqrt(weights @ COV @ weights))
        assert stats.kstest(draws @ weights, reference.cdf).pvalue > 1e-3


@each_elliptical
def test_draws_of_mv_student_t(scale):
    scale = {{"cov": "scale"}.get(k, k): v for k, v in scale.items()}
    draws = draws_of(MvStudentT.dist(2.5, mu=MU, **scale, shape=(N_DRAWS, D)))
    for weights in (*np.eye(D), np.ones(D)):
        reference = stats.t(2.5, weights @ MU, np.sqrt(weights @ COV @ weights))
        assert stats.kstest(draws @ weights, reference.cdf).pvalue > 1e-3


def test_draws_of_dirichlet_and_counts():
    shares, counts, mixed = (
        draws_of(rv)
        for rv in (
            Dirichlet.dist(A, shape=(N_DRAWS, D)),
            Multinomial.dist(9, P, shape=(N_DRAWS, D)),
            DirichletMultinomial.dist(9, A, shape=(N_DRAWS, D)),
        )
    )
    for i in range(D):
        reference = stats.beta(A[i], A.sum() - A[i])
        assert stats.kstest(shares[:, i], reference.cdf).pvalue > 1e-3
        for draws, marginal in (
            (counts, stats.binom(9, P[i])),
            (mixed, stats.betabinom(9, A[i], A.sum() - A[i])),
        ):
            expected = N_DRAWS * marginal.pmf(np.arange(10))
            common = expected > 5
            observed = np.bincount(draws[:, i], minlength=10)
            chi2 = ((observed - expected)[common] ** 2 / expected[common]).sum()
            assert stats.chi2(common.sum()).sf(chi2) > 1e-3
    assert (counts.sum(axis=1) == 9).all()
    assert (mixed.sum(axis=1) == 9).all()
    expected = stats.multinomial(9, P).cov()
    assert_allclose(np.cov(counts.T), expected, atol=0.1)


def test_draws_of_zero_sum_normal():
    draws = draws_of(ZeroSumNormal.dist(2.0, 2, shape=(N_DRAWS, 3, 4)))
    assert_allclose(draws.sum(axis=1), 0, atol=1e-12)
    assert_allclose(draws.sum(axis=2), 0, atol=1e-12)
    reference = stats.norm(0, 2 * np.sqrt((2 / 3) * (3 / 4)))
    assert stats.kstest(draws[:, 1, 2], reference.cdf).pvalue > 1e-3


def test_draws_follow_batches_of_parameters():
    """Each part of a batch is drawn with its own parameters, independently."""
    covs, nu = np.stack([np.eye(D), 100 * np.eye(D)]), np.array([50.0, 1e6])
    normal = draws_of(MvNormal.dist(MU, covs, shape=(2000, 2, D)))
    student = draws_of(MvStudentT.dist(nu, mu=MU, tau=covs, shape=(2000, 2, D)))
    assert_allclose(normal.std(axis=0) / [[1], [10]], 1, atol=0.08)
    assert_allclose(student.std(axis=0) * [[1], [10]], 1, atol=0.08)
    assert abs(np.corrcoef(normal[:, 0, 0], normal[:, 1, 0])[0, 1]) < 0.1
    counts = draws_of(Multinomial.dist(np.array([5, 50]), P))
    assert counts.sum(axis=1).tolist() == [5, 50]
    mixed = draws_of(DirichletMultinomial.dist(np.array([[5], [50]]), np.stack([A, 2 * A])))
    assert mixed.sum(axis=-1).tolist() == [[5, 5], [50, 50]]


# -- LKJ --------------------------------------------------------------------------------------


def pack(matrices):
    row, column = np.tril_indices(matrices.shape[-1])
    return matrices[..., row, column]


@pytest.mark.parametrize("eta", [0.5, 1.0, 4.0])
def test_lkj_density_of_two(eta):
    """For n = 2 the correlation is a Beta(eta, eta) variable stretched to (-1, 1)."""
    sd = np.array([[0.3, 1.2], [2.0, 0.1], [1.0, 1.0]])
    r = np.array([-0.9, 0.0, 0.6])
    row2 = sd[:, 1:] * np.stack([r, np.sqrt(1 - r**2)], axis=1)
    packed = np.column_stack([sd[:, 0], row2])
    rv = LKJCholeskyCov.dist(eta, 2, Gamma.dist(3.0, 2.0), compute_corr=False)
    jacobian = np.log(sd[:, 1]) - 0.5 * np.log(1 - r**2)  # d L[1] / d (sd, r)
    expected = (
        stats.gamma(3, scale=1 / 2).logpdf(sd).sum(axis=1)
        + stats.beta(eta, eta, loc=-1, scale=2).logpdf(r)
        - jacobian
    )
    assert_allclose(values_of(logp(rv, packed)), expected, rtol=1e-10)


def test_lkj_density_of_three():
    """Against det(R)**(eta - 1), normalized by quadrature, by a numeric change of variables."""
    eta = 2.0
    below = np.tril_indices(D, -1)

    def correlation(r):
        matrix = np.eye(D)
        matrix[below] = r
        return matrix + matrix.T - np.eye(D)

    node, weight = np.polynomial.legendre.leggauss(30)
    r1, r2, u = np.meshgrid(node, node, node)
    reach = np.sqrt((1 - r1**2) * (1 - r2**2))  # r1 * r2 + u * reach are the possible r3
    weights = np.prod(np.meshgrid(weight, weight, weight), axis=0) * reach
    matrices = np.stack(
        [correlation(r) for r in np.stack([r1, r2, r1 * r2 + u * reach]).T.reshape(-1, 3)]
    )
    normalization = weights.T.ravel() @ np.linalg.det(matrices) ** (eta - 1)

    def packed(parameters):
        sd = parameters[:D]
        return pack(np.linalg.cholesky(correlation(parameters[D:]) * np.outer(sd, sd)))

    point = np.array([0.5, 1.3, 2.0, 0.4, -0.2, 0.5])
    steps = 1e-6 * np.eye(6)
    jacobian = np.stack([(packed(point + h) - packed(point - h)) / 2e-6 for h in steps])
    expected = (
        stats.expon.logpdf(point[:D]).sum()
        + (eta - 1) * np.linalg.slogdet(correlation(point[D:]))[1]
        - np.log(normalization)
        - np.linalg.slogdet(jacobian)[1]
    )
    rv = LKJCholeskyCov.dist(eta, D, Exponential.dist(1.0), compute_corr=False)
    assert_allclose(values_of(logp(rv, packed(point))), expected, rtol=1e-4)


@pytest.mark.parametrize(("n", "eta"), [(2, 0.5), (4, 1.0), (4, 3.0)])
def test_lkj_draws(n, eta):
    """Correlations are stretched Beta variables; standard deviations are the rows' lengths."""
    sd_dist = Gamma.dist(3.0, np.arange(1.0, n + 1))
    rv = LKJCholeskyCov.dist(eta, n, sd_dist, shape=(3000, n * (n + 1) // 2), compute_corr=False)
    chol = values_of(triangular_matrix(n, draws_of(rv)))
    stds = np.sqrt((chol**2).sum(axis=-1))
    corr = (chol @ np.swapaxes(chol, -1, -2)) / (stds[:, :, None] * stds[:, None])
    shape = eta - 1 + n / 2
    for i, j in zip(*np.tril_indices(n, -1), strict=True):
        reference = stats.beta(shape, shape, loc=-1, scale=2)
        assert stats.kstest(corr[:, i, j], reference.cdf).pvalue > 1e-3
    for i in range(n):
        reference = stats.gamma(3, scale=1 / (i + 1))
        assert stats.kstest(stds[:, i], reference.cdf).pvalue > 1e-3


def test_lkj_in_a_model():
    with Model() as model:
        scale = Gamma("scale", 2.0, 2.0)
        chol, corr, stds = LKJCholeskyCov("c", eta=2.0, n=D, sd_dist=Exponential.dist(1 / scale))
        MvNormal("y", np.zeros(D), chol=chol, observed=ROWS)
    assert [v.name for v in model.deterministics] == ["c_corr", "c_stds"]
    assert [v.name for v in model.value_vars] == ["scale_log__", "c_cholesky-cov-packed__"]
    assert (chol.type.shape, corr.type.shape, stds.type.shape) == ((D, D), (D, D), (D,))
    graphs = model.replace_rvs_by_values([chol, corr, stds])
    point = {"scale_log__": 0.3, "c_cholesky-cov-packed__": RNG.normal(size=6) * 0.5}
    givens = {v: point[v.name] for v in model.value_vars}
    total, packed, chol, corr, stds = values_of(
        model.logp(), model.replace_rvs_by_values(model.free_RVs)[1], *graphs, givens=givens
    )
    assert_allclose(pack(chol), packed)
    assert_allclose(corr * np.outer(stds, stds), chol @ chol.T)
    assert_allclose(np.diag(corr), 1)
    prior = values_of(
        logp(
            LKJCholeskyCov.dist(2.0, D, Exponential.dist(np.exp(-0.3)), compute_corr=False), packed
        )
    )
    expected = (
        stats.gamma(2, scale=1 / 2).logpdf(np.exp(0.3))
        + 0.3
        + prior
        + np.log(np.diag(chol)).sum()
        + stats.multivariate_normal(np.zeros(D), chol @ chol.T).logpdf(ROWS).sum()
    )
    assert_allclose(total, expected)
    start = model.initial_point()["c_cholesky-cov-packed__"]
    assert_allclose(start, [0, 0, 0, 0, 0, 0])  # the mean of Exponential.dist(1 / scale) is 1


def test_lkj_without_the_parts():
    with Model() as model:
        packed = LKJCholeskyCov("c", 2.0, 2, HalfNormal.dist(1.0), compute_corr=False)
        chol, corr, stds = LKJCholeskyCov("d", 2.0, 2, HalfNormal.dist(1.0), store_in_trace=False)
    assert packed.type.shape == (3,)
    assert model.deterministics == []
    assert_allclose(draws_of(chol @ chol.T), draws_of(corr * pt.outer(stds, stds)))


def test_lkj_batches():
    """A batch of matrices, each with its own shape and standard deviations."""
    eta, scale = np.array([1.0, 5.0]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    rv = LKJCholeskyCov.dist(eta, D, HalfNormal.dist(scale), compute_corr=False)
    assert rv.type.shape == (2, 6)
    value = draws_of(rv)
    singles = [
        logp(LKJCholeskyCov.dist(e, D, HalfNormal.dist(s), compute_corr=False), v)
        for e, s, v in zip(eta, scale, value, strict=True)
    ]
    assert_allclose(values_of(logp(rv, value)), values_of(*singles))
    assert np.isfinite(values_of(logp(rv, distribution_of(rv).support_point()))).all()
    assert (values_of(logp(rv, -value)) == -np.inf).all()


def test_lkj_is_finite_wherever_its_transform_leads():
    with Model() as model:
        LKJCholeskyCov("c", 0.5, 3, HalfNormal.dist(1.0))
    z, density = model.value_vars[0], model.logp()
    function = pytensor.function([z], [density, pytensor.grad(density, z)], mode=EVALUATE_MODE)
    for size in (1.0, 100.0, 700.0, 1e6):
        for direction in (*np.eye(6), *-np.eye(6), np.ones(6), -np.ones(6)):
            assert all(np.isfinite(r).all() for r in function(size * direction))


# -- in models --------------------------------------------------------------------------------


def test_gaussian_process_model():
    """The covariance depends on variables, the data are one event."""
    x = np.linspace(0, 1, 6)
    y = np.sin(3 * x)
    with Model() as model:
        scale = Normal("log_scale", 0.0, 1.0)
        cov = pt.exp(-(np.subtract.outer(x, x) ** 2) * pt.exp(scale)) + 0.1 * np.eye(6)
        MvNormal("y", mu=np.zeros(6), cov=cov, observed=y)
    actual = values_of(model.datalogp, givens={model.value_vars[0]: 0.4})
    numeric = np.exp(-(np.subtract.outer(x, x) ** 2) * np.exp(0.4)) + 0.1 * np.eye(6)
    assert_allclose(actual, stats.multivariate_normal(np.zeros(6), numeric).logpdf(y))


def test_zero_sum_normal_in_a_model():
    coords = {"group": list("abc"), "level": [0, 1, 2, 3]}
    with Model(coords=coords) as model:
        sigma = HalfNormal("sigma", 1.0)
        x = ZeroSumNormal("x", sigma, n_zerosum_axes=2, dims=("group", "level"))
        z = ZeroSumNormal("z", sigma, shape=(5, 4))
        ZeroSumNormal("y", sigma, observed=np.array([[1.0, -1.0], [0.5, -0.5]]))
    assert x.type.shape == (3, 4)
    shapes = {v.name: v.type.shape for v in model.value_vars}
    assert shapes == {"sigma_log__": (), "x_zerosum__": (2, 3), "z_zerosum__": (5, 3)}
    point = {v: RNG.normal(size=v.type.shape) for v in model.value_vars}
    s, vx, vz = model.value_vars
    sd = np.exp(point[s])
    # the transform is an isometry: what it maps to x are independent normal numbers
    expected = (
        stats.halfnorm.logpdf(sd)
        + point[s]
        + stats.norm(0, sd).logpdf(point[vx]).sum()
        + stats.norm(0, sd).logpdf(point[vz]).sum()
        + stats.norm(0, sd).logpdf([2**0.5, 0.5**0.5]).sum()
    )
    assert_allclose(values_of(model.logp(), givens=point), expected)
    assert all(np.isfinite(v).all() for v in model.initial_point().values())
    assert draws_of(z).shape == (5, 4)


@pytest.mark.parametrize(
    ("rv", "expected"),
    [
        (MvNormal.dist(MU, COV), MU),
        (MvStudentT.dist(3.0, mu=MU, chol=CHOL), MU),
        (Dirichlet.dist(A), A / A.sum()),
        (Multinomial.dist(7, P), [1, 4, 2]),
        (Multinomial.dist(np.array([1, 10]), P), [[0, 1, 0], [2, 5, 3]]),
        (DirichletMultinomial.dist(3, [1.0, 1.0, 1.0]), [1, 1, 1]),
        (ZeroSumNormal.dist(2.0, shape=3), np.zeros(3)),
        (LKJCholeskyCov.dist(1.0, 2, Exponential.dist(0.5), compute_corr=False), [2.0, 0.0, 2.0]),
    ],
)
def test_support_points(rv, expected):
    point = distribution_of(rv).support_point()
    value, density = values_of(point, logp(rv, point))
    assert_allclose(value, expected)
    assert np.isfinite(density).all()


def test_float32(float32):
    z = pt.vector("z", shape=(3,))
    assert z.dtype == "float32"
    densities = [
        logp(MvNormal.dist(MU, COV), z),
        logp(MvStudentT.dist(3, mu=MU, tau=COV), z),
        logp(Dirichlet.dist(A), pt.special.softmax(z)),
        logp(Multinomial.dist(9, pt.special.softmax(z)), COUNTS),
        logp(DirichletMultinomial.dist(9, pt.exp(z)), COUNTS),
        logp(ZeroSumNormal.dist(2.0, support_shape=3), z - z.mean(keepdims=True)),
        logp(LKJCholeskyCov.dist(2, 2, HalfNormal.dist(1), compute_corr=False), pt.exp(z)),
    ]
    total = sum(d.sum() for d in densities)
    assert {d.dtype for d in densities} == {"float32"}
    draws = [
        MvNormal.dist(MU, COV),
        MvStudentT.dist(3, mu=MU, tau=COV),
        Dirichlet.dist(A),
        Multinomial.dist(9, P.astype("float32")),
        DirichletMultinomial.dist(9, A),
        LKJCholeskyCov.dist(2, 2, HalfNormal.dist(1), compute_corr=False),
    ]
    values, gradient, *drawn = values_of(
        pt.stack([d.sum() for d in densities]),
        pytensor.grad(total, z),
        *draws,
        givens={z: np.array([0.3, -0.2, 0.4], dtype="float32")},
    )
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    assert [d.dtype for d in drawn] == ["float32"] * 3 + ["int64"] * 2 + ["float32"]


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MvNormal.dist(MU), ValueError, "exactly one of cov, tau, chol"),
        (lambda: MvNormal.dist(MU, COV, tau=COV), ValueError, "got cov, tau"),
        (lambda: MvNormal.dist(MU, -COV), ParameterError, "positive definite"),
        (lambda: MvNormal.dist(MU, np.ones((D, D))), ParameterError, "positive definite"),
        (lambda: MvNormal.dist(MU, CHOL), ParameterError, "symmetric"),
        (lambda: MvNormal.dist(MU, chol=COV), ParameterError, "lower triangular"),
        (lambda: MvNormal.dist(MU, chol=CHOL, lower=False), ParameterError, "upper triangular"),
        (lambda: MvNormal.dist(MU, chol=np.diag([1.0, 0, 1])), ParameterError, "zeros"),
        (lambda: MvNormal.dist(MU, np.full((D, D), np.nan)), ParameterError, "finite"),
        (lambda: MvNormal.dist(MU, np.ones(D)), ShapeError, "square matrix"),
        (lambda: MvNormal.dist(MU, np.ones((D, 2))), ShapeError, "square matrix"),
        (lambda: MvNormal.dist(np.ones(2), COV), ShapeError, "broadcast"),
        (lambda: MvNormal.dist(MU, COV, shape=(5, 4)), ShapeError, r"shape \(3,\), not \(4,\)"),
        (lambda: MvStudentT.dist(0.0, scale=COV), ParameterError, "nu"),
        (lambda: MvStudentT.dist(1.0, scale=COV, Sigma=COV), ValueError, "either"),
        (lambda: Dirichlet.dist([1.0, 0.0]), ParameterError, "a must be positive"),
        (lambda: Dirichlet.dist(1.0), ShapeError, "vector"),
        (lambda: Multinomial.dist(-1, P), ParameterError, "n must be"),
        (lambda: Multinomial.dist(5, [0.5, 1.5]), ParameterError, "p must be"),
        (lambda: DirichletMultinomial.dist(2.5, A), ParameterError, "n must be"),
        (lambda: ZeroSumNormal.dist(1.0), ShapeError, "support_shape"),
        (lambda: ZeroSumNormal.dist(np.ones(3), shape=3), ShapeError, "length 1"),
        (lambda: ZeroSumNormal.dist(1.0, 0, shape=3), ValueError, "n_zerosum_axes"),
        (lambda: ZeroSumNormal.dist(1.0, support_shape=3, shape=4), ShapeError, r"\(3,\)"),
        (lambda: LKJCholeskyCov.dist(0.0, 2, Exponential.dist(1.0)), ParameterError, "eta"),
        (lambda: LKJCholeskyCov.dist(1.0, 2.5, Exponential.dist(1.0)), ValueError, "n must be"),
        (lambda: LKJCholeskyCov.dist(1.0, 2, 1.0), TypeError, "dist"),
        (lambda: LKJCholeskyCov.dist(1.0, 2, Gamma.dist(A, 1)), ShapeError, "n = 2"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_lkj_refuses_a_variable_of_the_model():
    with Model():
        sd = HalfNormal("sd", 1.0)
        with pytest.raises(ValueError, match="variable of a model"):
            LKJCholeskyCov("c", 1.0, 2, sd)


def test_data_of_another_length_are_refused():
    with Model(), pytest.raises(ShapeError):
        MvNormal("y", MU, COV, observed=np.zeros((4, 2)))
