import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import linalg, special

from vibayes import math
from vibayes.backend.modes import evaluate

RNG = np.random.default_rng(2)


def value(expression):
    return evaluate([expression])[0]


def test_all_names_are_there():
    assert len(set(math.__all__)) == len(math.__all__)
    for name in math.__all__:
        assert callable(getattr(math, name)), name


@pytest.mark.parametrize("name", ["sin", "dot", "sum", "abs", "logsumexp", "switch", "concatenate"])
def test_pytensor_functions_are_passed_on(name):
    assert getattr(math, name).__wrapped__ is getattr(pt, name)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("cholesky", np.linalg.cholesky),
        ("det", np.linalg.det),
        ("matrix_inverse", np.linalg.inv),
        ("norm", np.linalg.norm),
        ("trace", np.trace),
        ("softmax", special.softmax),
        ("log_softmax", special.log_softmax),
        ("invlogit", special.expit),
        ("log1pexp", lambda x: np.logaddexp(0, x)),
        ("sgn", np.sign),
        ("sqr", np.square),
        ("logdet", lambda x: np.linalg.slogdet(x)[1]),
    ],
)
def test_functions_of_a_matrix(name, reference):
    x = RNG.normal(size=(3, 3))
    x = x @ x.T + np.eye(3)
    np.testing.assert_allclose(
        value(getattr(math, name)(pt.as_tensor(x))), reference(x), rtol=1e-10
    )


def test_solvers():
    L = np.tril(RNG.normal(size=(3, 3))) + 3 * np.eye(3)
    b = RNG.normal(size=3)
    expected = linalg.solve(L, b)
    np.testing.assert_allclose(value(math.solve(L, b)), expected)
    np.testing.assert_allclose(value(math.solve_triangular(L, b, lower=True)), expected)
    np.testing.assert_allclose(
        value(math.cho_solve((L, True), b)), linalg.solve(L @ L.T, b), rtol=1e-10
    )
    np.testing.assert_allclose(
        value(math.block_diag(L, np.eye(2))), linalg.block_diag(L, np.eye(2))
    )


def test_logdet():
    x = RNG.normal(size=(3, 3)) - 2 * np.eye(3)
    matrix = pt.matrix("matrix")
    log_det = math.logdet(matrix)
    result, slope = evaluate([log_det, pytensor.grad(log_det, matrix)], {matrix: x})
    np.testing.assert_allclose(result, np.log(abs(np.linalg.det(x))))
    np.testing.assert_allclose(slope, np.linalg.inv(x).T)
    assert value(math.logdet(np.zeros((2, 2)))) == -np.inf


def test_normal_probabilities():
    x = np.array([-38.0, -10.0, -1.0, 0.0, 0.5, 5.0])
    p = special.ndtr(x)
    np.testing.assert_allclose(value(math.invprobit(x)), p, rtol=1e-13)
    p = np.array([1e-300, 1e-20, 0.1, 0.5, 0.9, 1 - 1e-9])
    np.testing.assert_allclose(value(math.probit(p)), special.ndtri(p), rtol=1e-12, atol=1e-15)


