"""The Weibull distribution of whole numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import draw_from
from vibayes.distributions.constraints import Constraints, open_unit, positive
from vibayes.distributions.discrete import BoundedDiscrete, as_integer, log_of
from vibayes.distributions.dist_math import safe_log1mexp

__all__ = ["DiscreteWeibull"]

LARGEST = 2.0**62  # of the whole numbers that a draw can be


class DiscreteWeibull(BoundedDiscrete):
    r"""Discrete Weibull distribution: a Weibull variable, rounded down.

    .. math:: f(x \mid q, \beta) = q^{x^\beta} - q^{(x + 1)^\beta}, \qquad x \in \{0, 1, \dots\}

    Parameters
    ----------
    q : array_like
        Probability of a number above zero, strictly between 0 and 1.
    beta : array_like
        Shape, positive: the tail is heavier than the geometric one if it is below 1.

    References
    ----------
    Nakagawa and Osaki (1975), The discrete Weibull distribution. IEEE Transactions on Reliability
    24, 300-301.
    """

    constraints: ClassVar[Constraints] = {"q": open_unit, "beta": positive}
    q: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(self, q: Any, beta: Any) -> None:
        self.set_params(q=q, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, e = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        return rng, as_integer(pt.minimum(pt.floor(self._weibull(e)), LARGEST))

    def _weibull(self, e: Any) -> TensorVariable:
        """Return the Weibull variable that an exponential one stands for."""
        return (e / -log_of(self.q)) ** (1 / self.beta)

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        rate = -log_of(self.q)
        log_x = pt.log(pt.maximum(x, 1.0))
        before = pt.switch(x > 0, pt.exp(self.beta * log_x), 0.0)
        growth = pt.expm1(self.beta * pt.log1p(1 / pt.maximum(x, 1.0)))
        # (x + 1)**beta - x**beta, which cancels for large x
        more = pt.switch(x > 0, pt.maximum(before, 1.0) * growth, 1.0)
        return -rate * before + safe_log1mexp(-rate * more)

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return safe_log1mexp(self.interior_logccdf(x))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return log_of(self.q) * pt.exp(self.beta * pt.log1p(x))

    def support_point(self) -> TensorVariable:
        """Return the median."""
        return pt.floor(self._weibull(0.6931471805599453))
