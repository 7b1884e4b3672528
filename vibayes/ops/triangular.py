"""Triangular matrices that are kept as the vector of their lower triangle, row after row.

A packed triangle is never unpacked into a matrix in a step: at 500 dimensions the matrix, its
gradient, and the gather and scatter between the two would cost several times what the arithmetic
does. The compiled loops run along rows of the triangle, which are contiguous, whatever is
transposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.scalar import upcast
from pytensor.tensor.type import tensor
from pytensor.tensor.variable import TensorVariable
from scipy import linalg

from vibayes.backend.jax import jax_version
from vibayes.backend.numba import ANY_ORDER, NumbaOp, numba_version

__all__ = [
    "PackedOuterProduct",
    "PackedTriangularProduct",
    "PackedTriangularSolve",
    "diagonal_positions",
    "lower_product",
    "lower_solve",
    "triangle_size",
    "triangular_matrix",
]


def triangle_size(n: int) -> int:
    """Return the number of elements of the lower triangle of an n x n matrix."""
    return n * (n + 1) // 2


def diagonal_positions(n: int) -> np.ndarray:
    """Return where the diagonal lies in a packed lower triangle."""
    return np.arange(1, n + 1).cumsum() - 1


def triangular_matrix(n: int, packed: Any, lower: bool = True) -> TensorVariable:
    """Return triangular matrices of which the nonzero elements are given, row after row.

    Parameters
    ----------
    n
        Number of rows of a matrix.
    packed : array_like
        Of shape ``(..., n * (n + 1) / 2)``.
    lower
        Whether the elements are those of the lower triangle.
    """
    packed = pt.as_tensor_variable(packed)
    inside = np.tri(n, dtype=bool) if lower else np.tri(n, dtype=bool).T
    position = np.zeros((n, n), dtype="int64")
    position[inside] = np.arange(triangle_size(n))
    return pt.switch(inside, packed[..., position], pt.zeros((), dtype=packed.dtype))


def unpack(packed: np.ndarray, n: int) -> np.ndarray:
    """Return the lower triangular matrix of a packed triangle."""
    matrix = np.zeros((n, n), packed.dtype)
    matrix[np.tri(n, dtype=bool)] = packed
    return matrix


def lower_product(packed: TensorVariable, x: TensorVariable) -> TensorVariable:
    """Return ``L @ x`` for each row of x.

    Parameters
    ----------
    packed
        Lower triangle of L, row after row.
    x
        A vector, or a matrix of one vector a row.
    """
    return PackedTriangularProduct(transpose=False)(packed, x)


def lower_solve(packed: TensorVariable, x: TensorVariable) -> TensorVariable:
    """Return the solution y of ``L @ y = x`` for each row of x, as for :func:`lower_product`."""
    return PackedTriangularSolve(transpose=False)(packed, x)


class PackedTriangularProduct(NumbaOp):
    """Product of a packed lower triangular matrix, or its transpose, with vectors.

    Parameters
    ----------
    transpose
        Whether to transpose the matrix.
    """

    __props__ = ("transpose",)

    def __init__(self, transpose: bool) -> None:
        self.transpose = transpose

    def make_node(self, packed: Variable, x: Variable) -> Apply:
        packed, x = pt.as_tensor_variable(packed), as_rows(x)
        dtype = upcast(packed.type.dtype, x.type.dtype)
        return Apply(self, [packed, x], [tensor(dtype=dtype, shape=x.type.shape)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        packed, x = inputs
        L = unpack(packed, x.shape[-1])
        outputs[0][0] = x @ (L if self.transpose else L.T)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        (packed, x), (g,) = inputs, cotangents
        rows, columns = (x, g) if self.transpose else (g, x)
        return [
            PackedOuterProduct()(rows, columns),
            PackedTriangularProduct(not self.transpose)(packed, g),
        ]


class PackedTriangularSolve(PackedTriangularProduct):
    """Solution of linear equations with a packed lower triangular matrix, or its transpose."""

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        packed, x = inputs
        L = unpack(packed, x.shape[-1])
        trans = "T" if self.transpose else "N"
        outputs[0][0] = linalg.solve_triangular(
            L, x.T, trans=trans, lower=True, check_finite=False
        ).T

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        (packed, _), (y,), (g,) = inputs, outputs, cotangents
        solved = PackedTriangularSolve(not self.transpose)(packed, g)
        rows, columns = (y, solved) if self.transpose else (solved, y)
        return [-PackedOuterProduct()(rows, columns), solved]


class PackedOuterProduct(NumbaOp):
    """Packed lower triangle of ``x.T @ y``, for vectors or for matrices of one vector a row."""

    __props__ = ()

    def make_node(self, x: Variable, y: Variable) -> Apply:
        x, y = as_rows(x), as_rows(y)
        n = x.type.shape[-1]
        shape = (None if n is None else triangle_size(n),)
        return Apply(self, [x, y], [tensor(dtype=upcast(x.type.dtype, y.type.dtype), shape=shape)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        x, y = map(np.atleast_2d, inputs)
        outputs[0][0] = (x.T @ y)[np.tri(x.shape[-1], dtype=bool)]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        (x, y), (g,) = inputs, cotangents
        return [
            PackedTriangularProduct(transpose=False)(g, y),
            PackedTriangularProduct(transpose=True)(g, x),
        ]


def as_rows(x: Any) -> TensorVariable:
    x = pt.as_tensor_variable(x)
    if x.type.ndim not in (1, 2):
        raise TypeError(f"expected a vector or a matrix of one vector a row, got {x.type}")
    return x


@numba_version(PackedTriangularProduct)
def compiled_triangular_product(
    op: PackedTriangularProduct, node: Apply, njit: Callable[..., Any]
) -> tuple[Any, int]:
    if op.transpose:

        @njit
        def product(packed, x):
            vectors = np.atleast_2d(x)
            out = np.zeros(vectors.shape, packed.dtype)
            start = 0
            for i in range(vectors.shape[1]):
                row = packed[start : start + i + 1]
                for k in range(vectors.shape[0]):
                    factor = vectors[k, i]
                    for j in range(i + 1):
                        out[k, j] += row[j] * factor
                start += i + 1
            return out[0] if x.ndim == 1 else out

    else:

        @njit(fastmath=ANY_ORDER)
        def product(packed, x):
            vectors = np.atleast_2d(x)
            out = np.empty(vectors.shape, packed.dtype)
            start = 0
            for i in range(vectors.shape[1]):
                row = packed[start : start + i + 1]
                for k in range(vectors.shape[0]):
                    total = row[i] * vectors[k, i]
                    for j in range(i):
                        total += row[j] * vectors[k, j]
                    out[k, i] = total
                start += i + 1
            return out[0] if x.ndim == 1 else out

    return product, 2


@numba_version(PackedTriangularSolve)
def compiled_triangular_solve(
    op: PackedTriangularSolve, node: Apply, njit: Callable[..., Any]
) -> tuple[Any, int]:
    if op.transpose:

        @njit(error_model="numpy")  # division by zero gives inf
        def solve(packed, x):
            vectors = np.atleast_2d(x)
            out = vectors.astype(packed.dtype)
            start = packed.size
            for i in range(vectors.shape[1] - 1, -1, -1):
                start -= i + 1
                row = packed[start : start + i + 1]
                for k in range(vectors.shape[0]):
                    out[k, i] /= row[i]
                    factor = out[k, i]
                    for j in range(i):
                        out[k, j] -= row[j] * factor
            return out[0] if x.ndim == 1 else out

    else:

        @njit(error_model="numpy", fastmath=ANY_ORDER)  # division by zero gives inf
        def solve(packed, x):
            vectors = np.atleast_2d(x)
            out = np.empty(vectors.shape, packed.dtype)
            start = 0
            for i in range(vectors.shape[1]):
                row = packed[start : start + i + 1]
                for k in range(vectors.shape[0]):
                    total = vectors[k, i]
                    for j in range(i):
                        total -= row[j] * out[k, j]
                    out[k, i] = total / row[i]
                start += i + 1
            return out[0] if x.ndim == 1 else out

    return solve, 2


@numba_version(PackedOuterProduct)
def compiled_outer_product(
    op: PackedOuterProduct, node: Apply, njit: Callable[..., Any]
) -> tuple[Any, int]:
    @njit
    def product(x, y):
        rows, columns = np.atleast_2d(x), np.atleast_2d(y)
        n = rows.shape[1]
        packed = np.zeros(n * (n + 1) // 2, rows.dtype)
        start = 0
        for i in range(n):
            out = packed[start : start + i + 1]
            for k in range(rows.shape[0]):
                factor = rows[k, i]
                for j in range(i + 1):
                    out[j] += factor * columns[k, j]
            start += i + 1
        return packed

    return product, 1


def jax_matrix(packed: Any, n: int) -> Any:
    """Return the lower triangular matrix of a packed triangle, in JAX."""
    import jax.numpy as jnp

    inside = np.tri(n, dtype=bool)
    position = np.zeros((n, n), dtype="int64")
    position[inside] = np.arange(triangle_size(n))
    return jnp.where(inside, jnp.take(packed, position, mode="clip"), 0)


@jax_version(PackedTriangularProduct)
def jax_triangular_product(op: PackedTriangularProduct, node: Apply) -> Callable[..., Any]:
    def product(packed: Any, x: Any) -> Any:
        L = jax_matrix(packed, x.shape[-1])
        return x @ (L if op.transpose else L.T)

    return product


@jax_version(PackedTriangularSolve)
def jax_triangular_solve(op: PackedTriangularSolve, node: Apply) -> Callable[..., Any]:
    from jax.scipy.linalg import solve_triangular

    def solve(packed: Any, x: Any) -> Any:
        L = jax_matrix(packed, x.shape[-1])
        return solve_triangular(L, x.T, trans="T" if op.transpose else "N", lower=True).T

    return solve


@jax_version(PackedOuterProduct)
def jax_outer_product(op: PackedOuterProduct, node: Apply) -> Callable[..., Any]:
    import jax.numpy as jnp

    def product(x: Any, y: Any) -> Any:
        n = x.shape[-1]
        whole = jnp.outer(x, y) if x.ndim == 1 else x.T @ y
        return jnp.take(whole.ravel(), np.flatnonzero(np.tri(n, dtype=bool)), mode="clip")

    return product
