"""Whether chains have forgotten where they began.

Several chains begin at each of a number of points: as long as chains of one point are more alike
than others, they remember it (Margossian et al. 2024, nested R-hat).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri, ndtr, ndtri

__all__ = ["Mixing", "effective_size", "mixing_of", "width_errors"]

WANTED_SIZE = 500.0  # effective draws of chains that have mixed
PROMISING_SIZE = 200.0  # of those that are worth going on with
LARGEST_DRIFT = 0.1  # in standard deviations
LARGEST_MEMORY = 0.1
LEAST_GROWTH = 1.5  # of the effective size, of chains that are twice as long
STUCK = 0.1  # acceptance of a chain that does not move
MOST_STUCK = 0.015  # share of chains
TAIL = 0.05
SURE = 3.5  # standard errors


@dataclass(frozen=True)
class Mixing:
    """How well chains have mixed: the worst of all coordinates and of the log density.

    Each of these is replaced by normal scores of its ranks, so that it makes no difference on
    which scale it is measured, and infinite variances do no harm (Vehtari et al. 2021). Looked at
    are the scores, their squares, and whether they are in either tail.

    Attributes
    ----------
    rhat : float
        Nested R-hat: the standard deviation of all draws over that within starting points.
    size : float
        Effective number of draws, as the means of all chains vary; as those of starting points do
        where these differ by more than chance.
    size_of_half : float
        The same for the first half of the draws.
    memory : float
        Slope of these means on the starting points themselves, beyond its error.
    drift : float
        Change of the mean from the first half of the draws to the second, in standard deviations,
        beyond its error.
    stuck : float
        Share of chains that hardly ever accept a move.
    """

    rhat: float
    size: float
    size_of_half: float
    memory: float
    drift: float
    stuck: float

    @property
    def good(self) -> bool:
        """Whether the draws stand for the posterior, as far as chains can tell."""
        return self.size >= WANTED_SIZE and self.is_steady

    @property
    def is_steady(self) -> bool:
        """Whether chains have forgotten where they began, and longer ones are worth more draws.

        Else half of what sets them apart, and more, is something that takes them longer than they
        have moved, such as a part of the posterior to which few have come.
        """
        return self.has_forgotten and self.size >= LEAST_GROWTH * self.size_of_half

    @property
    def is_promising(self) -> bool:
        """Whether more moves are likely to be all that is missing."""
        return self.size >= PROMISING_SIZE and self.has_forgotten

    @property
    def has_forgotten(self) -> bool:
        """Whether all chains move, and none remembers where it began."""
        return (
            self.memory < LARGEST_MEMORY and self.drift < LARGEST_DRIFT and self.stuck < MOST_STUCK
        )


def mixing_of(
    values: np.ndarray,
    logp: np.ndarray,
    acceptance: np.ndarray,
    starts: np.ndarray,
    starts_logp: np.ndarray,
    labels: np.ndarray | None = None,
) -> Mixing:
    """Tell how well chains have mixed.

    Parameters
    ----------
    values, logp
        States at a number of times, (times, chains, d), and their log density; as many chains in
        turn as there are of each starting point.
    acceptance
        Mean acceptance of each chain, (chains,).
    starts, starts_logp
        Where they began, (points, d).
    labels
        The place of each starting point: the mixing is the worst of all places.
    """
    labels = np.zeros(len(starts), dtype="int64") if labels is None else labels
    kinds = [labels == label for label in np.unique(labels)]
    each = values.shape[1] // len(starts)
    stuck = float((acceptance < STUCK).mean())
    found = []
    for points in kinds:
        chains = np.repeat(points, each)
        draws = np.concatenate([values[:, chains], logp[:, chains, None]], axis=2)
        begin = np.column_stack([starts[points], starts_logp[points]])
        found.append(mixing_of_place(draws, begin, stuck))
    return worst_of(found)


def mixing_of_place(
    draws: np.ndarray, begin: np.ndarray, stuck: float, columns: int = 64
) -> Mixing:
    """Tell how well chains have mixed, (times, chains, q), that began at some points, (points, q).

    A number of columns at a time, for want of memory.
    """
    q = draws.shape[2]
    parts = [slice(at, at + columns) for at in range(0, q, columns)]
    return worst_of([mixing_of_columns(draws[:, :, p], begin[:, p], stuck) for p in parts])


def worst_of(found: Sequence[Mixing]) -> Mixing:
    """Return the worst of each measure."""
    return Mixing(
        rhat=max(m.rhat for m in found),
        size=min(m.size for m in found),
        size_of_half=min(m.size_of_half for m in found),
        memory=max(m.memory for m in found),
        drift=max(m.drift for m in found),
        stuck=max(m.stuck for m in found),
    )


def mixing_of_columns(draws: np.ndarray, begin: np.ndarray, stuck: float) -> Mixing:
    """Tell how well chains have mixed in some of the columns."""
    points, (times, chains, _) = len(begin), draws.shape
    scores, begin = (features(part) for part in normal_scores(draws, begin))
    half = times // 2
    means, early, late = (
        part.mean(axis=0).reshape(points, chains // points, -1)
        for part in (scores, scores[:half], scores[half:])
    )
    within = means.var(axis=1, ddof=1).mean(axis=0) + scores.var(axis=0, ddof=1).mean(axis=0)
    centers = means.mean(axis=1)
    change = (late - early).mean(axis=1) / np.sqrt(within)
    return Mixing(
        rhat=float(np.sqrt(1 + (centers.var(axis=0, ddof=1) / within).max())),
        size=effective_size(means, within, times),
        size_of_half=effective_size(early, within, half),
        memory=remembered(begin, centers),
        drift=float(beyond_error(change).max()),
        stuck=stuck,
    )


def effective_size(means: np.ndarray, within: np.ndarray, times: int) -> float:
    """Return how many independent draws tell the worst mean as well as those of chains do.

    The worst of hundreds of variances of a few starting points is most often chance: it is half of
    the others. So all chains count, as long as those of one point are not more alike than others.

    Parameters
    ----------
    means
        Of each chain, (points, chains of a point, q).
    within
        Variances within points, (q,).
    times
        Number of draws of each chain.
    """
    points, each, q = means.shape
    of_points = each * means.mean(axis=1).var(axis=0, ddof=1)
    of_chains = means.var(axis=1, ddof=1).mean(axis=0)
    limit = fdtri(points - 1, points * (each - 1), ndtr(SURE))
    of_all = means.reshape(-1, q).var(axis=0, ddof=1)
    variance = np.where(of_points > limit * of_chains, of_points, of_all)
    count = points * each
    return float(min(count / max((variance / within).max(), 1e-300), times * count))


def width_errors(values: np.ndarray, size: float) -> np.ndarray:
    """Return the standard errors of the logarithms of central 90 % widths.

    A quantile is as uncertain as it changes where its probability does by the standard error that
    this has of so many independent draws (Vehtari et al. 2021, section 4.4).

    Parameters
    ----------
    values
        Draws of equal weight, (n, d).
    size
        How many independent ones they are worth.

    Returns
    -------
    numpy.ndarray
        Of each coordinate, (d,).
    """
    error = np.sqrt(TAIL * (1 - TAIL) / size)
    below, above = max(TAIL - error, 0.0), TAIL + error
    probabilities = [below, TAIL, above, 1 - above, 1 - TAIL, 1 - below]
    first, lower, second, third, upper, last = np.quantile(values, probabilities, axis=0)
    errors = np.hypot(second - first, last - third) / 2
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(errors / (upper - lower), nan=0.0)


def features(scores: np.ndarray) -> np.ndarray:
    """Return normal scores, their squares, and whether they are in either tail."""
    tails = [scores < ndtri(TAIL), scores > -ndtri(TAIL)]
    return np.concatenate([scores, scores**2, *(tail.astype("float64") for tail in tails)], axis=-1)


def normal_scores(draws: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return normal scores of the ranks of draws, and those of further values among them."""
    rows = np.ascontiguousarray(draws.reshape(-1, draws.shape[-1]).T)
    count = rows.shape[1]
    order = np.argsort(rows, axis=1, kind="stable")
    scores = np.empty(rows.shape)
    np.put_along_axis(scores, order, ndtri((np.arange(count) + 0.5) / count)[None], axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    places = [np.searchsorted(known, x) for known, x in zip(ordered, begin.T, strict=True)]
    among = np.clip(np.column_stack(places), 0, count - 1)
    return scores.T.reshape(draws.shape), ndtri((among + 0.5) / count)


def beyond_error(differences: np.ndarray) -> np.ndarray:
    """Return how far from zero the means (q,) of independent rows are, less their error."""
    error = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
    return np.abs(differences.mean(axis=0)) - SURE * error


def remembered(begin: np.ndarray, centers: np.ndarray) -> float:
    """Return the largest slope of means on starting points, (points, q), less its error."""
    begin, centers = begin - begin.mean(axis=0), centers - centers.mean(axis=0)
    square = np.maximum((begin**2).sum(axis=0), 1e-12)
    slope = (begin * centers).sum(axis=0) / square
    rest = ((centers - slope * begin) ** 2).sum(axis=0) / (len(begin) - 2)
    return float((np.abs(slope) - SURE * np.sqrt(rest / square)).max())
