"""A Cholesky factorization whose derivatives are numbers where there is no factor."""

from __future__ import annotations

import pytensor.tensor as pt
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg import Cholesky
from pytensor.tensor.variable import TensorVariable

__all__ = ["RobustCholesky", "robust_cholesky"]


class RobustCholesky(Cholesky):
    """Cholesky factorization with a derivative of zero where the matrix is not positive definite.

    There the factor is NaN, and so would be the derivatives of whatever it is replaced by.
    """

    def pullback(self, inputs, outputs, gradients):
        (factor,) = outputs
        factor = pt.switch(pt.isnan(factor[0, 0]), 1.0, factor)
        return super().pullback(inputs, [factor], gradients)


def robust_cholesky(matrix: TensorVariable) -> TensorVariable:
    """Return the lower Cholesky factor, all NaN for a matrix that is not positive definite."""
    return Blockwise(RobustCholesky(lower=True))(matrix)
