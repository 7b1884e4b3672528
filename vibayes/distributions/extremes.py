"""The generalized extreme value distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import Continuous, draw_from
from vibayes.distributions.constraints import Constraints, constant_value, finite, positive
from vibayes.distributions.dist_math import safe_log1mexp
from vibayes.distributions.transforms import Interval, Transform

__all__ = ["GenExtreme"]

SMALL = 1e-3  # where six terms of a series have all digits
CERTAIN = 37.0  # where exp(-t) and 1 - exp(-exp(-t)) are the same number


class GenExtreme(Continuous):
    r"""Generalized extreme value distribution: the limit of the maximum of many values.

    With :math:`z = (x - \mu) / \sigma` and :math:`t = \log(1 + \xi z) / \xi`, in the limit
    :math:`t = z` for :math:`\xi = 0`,

    .. math:: f(x \mid \mu, \sigma, \xi) = \frac{1}{\sigma}
        \exp\left(-(1 + \xi) \, t - e^{-t}\right), \qquad 1 + \xi z > 0 .

    For :math:`\xi = 0` it is Gumbel's distribution, for :math:`\xi > 0` Fréchet's, with a heavy
    upper tail and a lower bound, for :math:`\xi < 0` a reflected Weibull distribution, with an
    upper bound.

    Parameters
    ----------
    mu : array_like, default 0
        Location.
    sigma : array_like, default 1
        Scale, positive.
    xi : array_like, default 0
        Shape. SciPy's ``c`` is ``-xi``.

    Notes
    -----
    A free variable is mapped into its support if ``xi`` is a number. Where it is an expression,
    which of the two bounds there is depends on its value: then there is no transform.

    References
    ----------
    Coles (2001), An Introduction to Statistical Modeling of Extreme Values. Springer, chapter 3.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive, "xi": finite}
    mu: TensorVariable
    sigma: TensorVariable
    xi: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, sigma: Any = 1.0, xi: Any = 0.0) -> None:
        self.set_params(mu=mu, sigma=sigma, xi=xi)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, e = draw_from(pt.random.exponential, 1.0, rng=rng, size=self.size_or_batch(size))
        return rng, self._at(-pt.log(e))

    def _at(self, t: Any) -> TensorVariable:
        """Return the value that belongs to t."""
        y = self.xi * t
        small = pt.abs(y) < SMALL
        near = pt.switch(small, y, 0.0)
        series = 1 + near / 2 * (1 + near / 3 * (1 + near / 4 * (1 + near / 5)))
        ratio = pt.switch(small, series, pt.expm1(y) / pt.switch(small, 1.0, y))
        return self.mu + self.sigma * t * ratio

    def _inside_and_t(self, value: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Tell where a value is in the support, and its log density a number; return t, else 0."""
        z = (value - self.mu) / self.sigma
        inside = (self.xi * z > -1) & ~pt.isinf(z)
        z = pt.switch(inside, z, 0.0)
        y = self.xi * z
        small = pt.abs(y) < SMALL
        near = pt.switch(small, y, 0.0)
        series = 1 - near * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near * (1 / 5 - near / 6))))
        far = pt.switch(small, 1.0, y)
        t = z * pt.switch(small, series, pt.log1p(far) / far)
        likely = t > -np.log(np.finfo(t.dtype).max)  # else exp(-t) is infinite
        return inside & likely, pt.switch(likely, t, 0.0)

    def logp(self, value: TensorVariable) -> TensorVariable:
        inside, t = self._inside_and_t(value)
        return pt.switch(inside, -(1 + self.xi) * t - pt.exp(-t) - pt.log(self.sigma), -np.inf)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        inside, t = self._inside_and_t(value)
        return pt.switch(inside, -pt.exp(-t), pt.switch(self._is_below(value), -np.inf, 0.0))

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        inside, t = self._inside_and_t(value)
        certain = t > CERTAIN
        near = safe_log1mexp(-pt.exp(-pt.switch(certain, 0.0, t)))
        tail = pt.switch(certain, -t, near)
        return pt.switch(inside, tail, pt.switch(self._is_below(value), 0.0, -np.inf))

    def _is_below(self, value: TensorVariable) -> TensorVariable:
        """Tell whether a value outside of the support is below it."""
        return value < self.mu

    def support_point(self) -> TensorVariable:
        """Return the median."""
        return self._at(-math.log(math.log(2)))

    @property
    def default_transform(self) -> Transform | None:
        """The log of the distance from the bound, where it is known which of the two there is."""
        xi = constant_value(self.xi)
        if xi is None or (xi == 0).any() or (xi > 0).any() != (xi > 0).all():
            return None
        bound = self.mu - self.sigma / self.xi
        return Interval(lower=bound) if (xi > 0).all() else Interval(upper=bound)
