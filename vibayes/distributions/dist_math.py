"""Special functions and stable formulas that several densities share.

None of them gives NaN, as a value or as a derivative, where the mathematical one exists, be it
infinite. A function that ``switch`` does not select still takes part in the derivative, as zero
times its own one, which is NaN where that is infinite: hence arguments are made safe before the
function is applied, not only its result after.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.ops.special import LOG_SQRT_2PI, SQRT_HALF, betaln, i0e, i1e, log_ndtr, ndtri_exp

__all__ = [
    "LOG_SQRT_2PI",
    "SQRT_HALF",
    "betaln",
    "i0e",
    "i1e",
    "log_abs",
    "log_binomial",
    "log_erfcx_half",
    "log_i0",
    "log_ndtr",
    "log_ndtr_diff",
    "log_or_minus_inf",
    "log_power_at_zero",
    "log_rising_factorial",
    "log_share",
    "log_sum_exp",
    "log_sum_exp_last",
    "log_weighted",
    "logdiffexp",
    "ndtri_exp",
    "safe_log1mexp",
    "xlog1py",
    "xlogy",
]


def log_i0(x: Any) -> TensorVariable:
    """Return log I0(x) - x for x >= 0, I0 being the modified Bessel function of order 0."""
    return pt.log(i0e(x))


def log_abs(x: Any) -> TensorVariable:
    """Return log(abs(x)), at 0 that of the smallest normal number with derivative 0."""
    return pt.log(pt.maximum(pt.abs(x), float(np.finfo(x.dtype).tiny)))


def log_or_minus_inf(x: Any) -> TensorVariable:
    """Return log(x) where x > 0, else minus infinity with derivative zero."""
    positive = x > 0
    return pt.switch(positive, pt.log(pt.switch(positive, x, 1.0)), -np.inf)


def log_share(share: Any, rest: Any) -> TensorVariable:
    """Return log(share) of a part of 1 whose rest is given, too, so that it is precise near 1."""
    return pt.switch(share < 0.5, log_or_minus_inf(share), pt.log1p(-pt.minimum(rest, 0.5)))


def log_power_at_zero(exponent: Any) -> TensorVariable:
    """Return the log of ``x**exponent`` in the limit of x to 0 from above."""
    return pt.switch(pt.lt(exponent, 0), np.inf, pt.switch(pt.eq(exponent, 0), 0.0, -np.inf))


def xlogy(x: Any, y: Any) -> TensorVariable:
    """Return x * log(y) for y >= 0, which is 0 where both are 0."""
    positive = pt.gt(y, 0)
    log_y = pt.log(pt.switch(positive, y, 1.0))
    return pt.switch(positive, x * log_y, log_power_at_zero(x))


def xlog1py(x: Any, y: Any) -> TensorVariable:
    """Return x * log(1 + y) for y >= -1, which is 0 where x is 0 and y is -1."""
    positive = pt.gt(y, -1)
    log1p_y = pt.log1p(pt.switch(positive, y, 0.0))
    return pt.switch(positive, x * log1p_y, log_power_at_zero(x))


def logdiffexp(a: Any, b: Any) -> TensorVariable:
    """Return log(exp(a) - exp(b)) for a > b."""
    return a + pt.log1mexp(b - a)


def log_erfcx_half(x: Any) -> TensorVariable:
    r"""Return :math:`\log\Phi(-x) + x^2/2` for x >= 0, from which the square has cancelled."""
    return pt.log(0.5 * pt.erfcx(x * SQRT_HALF))


def log_ndtr_diff(lower: Any, upper: Any) -> TensorVariable:
    r"""Return :math:`\log(\Phi(u) - \Phi(l))` of finite bounds l < u.

    The difference is taken in the tail in which both terms are small. Where the interval is so
    narrow that they nearly agree, the density in its middle times its width is more precise.
    """
    width, middle = upper - lower, 0.5 * (lower + upper)
    flip = middle > 0
    log_high = log_ndtr(pt.switch(flip, -lower, upper))
    log_low = log_ndtr(pt.switch(flip, -upper, lower))
    narrow = width * (1 + pt.abs(middle)) < 1e-5
    gap = pt.switch(narrow, -1.0, log_low - log_high)
    return pt.switch(
        narrow,
        pt.log(width) - 0.5 * middle**2 - LOG_SQRT_2PI,
        log_high + pt.log1mexp(gap),
    )


def log_rising_factorial(a: Any, n: Any) -> TensorVariable:
    r"""Return :math:`\log(\Gamma(a + n) / \Gamma(a))` for a > 0 and n >= 0.

    The difference of two log gammas loses all digits where a is large: there Stirling's series
    (Abramowitz and Stegun 6.1.41), of which the large terms have cancelled, takes its place.
    """
    large = pt.ge(a, 100)
    b = pt.switch(large, a, 100.0)
    top = b + n
    series = (top - 0.5) * pt.log1p(n / b) + n * pt.log(b) - n
    series += stirling_rest(top) - stirling_rest(b)
    return pt.switch(large, series, pt.gammaln(a + n) - pt.gammaln(a))


def stirling_rest(x: Any) -> TensorVariable:
    """Return what Stirling's formula lacks for log Gamma(x), to 1e-13 for x >= 100."""
    return (1 - (1 / x) ** 2 / 30) / (12 * x)


