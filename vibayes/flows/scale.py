"""A scale for each dimension."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params

__all__ = ["ScaleFlow"]


class ScaleFlow(Flow):
    r"""Multiply each dimension by a positive number.

    .. math:: z' = e^{s} \odot z, \qquad \log |\det J| = \sum_i s_i

    The parameter ``log_scale`` is :math:`s`.
    """

    short_name: ClassVar[str] = "scale"

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"log_scale": np.zeros(d)}

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        log_scale = params["log_scale"]
        return z * pt.exp(log_scale), log_scale.sum()

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        return z * pt.exp(-params["log_scale"])
