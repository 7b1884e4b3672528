"""Householder flow.

Tomczak and Welling (2016), Improving Variational Auto-Encoders using Householder Flow,
https://arxiv.org/abs/1611.09630
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params
from vibayes.flows.planar import TINY

__all__ = ["HouseholderFlow"]


class HouseholderFlow(Flow):
    r"""Reflect at the hyperplane across a vector.

    .. math:: z' = z - 2 \frac{v^T z}{\|v\|^2} v, \qquad \log |\det J| = 0

    Several of them make any rotation; after a ``scale`` that gives a full covariance. A reflection
    is never the identity, but it starts close to the one that turns the sign of the last
    dimension, which leaves a distribution that is symmetric about zero as it is. The parameter is
    ``v``.
    """

    short_name: ClassVar[str] = "hh"
    aliases: ClassVar[tuple[str, ...]] = ("householder",)

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"v": np.eye(d)[-1] + 0.1 * rng.standard_normal(d)}

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        return self.inverse(z, params), pt.zeros((), dtype=z.dtype)

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        v = params["v"]
        return z - pt.dot(z, v)[..., None] * (2.0 * v / (pt.dot(v, v) + TINY))
