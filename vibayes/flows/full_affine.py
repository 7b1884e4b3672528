"""A triangular linear map, which gives normal noise any covariance."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.linalg import solve_triangular
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params, dimension

__all__ = ["FullAffineFlow"]


class FullAffineFlow(Flow):
    r"""Multiply by a lower triangular matrix with a positive diagonal.

    .. math:: z' = L z, \qquad L = \operatorname{tril}(A, -1) + \operatorname{diag}(e^{s}), \qquad
        \log |\det J| = \sum_i s_i

    The parameters are ``log_scale``, :math:`s`, and ``lower``, :math:`A`, of which only what lies
    below the diagonal is used. Standard normal noise gets the covariance :math:`L L^T`.
    """

    short_name: ClassVar[str] = "full_affine"
    aliases: ClassVar[tuple[str, ...]] = ("affine", "cholesky")

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"log_scale": np.zeros(d), "lower": np.zeros((d, d))}

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        log_scale = params["log_scale"]
        moved = z * pt.exp(log_scale) + pt.dot(z, strictly_lower(z, params).T)
        return moved, log_scale.sum()

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        L = strictly_lower(z, params) + pt.diag(pt.exp(params["log_scale"]))
        return solve_triangular(L, z.T, lower=True, b_ndim=z.ndim).T


def strictly_lower(z: TensorVariable, params: Params) -> TensorVariable:
    d = dimension(z)
    return params["lower"] * np.tri(d, k=-1).astype(z.dtype)
