"""A shift."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params

__all__ = ["LocFlow"]


class LocFlow(Flow):
    r"""Add a vector.

    .. math:: z' = z + \mu, \qquad \log |\det J| = 0

    The parameter ``loc`` is :math:`\mu`.
    """

    short_name: ClassVar[str] = "loc"

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"loc": np.zeros(d)}

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        return z + params["loc"], pt.zeros((), dtype=z.dtype)

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        return z - params["loc"]
