r"""Angles on the line, of whose turns a posterior needs one.

A variable on the circle is a number on the line that is wrapped around it. Its density repeats
itself at each turn: its integral over the line is infinite, and each mode has copies without end.
So searches and weights multiply it by the share of one turn about a centre :math:`c`,

.. math::

    w(x) = \sigma\left(\frac{x - c + \pi}{s}\right) - \sigma\left(\frac{x - c - \pi}{s}\right),

which is one about the centre. Over all turns of an angle the shares sum to one, so that the wrapped
angle has the distribution that it had, whatever the centre; it only matters that the mass is not
cut in two without need.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from vibayes.model.flat import FlatLayout
from vibayes.model.variables import ModelVariables

__all__ = ["Turns", "is_angle", "turns_of"]

TURN = 2 * np.pi
SOFTNESS = 0.25  # of the ends of a turn: gradients see them


@dataclass(frozen=True)
class Turns:
    """The turn that each angle is on.

    Attributes
    ----------
    places : numpy.ndarray
        Where the angles are in the flat vector, (k,) of int.
    centre : numpy.ndarray
        The middle of the turn of each, (k,).
    """

    places: np.ndarray
    centre: np.ndarray

    def about(self, Z: np.ndarray) -> Turns:
        """Return the turns about the mean directions of flat vectors (n, d)."""
        x = Z[:, self.places]
        middle = np.median(x, axis=0)
        direction = np.angle(np.exp(1j * (x - middle)).mean(axis=0))
        return replace(self, centre=middle + direction)

    def wrapped(self, Z: np.ndarray) -> np.ndarray:
        """Return flat vectors (n, d) whose angles are within half a turn of the centre."""
        Z = Z.copy()
        offset = Z[:, self.places] - self.centre
        Z[:, self.places] -= TURN * np.round(offset / TURN)
        return Z

    def holds(self, Z: np.ndarray) -> np.ndarray:
        """Tell of flat vectors (n, d) whether they are on this turn or about its ends, (n,)."""
        return (np.abs(Z[:, self.places] - self.centre) < 0.6 * TURN).all(axis=1)

    def log_shares(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logarithms (n,) of the shares of flat vectors, and their slopes (n, k)."""
        offset = Z[:, self.places] - self.centre
        above, below = (offset + np.pi) / SOFTNESS, (offset - np.pi) / SOFTNESS
        # the difference of the two, without cancellation: sigma(a) sigma(-b) (1 - exp(b - a))
        logs = (
            -np.logaddexp(0, -above) - np.logaddexp(0, below) + np.log1p(-np.exp(-TURN / SOFTNESS))
        )
        slopes = (expit(-above) - expit(below)) / SOFTNESS
        return logs.sum(axis=1), slopes


def is_angle(model: ModelVariables, rv: Any) -> bool:
    """Tell whether values of a free variable that are whole turns apart are one and the same."""
    return getattr(model.rvs_to_transforms.get(rv), "is_periodic", False)


def turns_of(model: ModelVariables, layout: FlatLayout, start: np.ndarray) -> Turns | None:
    """Return the turns about a start (d,) of the angles of a model, None if it has none."""
    places = [
        np.arange(slot.start, slot.stop)
        for rv, slot in zip(model.free_RVs, layout.slots, strict=True)
        if is_angle(model, rv)
    ]
    if not places:
        return None
    found = np.concatenate(places)
    return Turns(found, start[found])
