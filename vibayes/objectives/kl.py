"""The Kullback-Leibler divergence from the approximation to the posterior."""

from __future__ import annotations

from collections.abc import Hashable

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import Approximation, Draws
from vibayes.objectives.base import Operator

__all__ = ["KL"]


class KL(Operator):
    r"""The negative evidence lower bound, which is KL(q || p) up to a constant.

    .. math:: E_q[-\log p(y \mid z) + \beta (\log q(z) - \log p(z))]

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    beta : float, default 1
        Weight of the divergence from the prior (Higgins et al. 2017, beta-VAE).
    """

    def __init__(self, approx: Approximation, beta: float = 1.0) -> None:
        super().__init__(approx)
        self.beta = beta

    @property
    def key(self) -> Hashable:
        return type(self), float(self.beta)

    def loss(self, draws: Draws) -> TensorVariable:
        if self.beta == 1.0:  # one graph of the joint density is smaller than two of its parts
            return (draws.logq - draws.logp).mean()
        return (self.beta * (draws.logq - draws.varlogp) - draws.datalogp).mean()
