"""The difference of two counts."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import Discrete, draw_from, to_float
from vibayes.distributions.constraints import Constraints, positive
from vibayes.distributions.discrete import log_of
from vibayes.distributions.dist_math import LOG_SQRT_2PI

__all__ = ["Skellam"]

LARGE = 20.0  # from where on the asymptotic series has 11 digits
ASYMPTOTIC_TERMS = 8
POWER_TERMS = 32


class Skellam(Discrete):
    r"""Skellam distribution: the difference of two independent Poisson counts.

    .. math:: f(x \mid \mu_1, \mu_2) = e^{-\mu_1 - \mu_2}
        \left(\frac{\mu_1}{\mu_2}\right)^{x / 2} I_{|x|}(2 \sqrt{\mu_1 \mu_2}),
        \qquad x \in \{\dots, -1, 0, 1, \dots\}

    with the modified Bessel function of the first kind.

    Parameters
    ----------
    mu1, mu2 : array_like
        Mean of the count from which, and of that which is subtracted, positive.

    Notes
    -----
    The Bessel function is the sum of its power series where order and argument are small, and of
    its uniform asymptotic one elsewhere (DLMF 10.25.2, 10.41.3). What grows cancels before.

    References
    ----------
    Skellam (1946), The frequency distribution of the difference between two Poisson variates
    belonging to different populations. Journal of the Royal Statistical Society 109, 296.
    """

    constraints: ClassVar[Constraints] = {"mu1": positive, "mu2": positive}
    mu1: TensorVariable
    mu2: TensorVariable

    @behind_new
    def __init__(self, mu1: Any, mu2: Any) -> None:
        self.set_params(mu1=mu1, mu2=mu2)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, first = draw_from(pt.random.poisson, self.mu1, rng=rng, size=size)
        rng, second = draw_from(pt.random.poisson, self.mu2, rng=rng, size=size)
        return rng, first - second

    def logp(self, value: TensorVariable) -> TensorVariable:
        whole = pt.eq(value, pt.floor(value)) & ~pt.isinf(to_float(value))
        x = to_float(pt.switch(whole, value, 0))
        up = x >= 0
        a, b = pt.switch(up, self.mu1, self.mu2), pt.switch(up, self.mu2, self.mu1)
        log_a = pt.switch(up, log_of(self.mu1), log_of(self.mu2))
        n = pt.abs(x)
        w = pt.sqrt(n**2 + 4 * a * b)
        large = w > LARGE
        far = asymptotic(pt.switch(large, n, LARGE), a, b, log_a)
        near = pt.switch(large, 0.0, n)
        product = pt.switch(large, 1.0, a * b)
        power = near * log_a - a - b - pt.gammaln(near + 1) + pt.log(power_series(near, product))
        return pt.switch(whole, pt.switch(large, far, power), -np.inf)

    def support_point(self) -> TensorVariable:
        """Return the mean, rounded."""
        return pt.round(self.mu1 - self.mu2)


def power_series(n: TensorVariable, y: TensorVariable) -> TensorVariable:
    """Return the sum of ``y**m / (m! (n + 1) ... (n + m))`` over m."""
    total: Any = 1.0
    for m in range(POWER_TERMS, 0, -1):
        total = 1 + total * y / (m * (n + m))
    return total


def asymptotic(
    n: TensorVariable, a: TensorVariable, b: TensorVariable, log_a: TensorVariable
) -> TensorVariable:
    """Return the log mass of n, the difference of counts of means a and b, for large n, a or b."""
    w = pt.sqrt(n**2 + 4 * a * b)
    excess, share = n - (a - b), (n + a - b) / (w + a + b)
    change = -excess * (share + 1) / (n + w)  # 2 * a / (n + w) - 1
    moderate = pt.abs(change) < 0.5
    log_ratio = pt.switch(
        moderate,
        pt.log1p(pt.switch(moderate, change, 0.0)),
        log_a + np.log(2) - pt.log(n + w),
    )
    square, total = (n / w) ** 2, 0.0
    for coefficients in reversed(debye_polynomials(ASYMPTOTIC_TERMS)):
        polynomial: Any = 0.0
        for c in reversed(coefficients):
            polynomial = polynomial * square + c
        total = total / w + polynomial
    return excess * share + n * log_ratio - 0.5 * pt.log(w) - LOG_SQRT_2PI + pt.log(total)


@cache
def debye_polynomials(count: int) -> list[list[float]]:
    r"""Return the coefficients of :math:`U_k(p) / p^k`, as polynomials in :math:`p^2`.

    .. math:: U_{k+1}(p) = \tfrac12 p^2 (1 - p^2) U_k'(p) +
        \tfrac18 \int_0^p (1 - 5 t^2) U_k(t) \, dt, \qquad U_0 = 1
    """
    own, found = [Fraction(1)], []
    for k in range(count + 1):
        found.append([float(c) for c in own])
        more = [Fraction(0)] * (len(own) + 1)
        for j, c in enumerate(own):
            power = k + 2 * j
            more[j] += c * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            more[j + 1] -= c * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
        own = more
    return found
