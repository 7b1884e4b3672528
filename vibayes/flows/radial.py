"""Radial flow.

Rezende and Mohamed (2015), Variational Inference with Normalizing Flows,
https://arxiv.org/abs/1505.05770
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params, dimension
from vibayes.flows.planar import SOFTPLUS_ONE, TINY

__all__ = ["RadialFlow"]


class RadialFlow(Flow):
    r"""Draw the space towards a point, or push it away.

    .. math:: z' = z + \frac{\beta}{\alpha + r} (z - z_0), \qquad r = \|z - z_0\|, \qquad
        \log |\det J| = (d - 1) \log\left(1 + \frac{\beta}{\alpha + r}\right)
        + \log\left(1 + \frac{\alpha \beta}{(\alpha + r)^2}\right)

    It is a bijection if :math:`\beta > -\alpha`, hence

    .. math:: \alpha = e^a, \qquad \beta = \alpha (s - 1), \qquad
        s = \operatorname{softplus}(b + \log(e - 1))

    so that :math:`b = 0` is the identity. The parameters are ``a``, ``b`` and ``z_ref``, which is
    :math:`z_0`.
    """

    short_name: ClassVar[str] = "radial"

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {
            "a": np.zeros(()),
            "b": 0.01 * rng.standard_normal(()),
            "z_ref": rng.standard_normal(d),
        }

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        away = z - params["z_ref"]
        r = pt.sqrt((away**2).sum(axis=-1) + TINY)
        s = pt.softplus(params["b"] + SOFTPLUS_ONE)
        alpha = pt.exp(params["a"])
        near = alpha / (alpha + r)  # from 1 at the point to 0 far away
        stretch = 1.0 + (s - 1.0) * near
        # 1 - near^2 + s near^2: positive terms, so that nothing cancels as s nears 0
        along = (1.0 - near) * (1.0 + near) + s * near**2
        log_det = (dimension(z) - 1) * pt.log(stretch) + pt.log(along)
        return z + ((s - 1.0) * near)[..., None] * away, log_det
