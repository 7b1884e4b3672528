"""Small matrices, for which one plain loop is sooner compiled than calls of LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.variable import TensorVariable
from scipy import linalg
from scipy.linalg import lapack

from vibayes.backend.jax import jax_version
from vibayes.backend.numba import NumbaOp, numba_version

__all__ = ["InverseAndLogDet", "inverse_and_log_det"]


def inverse_and_log_det(matrix: TensorVariable) -> list[TensorVariable]:
    """Return the inverse and the log determinant of a small positive definite matrix.

    The log determinant is NaN if it is not positive definite within rounding.
    """
    return InverseAndLogDet()(matrix)


class InverseAndLogDet(NumbaOp):
    """Inverse and log determinant of a small positive definite matrix.

    One plain loop compiles in a fraction of the time that LAPACK's Cholesky factorization, the
    solution of triangular systems, and the derivatives of both do.
    """

    __props__ = ()

    def make_node(self, matrix: Variable) -> Apply:
        matrix = pt.as_tensor_variable(matrix)
        return Apply(self, [matrix], [matrix.type(), pt.scalar(dtype=matrix.type.dtype)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        (matrix,) = inputs
        factor, failed = lapack.get_lapack_funcs(("potrf",), (matrix,))[0](matrix, lower=True)
        if failed:
            inverse, log_det = np.full_like(matrix, np.nan), np.nan
        else:
            inverse = linalg.cho_solve((factor, True), np.eye(len(matrix), dtype=matrix.dtype))
            log_det = 2 * np.log(np.diag(factor)).sum()
        outputs[0][0] = inverse
        outputs[1][0] = np.asarray(log_det, dtype=matrix.dtype)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        (inverse, _), (g_inverse, g_log_det) = outputs, cotangents
        total = pt.zeros_like(inverse)
        if not isinstance(g_inverse.type, DisconnectedType):
            total -= inverse @ g_inverse @ inverse
        if not isinstance(g_log_det.type, DisconnectedType):
            total += g_log_det * inverse
        return [total]


@numba_version(InverseAndLogDet)
def compiled_inverse(
    op: InverseAndLogDet, node: Apply, njit: Callable[..., Any]
) -> tuple[Any, int]:
    @njit(error_model="numpy")
    def gauss_jordan(matrix):
        inverse = matrix.copy()
        n = len(inverse)
        log_det = np.zeros((), inverse.dtype)
        for k in range(n):
            pivot = inverse[k, k]  # positive: that of a Cholesky factorization, squared
            log_det[()] += np.log(pivot)
            inverse[k, k] = 1
            for j in range(n):
                inverse[k, j] /= pivot
            for i in range(n):
                if i != k:
                    factor = inverse[i, k]
                    inverse[i, k] = 0
                    for j in range(n):
                        inverse[i, j] -= factor * inverse[k, j]
        return inverse, log_det

    return gauss_jordan, 1


@jax_version(InverseAndLogDet)
def jax_inverse(op: InverseAndLogDet, node: Apply) -> Callable[..., Any]:
    import jax.numpy as jnp
    from jax.scipy.linalg import cho_solve

    def inverse_and_log_det(matrix: Any) -> tuple[Any, Any]:
        factor = jnp.linalg.cholesky(matrix)  # NaN if there is none
        inverse = cho_solve((factor, True), jnp.eye(len(matrix), dtype=matrix.dtype))
        return inverse, 2 * jnp.log(jnp.diagonal(factor)).sum()

    return inverse_and_log_det
