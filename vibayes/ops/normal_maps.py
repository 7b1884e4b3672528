r"""Maps of standard normal vectors to those of a normal distribution that its precision tells.

.. math:: x = P^{-1} b + C^{-\top} u, \qquad P = C C^\top

and log|C|, in one operation: a graph of a factorization, two solutions and their derivatives would
take seconds to be rewritten for stacks of draws.

A precision matrix is dense, (d, d), or has p bands below its diagonal and is kept as an array
(p + 1, n): the element ``[k, j]`` is that in row ``j + k`` and column ``j``. What would lie below
the last row is ignored. With bands, the cost is linear in n.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.variable import TensorVariable
from scipy.linalg import lapack

from vibayes.backend.numba import NumbaOp, numba_version

__all__ = ["normal_map"]


def normal_map(
    precision: Any, b: Any, u: Any, banded: bool = False
) -> tuple[TensorVariable, TensorVariable]:
    """Return x and log|C|, both NaN where a precision is not positive definite.

    Parameters
    ----------
    precision
        Of shape ``(..., d, d)``, or ``(..., p + 1, d)`` if it is ``banded``.
    b
        The precision times the mean, (..., d).
    u
        Standard normal vectors, (..., d).
    banded
        Whether ``precision`` holds bands.
    """
    op = Blockwise(BandedNormalMap() if banded else DenseNormalMap())
    return tuple(op(*(pt.as_tensor_variable(x) for x in (precision, b, u))))


class NormalMap(NumbaOp):
    """Base of the maps, which take a stack of everything at once."""

    __props__ = ()
    gufunc_signature = "(p,n),(n),(n)->(n),()"
    gufunc_spec: tuple[str, int, int]
    pullback_op: type[MapPullback]

    def make_node(self, precision: Variable, b: Variable, u: Variable) -> Apply:
        inputs = [pt.as_tensor_variable(x) for x in (precision, b, u)]
        return Apply(self, inputs, [inputs[2].type(), pt.scalar(dtype=inputs[2].type.dtype)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        x, log_det = function_of(self)(*inputs)
        outputs[0][0], outputs[1][0] = x, np.asarray(log_det)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        known = [
            pt.zeros_like(output) if isinstance(g.type, DisconnectedType) else g
            for g, output in zip(cotangents, outputs, strict=True)
        ]
        return self.pullback_op()(*inputs, *known)


class MapPullback(NumbaOp):
    """Base of the derivatives of the maps by their inputs, from those by their outputs."""

    __props__ = ()
    gufunc_signature = "(p,n),(n),(n),(n),()->(p,n),(n),(n)"
    gufunc_spec: tuple[str, int, int]

    def make_node(self, *inputs: Variable) -> Apply:
        inputs = tuple(pt.as_tensor_variable(x) for x in inputs)
        return Apply(self, list(inputs), [x.type() for x in inputs[:3]])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        for output, value in zip(outputs, function_of(self)(*inputs), strict=True):
            output[0] = value


class DensePullback(MapPullback):
    """Derivatives of :class:`DenseNormalMap`."""

    gufunc_spec = (f"{__name__}.dense_pullback", 5, 3)


class DenseNormalMap(NormalMap):
    """The map by a dense precision matrix."""

    gufunc_spec = (f"{__name__}.dense_map", 3, 2)
    pullback_op = DensePullback


class BandedPullback(MapPullback):
    """Derivatives of :class:`BandedNormalMap`."""

    gufunc_spec = (f"{__name__}.banded_pullback", 5, 3)


class BandedNormalMap(NormalMap):
    """The map by the bands of a precision matrix."""

    gufunc_spec = (f"{__name__}.banded_map", 3, 2)
    pullback_op = BandedPullback


def function_of(op: NormalMap | MapPullback) -> Callable[..., tuple[np.ndarray, ...]]:
    """Return the function that ``gufunc_spec`` names."""
    return globals()[op.gufunc_spec[0].rpartition(".")[2]]


# -- dense matrices -------------------------------------------------------------------------------


def dense_map(precision: np.ndarray, b: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return :func:`normal_map` of arrays."""
    C, inverse = dense_roots(precision)
    x = times(inverse.mT, times(inverse, b) + u)
    log_det = np.log(np.diagonal(C, axis1=-2, axis2=-1)).sum(axis=-1)
    return x, np.broadcast_to(log_det, x.shape[:-1])


