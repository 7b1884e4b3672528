"""Automatic fits by stochastic steps: any family, minibatches, streams, parameters of networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vibayes.approximations.base import Approximation
from vibayes.inference.runs import Run, Start
from vibayes.inference.schedule import ScaledAdam, Schedule, check_schedule
from vibayes.model.target import is_deterministic
from vibayes.objectives.options import StepOptions
from vibayes.records.fit_state import FitState
from vibayes.search.begin import begin_near, find_normal, unit_scales
from vibayes.search.budget import Budget

__all__ = ["fit_by_schedule", "options_at_end"]


def fit_by_schedule(
    approx: Approximation,
    run: Run,
    budget: Budget,
    options: StepOptions,
    start: Start,
) -> None:
    """Take steps at rates that go down, until averages are accurate or the budget is used up.

    Parameters
    ----------
    approx
        What is fitted.
    run
        The fit, and what an earlier process has left of it.
    budget
        Time and steps.
    options
        Options of the steps; the optimizer is the schedule's own.
    start
        Makes the loop.
    """
    saved = run.keeping.saved
    if saved is None:
        scales = found_scales(approx, options, budget)
    else:
        scales, schedule_state = saved_scales(saved, approx)
        budget.taken = int(schedule_state["taken"])
    optimizer = scaled_adam(approx, scales)
    schedule = Schedule(optimizer, budget)
    loop = start(with_schedule(options, optimizer), saved)
    looks: list[Callable[..., None]] = [schedule, *run.callbacks]
    approx.ending = schedule.ending
    try:
        left = schedule.most_steps - loop.iteration
        loop.run(left, looks, saved, run.keeping.after_chunk(loop, looks))
    finally:
        approx.ending = schedule.ending
    run.keeping.finish(loop, looks)


def options_at_end(
    approx: Approximation, saved: FitState, budget: Budget, options: StepOptions
) -> StepOptions:
    """Return the options of further steps after a fit by schedule that is done."""
    scales, schedule_state = saved_scales(saved, approx)
    optimizer = scaled_adam(approx, scales)
    Schedule(optimizer, budget).restore(schedule_state)
    return with_schedule(options, optimizer)


def with_schedule(options: StepOptions, optimizer: ScaledAdam) -> StepOptions:
    """Return options with the schedule's optimizer, and a loss: a level one is how it ends."""
    return options.but(obj_optimizer=optimizer, score=True)


def found_scales(approx: Approximation, options: StepOptions, budget: Budget) -> list[np.ndarray]:
    """Go near the posterior, if it can be found, and return the unit of each parameter."""
    sd = None
    own = options.more_obj_params or options.more_replacements
    local = any(group.local for group in approx.groups)
    if not (own or local) and is_deterministic(approx.model):
        q = find_normal(approx, budget)
        begin_near(approx, q)
        sd = q.sd
    return unit_scales(approx, sd)


def scaled_adam(approx: Approximation, scales: Sequence[np.ndarray]) -> ScaledAdam:
    """Return the optimizer of automatic fits, the same each time: it is compiled once."""
    optimizer = approx.compiled("scaled adam", lambda: ScaledAdam(scales))
    optimizer.set_scales(scales)
    return optimizer


def saved_scales(saved: FitState, approx: Approximation) -> tuple[list[np.ndarray], Any]:
    """Return the unit of each parameter in an automatic fit, and the state of its schedule.

    Raises
    ------
    StorageError
        If the fit had no schedule, or one of other parameters.
    """
    states = [state for name, state in saved.callbacks if name == "Schedule"]
    if not states:
        raise saved.unfit("the fit had no schedule: it did not end by itself")
    state, shapes = states[0], [p.get_value(borrow=True).shape for p in approx.params]
    ends = np.cumsum([math.prod(shape) for shape in shapes], dtype=int)
    try:
        check_schedule(state, int(ends[-1]) if len(ends) else 0)
    except (KeyError, ValueError, TypeError) as error:
        raise saved.unfit(f"no schedule of this fit has {error}") from error
    parts = np.split(state["scales"], ends[:-1])
    return [part.reshape(s) for part, s in zip(parts, shapes, strict=False)], state
