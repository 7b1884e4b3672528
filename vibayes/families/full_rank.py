"""Full rank: one normal distribution with all covariances, in the unconstrained space.

Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).

The Cholesky factor is kept as the vector of its lower triangle, and is never unpacked into a
matrix in a step: at 500 dimensions the matrix, its gradient, and the gather and scatter between
the two would cost several times what the arithmetic does.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.scalar import upcast
from pytensor.tensor.type import tensor
from pytensor.tensor.variable import TensorVariable
from scipy import linalg

from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.distributions.multivariate import unpacked_triangles
from vibayes.families.base import Group
from vibayes.families.mean_field import DEFAULT_SIGMA

__all__ = [
    "FullRankGroup",
    "PackedOuterProduct",
    "PackedTriangularProduct",
    "PackedTriangularSolve",
]


class FullRankGroup(Group):
    r"""One normal distribution of all variables, with all covariances.

    .. math:: z = \mu + L \epsilon, \qquad \epsilon \sim N(0, I), \qquad
        \log q(z) = -\sum_i \left(\tfrac12 \epsilon_i^2 + \log |L_{ii}|
        + \tfrac12 \log 2\pi\right)

    ``L_tril`` holds the lower triangle of L row after row, in the order of ``np.tril_indices``.
    The diagonal may have either sign: L and L with a column negated give the same distribution.
    """

    short_name: ClassVar[str] = "full_rank"
    aliases: ClassVar[tuple[str, ...]] = ("fr",)
    param_names: ClassVar[frozenset[str]] = frozenset({"mu", "L_tril"})
    is_normal: ClassVar[bool] = True
    center_name: ClassVar[str] = "mu"

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"mu": (self.ddim,), "L_tril": (triangle_size(self.ddim),)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        packed = np.zeros(triangle_size(self.ddim))
        packed[diagonal_positions(self.ddim)] = (
            DEFAULT_SIGMA if sigma is None else np.where(np.isnan(sigma), DEFAULT_SIGMA, sigma)
        )
        return {"mu": start, "L_tril": packed}

    def params_near(self, mean: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
        root = np.diag(root) if root.ndim == 1 else root
        return {"mu": mean, "L_tril": root[np.tri(self.ddim, dtype=bool)]}

    def param_scales(self, sd: np.ndarray) -> dict[str, np.ndarray]:
        return {"mu": sd, "L_tril": sd[np.tril_indices(self.ddim)[0]]}

    def transform(self, noise: TensorVariable) -> TensorVariable:
        return self.mean + lower_product(self.params_dict["L_tril"], noise)

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        diagonal = self.params_dict["L_tril"][diagonal_positions(self.ddim)]
        return (-0.5 * noise**2 - pt.log(pt.abs(diagonal)) - LOG_SQRT_2PI).sum(axis=-1)

    def log_density_at(self, z: TensorVariable) -> TensorVariable:
        return self.log_density(lower_solve(self.params_dict["L_tril"], z - self.mean), z)

    def param_elements(self, name: str) -> list[str]:
        if name != "L_tril":
            return super().param_elements(name)
        rows = [self.layout.element(i) for i in range(self.ddim)]
        return [f"{row}, {column}" for i, row in enumerate(rows) for column in rows[: i + 1]]

    @property
    def L(self) -> TensorVariable:
        """Cholesky factor of the covariance, up to the signs of its columns."""
        return unpacked_triangles(self.ddim, self.params_dict["L_tril"])

    @property
    def L_chol(self) -> TensorVariable:
        """Cholesky factor of the covariance, as ``L``."""
        return self.L

    @property
    def mean(self) -> TensorVariable:
        return self.params_dict["mu"]

    @property
    def std(self) -> TensorVariable:
        return pt.sqrt((self.L**2).sum(axis=1))

    @property
    def cov(self) -> TensorVariable:
        L = self.L
        return L @ L.T


# -- packed triangles -----------------------------------------------------------------------------


def triangle_size(n: int) -> int:
    """Return the number of elements of the lower triangle of an n x n matrix."""
    return n * (n + 1) // 2


def diagonal_positions(n: int) -> np.ndarray:
    """Return where the diagonal lies in a packed lower triangle."""
    return np.arange(1, n + 1).cumsum() - 1


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
    register_numba_implementations()
    return PackedTriangularProduct(transpose=False)(packed, x)


def lower_solve(packed: TensorVariable, x: TensorVariable) -> TensorVariable:
    """Return the solution y of ``L @ y = x`` for each row of x, as for :func:`lower_product`."""
    register_numba_implementations()
    return PackedTriangularSolve(transpose=False)(packed, x)


class PackedTriangularProduct(Op):
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


class PackedOuterProduct(Op):
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


@cache
def register_numba_implementations() -> None:
    """Tell PyTensor's numba backend how to compile the operations.

    All loops run along rows of the triangle, which are contiguous, whatever is transposed.
    """
    from pytensor.link.numba.dispatch.basic import (
        numba_njit,
        register_funcify_default_op_cache_key,
    )

    @register_funcify_default_op_cache_key(PackedTriangularProduct)
    def triangular_product(
        op: PackedTriangularProduct, node: Apply, **kwargs: Any
    ) -> tuple[Any, int]:
        if op.transpose:

            @numba_njit
            def product(packed, x):  # type: ignore[no-untyped-def]
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

            @numba_njit
            def product(packed, x):  # type: ignore[no-untyped-def]
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

        return product, 1

    @register_funcify_default_op_cache_key(PackedTriangularSolve)
    def triangular_solve(op: PackedTriangularSolve, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        if op.transpose:

            @numba_njit(error_model="numpy")  # division by zero gives inf
            def solve(packed, x):  # type: ignore[no-untyped-def]
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

            @numba_njit(error_model="numpy")  # division by zero gives inf
            def solve(packed, x):  # type: ignore[no-untyped-def]
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

        return solve, 1

    @register_funcify_default_op_cache_key(PackedOuterProduct)
    def outer_product(op: PackedOuterProduct, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        @numba_njit
        def product(x, y):  # type: ignore[no-untyped-def]
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
