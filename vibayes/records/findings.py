"""What an automatic fit found out about a posterior, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Attempt", "Findings"]


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


@dataclass(frozen=True)
class Findings:
    """What is known of a posterior beside an approximation of it.

    Attributes
    ----------
    mean, sd : numpy.ndarray
        Moments of the flat unconstrained vector, by the best draws there are, (d,).
    khat : float
        Pareto k-hat of these draws; NaN if they were made by Hamiltonian moves.
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
    """

    mean: np.ndarray
    sd: np.ndarray
    khat: float
    ess: float
    draws: int
    trusted: bool
    modes: int
    places: int
    dropped: tuple[float, ...]
    attempts: tuple[Attempt, ...] = ()
