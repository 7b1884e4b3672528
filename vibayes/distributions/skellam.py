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
from vibayes.distributions.dist_math import LOG_SQRT_2PI, log_sum_exp_last

__all__ = ["Skellam"]

LARGE = 30.0  # from where on the asymptotic series has 10 digits
ASYMPTOTIC_TERMS = 6
POWER_TERMS = 48


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
    The log mass is the sum over pairs of counts where x and the means are small, and that of the
    Bessel function's uniform asymptotic series elsewhere (DLMF 10.41.3), in which what grows has
    cancelled.

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
        n = pt.abs(x)
        large = n**2 + 4 * a * b > LARGE**2
        far = asymptotic(pt.switch(large, n, to_float(LARGE)), a, b)
        near = pairs(
            pt.switch(large, to_float(0.0), n), *(pt.switch(large, 1.0, m) for m in (a, b))
        )
        return pt.switch(whole, pt.switch(large, far, near), -np.inf)

    def support_point(self) -> TensorVariable:
        """Return the mean, rounded."""
        return pt.round(self.mu1 - self.mu2)


def pairs(n: TensorVariable, a: TensorVariable, b: TensorVariable) -> TensorVariable:
    """Return the log mass of n as the sum over all pairs of counts, of means a and b."""
    m = to_float(np.arange(POWER_TERMS))
    logs = (n[..., None] + m) * pt.log(a)[..., None] + m * pt.log(b)[..., None]
    logs -= pt.gammaln(n[..., None] + m + 1) + pt.gammaln(m + 1)
    return log_sum_exp_last(logs) - a - b


def asymptotic(n: TensorVariable, a: TensorVariable, b: TensorVariable) -> TensorVariable:
    """Return the log mass of n, the difference of counts of means a and b, for large n, a or b."""
    w = pt.sqrt(n**2 + 4 * a * b)
    excess, share = n - (a - b), (n + a - b) / (w + a + b)
    change = -excess * (share + 1) / (n + w)  # 2 * a / (n + w) - 1
    moderate = pt.abs(change) < 0.5
    log_ratio = pt.switch(
        moderate, pt.log1p(pt.switch(moderate, change, 0.0)), pt.log(2 * a) - pt.log(n + w)
    )
    coefficients = to_float(debye_coefficients(ASYMPTOTIC_TERMS))
    square = powers((n / w) ** 2, ASYMPTOTIC_TERMS)
    total = ((square @ coefficients) * powers(1 / w, ASYMPTOTIC_TERMS)).sum(axis=-1)
    return excess * share + n * log_ratio - 0.5 * pt.log(w) - LOG_SQRT_2PI + pt.log(total)


def powers(x: TensorVariable, count: int) -> TensorVariable:
    """Return the powers of numbers from 0 to ``count``, along a last axis."""
    found = [pt.ones_like(x)]
    for _ in range(count):
        found.append(found[-1] * x)
    return pt.stack(found, axis=-1)


@cache
def debye_coefficients(count: int) -> np.ndarray:
    r"""Return the coefficients of :math:`U_k(p) / p^k`, a column each, of powers of :math:`p^2`.

    .. math:: U_{k+1}(p) = \tfrac12 p^2 (1 - p^2) U_k'(p) +
        \tfrac18 \int_0^p (1 - 5 t^2) U_k(t) \, dt, \qquad U_0 = 1
    """
    own, table = [Fraction(1)], np.zeros((count + 1, count + 1))
    for k in range(count + 1):
        table[: k + 1, k] = own
        more = [Fraction(0)] * (k + 2)
        for j, c in enumerate(own):
            power = k + 2 * j
            more[j] += c * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            more[j + 1] -= c * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
        own = more
    return table