def test_log_odds():
    p = np.array([1e-300, 0.1, 0.5, 1 - 1e-12])
    np.testing.assert_allclose(value(math.logit(p)), special.logit(p), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(value(math.invlogit(math.logit(p))), p, rtol=1e-13)


def test_log_differences():
    x = np.array([-1e-300, -1e-20, -1e-5, -0.5, -1.0, -50.0, -1e3, -np.inf])
    small = np.log(-np.expm1(x))
    large = np.log1p(-np.exp(np.minimum(x, -1e-6)))
    expected = np.where(x > -0.7, small, large)
    np.testing.assert_allclose(value(math.log1mexp(x)), expected, rtol=1e-14)
    np.testing.assert_allclose(value(math.log1mexp(-x, negative_input=False)), expected, rtol=1e-14)
    a, b = np.array([0.0, 1000.0, -1000.0]), np.array([-1.0, 999.0, -1000.5])
    expected = a + np.log1p(-np.exp(b - a))
    np.testing.assert_allclose(value(math.logdiffexp(pt.as_tensor(a), b)), expected, rtol=1e-14)


def test_logbern():
    rng = np.random.default_rng(1)
    drawn = [math.logbern(np.log(0.3), rng) for _ in range(2000)]
    assert abs(np.mean(drawn) - 0.3) < 0.05
    assert math.logbern(0.0)
    assert not math.logbern(-np.inf)
    with pytest.raises(FloatingPointError, match="NaN"):
        math.logbern(np.nan)


def test_flatten():
    a, b = np.arange(4.0).reshape(2, 2), np.array(7.0)
    np.testing.assert_array_equal(value(math.flatten_list([a, b])), [0, 1, 2, 3, 7])
    x, y = RNG.normal(size=3), RNG.normal(size=2)
    np.testing.assert_allclose(value(math.flat_outer(x, y)), np.outer(x, y).ravel())


def test_batched_diag():
    rows = np.array([[1.0, np.inf], [3.0, 4.0]])
    expected = [[[1, 0], [0, np.inf]], [[3, 0], [0, 4]]]
    np.testing.assert_array_equal(value(math.batched_diag(rows)), expected)
    np.testing.assert_array_equal(value(math.batched_diag(np.array(expected))), rows)
    with pytest.raises(ValueError, match="got 1"):
        math.batched_diag(np.ones(3))


@pytest.mark.parametrize("lower", [True, False])
def test_expand_packed_triangular(lower):
    x = np.arange(1.0, 11.0)
    expected = np.zeros((4, 4))
    expected[np.tril_indices(4) if lower else np.triu_indices(4)] = x
    packed = pt.vector("packed")
    matrix = math.expand_packed_triangular(4, packed, lower=lower)
    diagonal = math.expand_packed_triangular(4, packed, lower=lower, diagonal_only=True)
    weights = RNG.normal(size=(4, 4))
    slope = pytensor.grad((matrix * weights).sum(), packed)
    result, on_diagonal, slope = evaluate([matrix, diagonal, slope], {packed: x})
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(on_diagonal, np.diag(expected))
    np.testing.assert_array_equal(slope, weights[expected > 0])
    with pytest.raises(ValueError, match="must be a vector"):
        math.expand_packed_triangular(2, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 0, got 2\.5"):
        math.expand_packed_triangular(2.5, packed)


def test_cartesian():
    a, b, c = np.array([1, 2]), np.array([[10, 11], [20, 21], [30, 31]]), np.array([5.5])
    expected = [[x, *y, z] for x in a for y in b for z in c]
    result = math.cartesian(a, b, c)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, expected)
    symbolic = pt.lvector("a")
    np.testing.assert_array_equal(
        evaluate([math.cartesian(symbolic, b, c)], {symbolic: a})[0], expected
    )


def test_kronecker_products():
    Ks = [RNG.normal(size=(n, n)) for n in (2, 3, 2)]
    whole = np.kron(np.kron(Ks[0], Ks[1]), Ks[2])
    np.testing.assert_allclose(value(math.kronecker(*Ks)), whole)
    np.testing.assert_allclose(value(math.kron(*Ks)), whole)
    np.testing.assert_allclose(
        value(math.kron_diag(*(np.diag(K) for K in Ks))), np.diag(whole), rtol=1e-12
    )
    m, column = RNG.normal(size=(12, 4)), RNG.normal(size=12)
    np.testing.assert_allclose(value(math.kron_dot(Ks, m)), whole @ m, rtol=1e-10)
    np.testing.assert_allclose(
        value(math.kron_dot(Ks, column)), (whole @ column)[:, None], rtol=1e-10
    )
    oblong = [RNG.normal(size=(3, 2)), RNG.normal(size=(2, 4))]
    np.testing.assert_allclose(value(math.kron_dot(oblong, m[:8])), np.kron(*oblong) @ m[:8])


def test_kronecker_solves():
    m = RNG.normal(size=(6, 2))
    for solve, triangle in ((math.kron_solve_lower, np.tril), (math.kron_solve_upper, np.triu)):
        Ks = [triangle(RNG.normal(size=(n, n))) + 3 * np.eye(n) for n in (2, 3)]
        np.testing.assert_allclose(value(solve(Ks, m)), linalg.solve(np.kron(*Ks), m), rtol=1e-10)
        np.testing.assert_allclose(
            value(solve(Ks, m[:, 0]))[:, 0], linalg.solve(np.kron(*Ks), m[:, 0]), rtol=1e-10
        )


def test_only_numbers_are_combined():
    with pytest.raises(TypeError, match="cartesian: array 1 must be numbers, got"):
        math.cartesian([1.0, 2.0], ["a", "b"])
