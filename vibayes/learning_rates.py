r"""Schedules of learning rates: values for the ``learning_rate`` of any optimizer.

A schedule computes the rate of a step from the number of steps before it. The optimizer keeps that
number with the rest of its state, so that a fit that goes on, from a checkpoint too, goes on in its
schedule. In the formulas :math:`t` is that number, 0 at the first step, :math:`n` is ``steps``,
:math:`a` is ``start`` and :math:`b` is ``end``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_real, check_whole, shown
from vibayes.backend.modes import evaluate
from vibayes.settings import ComparedBySettings

__all__ = ["Schedule", "cosine_decay", "exponential_decay", "warm_restarts"]

MOST_GROWTH = 1000.0


class Schedule(ComparedBySettings):
    """Base of the schedules, which are values: equal if their settings are.

    A schedule of one's own is a class with a method :meth:`rate`.

    Examples
    --------
    >>> import vibayes as vb
    >>> class InverseRoot(vb.updates.Schedule):
    ...     def __init__(self, start):
    ...         self.start = start
    ...
    ...     def rate(self, step):
    ...         return self.start / (1 + step) ** 0.5
    >>> InverseRoot(0.1).values(4).round(3).tolist()
    [0.1, 0.071, 0.058, 0.05]
    >>> optimizer = vb.adam(learning_rate=InverseRoot(0.1))
    """

    def rate(self, step: TensorVariable) -> TensorVariable:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : TensorVariable
            The number of steps before it, a floating point number: 0 at the first step.

        Returns
        -------
        TensorVariable
            A scalar if ``step`` is one.
        """
        raise NotImplementedError

    def values(self, n: int) -> np.ndarray:
        """Return the rates of the first steps, to look at or to plot.

        Parameters
        ----------
        n
            Number of steps.
        """
        n = check_whole(n, f"{type(self).__name__}.values: n", least=1)
        steps = pt.as_tensor(np.arange(n, dtype=pytensor.config.floatX))
        return np.broadcast_to(evaluate([self.rate(steps)])[0], (n,)).copy()


@dataclass(frozen=True)
class cosine_decay(Schedule):  # noqa: N801 - used as optimizers are, which are functions
    r"""A rate that falls along half a cosine, and stays at the end.

    .. math:: \eta_t = b + \frac{a - b}{2} \left(1 + \cos \pi \frac{t - w}{n - w}\right),
        \qquad w \le t \le n

    In the :math:`w` steps of the warmup it rises to :math:`a`: :math:`\eta_t = a (t + 1) / w`.

    Parameters
    ----------
    start : float
        The rate after the warmup.
    steps : int
        Number of steps after which the end is reached, warmup included.
    end : float, default 0
        The rate from there on, at most ``start``.
    warmup : int, default 0
        Number of steps in which the rate rises in a straight line; less than ``steps``.

    Raises
    ------
    TypeError
        If a rate is no number.
    ValueError
        If a number is not in its range.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
       ICLR. https://arxiv.org/abs/1608.03983

    Examples
    --------
    >>> import vibayes as vb
    >>> rate = vb.cosine_decay(0.1, steps=1000)
    >>> vb.adam(learning_rate=rate)
    adam(learning_rate=cosine_decay(start=0.1, steps=1000, end=0.0, warmup=0))
    >>> rate.values(1001)[[0, 500, 1000]].round(3).tolist()
    [0.1, 0.05, 0.0]
    """

    start: float
    steps: int
    end: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        check_course(self)
        set_checked(self, warmup=check_whole(self.warmup, "cosine_decay: warmup", least=0))
        if self.warmup >= self.steps:
            raise ValueError(
                f"cosine_decay: warmup must be less than steps={self.steps}, got {self.warmup}"
            )

    def rate(self, step: TensorVariable) -> TensorVariable:
        part = (step - self.warmup) / (self.steps - self.warmup)
        falling = half_cosine(self.start, self.end, part)
        if not self.warmup:
            return falling
        rising = self.start * (step + 1) / self.warmup
        return pt.switch(step < self.warmup, rising, falling)


