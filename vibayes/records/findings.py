"""What an automatic fit found out about a posterior, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr, ndtri

__all__ = ["PROBABILITIES", "Attempt", "Findings", "Search", "Summary", "first_names"]

PROBABILITIES: tuple[float, ...] = 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.09, 0.12, 0.25, 0.5
PROBABILITIES = (*PROBABILITIES, *(1 - p for p in PROBABILITIES[-2::-1]))
"""At which quantiles are kept: many about 5 % and 95 %."""


@dataclass(frozen=True)
class Attempt:
    """A family that was tried.

    Attributes
    ----------
    name : str
        The family.
    elbo : float
        Evidence lower bound; NaN where there is none.
    khat : float
        Pareto k-hat of importance weights from it.
    ess : float
        Effective size of the weighted draws.
    draws : int
        Their number.
    seconds : float
        Time from the beginning of the fit to the end of this attempt.
    """

    name: str
    elbo: float
    khat: float
    ess: float
    draws: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What draws say about each scalar, on both scales.

    Attributes
    ----------
    mean, sd : numpy.ndarray
        Moments of the flat unconstrained vector, (d,).
    points : numpy.ndarray
        Its quantiles at :data:`PROBABILITIES`, (len(PROBABILITIES), d). They are those of the
        variables' own scale, too, as transforms of single scalars keep the order.
    own_names : tuple of str
        The scalars of the transformed variables, such as ``sigma``.
    own_mean, own_sd : numpy.ndarray
        Their moments on their own scale, (D,).
    own_error : numpy.ndarray
        Standard error of the logarithm of ``own_sd``, (D,): large where few draws in the tail
        decide.
    """

    mean: np.ndarray
    sd: np.ndarray
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    own_names: tuple[str, ...] = ()
    own_mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    own_sd: np.ndarray = field(default_factory=lambda: np.empty(0))
    own_error: np.ndarray = field(default_factory=lambda: np.empty(0))

    def below(self, points: np.ndarray) -> np.ndarray:
        """Return which share of the draws is below a point of each scalar, (d,).

        Between the quantiles that are known it is interpolated, as a normal score.
        """
        scores = ndtri(PROBABILITIES)
        columns = zip(points, self.points.T, strict=True)
        return ndtr([np.interp(x, known, scores) for x, known in columns])


@dataclass(frozen=True)
class Search:
    """How hard was looked for modes.

    Attributes
    ----------
    starts : int
        Number of points at which a search began.
    points : int
        Number of points among which these were chosen.
    prior : int
        How many of the points are draws of the prior: none where that cannot be drawn from.
    scanned : int
        Number of points in a further, wide scan for narrow modes.
    modes : int
        Number of modes found that hold mass: a narrow one may lie within a wide one.
    temperatures : int
        Number of temperatures at which a population cooled to the posterior; 0 without one.
    beyond_prior : tuple of str
        Scalars that the posterior puts far beyond all draws of the prior: where else there is mass,
        a search that begins at the prior cannot tell.
    """

    starts: int
    points: int
    prior: int
    scanned: int = 0
    modes: int = 1
    temperatures: int = 0
    beyond_prior: tuple[str, ...] = ()

    def __add__(self, other: Search) -> Search:
        """Return what two searches are together, with the modes of the second."""
        return Search(
            self.starts + other.starts,
            self.points + other.points,
            self.prior + other.prior,
            self.scanned + other.scanned,
            other.modes,
            self.temperatures + other.temperatures,
            other.beyond_prior,
        )

    def __str__(self) -> str:
        of_prior = f"{self.prior:,}" if self.prior else "none"
        text = f"{self.starts} starts of {self.points:,} points, {of_prior} from the prior"
        if self.scanned:
            text += f"; {self.scanned:,} points scanned"
        if self.temperatures:
            text += f"; a population cooled in {self.temperatures} temperatures"
        text += f": {self.modes or 'no'} mode{'s' if self.modes != 1 else ''}"
        if self.beyond_prior:
            names = first_names(self.beyond_prior)
            text += f"; far beyond the prior, which tells nothing of modes there: {names}"
        return text


@dataclass(frozen=True, kw_only=True)
class Findings(Summary):
    """What is known of a posterior beside an approximation of it: the best draws there are.

    Attributes
    ----------
    khat : float
        Pareto k-hat of these draws; NaN if they were made by chains.
    ess : float
        Effective number of these draws.
    draws : int
        Their number.
    trusted : bool
        Whether they can be relied on.
    modes : int
        Number of modes that hold mass, as far as they were told apart.
    places : int
        Number of places, far apart as seen by a normal, where there is mass: modes, and where a
        normal did not come to an end, as in the narrow part of a funnel.
    dropped : tuple of float
        For each mode of negligible mass that was found: by how much its ELBO is lower.
    attempts : tuple of Attempt
        What was tried.
    normals : int
        Number of normals that hold mass, however close to each other: a narrow one may lie within
        a wide one.
    search : Search, optional
        How hard was looked for modes; None if a normal close by was known.
    """

    khat: float
    ess: float
    draws: int
    trusted: bool
    modes: int
    places: int
    dropped: tuple[float, ...]
    attempts: tuple[Attempt, ...] = ()
    normals: int = 1
    search: Search | None = None


def first_names(names: Sequence[str], most: int = 3) -> str:
    """Return some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
