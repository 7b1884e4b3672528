"""Affine coupling, the layer of RealNVP.

Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP,
https://arxiv.org/abs/1605.08803
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import dimension, soft_clip
from vibayes.flows.coupling import CouplingFlow

__all__ = ["AffineCouplingFlow"]

LARGEST_LOG_SCALE = 5.0


@dataclass(frozen=True, eq=False)
class AffineCouplingFlow(CouplingFlow):
    r"""Shift and scale each half of the dimensions by what the other half says.

    .. math:: z'_2 = e^{s(z_1)} z_2 + t(z_1), \qquad z'_1 = e^{s'(z'_2)} z_1 + t'(z'_2), \qquad
        \log |\det J| = \sum s + \sum s'

    The logarithm of a scale stays between -5 and 5: it is :math:`5 \tanh(\cdot / 5)` of the
    network's output.

    Parameters
    ----------
    hidden : int, default 16
        Units of the networks' hidden layer.
    """

    short_name: ClassVar[str] = "affine_coupling"
    aliases: ClassVar[tuple[str, ...]] = ("realnvp", "coupling")

    @property
    def numbers(self) -> int:
        return 2

    def bend(
        self, z: TensorVariable, theta: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        shift, log_scale = shift_and_log_scale(theta, dimension(z))
        return z * pt.exp(log_scale) + shift, log_scale

    def unbend(self, z: TensorVariable, theta: TensorVariable) -> TensorVariable:
        shift, log_scale = shift_and_log_scale(theta, dimension(z))
        return (z - shift) * pt.exp(-log_scale)


def shift_and_log_scale(theta: TensorVariable, k: int) -> tuple[TensorVariable, TensorVariable]:
    """Return the two halves of a network's output, the second within bounds."""
    return theta[..., :k], soft_clip(theta[..., k:], LARGEST_LOG_SCALE)
