import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import verify_grad

from vibayes.backend.modes import EVALUATE_MODE, evaluate, resolve_mode
from vibayes.ops.triangular import (
    PackedOuterProduct,
    PackedTriangularProduct,
    PackedTriangularSolve,
    lower_product,
    triangular_matrix,
)


def lower(rng, d):
    """Return a random lower triangular matrix, one diagonal element of it negative."""
    L = np.tril(rng.normal(size=(d, d))) + np.diag(1 + np.arange(d))
    L[-1, -1] *= -1
    return L


OPERATIONS = {
    "product": (PackedTriangularProduct(False), lambda L, x: x @ L.T),
    "transposed product": (PackedTriangularProduct(True), lambda L, x: x @ L),
    "solution": (PackedTriangularSolve(False), lambda L, x: np.linalg.solve(L, x.T).T),
    "transposed solution": (PackedTriangularSolve(True), lambda L, x: np.linalg.solve(L.T, x.T).T),
}


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_and_gradient(rng, name, shape):
    op, expected = OPERATIONS[name]
    L, x = lower(rng, 4), rng.normal(size=shape)
    packed = L[np.tril_indices(4)]
    np.testing.assert_allclose(op(packed, x).eval(mode=EVALUATE_MODE), expected(L, x))
    verify_grad(op, [packed, x], rng=rng, mode=EVALUATE_MODE)


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_outer_product_and_gradient(rng, shape):
    op = PackedOuterProduct()
    x, y = rng.normal(size=(2, *shape))
    expected = np.atleast_2d(x).T @ np.atleast_2d(y)
    np.testing.assert_allclose(op(x, y).eval(mode=EVALUATE_MODE), expected[np.tril_indices(4)])
    verify_grad(op, [x, y], rng=rng, mode=EVALUATE_MODE)


def test_an_operation_takes_vectors_and_matrices_only():
    with pytest.raises(TypeError, match="one vector a row"):
        lower_product(pt.vector(), pt.tensor3())


@pytest.mark.ci
def test_numba_gives_what_numpy_gives(rng):
    d = 7
    packed = pt.vector("packed", shape=(d * (d + 1) // 2,))
    x, xs = pt.vector("x", shape=(d,)), pt.matrix("xs", shape=(3, d))
    outputs = [op(packed, v) for op, _ in OPERATIONS.values() for v in (x, xs, xs[:, ::-1])]
    outputs += [PackedOuterProduct()(x, x[::-1]), PackedOuterProduct()(xs, xs[:, ::-1])]
    values = lower(rng, d)[np.tril_indices(d)], rng.normal(size=d), rng.normal(size=(3, d))
    compiled = pytensor.function([packed, x, xs], outputs, mode=resolve_mode("numba"))(*values)
    expected = evaluate(outputs, dict(zip((packed, x, xs), values, strict=True)))
    for got, want in zip(compiled, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [3, 4])
def test_triangular_matrices(rng, n):
    packed = rng.normal(size=(2, n * (n + 1) // 2))
    lower, upper = evaluate(
        [triangular_matrix(n, packed), triangular_matrix(n, packed, lower=False)]
    )
    for values, indices in ((lower, np.tril_indices(n)), (upper, np.triu_indices(n))):
        expected = np.zeros((2, n, n))
        expected[:, *indices] = packed
        np.testing.assert_allclose(values, expected)
