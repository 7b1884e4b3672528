"""What an automatic fit has tried."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vibayes.approximations.base import Approximation
from vibayes.records.findings import Attempt
from vibayes.search.budget import Budget
from vibayes.search.explore import Exploration
from vibayes.search.findings import attempt_of
from vibayes.search.mixtures import WeightedDraws

__all__ = ["Tried"]


@dataclass(frozen=True)
class Tried:
    """What an automatic fit knows after it has tried some families.

    Attributes
    ----------
    exploration : Exploration
        The best one.
    attempts : tuple of Attempt
        How good each family was.
    single : Approximation, optional
        The approximation by one normal, if that holds the posterior.
    """

    exploration: Exploration
    attempts: tuple[Attempt, ...] = ()
    single: Approximation | None = None

    def noted(self, name: str, elbo: float, draws: WeightedDraws, budget: Budget) -> Tried:
        """Return this with a further attempt."""
        attempt = attempt_of(name, elbo, draws, budget.elapsed)
        return replace(self, attempts=(*self.attempts, attempt))
