"""Inverse autoregressive flow, by masked networks.

Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive Flow,
https://arxiv.org/abs/1606.04934; Germain et al. (2015), MADE, https://arxiv.org/abs/1502.03509
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.affine_coupling import shift_and_log_scale
from vibayes.flows.base import Flow, Params, dimension, set_whole
from vibayes.flows.network import network, network_params

__all__ = ["InverseAutoregressiveFlow"]

PASSES = ("up", "down")


@dataclass(frozen=True, eq=False)
class InverseAutoregressiveFlow(Flow):
    r"""Shift and scale each dimension by what those before it say.

    .. math:: z'_i = e^{s_i(z_{<i})} z_i + t_i(z_{<i}), \qquad \log |\det J| = \sum_i s_i

    Then the same again with the dimensions in the opposite order, so that each depends on all.
    All :math:`s_i` and :math:`t_i` come from one network with one hidden layer of tanh, whose
    weights are masked. The logarithm of a scale stays between -5 and 5.

    Forward, from noise to draws, all dimensions are computed at once, which is what variational
    inference needs. The inverse has to go from dimension to dimension: it computes the network d
    times.

    Parameters
    ----------
    hidden : int, default 16
        Units of the hidden layer; never fewer than there are dimensions.
    """

    hidden: int = 16

    short_name: ClassVar[str] = "iaf"

    def __post_init__(self) -> None:
        set_whole(self, "hidden", least=1)

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        params = [network_params(name, d, self.width(d), 2 * d, rng) for name in PASSES]
        return params[0] | params[1]

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        log_det: Any = 0.0
        for name in PASSES:
            shift, log_scale = self.steer(z, name, params)
            z = z * pt.exp(log_scale) + shift
            log_det = log_det + log_scale
        return z, log_det.sum(axis=-1)

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        for name in reversed(PASSES):
            x = z
            for _ in range(dimension(z)):  # each round gets one more dimension right
                shift, log_scale = self.steer(x, name, params)
                x = (z - shift) * pt.exp(-log_scale)
            z = x
        return z

    def steer(
        self, z: TensorVariable, name: str, params: Params
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return shift and log scale of each dimension."""
        d = dimension(z)
        masks = made_masks(d, self.width(d), descending=name == "down")
        return shift_and_log_scale(network(z, name, params, masks), d)

    def width(self, d: int) -> int:
        """Return the number of hidden units: enough that none of d inputs goes unseen."""
        return max(self.hidden, d)


def made_masks(d: int, hidden: int, descending: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of two layers that let an output see only the inputs before it.

    Hidden unit h sees the first ``degree[h]`` inputs in the order, and is seen by the outputs
    after those.
    """
    order = np.arange(1, d + 1)[:: -1 if descending else 1]
    degree = 1 + np.arange(hidden) % (d - 1) if d > 1 else np.zeros(hidden, dtype=int)
    sees = order[:, None] <= degree
    is_seen = degree[:, None] < order
    return sees, np.tile(is_seen, 2)
