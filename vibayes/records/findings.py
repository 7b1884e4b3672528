"""What an automatic fit found out about a posterior, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vibayes.search.explore import Exploration
from vibayes.search.normals import FittedNormal

__all__ = ["Attempt", "Findings", "count_places"]

APART = 3.0  # in standard deviations


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

    @classmethod
    def of(cls, exploration: Exploration, attempts: tuple[Attempt, ...] = ()) -> Findings:
        """Return what an exploration has found."""
        draws, best = exploration.draws, exploration.best.elbo
        values = exploration.target.unstandardized(draws.values)
        weights = np.exp(draws.log_weights)
        mean = weights @ values
        return cls(
            mean=mean,
            sd=np.sqrt(weights @ (values - mean) ** 2),
            khat=draws.khat,
            ess=draws.size,
            draws=len(values),
            trusted=exploration.trusted,
            modes=max(1, count_places([q for q in exploration.normals if q.converged])),
            places=count_places(exploration.normals),
            dropped=tuple(best - q.elbo for q in exploration.dropped),
            attempts=attempts,
        )


def count_places(normals: Sequence[FittedNormal]) -> int:
    """Return how many normals lie apart, as seen from either of two.

    Several normals may have been fitted along the bends of one mode.
    """
    kept: list[FittedNormal] = []
    for q in normals:
        if all(min(distance(q, o), distance(o, q)) > APART for o in kept):
            kept.append(q)
    return len(kept)


def distance(q: FittedNormal, other: FittedNormal) -> float:
    """Return how far the mean of another normal is, in standard deviations."""
    return float(np.abs(q.whitened(other.mean[None])).max())
