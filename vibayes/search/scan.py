"""A wide look for mass that no search has come to: of narrow modes hardly any start feels a slope.

The log density is evaluated at very many points about the normals that were found. Where it is
higher than these can explain, there may be another mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from vibayes.model.target import Target, data_size
from vibayes.search.mixtures import FittedMixture
from vibayes.search.modes import peaks_of
from vibayes.search.normals import FittedNormal

__all__ = ["unexplained"]

MOST_DIMENSIONS = 10  # in more, next to no point would come close to a narrow mode
MOST_POINTS = 300_000
MOST_NUMBERS = 3_000_000  # of all evaluations together, some tenths of a second
WIDENING, DF = 2.0, 3.0  # of the normals, to draw points about them
EXCESS = 3.0  # in log density, above what normals explain
NEGLIGIBLE = 14.0  # in log weight, below the highest one
POOLS = 200, 2000  # points of highest weight, and any
STARTS = 4  # from each pool


def unexplained(
    target: Target, normals: Sequence[FittedNormal], rng: np.random.Generator
) -> np.ndarray:
    """Return points (n, d) that may be near a mode that the normals leave out.

    At them the log density is more than ``EXCESS`` above that of the normals, each multiplied by
    its estimate of the evidence. They are the one of highest weight, and points that are far from
    all of higher weight. A narrow mode that holds as much mass as a wide one is found with
    probability 0.95 if its basin gets one in a hundred thousand of the points.

    Parameters
    ----------
    target
        The posterior.
    normals
        What was found.
    rng
        Where the points come from.
    """
    if target.ddim > MOST_DIMENSIONS or not normals:
        return np.empty((0, target.ddim))
    found = FittedMixture.of_normals(normals)
    wide = replace(found, roots=WIDENING * found.roots, df=np.full(len(found), DF))
    numbers = target.ddim + data_size(target.model)
    points = wide.draw(min(MOST_POINTS, MOST_NUMBERS // numbers), rng)
    logp = target.logp(points)
    weights = logp - wide.logq(points)
    explained = found.logq(points) + logsumexp([q.elbo for q in normals])
    odd = (logp > explained + EXCESS) & (weights > weights.max(initial=-np.inf) - NEGLIGIBLE)
    return places(points[odd], weights[odd], rng)


def places(points: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a few points of high weight that lie apart."""
    order = np.argsort(-weights, kind="stable")
    highest, most = (min(len(points), count) for count in POOLS)
    some = np.sort(rng.choice(len(points), most, replace=False)) if len(points) else order
    pools = order[:1], order[:highest], order[some]
    found = [points[pools[0]], *(peaks_of(points[pool], STARTS) for pool in pools[1:] if len(pool))]
    return np.unique(np.concatenate(found), axis=0)
