"""Distributions of time series: random walks and autoregressions.

Time runs along the last axis, and a whole series is one event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new, check_whole
from vibayes.distributions.base import Continuous, as_vector, draw_from, unnamed
from vibayes.distributions.constraints import Constraints, finite, positive
from vibayes.distributions.continuous import Normal, sigma_from
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.distributions.standard_forms import Innovations, LocationScale
from vibayes.exceptions import ShapeError
from vibayes.numeric import checked_tensor

__all__ = ["AR", "GaussianRandomWalk"]


class TimeSeries(Continuous):
    """Base of the series that start from some given values and then go on step by step.

    Attributes
    ----------
    n_initial : int
        Number of values before the first step.
    steps : int, TensorVariable or None
        Number of steps; None as long as nothing has told it.
    """

    ndim_supp = 1
    n_initial = 1
    steps: Any = None

    def set_steps(self, steps: Any) -> None:
        if isinstance(steps, Variable):
            steps = checked_tensor(steps, "steps")
        elif steps is not None:
            steps = check_whole(steps, "steps", least=0)
        self.steps = steps

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        (length,) = event
        steps = length - self.n_initial
        if isinstance(steps, int):
            if steps < 0:
                raise ShapeError(
                    f"{label}: a series of length {length} is too short, it begins with "
                    f"{self.n_initial} initial values and must have as many"
                )
            if isinstance(self.steps, int) and steps != self.steps:
                raise ShapeError(
                    f"{label}: {self.steps} steps make a series of length "
                    f"{self.steps + self.n_initial}, but the shape has {length}"
                )
        self.steps = steps

    def draw_noise(
        self, rng: Any, mu: Any, sigma: TensorVariable, batch: tuple[Any, ...]
    ) -> tuple[Any, TensorVariable]:
        """Return normal draws, one a step along a new last axis."""
        if self.steps is None:
            raise ValueError(
                f"{type(self).__name__}: the length of the series is not known; give steps, "
                "shape, dims or observed"
            )
        return draw_from(pt.random.normal, mu, sigma[..., None], rng=rng, size=(*batch, self.steps))


class GaussianRandomWalk(TimeSeries):
    r"""Random walk with normal steps.

    .. math:: x_0 \sim \text{init_dist}, \qquad x_t \sim N(x_{t-1} + \mu, \sigma)

    Parameters
    ----------
    mu : array_like, default 0
        Drift: the mean of a step. Several numbers are for several series.
    sigma : array_like, default 1
        Standard deviation of a step, positive.
    init_dist : TensorVariable, optional
        Distribution of the first value, univariate and made by ``dist``; ``Normal(0, 100)`` by
        default.
    steps : int or TensorVariable, optional
        Number of steps, one less than the length of the series. Not needed where shape, dims or
        data tell the length.

    Raises
    ------
    ShapeError
        If ``steps`` and the shape disagree.
    ValueError
        If nothing tells the length, or ``init_dist`` does not fit.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     sigma = vb.HalfNormal("sigma", 1)
    ...     level = vb.GaussianRandomWalk(
    ...         "level", sigma=sigma, init_dist=vb.Normal.dist(0, 1), steps=50
    ...     )
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive}
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self,
        mu: Any = 0.0,
        sigma: Any = 1.0,
        *,
        init_dist: TensorVariable | None = None,
        steps: Any = None,
    ) -> None:
        self.set_params(mu=mu, sigma=sigma)
        self.set_steps(steps)
        self.init = unnamed(
            Normal.dist(0.0, 100.0) if init_dist is None else init_dist, "init_dist"
        )
        if self.init.ndim_supp:
            raise ValueError("init_dist must be univariate")
        self.parts = (self.init,)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        rng, noise = self.draw_noise(rng, self.mu[..., None], self.sigma, batch)
        rng, first = self.init.random(rng, batch)
        return rng, pt.cumsum(pt.concatenate([first[..., None], noise], axis=-1), axis=-1)

    def logp(self, value: TensorVariable) -> TensorVariable:
        surprise = value[..., 1:] - value[..., :-1] - self.mu[..., None]
        return self.init.logp(value[..., 0]) + innovations_logp(surprise, self.sigma)

    def standard_form(self) -> Innovations | None:
        first = self.init.standard_form()
        if not isinstance(first, LocationScale):
            return None
        return walk_form(first, self.mu, self.sigma)

    def support_point(self) -> TensorVariable:
        time = pt.arange(self.steps + 1, dtype=pytensor.config.floatX)
        return self.init.support_point()[..., None] + self.mu[..., None] * time


