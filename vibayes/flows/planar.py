"""Planar flow.

Rezende and Mohamed (2015), Variational Inference with Normalizing Flows,
https://arxiv.org/abs/1505.05770
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params

__all__ = ["PlanarFlow"]

SOFTPLUS_ONE = math.log(math.e - 1.0)  # where softplus is 1
TINY = 1e-30  # keeps a vector of zeros from being divided by its length


class PlanarFlow(Flow):
    r"""Squeeze or stretch along one direction, at a hyperplane across another.

    .. math:: z' = z + \hat u \tanh(a), \qquad a = w^T z + b, \qquad
        \log |\det J| = \log \left(1 + \hat u^T w \, (1 - \tanh^2 a)\right)

    It is a bijection if :math:`\hat u^T w > -1`. So ``u`` is moved along ``w``, as in the paper's
    appendix:

    .. math:: \hat u = u + \left(m(w^T u) - w^T u\right) \frac{w}{\|w\|^2}, \qquad
        m(x) = \operatorname{softplus}(x + \log(e - 1)) - 1

    The shift inside softplus is ours: it makes :math:`u = 0` the identity. The parameters are
    ``u``, ``w`` and ``b``.
    """

    short_name: ClassVar[str] = "planar"

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {
            "u": 0.01 * rng.standard_normal(d),
            "w": rng.standard_normal(d) / np.sqrt(d),
            "b": rng.standard_normal(()),
        }

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        u, w, b = params["u"], params["w"], params["b"]
        wu = pt.dot(w, u)
        slope = pt.softplus(wu + SOFTPLUS_ONE)  # 1 + m(w'u), by which the hyperplane is stretched
        u_hat = u + (slope - 1.0 - wu) * w / (pt.dot(w, w) + TINY)
        h = pt.tanh(pt.dot(z, w) + b)
        # 1 + m (1 - h^2) as a sum of two positive terms, so that nothing cancels as m nears -1
        log_det = pt.log(h**2 + slope * (1.0 - h**2))
        return z + h[..., None] * u_hat, log_det
