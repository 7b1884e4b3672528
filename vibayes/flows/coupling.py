"""Coupling: each half of the dimensions steers what happens to the other half.

Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP,
https://arxiv.org/abs/1605.08803
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Flow, Params, dimension, set_whole
from vibayes.flows.network import network, network_params

__all__ = ["CouplingFlow"]


@dataclass(frozen=True, eq=False)
class CouplingFlow(Flow):
    r"""Transform each half of the dimensions by a function that the other half chooses.

    .. math:: z'_2 = g(z_2; \theta_1(z_1)), \qquad z'_1 = g(z_1; \theta_2(z'_2))

    Here :math:`g` acts on each dimension by itself, and :math:`\theta_1`, :math:`\theta_2` are
    networks with one hidden layer of tanh. Both halves move, so that such flows can follow each
    other without a permutation in between. A single dimension is transformed with parameters that
    depend on nothing.

    A subclass implements :meth:`numbers`, :meth:`bend` and :meth:`unbend`.

    Parameters
    ----------
    hidden : int, default 16
        Units of the hidden layer.
    """

    hidden: int = 16

    def __post_init__(self) -> None:
        set_whole(self, "hidden", least=1)

    @property
    def numbers(self) -> int:
        """How many parameters the function of a dimension has."""
        raise NotImplementedError

    def bend(
        self, z: TensorVariable, theta: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return :math:`g(z)` and the logarithm of its derivative, element by element.

        Parameters
        ----------
        z
            Shape (..., k).
        theta
            Shape (..., k * numbers).
        """
        raise NotImplementedError

    def unbend(self, z: TensorVariable, theta: TensorVariable) -> TensorVariable:
        """Return what :meth:`bend` maps to ``z``."""
        raise NotImplementedError

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        if d == 1:
            return network_params("upper", 1, self.hidden, self.numbers, rng)
        k = d // 2
        return {
            **network_params("upper", k, self.hidden, (d - k) * self.numbers, rng),
            **network_params("lower", d - k, self.hidden, k * self.numbers, rng),
        }

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        d = dimension(z)
        if d == 1:
            z, log_slope = self.bend(z, network(pt.zeros_like(z), "upper", params))
            return z, log_slope.sum(axis=-1)
        lower, upper = z[..., : d // 2], z[..., d // 2 :]
        upper, upper_slope = self.bend(upper, network(lower, "upper", params))
        lower, lower_slope = self.bend(lower, network(upper, "lower", params))
        log_slope = pt.concatenate([lower_slope, upper_slope], axis=-1)
        return pt.concatenate([lower, upper], axis=-1), log_slope.sum(axis=-1)

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        d = dimension(z)
        if d == 1:
            return self.unbend(z, network(pt.zeros_like(z), "upper", params))
        lower, upper = z[..., : d // 2], z[..., d // 2 :]
        lower = self.unbend(lower, network(upper, "lower", params))
        upper = self.unbend(upper, network(lower, "upper", params))
        return pt.concatenate([lower, upper], axis=-1)