class AR(TimeSeries):
    r"""Autoregressive process of order p.

    .. math:: x_t \sim N\left(\rho_0 + \sum_{i=1}^p \rho_i x_{t-i}, \sigma\right)
        \quad (t \ge p), \qquad x_0, \dots, x_{p-1} \sim \text{init_dist}

    Parameters
    ----------
    rho : array_like
        Coefficients along the last axis: that of the latest value first. With ``constant`` the
        constant term :math:`\rho_0` comes before them, without there is none.
    sigma : array_like, optional
        Standard deviation of the innovations, positive; 1 by default.
    tau : array_like, optional
        Precision of the innovations, ``1 / sigma**2``, instead of ``sigma``.
    init_dist : TensorVariable, optional
        Distribution of the first p values, made by ``dist``: a univariate one whose last axis, if
        it has any, runs over them, or one of vectors. ``Normal(0, 100)`` by default.
    steps : int or TensorVariable, optional
        Number of values after the first p. Not needed where shape, dims or data tell the length of
        the series.
    constant : bool, default False
        Whether the first element of ``rho`` is a constant term.
    ar_order : int, optional
        The order p. Not needed where the length of ``rho`` is known.

    Raises
    ------
    ShapeError
        If ``rho``, ``ar_order``, ``init_dist``, ``steps`` and the shape do not fit together.
    ValueError
        If nothing tells the order or the length of the series.

    Notes
    -----
    The log density has no loop over time. A draw has: it runs as a scan.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     rho = vb.Normal("rho", 0, 1, shape=3)  # a constant and two lags
    ...     x = vb.AR("x", rho, sigma=0.5, constant=True, steps=100)
    """

    constraints: ClassVar[Constraints] = {"rho": finite, "sigma": positive, "tau": positive}
    param_ndims: Mapping[str, int] = {"rho": 1}
    rho: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self,
        rho: Any,
        sigma: Any = None,
        tau: Any = None,
        *,
        init_dist: TensorVariable | None = None,
        steps: Any = None,
        constant: bool = False,
        ar_order: int | None = None,
    ) -> None:
        self.set_params(rho=as_vector(rho), sigma=sigma_from(sigma, tau=tau))
        self.set_steps(steps)
        self.constant = bool(constant)
        self.n_initial = order_of(self.rho, self.constant, ar_order)
        self.init = unnamed(
            Normal.dist(0.0, 100.0) if init_dist is None else init_dist, "init_dist"
        )
        if self.init.ndim_supp > 1:
            raise ValueError("init_dist must be univariate, or have vectors as events")
        self.parts = (self.init,)
        lags = self.init.rv.type.shape[-1:]
        if lags and lags[0] not in (None, self.n_initial, 0 if self.init.ndim_supp else 1):
            raise ShapeError(
                f"the last axis of init_dist has length {lags[0]}, but the order is "
                f"{self.n_initial}"
            )

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        *shapes, of_init = super().batch_shapes
        return [*shapes, of_init if self.init.ndim_supp else of_init[:-1]]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        rng, noise = self.draw_noise(rng, 0.0, self.sigma, batch)
        each = batch if self.init.ndim_supp else (*batch, self.n_initial)
        rng, first = self.init.random(rng, each)
        later = pytensor.scan(
            self._step,
            sequences=[pt.moveaxis(noise, -1, 0)],
            outputs_info=[
                {"initial": pt.moveaxis(first, -1, 0), "taps": list(range(-self.n_initial, 0))}
                if self.n_initial > 1
                else first[..., 0]
            ],
            non_sequences=[self.rho],
            strict=True,
            return_updates=False,
        )
        later = pt.specify_shape(pt.moveaxis(later, 0, -1), noise.type.shape)
        return rng, pt.concatenate([first, later], axis=-1)

    def _step(self, noise: TensorVariable, *latest_and_rho: TensorVariable) -> TensorVariable:
        *latest, rho = latest_and_rho
        return noise + self._mean(latest, rho)

    def _mean(self, latest: Sequence[TensorVariable], rho: TensorVariable) -> TensorVariable:
        """Return the mean of a value, given those before it, from the oldest to the latest."""
        terms = [rho[..., 0]] if self.constant else []
        terms += [rho[..., len(terms) + i] * lag for i, lag in enumerate(reversed(latest))]
        return pt.add(*terms)

    def logp(self, value: TensorVariable) -> TensorVariable:
        p = self.n_initial
        first = self.init.logp(value[..., :p])
        if not self.init.ndim_supp:
            first = first.sum(axis=-1)
        latest = [value[..., i : i - p] for i in range(p)]
        surprise = value[..., p:] - self._mean(latest, self.rho[..., None, :])
        return first + innovations_logp(surprise, self.sigma)

    def standard_form(self) -> Innovations | None:
        first = self.init.standard_form()
        if not isinstance(first, LocationScale):
            return None
        return autoregression_form(first, self.rho, self.sigma, self.n_initial, self.constant)

    def support_point(self) -> TensorVariable:
        """Return the mean of the first values' points, throughout."""
        point = self.init.support_point()
        return point.mean(axis=-1, keepdims=True) if point.type.ndim else point


def innovations_logp(surprise: TensorVariable, sigma: TensorVariable) -> TensorVariable:
    """Return the log density of normal variables of mean zero, summed over the last axis."""
    sigma = sigma[..., None]
    return (-0.5 * (surprise / sigma) ** 2 - pt.log(sigma) - LOG_SQRT_2PI).sum(axis=-1)


def walk_form(first: LocationScale, mu: TensorVariable, sigma: TensorVariable) -> Innovations:
    """Return the form of a random walk from a value of a form, by steps that have one."""
    mean, sd = first.location[..., None], first.scale[..., None]
    return Innovations(mean, sd, [pt.ones(())], mu, sigma)


def autoregression_form(
    first: LocationScale, rho: TensorVariable, sigma: TensorVariable, order: int, constant: bool
) -> Innovations:
    """Return the form of an autoregression, whose first values are of a form."""
    mean, sd = (pt.atleast_1d(x) + np.zeros(order) for x in (first.location, first.scale))
    lags = [rho[..., constant + i] for i in range(order)]
    return Innovations(mean, sd, lags, rho[..., 0] if constant else pt.zeros(()), sigma)


def order_of(rho: TensorVariable, constant: bool, ar_order: int | None) -> int:
    """Return the number of lags."""
    length = rho.type.shape[-1]
    if length is None and ar_order is None:
        raise ValueError("the length of rho is not known; give ar_order")
    order = length - constant if ar_order is None else check_whole(ar_order, "ar_order", least=0)
    if length not in (None, order + constant):
        term = "a constant and " if constant else ""
        raise ShapeError(f"rho has {length} elements, but ar_order={order} needs {term}{order}")
    if order < 1:
        raise ShapeError("an autoregression needs at least one lag in rho, after any constant")
    return order
