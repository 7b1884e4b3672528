"""Eigenvalues and eigenvectors whose derivatives are numbers where eigenvalues are equal."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg import Eigh
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import rewritten

__all__ = ["RobustEigh", "robust_eigh", "with_robust_eigh"]

ROUNDING = 16  # of eigenvalues, in units of the number of rows times the largest one's last digit


class RobustEigh(Eigh):
    r"""Eigenvalues and eigenvectors of symmetric matrices.

    With :math:`A = V \operatorname{diag}(w) V^\top` and the gradients :math:`g_w, g_V`,

    .. math::

        g_A = V \left(\operatorname{diag}(g_w) + F \circ V^\top g_V\right) V^\top, \qquad
        F_{ij} = \frac{1}{w_j - w_i},

    where :math:`F_{ij}` is zero for eigenvalues that are equal within rounding. Equal ones stay
    equal when parameters of a matrix change (a multiple of the identity, the kernel of a ring), or
    differ within rounding at no other place than that. In the first case the matrix changes by a
    multiple of the identity in their subspace, and the term left out is zero for every function
    that does not depend on which eigenvectors were chosen there: a density, above all.
    """

    def perform(self, node, inputs, outputs):
        try:
            super().perform(node, inputs, outputs)
        except (ValueError, np.linalg.LinAlgError):  # a matrix that is not finite
            for output, variable in zip(outputs, node.outputs, strict=True):
                shape = inputs[0].shape[: variable.type.ndim]
                output[0] = np.full(shape, np.nan, dtype=variable.type.dtype)

    def pullback(self, inputs, outputs, gradients):
        if len(inputs) > 1:
            return super().pullback(inputs, outputs, gradients)
        w, v = outputs
        g_w, g_v = gradients
        inner = pt.zeros_like(v)
        if not isinstance(g_w.type, DisconnectedType):
            inner += pt.diag(g_w)
        if not isinstance(g_v.type, DisconnectedType):
            difference = w[None, :] - w[:, None]
            digit = np.finfo(w.dtype).eps
            least = ROUNDING * digit * w.shape[0] * pt.max(pt.abs(w))
            differ = pt.abs(difference) > least
            inverse = pt.switch(differ, 1.0 / pt.switch(differ, difference, 1.0), 0.0)
            inner += inverse * (v.T @ g_v)
        whole = v @ inner @ v.T
        if self.lower:
            return [pt.tril(whole) + pt.triu(whole, k=1).T]
        return [pt.triu(whole) + pt.tril(whole, k=-1).T]


def robust_eigh(matrix: TensorVariable) -> list[TensorVariable]:
    """Return eigenvalues, in ascending order, and eigenvectors of symmetric matrices."""
    return Blockwise(RobustEigh(), signature="(m,m)->(m),(m,m)")(matrix)


def with_robust_eigh(graphs: list[Variable]) -> list[Variable]:
    """Return copies of graphs in which eigenvectors have derivatives at equal eigenvalues, too."""

    def robust(node: Apply) -> list[Variable] | None:
        core = node.op.core_op
        if type(core) is not Eigh or len(node.inputs) > 1:
            return None
        matrix = node.inputs[0] if core.lower else node.inputs[0].mT
        return robust_eigh(matrix)

    return rewritten(graphs, Blockwise, robust)