@dataclass(frozen=True)
class exponential_decay(Schedule):  # noqa: N801
    r"""A rate that falls by the same factor over and over.

    .. math:: \eta_t = \max(b, a\, r^{t / n})

    Parameters
    ----------
    start : float
        The rate of the first step.
    steps : int
        Number of steps in which the rate falls by ``decay_rate``.
    decay_rate : float, default 0.1
        What is left of the rate after ``steps`` steps: more than 0, at most 1.
    end : float, default 0
        The least rate, at most ``start``.
    staircase : bool, default False
        Whether the rate falls at multiples of ``steps`` only, and is constant in between.

    Raises
    ------
    TypeError
        If a rate is no number.
    ValueError
        If a number is not in its range.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.exponential_decay(0.1, steps=2, decay_rate=0.5).values(5).round(4).tolist()
    [0.1, 0.0707, 0.05, 0.0354, 0.025]
    """

    start: float
    steps: int
    decay_rate: float = 0.1
    end: float = 0.0
    staircase: bool = False

    def __post_init__(self) -> None:
        check_course(self)
        decay_rate = check_real(self.decay_rate, "exponential_decay: decay_rate", above=0)
        if decay_rate > 1:
            raise ValueError(f"exponential_decay: decay_rate must be at most 1, got {decay_rate}")
        if not isinstance(self.staircase, bool | np.bool_):
            raise TypeError(
                f"exponential_decay: staircase must be True or False, got {shown(self.staircase)}"
            )
        set_checked(self, decay_rate=decay_rate, staircase=bool(self.staircase))

    def rate(self, step: TensorVariable) -> TensorVariable:
        part = step / self.steps
        power = pt.floor(part) if self.staircase else part
        return pt.maximum(self.end, self.start * self.decay_rate**power)


@dataclass(frozen=True)
class warm_restarts(Schedule):  # noqa: N801
    r"""A rate that falls along half a cosine, jumps back to its start, and falls again.

    .. math:: \eta_t = b + \frac{a - b}{2} \left(1 + \cos \pi \frac{t - t_i}{n_i}\right)

    where :math:`t_i` is the step of the last restart and :math:`n_i = n g^i` the length of what
    follows it; both are rounded to whole steps.

    Parameters
    ----------
    start : float
        The rate of the first step, and after each restart.
    steps : int
        Number of steps before the first restart.
    end : float, default 0
        What the rate comes down to before a restart, at most ``start``.
    growth : float, default 1
        How many times longer than the one before a stretch is, from 1 to 1000: 2 doubles them.

    Raises
    ------
    TypeError
        If a rate is no number.
    ValueError
        If a number is not in its range.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
       ICLR. https://arxiv.org/abs/1608.03983

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.warm_restarts(1.0, steps=2, growth=2).values(7).round(3).tolist()
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    start: float
    steps: int
    end: float = 0.0
    growth: float = 1.0

    def __post_init__(self) -> None:
        check_course(self)
        growth = check_real(self.growth, "warm_restarts: growth", least=1)
        if growth > MOST_GROWTH:
            raise ValueError(f"warm_restarts: growth must be at most 1000, got {growth}")
        set_checked(self, growth=growth)

    def rate(self, step: TensorVariable) -> TensorVariable:
        if self.growth == 1:
            return half_cosine(self.start, self.end, step % self.steps / self.steps)
        grown = 1 + step * ((self.growth - 1) / self.steps)
        about = pt.floor(pt.log(grown) / math.log(self.growth))
        # logarithms are rounded, and a restart falls on a step
        early = (step < self._restart(about)).astype(step.dtype)
        late = (step >= self._restart(about + 1)).astype(step.dtype)
        stretch = about - early + late
        begin, end = self._restart(stretch), self._restart(stretch + 1)
        return half_cosine(self.start, self.end, (step - begin) / (end - begin))

    def _restart(self, i: TensorVariable) -> TensorVariable:
        """Return the step of a restart, the 0th at the first step."""
        return pt.round(self.steps * (self.growth**i - 1) / (self.growth - 1))


def half_cosine(start: float, end: float, part: TensorVariable) -> TensorVariable:
    """Return a rate some part of the way down from start to end, which it does not leave again."""
    return end + (start - end) * (1 + pt.cos(np.pi * pt.clip(part, 0, 1))) / 2


def check_course(schedule: Any) -> None:
    """Check the start, the end and the number of steps of a schedule, or raise."""
    owner = type(schedule).__name__
    start = check_real(schedule.start, f"{owner}: start", least=0)
    end = check_real(schedule.end, f"{owner}: end", least=0)
    if end > start:
        raise ValueError(f"{owner}: end must be at most start={start}, got {end}")
    steps = check_whole(schedule.steps, f"{owner}: steps", least=1)
    set_checked(schedule, start=start, end=end, steps=steps)


def set_checked(schedule: Any, **settings: Any) -> None:
    """Set settings of a frozen schedule to what was checked."""
    for name, value in settings.items():
        object.__setattr__(schedule, name, value)
