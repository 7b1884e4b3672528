"""Time series whose next value depends on the whole past, or by any function on the last value.

Time runs along the last axis, and a whole series is one event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import draw_from, unnamed
from vibayes.distributions.constraints import Constraints, nonnegative, positive
from vibayes.distributions.continuous import Normal
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.distributions.timeseries import TimeSeries

__all__ = ["GARCH11", "EulerMaruyama"]

MOST_DOUBLINGS = 24  # of a series whose length only run time tells: up to 16 million values


class GARCH11(TimeSeries):
    r"""GARCH(1, 1) process: normal values whose variance depends on the value and variance before.

    .. math:: x_t \sim N(0, \sigma_t), \qquad
        \sigma_t^2 = \omega + \alpha_1 x_{t-1}^2 + \beta_1 \sigma_{t-1}^2

    Parameters
    ----------
    omega : array_like
        Constant part of the variance, positive. Several numbers are for several series.
    alpha_1 : array_like
        Weight of the last value's square, at least 0.
    beta_1 : array_like
        Weight of the last variance, at least 0. The process is stationary for
        ``alpha_1 + beta_1 < 1``, which is not enforced.
    initial_vol : array_like
        Standard deviation of the first value, positive.
    steps : int or TensorVariable, optional
        Number of values after the first. Not needed where shape, dims or data tell the length of
        the series.

    Raises
    ------
    ShapeError
        If ``steps`` and the shape disagree.
    ValueError
        If nothing tells the length of the series.

    Notes
    -----
    The log density has no loop over time: the variances solve a linear recursion, which is summed
    by doubling (:func:`discounted_sums`). A draw has: it runs as a scan.

    References
    ----------
    Bollerslev (1986), Generalized autoregressive conditional heteroskedasticity. Journal of
    Econometrics 31, 307-327.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     omega = vb.HalfNormal("omega", 0.1)
    ...     weights = vb.Dirichlet("weights", [1.0, 4.0, 1.0])
    ...     returns = vb.GARCH11("returns", omega, weights[0], weights[1], 0.5, steps=100)
    """

    constraints: ClassVar[Constraints] = {
        "omega": positive,
        "alpha_1": nonnegative,
        "beta_1": nonnegative,
        "initial_vol": positive,
    }
    omega: TensorVariable
    alpha_1: TensorVariable
    beta_1: TensorVariable
    initial_vol: TensorVariable

    @behind_new
    def __init__(
        self, omega: Any, alpha_1: Any, beta_1: Any, initial_vol: Any, *, steps: Any = None
    ) -> None:
        self.set_params(omega=omega, alpha_1=alpha_1, beta_1=beta_1, initial_vol=initial_vol)
        self.set_steps(steps)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        one = pt.constant(1.0, dtype=pytensor.config.floatX)
        rng, noise = self.draw_noise(rng, 0.0, one, batch)
        rng, first = draw_from(pt.random.normal, 0.0, self.initial_vol, rng=rng, size=batch)
        later, _ = pytensor.scan(
            self._step,
            sequences=[pt.moveaxis(noise, -1, 0)],
            outputs_info=[first, self.initial_vol**2 + pt.zeros_like(first)],
            non_sequences=[self.omega, self.alpha_1, self.beta_1],
            strict=True,
            return_updates=False,
        )
        later = pt.specify_shape(pt.moveaxis(later, 0, -1), noise.type.shape)
        return rng, pt.concatenate([first[..., None], later], axis=-1)

    @staticmethod
    def _step(
        noise: TensorVariable,
        value: TensorVariable,
        variance: TensorVariable,
        omega: TensorVariable,
        alpha_1: TensorVariable,
        beta_1: TensorVariable,
    ) -> tuple[TensorVariable, TensorVariable]:
        variance = omega + alpha_1 * value**2 + beta_1 * variance
        return noise * pt.sqrt(variance), variance

    def logp(self, value: TensorVariable) -> TensorVariable:
        omega, alpha_1 = self.omega[..., None], self.alpha_1[..., None]
        initial = self.initial_vol[..., None] ** 2
        limit = np.asarray(np.finfo(value.dtype).max ** 0.24, value.dtype)
        value = pt.clip(value, -limit, limit)  # what is beyond has no finite square
        added = omega + alpha_1 * value[..., :-1] ** 2
        start = initial + pt.zeros_like(value[..., :1] * omega)
        variance = discounted_sums(pt.join(-1, start, added), self.beta_1)
        surprise = value**2 / variance + pt.log(variance)
        return (-0.5 * surprise - LOG_SQRT_2PI).sum(axis=-1)

    def support_point(self) -> TensorVariable:
        """Return the mean, zero throughout."""
        return pt.zeros((1,), dtype=pytensor.config.floatX)


class EulerMaruyama(TimeSeries):
    r"""Stochastic differential equation, discretized by the method of Euler and Maruyama.

    For :math:`dX_t = f(X_t, \theta) \, dt + g(X_t, \theta) \, dW_t`,

    .. math:: x_0 \sim \text{init_dist}, \qquad
        x_{t+1} \sim N\left(x_t + f(x_t, \theta) \, \Delta t, \;
        g(x_t, \theta) \sqrt{\Delta t}\right)

    Parameters
    ----------
    dt : array_like
        Time between two values, positive.
    sde_fn : callable
        ``sde_fn(x, *sde_pars)``: the drift f and the diffusion g, as a pair of expressions that
        broadcast: for the log density it is given all values at once.
    sde_pars : sequence of array_like
        Parameters of the equation. Several numbers in one of them are for several series.
    init_dist : TensorVariable, optional
        Distribution of the first value, univariate and made by ``dist``; ``Normal(0, 100)`` by
        default.
    steps : int or TensorVariable, optional
        Number of values after the first. Not needed where shape, dims or data tell the length of
        the series.

    Raises
    ------
    ShapeError
        If ``steps`` and the shape disagree.
    TypeError
        If ``sde_fn`` is no function, or does not return a pair.
    ValueError
        If nothing tells the length of the series, or ``init_dist`` is not univariate.

    Notes
    -----
    The log density has no loop over time. A draw has: it runs as a scan.

    References
    ----------
    Kloeden and Platen (1992), Numerical Solution of Stochastic Differential Equations. Springer.

    Examples
    --------
    >>> import vibayes as vb
    >>> def ornstein_uhlenbeck(x, rate, mean, noise):
    ...     return rate * (mean - x), noise
    >>> with vb.Model():
    ...     rate = vb.HalfNormal("rate", 1)
    ...     x = vb.EulerMaruyama(
    ...         "x", 0.1, ornstein_uhlenbeck, (rate, 0.0, 1.0), init_dist=vb.Normal.dist(), steps=99
    ...     )
    """

    constraints: ClassVar[Constraints] = {"dt": positive}
    dt: TensorVariable

    @behind_new
    def __init__(
        self,
        dt: Any,
        sde_fn: Callable[..., Any],
        sde_pars: list[Any] | tuple[Any, ...],
        *,
        init_dist: TensorVariable | None = None,
        steps: Any = None,
    ) -> None:
        self.sde_fn = sde_fn
        self.names = [f"sde_pars[{i}]" for i in range(len(sde_pars))]
        self.set_params(dt=dt, **dict(zip(self.names, sde_pars, strict=True)))
        self.set_steps(steps)
        start = Normal.dist(0.0, 100.0) if init_dist is None else init_dist
        self.init = unnamed(start, "init_dist")
        if self.init.ndim_supp:
            raise ValueError("init_dist must be univariate")
        self.parts = (self.init,)

    def _moments(
        self, x: TensorVariable, dt: TensorVariable, *sde_pars: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return mean and standard deviation of the value after ``x``."""
        result = self.sde_fn(x, *sde_pars)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(f"sde_fn must return a pair, of drift and diffusion, got {result!r}")
        drift, diffusion = (pt.as_tensor_variable(part) for part in result)
        return x + drift * dt, pt.sqrt(dt) * diffusion

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        one = pt.constant(1.0, dtype=pytensor.config.floatX)
        rng, noise = self.draw_noise(rng, 0.0, one, batch)
        rng, first = self.init.random(rng, batch)
        later = pytensor.scan(
            self._step,
            sequences=[pt.moveaxis(noise, -1, 0)],
            outputs_info=[first],
            non_sequences=list(self.params.values()),
            return_updates=False,
        )
        later = pt.specify_shape(pt.moveaxis(later, 0, -1), noise.type.shape)
        return rng, pt.concatenate([first[..., None], later], axis=-1)

    def _step(
        self, noise: TensorVariable, x: TensorVariable, *params: TensorVariable
    ) -> TensorVariable:
        mean, sd = self._moments(x, *params)
        return (mean + sd * noise).astype(x.dtype)

    def logp(self, value: TensorVariable) -> TensorVariable:
        params = (param[..., None] for param in self.params.values())
        mean, sd = self._moments(value[..., :-1], *params)
        surprise = ((value[..., 1:] - mean) / sd) ** 2
        steps = (-0.5 * surprise - pt.log(pt.abs(sd)) - LOG_SQRT_2PI).sum(axis=-1)
        return self.init.logp(value[..., 0]) + steps

    def support_point(self) -> TensorVariable:
        """Return the first value's point, throughout."""
        return self.init.support_point()[..., None]


def discounted_sums(added: TensorVariable, discount: TensorVariable) -> TensorVariable:
    r"""Return :math:`s_t = u_t + \beta s_{t-1}` of u along the last axis.

    One round adds to each number that of :math:`2^k` places before, times
    :math:`\beta^{2^k}`; after :math:`\log_2 T` rounds nothing is left to add. So there is no loop
    over time, which could neither be batched nor vectorized.

    Parameters
    ----------
    added
        The numbers u, of shape ``(..., T)``.
    discount
        The factor beta, of the shape of ``u`` without its last axis.
    """
    length = added.type.shape[-1]
    rounds = MOST_DOUBLINGS if length is None else max(length - 1, 0).bit_length()
    factor = discount[..., None]
    for k in range(rounds):
        earlier = added[..., : -(2**k)]
        gap = pt.zeros_like(added[..., : 2**k])
        added = added + factor * pt.concatenate([gap, earlier], axis=-1)
        factor = factor**2
    return added
