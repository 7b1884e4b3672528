"""What an exploration has found, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vibayes.records.findings import Attempt, Findings
from vibayes.search.explore import Exploration
from vibayes.search.normals import FittedNormal

__all__ = ["count_places", "findings_of"]

APART = 3.0  # in standard deviations


def findings_of(exploration: Exploration, attempts: tuple[Attempt, ...] = ()) -> Findings:
    """Return what an exploration has found."""
    draws, best = exploration.draws, exploration.best.elbo
    values = exploration.target.unstandardized(draws.values)
    weights = np.exp(draws.log_weights)
    mean = weights @ values
    return Findings(
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
