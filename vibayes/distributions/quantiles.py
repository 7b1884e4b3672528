"""Quantiles of every distribution whose CDF is known, by bisection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import Distribution, checked_rv, distribution_of, to_float
from vibayes.numeric import as_tensor

__all__ = ["icdf"]

ROUNDS = 66
WIDEST = 700.0  # of the coordinate in which is bisected: sinh and exp of it are finite
LARGEST_COUNT = 2.0**53
TOLERANCE = 1e-12


def icdf(rv: TensorVariable, value: Any) -> TensorVariable:
    """Return the quantile of a random variable: at which the CDF is ``value``.

    Parameters
    ----------
    rv
        A variable made by a distribution of single numbers, in a model or by its ``dist``.
    value : array_like or TensorVariable
        Probabilities.

    Returns
    -------
    TensorVariable
        Of a discrete variable the smallest number whose CDF is at least ``value``; NaN where
        ``value`` is no probability. Its gradients are those of the inverse function.

    Raises
    ------
    TypeError
        If ``rv`` is not such a variable.
    NotImplementedError
        If the distribution's cumulative distribution function is not known, or its events have
        axes.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.icdf(vb.Normal.dist(0, 1), [0.9, 0.975]).eval().round(2)
    array([1.28, 1.96])
    """
    dist = distribution_of(checked_rv(rv, "icdf"))
    if dist.ndim_supp:
        raise NotImplementedError(f"icdf: a {type(dist).__name__} has no quantiles")
    p = to_float(as_tensor(value, "icdf: value"))
    p = p + pt.zeros(dist.batch_shape, dtype=p.dtype)
    possible = (p >= 0) & (p <= 1)
    inside = pt.switch((p > 0) & (p < 1), p, 0.5)
    found = count_at(dist, inside) if dist.discrete else number_at(dist, inside)
    return pt.switch(possible, at_ends(dist, p, found), np.nan)


def is_below(dist: Distribution, x: TensorVariable, p: TensorVariable, slack: float = 0.0) -> Any:
    """Tell whether the CDF at a value is less than a probability, in either tail."""
    low = dist.logcdf(x) < pt.log(p) - slack
    high = dist.logccdf(x) > pt.log1p(-p) + slack
    return pt.switch(p < 0.5, low, high)


def bisected(below: Any, low: TensorVariable, high: TensorVariable) -> TensorVariable:
    """Return where something stops being below, between two bounds."""

    def halve(low: TensorVariable, high: TensorVariable) -> Any:
        middle = 0.5 * (low + high)
        go_up = below(middle)
        return pt.switch(go_up, middle, low), pt.switch(go_up, high, middle)

    # a loop of constants alone would be compiled while graphs are rewritten, which takes long
    nothing = pytensor.shared(np.zeros((), dtype=low.dtype), name="nothing", shape=())
    lows, highs = pytensor.scan(
        halve, outputs_info=[low + nothing, high], n_steps=ROUNDS, return_updates=False
    )
    return 0.5 * (lows[-1] + highs[-1])


def number_at(dist: Distribution, p: TensorVariable) -> TensorVariable:
    """Return the quantile of a continuous distribution."""
    coordinate = coordinates(dist)
    end = pt.zeros_like(p) + WIDEST
    at = bisected(lambda t: is_below(dist, coordinate(t), p), -end, end)
    x = disconnected_grad(coordinate(at))
    # a Newton step from there changes nothing, but has the gradient of the inverse function
    log_cdf = dist.logcdf(x)
    step = pt.exp(pt.log(p) - dist.logp(x)) - pt.exp(log_cdf - dist.logp(x))
    return x + (step - disconnected_grad(step))


def coordinates(dist: Distribution) -> Any:
    """Return a function of the real line onto the support, fine where values are small."""
    bounds: Any = getattr(dist, "bounds", (None, None))
    lower, upper = bounds
    above = lower is not None and not is_infinite(lower)
    below = upper is not None and not is_infinite(upper)
    if above and below:
        return lambda t: lower + (upper - lower) * pt.sigmoid(t)
    if above:
        return lambda t: lower + pt.exp(t)
    return (lambda t: upper - pt.exp(-t)) if below else pt.sinh


def is_infinite(bound: Any) -> bool:
    """Tell whether a bound is known to be infinite."""
    value = getattr(bound, "data", bound)
    return not hasattr(value, "owner") and bool(np.isinf(value).all())


def count_at(dist: Distribution, p: TensorVariable) -> TensorVariable:
    """Return the quantile of a discrete distribution."""
    end = pt.zeros_like(p) + LARGEST_COUNT

    def below(x: TensorVariable) -> Any:
        return is_below(dist, pt.floor(x).astype("int64"), p, TOLERANCE)

    return pt.floor(bisected(below, -end, end) + 0.5)


def at_ends(dist: Distribution, p: TensorVariable, found: TensorVariable) -> TensorVariable:
    """Return a quantile, at probability 0 and 1 the ends of the support."""
    lower, upper = getattr(dist, "bounds", (None, None))
    if dist.discrete and lower is None:
        return found
    found = pt.switch(pt.eq(p, 0), -np.inf if lower is None else lower, found)
    return pt.switch(pt.eq(p, 1), np.inf if upper is None else upper, found)