def log_binomial(n: Any, k: Any) -> TensorVariable:
    """Return the log of the number of ways to choose k of n, for 0 <= k <= n."""
    fewer = pt.minimum(k, n - k)
    return log_rising_factorial(n - fewer + 1, fewer) - pt.gammaln(fewer + 1)


def safe_log1mexp(x: Any) -> TensorVariable:
    """Return log(1 - exp(x)) for x <= 0, finite where x has underflowed to zero.

    A value above minus the smallest normal number counts as that.
    """
    least = pt.constant(-np.finfo(x.dtype).tiny)
    return pt.log1mexp(pt.switch(x < least, x, least))


def log_weighted(weight: TensorVariable, term: TensorVariable) -> TensorVariable:
    """Return term + log(weight): minus infinity, with derivatives zero, for a weight of zero."""
    positive = weight > 0
    return pt.switch(positive, term + pt.log(pt.switch(positive, weight, 1.0)), -np.inf)


def log_sum_exp(terms: Sequence[TensorVariable]) -> TensorVariable:
    """Return log(exp(a) + exp(b) + ...) of terms a, b, ... that broadcast, whatever they are.

    Infinite terms, all of them or some, give what they should, with derivatives that are numbers.
    All operations are elementwise, so that they compile into one loop.
    """
    peak, shift = _peak_and_shift(reduce(pt.maximum, terms))
    return peak + _log_of_sum(reduce(pt.add, [_exp_shifted(term, shift) for term in terms]))


def log_sum_exp_last(x: TensorVariable) -> TensorVariable:
    """Return :func:`log_sum_exp` of the elements along the last axis."""
    peak, shift = _peak_and_shift(pt.max(x, axis=-1))
    return peak + _log_of_sum(_exp_shifted(x, shift[..., None]).sum(axis=-1))


def _peak_and_shift(largest: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
    """Return a whole number near the largest term, and the same without infinities.

    Any number can be taken out of the sum. Whole ones have derivative zero, which saves the graph
    of a derivative that would cancel in the end.
    """
    limit = pt.constant(0.5 * np.finfo(largest.dtype).max)
    peak = pt.ceil(largest)
    return peak, pt.clip(peak, -limit, limit)


def _exp_shifted(term: TensorVariable, shift: TensorVariable) -> TensorVariable:
    return pt.exp(pt.minimum(term - shift, 1.0))  # above 0 only for a term of plus infinity


def _log_of_sum(total: TensorVariable) -> TensorVariable:
    return pt.log(pt.maximum(total, 0.1))  # below 1/e only if all terms are minus infinity
