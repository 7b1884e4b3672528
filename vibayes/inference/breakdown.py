"""Where steps went wrong: the first one that did, and the state to go back to.

Steps are a pure function of the state, so the state after any number of them can be had again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibayes.inference.sensible import last_sensible
from vibayes.inference.steps import CompiledSteps, State, all_finite

__all__ = ["Breakdown", "Place", "are_finite", "first_breakdown", "sensible_place"]

Place = tuple[State, int]
"""A state of a fit, and its iteration."""


@dataclass(frozen=True)
class Breakdown:
    """The first step of a chunk that went wrong.

    Attributes
    ----------
    good : int
        How many steps of the chunk were good before it.
    losses : numpy.ndarray
        Their losses.
    last : State
        The state after these, the last one that is finite.
    broken : State
        The state after one more step.
    broken_losses : numpy.ndarray
        The loss of that one.
    """

    good: int
    losses: np.ndarray
    last: State
    broken: State
    broken_losses: np.ndarray


def are_finite(steps: CompiledSteps, losses: np.ndarray) -> bool:
    """Tell whether the losses of steps are finite, if they have any."""
    return not steps.has_loss or all_finite(losses)


def first_breakdown(steps: CompiledSteps, state: State, count: int) -> Breakdown:
    """Return the first of a number of steps that went wrong, found by bisection."""
    good, bad = 0, count
    while bad - good > 1:
        middle = (good + bad) // 2
        after, losses = steps.run(state, middle)
        if are_finite(steps, losses) and after.is_finite():
            good = middle
        else:
            bad = middle
    last, losses = (state, np.zeros(0)) if good == 0 else steps.run(state, good)
    return Breakdown(good, losses, last, *steps.run(last, 1))


def sensible_place(
    steps: CompiledSteps, losses: np.ndarray, begin: Place, worth: Place
) -> Place | None:
    """Return where the loss was sensible last; None if that is where the fit has ended.

    Parameters
    ----------
    steps
        The steps.
    losses
        The loss of each iteration up to the end.
    begin
        Where the chunk began, whose steps can be had again.
    worth
        The last place before it that was worth going on from.
    """
    if not len(losses) or (at := last_sensible(losses)) == len(losses) - 1:
        return None
    state, i = begin
    if at >= i:
        return (state if at == i else steps.run(state, at - i)[0]), at
    # rows that were streamed do not come again
    return begin if steps.windows else worth