def dense_pullback(
    precision: np.ndarray, b: np.ndarray, u: np.ndarray, gx: np.ndarray, g_log_det: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return derivatives by precision, b and u (of the factor: Murray 2016, arXiv:1602.07527)."""
    C, inverse = dense_roots(precision)
    half = times(inverse, b)
    x, gu = times(inverse.mT, half + u), times(inverse, gx)
    gb = times(inverse.mT, gu)
    gC = -(x[..., :, None] * gu[..., None, :]) - gb[..., :, None] * half[..., None, :]
    inner = np.tril(C.mT @ gC)
    diagonal = np.arange(C.shape[-1])
    inner[..., diagonal, diagonal] = 0.5 * (inner[..., diagonal, diagonal] + g_log_det[..., None])
    g_precision = inverse.mT @ inner @ inverse
    return 0.5 * (g_precision + g_precision.mT), gb, gu


def dense_roots(precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Cholesky factors and their inverses, NaN where there are none."""
    try:
        C = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        C = np.full_like(precision, np.nan)
        for index in np.ndindex(precision.shape[:-2]):
            factor, failed = lapack.dpotrf(precision[index], lower=True, clean=True)
            if not failed:
                C[index] = factor
    with np.errstate(all="ignore"):
        return C, np.linalg.inv(C)


def times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return ``matrix @ vector`` of stacks of both."""
    return (matrix @ vector[..., None])[..., 0]


# -- banded matrices ------------------------------------------------------------------------------


def banded_map(bands: np.ndarray, b: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return :func:`normal_map` of arrays of bands."""
    C = banded_cholesky(bands)
    x = banded_solve(C, banded_solve(C, b) + u, transposed=True)
    with np.errstate(all="ignore"):
        log_det = np.log(C[..., 0, :]).sum(axis=-1)
    return x, np.broadcast_to(log_det, x.shape[:-1])


def banded_pullback(
    bands: np.ndarray, b: np.ndarray, u: np.ndarray, gx: np.ndarray, g_log_det: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return derivatives by bands, b and u."""
    C = banded_cholesky(bands)
    half, gu = solutions(C, b, gx)
    x, gb = solutions(C, half + u, gu, transposed=True)
    gC = -banded_product(x, gu, bands.shape[-2]) - banded_product(gb, half, bands.shape[-2])
    with np.errstate(all="ignore"):
        gC[..., 0, :] += g_log_det[..., None] / C[..., 0, :]
    return banded_cholesky_pullback(C, gC), gb, gu


def banded_product(x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """Return the first ``count`` bands of the matrix ``x y'``, the diagonal and those below."""
    n = x.shape[-1]
    bands = np.zeros((*np.broadcast_shapes(x.shape, y.shape)[:-1], count, n), np.result_type(x, y))
    for k in range(min(count, n)):
        bands[..., k, : n - k] = x[..., k:] * y[..., : n - k]
    return bands


def banded_cholesky(bands: np.ndarray) -> np.ndarray:
    """Return the bands of the lower Cholesky factor, NaN from the row on where there is none."""
    if bands.shape[-2] == 2 and is_small(bands.shape[:-2], bands.shape[-1]):
        return each_bidiagonal_factor(bands)
    C = rows_first(bands, 2)  # (p + 1, n, ...)
    with np.errstate(all="ignore"):
        factorize(C)
    return rows_last(C, 2)


def banded_cholesky_pullback(factor: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
    """Return derivatives by the bands of a matrix, from those by its factor: it runs backwards."""
    factor, cotangent = np.broadcast_arrays(factor, cotangent)
    if factor.shape[-2] == 2:
        return bidiagonal_pullback(factor, cotangent)
    C, G = rows_first(factor, 2), rows_first(cotangent, 2)
    with np.errstate(all="ignore"):
        pull_back(C, G)
    return rows_last(G, 2)


def bidiagonal_pullback(factor: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
    """Return :func:`banded_cholesky_pullback` of tridiagonal matrices.

    What comes back to the diagonal is a linear function of what does to the row below.
    """
    diagonal, below = factor[..., 0, :], np.array(factor[..., 1, :])
    below[..., -1] = 0
    with np.errstate(all="ignore"):
        share = below / diagonal
        first = 0.5 * (cotangent[..., 0, :] - share * cotangent[..., 1, :]) / diagonal
        matrix = np.stack([np.ones_like(share), -(share**2)], axis=-2)
        first = banded_solve(matrix, first, transposed=True)
        rest = np.zeros_like(first)
        following = 2 * first[..., 1:] * below[..., :-1]
        rest[..., :-1] = (cotangent[..., 1, :-1] - following) / diagonal[..., :-1]
    return np.stack([first, rest], axis=-2)


def banded_solve(bands: np.ndarray, b: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Solve equations with a lower triangular banded matrix, or with its transpose."""
    stack = np.broadcast_shapes(bands.shape[:-2], b.shape[:-1])
    b = np.broadcast_to(b, (*stack, b.shape[-1])).astype(np.result_type(bands, b))
    n, p = b.shape[-1], bands.shape[-2] - 1
    if is_small(stack, n):
        return each_solution(np.broadcast_to(bands, (*stack, p + 1, n)), b, transposed)
    L, x = rows_first(bands, 2), rows_first(b, 1)
    with np.errstate(all="ignore"):
        solve(L, x, transposed)
    return rows_last(x, 1)


def solutions(bands: np.ndarray, *b: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Solve equations with the same matrices and several right-hand sides, row by row together."""
    return banded_solve(bands, np.stack(np.broadcast_arrays(*b)), transposed)


def rows_first(x: np.ndarray, axes: int) -> np.ndarray:
    """Return a copy with the last axes first: a step of the loops reads what lies together."""
    return np.array(np.moveaxis(x, range(-axes, 0), range(axes)), order="C")


def rows_last(x: np.ndarray, axes: int) -> np.ndarray:
    return np.moveaxis(x, range(axes), range(-axes, 0))


def is_small(stack: tuple[int, ...], n: int) -> bool:
    """Tell whether a stack has so few matrices that LAPACK is sooner done with one by one."""
    return 2 * int(np.prod(stack)) < n


def each_solution(bands: np.ndarray, b: np.ndarray, transposed: bool) -> np.ndarray:
    """Return :func:`banded_solve` by LAPACK."""
    (solve,) = lapack.get_lapack_funcs(("tbtrs",), (bands, b))
    x = np.empty_like(b)
    for index in np.ndindex(b.shape[:-1]):
        trans = "T" if transposed else "N"
        solved, failed = solve(bands[index], b[index][:, None], uplo="L", trans=trans)
        x[index] = np.nan if failed else solved[:, 0]
    return x


def each_bidiagonal_factor(bands: np.ndarray) -> np.ndarray:
    """Return factors of tridiagonal matrices, by LAPACK's L D L'."""
    (factorize,) = lapack.get_lapack_funcs(("pttrf",), (bands,))
    C = np.zeros_like(bands)
    for index in np.ndindex(bands.shape[:-2]):
        d, below, failed = factorize(bands[index][0], bands[index][1, :-1])
        with np.errstate(all="ignore"):
            C[index][0] = np.sqrt(d)
            C[index][1, :-1] = below * C[index][0, :-1]
        if failed:
            C[index][:, failed - 1 :] = np.nan
    return C


# -- loops over rows, in place: of stacks in NumPy, of single matrices in Numba -------------------


def factorize(C: np.ndarray) -> None:
    """Turn the bands of a matrix into those of its lower Cholesky factor."""
    p, n = C.shape[0] - 1, C.shape[1]
    for j in range(n):
        for i in range(1, min(p, j) + 1):
            for k in range(min(p - i, n - 1 - j) + 1):
                C[k, j] -= C[k + i, j - i] * C[i, j - i]
        C[0, j] = np.sqrt(C[0, j])
        for k in range(1, p + 1):
            C[k, j] = C[k, j] / C[0, j] if j + k < n else 0.0


def solve(L: np.ndarray, x: np.ndarray, transposed: bool) -> None:
    """Turn the right-hand side of equations with a banded triangle, or its transpose, into x."""
    p, n = L.shape[0] - 1, L.shape[1]
    for step in range(n):
        j = n - 1 - step if transposed else step
        for i in range(1, min(p, step) + 1):
            x[j] -= L[i, j] * x[j + i] if transposed else L[i, j - i] * x[j - i]
        x[j] /= L[0, j]


def pull_back(C: np.ndarray, G: np.ndarray) -> None:
    """Turn derivatives by the bands of a factor into those by the bands of the matrix."""
    p, n = C.shape[0] - 1, C.shape[1]
    for j in range(n - 1, -1, -1):
        for k in range(1, p + 1):
            G[k, j] = G[k, j] / C[0, j] if j + k < n else 0.0
            G[0, j] -= G[k, j] * C[k, j]
        G[0, j] *= 0.5 / C[0, j]
        for i in range(1, min(p, j) + 1):
            G[i, j - i] -= G[0, j] * C[i, j - i]
            for k in range(min(p - i, n - 1 - j) + 1):
                G[i, j - i] -= G[k, j] * C[k + i, j - i]
                if k:
                    G[k + i, j - i] -= G[k, j] * C[i, j - i]


# -- Numba ----------------------------------------------------------------------------------------
# Loops alone, and each function for arrays of one layout: every other function of NumPy that these
# would call takes Numba a tenth of a second and more.


@cache
def banded_functions(njit: Any) -> tuple[Any, Any]:
    """Return compiled functions: bands of a factor, and a solution of equations with these."""
    compile_loop = njit(error_model="numpy")
    factorize_bands, solve_bands = compile_loop(factorize), compile_loop(solve)

    @njit(error_model="numpy")
    def factor_of(bands):
        C = np.empty(bands.shape, bands.dtype)
        for k in range(bands.shape[0]):
            for j in range(bands.shape[1]):
                C[k, j] = bands[k, j]
        factorize_bands(C)
        return C

    return factor_of, solve_bands


@numba_version(BandedNormalMap)
def compiled_banded_map(op: BandedNormalMap, node: Apply, njit: Any) -> tuple[Any, int]:
    factor_of, solve_bands = banded_functions(njit)

    @njit(error_model="numpy")
    def banded_map(bands, b, u):
        C, n = factor_of(bands), len(u)
        x = np.empty(n, C.dtype)
        for j in range(n):
            x[j] = b[j]
        solve_bands(C, x, False)
        log_det = np.zeros((), C.dtype)
        for j in range(n):
            x[j] += u[j]
            log_det[()] += np.log(C[0, j])
        solve_bands(C, x, True)
        return x, log_det

    return banded_map, 3


@numba_version(BandedPullback)
def compiled_banded_pullback(op: BandedPullback, node: Apply, njit: Any) -> tuple[Any, int]:
    factor_of, solve_bands = banded_functions(njit)
    pull_back_bands = njit(error_model="numpy")(pull_back)

    @njit(error_model="numpy")
    def pullback(bands, b, u, gx, g_log_det):
        C, n = factor_of(bands), len(u)
        half, x = np.empty(n, C.dtype), np.empty(n, C.dtype)
        gu, gb = np.empty(n, C.dtype), np.empty(n, C.dtype)
        for j in range(n):
            half[j], gu[j] = b[j], gx[j]
        solve_bands(C, half, False)
        solve_bands(C, gu, False)
        for j in range(n):
            x[j], gb[j] = half[j] + u[j], gu[j]
        solve_bands(C, x, True)
        solve_bands(C, gb, True)
        G, log_det_slope = np.empty(C.shape, C.dtype), g_log_det.item()
        for k in range(C.shape[0]):
            for j in range(n):
                G[k, j] = -x[j + k] * gu[j] - gb[j + k] * half[j] if j + k < n else 0.0
        for j in range(n):
            G[0, j] += log_det_slope / C[0, j]
        pull_back_bands(C, G)
        return G, gb, gu

    return pullback, 3


@cache
def dense_functions(njit: Any) -> tuple[Any, Any]:
    """Return compiled functions: of a Cholesky factor and its inverse, and to add a product.

    The former two are NaN where there is no factor; the product is of a triangle and a vector.
    """

    @njit(error_model="numpy")
    def roots(matrix):
        d = len(matrix)
        C, inverse = np.empty((d, d), matrix.dtype), np.empty((d, d), matrix.dtype)
        for j in range(d):
            for i in range(d):
                C[i, j] = inverse[i, j] = 0.0
        for j in range(d):
            for i in range(j, d):
                total = matrix[i, j]
                for k in range(j):
                    total -= C[i, k] * C[j, k]
                C[i, j] = np.sqrt(total) if i == j else total / C[j, j]
        for j in range(d):
            for i in range(j, d):
                total = 1.0 if i == j else 0.0
                for k in range(j, i):
                    total -= C[i, k] * inverse[k, j]
                inverse[i, j] = total / C[i, i]
        return C, inverse

    @njit(error_model="numpy")
    def add_product(triangle, vector, transposed, result):
        for i in range(len(result)):
            for k in range(i + 1):
                if transposed:
                    result[k] += triangle[i, k] * vector[i]
                else:
                    result[i] += triangle[i, k] * vector[k]

    return roots, add_product


@numba_version(DenseNormalMap)
def compiled_dense_map(op: DenseNormalMap, node: Apply, njit: Any) -> tuple[Any, int]:
    roots, add_product = dense_functions(njit)

    @njit(error_model="numpy")
    def dense_map(precision, b, u):
        C, inverse = roots(precision)
        d = len(C)
        z, x, log_det = np.empty(d, C.dtype), np.empty(d, C.dtype), np.zeros((), C.dtype)
        for j in range(d):
            z[j], x[j] = u[j], 0.0
            log_det[()] += np.log(C[j, j])
        add_product(inverse, b, False, z)
        add_product(inverse, z, True, x)
        return x, log_det

    return dense_map, 2


@numba_version(DensePullback)
def compiled_dense_pullback(op: DensePullback, node: Apply, njit: Any) -> tuple[Any, int]:
    roots, add_product = dense_functions(njit)

    @njit(error_model="numpy")
    def pullback(precision, b, u, gx, g_log_det):
        C, inverse = roots(precision)
        d, log_det_slope = len(C), g_log_det.item()
        half, z, x = np.empty(d, C.dtype), np.empty(d, C.dtype), np.empty(d, C.dtype)
        gu, gb = np.empty(d, C.dtype), np.empty(d, C.dtype)
        inner, outer = np.empty((d, d), C.dtype), np.empty((d, d), C.dtype)
        G = np.empty((d, d), C.dtype)
        for j in range(d):
            half[j] = x[j] = gu[j] = gb[j] = 0.0
        add_product(inverse, b, False, half)
        add_product(inverse, gx, False, gu)
        add_product(inverse, gu, True, gb)
        for j in range(d):
            z[j] = half[j] + u[j]
        add_product(inverse, z, True, x)
        for i in range(d):
            for j in range(i + 1):
                total = log_det_slope if i == j else 0.0
                for k in range(i, d):
                    total -= C[k, i] * (x[k] * gu[j] + gb[k] * half[j])
                inner[i, j] = 0.5 * total if i == j else total
        for k in range(d):  # the product of inner and the inverse
            for j in range(k + 1):
                outer[k, j] = 0.0
                for m in range(j, k + 1):
                    outer[k, j] += inner[k, m] * inverse[m, j]
        for i in range(d):
            for j in range(d):
                G[i, j] = 0.0
        for k in range(d):  # half of the transposed inverse and that, and of its transpose
            for i in range(k + 1):
                for j in range(k + 1):
                    half_product = 0.5 * inverse[k, i] * outer[k, j]
                    G[i, j] += half_product
                    G[j, i] += half_product
        return G, gb, gu

    return pullback, 2
