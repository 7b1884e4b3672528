"""Quantiles at gaps: where the mass of modes is known but for a little, and that decides.

Of a spike with six percent of the mass, and a slab far from it with the rest, the 5 % point is in
the spike; were it four percent, it would be in the slab. Draws tell which of the two it is only if
they tell the share of the spike to within a percent.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vibayes.model.flat import FlatLayout
from vibayes.search.explore import Exploration
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import apart

__all__ = ["at_gaps", "names_at_gaps"]

TAIL = 0.05, 0.95
ERRORS = 2.0  # standard errors of a share of the mass
STEPS = 12  # between the shares that differ by so much, to each side
FAR = 0.2  # of the width between both points: a move that makes it wrong
NEXT = 4  # steps, a third of them
MOST = 0.65  # of a move is within so few, where there is a gap: in a long tail it is not


def at_gaps(draws: WeightedDraws) -> np.ndarray:
    """Tell of each dimension whether its 5 % or 95 % point may be beyond a gap, (d,).

    It may where a share of the mass that is off by two standard errors, of as many draws as are
    effective, moves the point by a fifth of the width between the two, and all but at once.
    """
    low, high = draws.quantiles(TAIL)
    width = high - low
    found = np.zeros(len(width), dtype=bool)
    for share in TAIL:
        error = ERRORS * np.sqrt(share * (1 - share) / max(draws.size, 1.0))
        for sign in (-1, 1):
            shares = np.clip(share + sign * error * np.linspace(0, 1, STEPS + 1), 0.0, 1.0)
            moves = np.abs(np.diff(draws.quantiles(list(shares)), axis=0))
            total = moves.sum(axis=0)
            largest = sliding_window_view(moves, NEXT, axis=0).sum(axis=-1).max(axis=0)
            found |= (total > FAR * width) & (largest > MOST * total)
    return found


def names_at_gaps(exploration: Exploration) -> list[str]:
    """Return the free variables whose points may be beyond a gap between several modes."""
    if exploration.population is None and len(apart(exploration.normals)) == 1:
        return []
    target, draws = exploration.target, exploration.draws
    there = at_gaps(replace(draws, values=target.unstandardized(draws.values)))
    variables = FlatLayout(target.model.value_vars)
    return [
        rv.name
        for rv, slot in zip(target.model.free_RVs, variables.slots, strict=True)
        if there[slot.start : slot.stop].any()
    ]
