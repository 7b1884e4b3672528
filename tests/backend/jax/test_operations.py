import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.in_jax import in_jax
from pytensor.graph.traversal import ancestors
from scipy import special

from vibayes.backend.jax import double_precision, jax_function
from vibayes.backend.jax.operations import jax_erfcx
from vibayes.backend.jax.versions import as_pytensor_calls
from vibayes.backend.modes import evaluate
from vibayes.ops.pairs import RadialSums, median_distance, pair_distances
from vibayes.ops.rows import ShuffledRows
from vibayes.ops.small_matrix import inverse_and_log_det
from vibayes.ops.special import betaln, i0e, i1e, log_ndtr, ndtri_exp
from vibayes.ops.triangular import (
    PackedOuterProduct,
    PackedTriangularProduct,
    PackedTriangularSolve,
)

pytestmark = pytest.mark.ci

jax = pytest.importorskip("jax")

CURVES = [("gaussian", -0.5), ("multiquadric", -0.5)]


def check_as_in_numpy(outputs, values, rtol=1e-12, atol=0.0):
    inputs = dict(values)
    for found, expected in zip(in_jax(outputs, inputs), evaluate(outputs, inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol, atol)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("rows", [(), (3,)])
def test_packed_triangles(rng, rows):
    packed, x, y = pt.dvector(), *(pt.tensor(dtype="float64", shape=(*rows, 4)) for _ in "xy")
    operations = [
        op(transpose)(packed, x)
        for op in (PackedTriangularProduct, PackedTriangularSolve)
        for transpose in (False, True)
    ]
    values = {packed: rng.uniform(1, 2, 10), x: rng.normal(size=(*rows, 4))}
    values |= {y: rng.normal(size=(*rows, 4))}
    check_as_in_numpy([*operations, PackedOuterProduct()(x, y)], values)


@pytest.mark.parametrize(("n", "kind"), [(1, "normal"), (2, "ties"), (61, "ties"), (128, "heavy")])
def test_medians_and_sums_of_pairs(rng, n, kind):
    X, score = pt.dmatrix(), pt.dmatrix()
    distances = pair_distances(X)
    median = median_distance(distances)
    sums = [RadialSums(*c)(distances, 1 + median, X, score) for c in CURVES]
    draws = {"normal": rng.normal, "ties": rng.integers, "heavy": rng.standard_cauchy}[kind]
    particles = draws(3, size=(n, 2)) if kind == "ties" else draws(size=(n, 2))
    check_as_in_numpy([median, *sums], {X: particles + 0.0, score: rng.normal(size=(n, 2))}, 1e-9)


def test_the_median_of_particles_that_are_not_finite_is_none():
    X = pt.dmatrix()
    (median,) = in_jax(
        [median_distance(pair_distances(X))], {X: np.array([[0.0], [np.inf], [1.0]])}
    )
    assert np.isnan(median)


def test_shuffled_rows_are_those_of_numpy():
    order, position, length = pt.lscalar(), pt.lscalar(), pt.lscalar()
    rows = ShuffledRows(5)(order, position, length)
    function = jax_function([order, position, length], [rows], [(), (), ()])
    with double_precision():
        function = jax.jit(function)
        for n in (1, 2, 7, 64, 100_003):
            values = [np.int64(v) for v in (2**62 + 12345, 3 * n - 2, n)]
            (expected,) = evaluate(
                [rows], dict(zip((order, position, length), values, strict=True))
            )
            np.testing.assert_array_equal(function(*values)[0], expected)


def test_inverse_and_log_determinant(rng):
    matrix, root = pt.dmatrix(), rng.normal(size=(3, 3))
    check_as_in_numpy(inverse_and_log_det(matrix), {matrix: root @ root.T + np.eye(3)})
    _, log_det = in_jax(inverse_and_log_det(matrix), {matrix: -np.eye(3)})
    assert np.isnan(log_det)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_inverse_of_the_log_of_the_normal_distribution_function(dtype):
    y = pt.vector(dtype=dtype)
    values = -np.geomspace(1e-300 if dtype == "float64" else 1e-30, 1e8, 200).astype(dtype)
    (found,) = in_jax([ndtri_exp(y)], {y: values})
    assert found.dtype == dtype
    expected = special.ndtri_exp(values.astype("float64"))
    np.testing.assert_allclose(found, expected, 1e-12 if dtype == "float64" else 1e-4, 1e-6)


def test_special_functions(rng):
    x, a = pt.dvector(), pt.dvector()
    values = {x: np.geomspace(1e-3, 1e4, 40), a: np.geomspace(0.1, 1e6, 40)}
    check_as_in_numpy([i0e(x), i1e(x), log_ndtr(-x), betaln(x, a)], values, 1e-9)
    functions = [pt.gammaln(x), pt.psi(x), pt.tri_gamma(x), pt.erfcx(x), pt.log1mexp(-x)]
    check_as_in_numpy(functions, values, 1e-9, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_scaled_error_function_where_jax_has_none(dtype):
    x = np.concatenate([-np.geomspace(1e-3, 5, 50), np.geomspace(1e-3, 1e8)]).astype(dtype)
    with double_precision():
        found = jax_erfcx(None, None)(x)
    assert found.dtype == dtype
    exact = special.erfcx(x.astype("float64"))
    np.testing.assert_allclose(found, exact, 1e-12 if dtype == "float64" else 1e-5)


def test_pytensors_own_version_comes_first():
    def unavailable(op, node=None):
        raise NotImplementedError

    assert as_pytensor_calls(lambda op, node: "ours", None)("op") == "ours"
    assert as_pytensor_calls(lambda op, node: "ours", unavailable)("op") == "ours"
    assert as_pytensor_calls(lambda op, node: "ours", lambda op, node: "theirs")("op") == "theirs"


def test_derivatives_of_the_incomplete_gamma_function(rng):
    check_derivative(pt.gammainc, rng)


@pytest.mark.slow
@pytest.mark.parametrize("function", [pt.gammaincc, pt.betainc])
def test_derivatives_of_other_incomplete_functions(rng, function):
    check_derivative(function, rng)


def check_derivative(function, rng):
    arguments = [pt.dvector() for _ in range(3 if function is pt.betainc else 2)]
    output = function(*arguments)
    values = {v: rng.uniform(0.2, 0.9, 6) for v in arguments}
    check_as_in_numpy([output, pt.grad(output.sum(), arguments[0])], values, 1e-8)


def test_an_operation_without_a_version_is_named():
    x = pt.dvector("x")
    message = "cannot run the operation .*Nonzero.*computed from x.*backend='numba'"
    with pytest.raises(NotImplementedError, match=message):
        jax_function([x], [x.nonzero()[0]], [(3,)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softplus_is_one_exponential_and_right_everywhere(dtype):
    x = pt.vector(dtype=dtype)
    at = np.array([-np.inf, -700, -38, -36, -1e-3, 0, 1e-3, 17, 19, 40, 1e30, np.inf, np.nan])
    with np.errstate(over="ignore"):
        at = at.astype(dtype)
    (found,) = in_jax([pt.softplus(x)], {x: at})
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp(0.0, at.astype("float64"))
    rtol = 1e-14 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(found, expected, rtol, atol=np.finfo(dtype).tiny)
    assert found.dtype == dtype
    assert program(pt.softplus(x), {x: at}).count(" exponential(") == 1


@pytest.mark.parametrize("columns", [None, 1, 4])
def test_transposed_matrices_are_multiplied_by_vectors_as_they_are(rng, columns):
    X, own, other = pt.dmatrix("X"), *(pt.tensor(dtype="float64", shape=s) for s in SHAPES[columns])
    products = [pt.dot(X.T, own), pt.dot(own.T, X), pt.dot(other, X.T), pt.dot(X, other.T)]
    values = {X: rng.normal(size=(50, 3))}
    values |= {v: rng.normal(size=v.type.shape) for v in (own, other)}
    check_as_in_numpy(products, values)
    for product in products if columns != 4 else ():
        assert "f64[3,50]{1,0}" not in program(product, values)


SHAPES = {None: [(50,), (3,)], 1: [(50, 1), (1, 3)], 4: [(50, 4), (4, 3)]}


def program(output, values):
    """Return what XLA makes of an expression."""
    inputs = [v for v in values if v in ancestors([output])]
    with double_precision():
        function = jax_function(inputs, [output], [values[v].shape for v in inputs])
        return jax.jit(function).lower(*(values[v] for v in inputs)).compile().as_text()
