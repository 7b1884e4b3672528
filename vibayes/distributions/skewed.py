"""Student's t distribution with two tails of their own."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import Continuous, draw_from
from vibayes.distributions.constraints import Constraints, finite, positive
from vibayes.distributions.continuous import sigma_from, standard_gamma
from vibayes.distributions.dist_math import betaln, log_share

__all__ = ["SkewStudentT"]

LARGE = 1e8  # above, 1 + x**2 and x**2 are the same number


class SkewStudentT(Continuous):
    r"""Skew t distribution of Jones and Faddy.

    With :math:`z = (x - \mu) / \sigma` and :math:`u = z / \sqrt{a + b + z^2}`,

    .. math:: f(x \mid a, b, \mu, \sigma) =
        \frac{(1 + u)^{a + 1/2} \, (1 - u)^{b + 1/2}}
        {2^{a + b - 1} \, B(a, b) \, \sqrt{a + b} \; \sigma} .

    For :math:`a = b` it is Student's t distribution of 2a degrees of freedom; for :math:`a > b` it
    is skewed to the right.

    Parameters
    ----------
    a, b : array_like
        Shapes, positive: the lower tail falls like :math:`|x|^{-2a - 1}`, the upper one like
        :math:`x^{-2b - 1}`.
    mu : array_like, default 0
        Location.
    sigma : array_like, optional
        Scale, positive; 1 by default.
    lam : array_like, optional
        Precision, ``1 / sigma**2``, instead of ``sigma``.

    References
    ----------
    Jones and Faddy (2003), A skew extension of the t-distribution, with applications. Journal of
    the Royal Statistical Society B 65, 159-174.
    """

    constraints: ClassVar[Constraints] = {
        "mu": finite,
        **dict.fromkeys(("a", "b", "sigma", "lam"), positive),
    }
    a: TensorVariable
    b: TensorVariable
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self, a: Any, b: Any, *, mu: Any = 0.0, sigma: Any = None, lam: Any = None
    ) -> None:
        self.set_params(a=a, b=b, mu=mu, sigma=sigma_from(sigma, lam=lam))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, up = draw_from(standard_gamma, self.a, rng=rng, size=size)
        rng, down = draw_from(standard_gamma, self.b, rng=rng, size=size)
        t = 0.5 * pt.sqrt(self.a + self.b) * (up - down) / pt.sqrt(up) / pt.sqrt(down)
        return rng, self.mu + self.sigma * t

    def _log_halves(self, value: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return log(1 + u) and log(1 - u), each precise where it is far below zero."""
        w = (value - self.mu) / (self.sigma * pt.sqrt(self.a + self.b))
        largest = np.finfo(w.dtype).max
        far = pt.minimum(pt.abs(w), largest)
        large = far > LARGE
        near = pt.switch(large, 1.0, far)
        u = pt.switch(large, 1.0, near / pt.sqrt(1 + near**2))
        beyond = pt.switch(large, far, 1.0)
        log_square = pt.switch(large, 2 * pt.log(beyond), pt.log1p(near**2))
        greater = pt.log1p(u)
        smaller = -log_square - greater
        right = w > 0
        return pt.switch(right, greater, smaller), pt.switch(right, smaller, greater)

    def logp(self, value: TensorVariable) -> TensorVariable:
        infinite = pt.isinf(value)
        log_up, log_down = self._log_halves(pt.switch(infinite, 0.0, value))
        total = self.a + self.b
        norm = (total - 1) * math.log(2) + betaln(self.a, self.b) + 0.5 * pt.log(total)
        powers = (self.a + 0.5) * log_up + (self.b + 0.5) * log_down
        return pt.switch(infinite, -np.inf, powers - norm - pt.log(self.sigma))

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return log_share(*self._tails(value))

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return log_share(*reversed(self._tails(value)))

    def _tails(self, value: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return the CDF and its complement."""
        up, down = (0.5 * pt.exp(half) for half in self._log_halves(value))
        return pt.betainc(self.a, self.b, up), pt.betainc(self.b, self.a, down)

    def support_point(self) -> TensorVariable:
        return self.mu
