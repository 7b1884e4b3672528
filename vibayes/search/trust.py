"""Whether weighted draws can be relied on: chains that begin at them have to agree.

Weights see only where their proposal goes, and k-hat of a few hundred draws is itself uncertain by
0.1 and more. Chains know nothing of the proposal once they have forgotten where they began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vibayes.importance import effective_size, normalized, tempered
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.chains import CHAINS_EACH, POINTS, ChainRun, run_chains
from vibayes.search.effort import Effort
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal, apart
from vibayes.search.shares import bridged
from vibayes.search.stretched import Stretch, StretchedTarget

__all__ = [
    "LARGEST_DISCREPANCY",
    "LIKELY_GRADIENTS",
    "Trial",
    "all_draws",
    "are_close",
    "can_be_tried",
    "discrepancy",
    "has_moments_of",
    "is_close",
    "is_dear",
    "nearest",
    "tried",
]

POINTS_OF_PLACE = 12
FEWEST_POINTS = 4
SPREAD = 50.0  # effective draws among which starting points are chosen, of thousands
TEMPERATURES = 2.0, 1.5, 1.2  # of the posterior of which these are draws: as warm as they tell
MOST_SECONDS = 30.0  # of a run of chains, about
# seconds: in machine code, and of the two products of a row with a matrix
PER_OPERATION, PER_NUMBER, PER_PRODUCT = 2e-6, 6e-10, 1.6e-10
ROWS = POINTS * CHAINS_EACH
LIKELY_GRADIENTS = 500 * ROWS
"""Number of gradients that chains take where weights are no good: most of them take more."""
FEWEST_LEAPS, LEAPS_OF_DEAR = 1000, 7000
CHEAP = 0.1  # of the leapfrog steps that chains may take
PROBABILITIES = 0.05, 0.25, 0.5, 0.75, 0.95
WIDTHS = (0.05, 0.95), (0.1, 0.9)
LARGEST_DISCREPANCY = 0.15
CLOSE_SHIFT, CLOSE_WIDTHS = 0.1, (0.9, 1.1)
CENTRAL = 0.05, 0.95
BRIDGE = 1000  # draws of each normal
LARGEST_ERROR = 0.1  # of the logarithm of what a place holds


@dataclass(frozen=True)
class Trial:
    """What chains that began at weighted draws have shown.

    Attributes
    ----------
    run : ChainRun, optional
        The chains, if there was time for any.
    draws : WeightedDraws, optional
        Their draws, if these stand for the posterior: the chains have mixed, or have mixed within
        each place, and it is known how much each one holds.
    agrees : bool
        Whether they have mixed at least within each place, and the weighted draws agree with them.
    """

    run: ChainRun | None = None
    draws: WeightedDraws | None = None
    agrees: bool = False


def all_draws(run: ChainRun) -> WeightedDraws:
    """Return the draws of chains, all of the same weight."""
    values = run.values.reshape(-1, run.values.shape[-1])
    return WeightedDraws.even(values, min(run.mixing.size, len(values)))


def affordable_leaps(target: Target) -> int:
    """Return how many leapfrog steps of all chains may be taken.

    A fixed rule, and no clock: about what takes half a minute of one core.
    """
    work = target.work
    row = PER_NUMBER * work.numbers + PER_PRODUCT * target.ddim**2
    return int(MOST_SECONDS / (PER_OPERATION * work.operations + ROWS * row))


def can_be_tried(target: Target) -> bool:
    """Tell whether there is time for chains to check what looks good already.

    Of very many data, or of long loops, weights alone have to do.
    """
    return affordable_leaps(target) >= FEWEST_LEAPS


def is_dear(target: Target) -> bool:
    """Tell whether chains take so long that weights do without which are good enough."""
    return affordable_leaps(target) < LEAPS_OF_DEAR


def tried(
    target: Target,
    draws: WeightedDraws,
    logp: np.ndarray,
    normals: Sequence[FittedNormal],
    rng: np.random.Generator,
    budget: Budget,
    effort: Effort,
    stretch: Stretch | None = None,
    visited: np.ndarray | None = None,
) -> Trial:
    """Let chains begin at weighted draws, and compare.

    Parameters
    ----------
    target
        The posterior.
    draws
        The weighted draws, (n, d).
    logp
        Log density of the target there, (n,).
    normals
        Normals at the places where there is mass. Between places that lie apart chains need not
        go, if the weights tell how much each one holds.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    effort
        How long it may take.
    stretch
        Of what variables those of the target are made, if chains are to move in these.
    visited
        Where chains that have not mixed have come to, (m, d), if there were any: others begin
        there, too.
    """
    places = apart(normals)
    labels = nearest(places, draws.values)
    begin = draws.values[starting_rows(draws, logp, labels, rng)]
    if visited is not None:
        begin = partly_replaced(begin, visited, target.logp(visited), places, rng)
    begun = nearest(places, begin)
    each = np.bincount(begun, minlength=len(places))
    points = begun if each.min() >= FEWEST_POINTS else None
    affordable = affordable_leaps(target)
    if not draws.is_reliable:
        target.expect(LIKELY_GRADIENTS)
    if stretch is None:
        # reliable weights are the result, if chains come to the same
        plenty = 0 if draws.is_reliable else int(CHEAP * affordable)
        effort = effort.within(affordable, plenty)
        root, spread = normals[0].full_root, len(places) > 1
        run = run_chains(target, begin, root, rng, budget, effort, points, spread)
    else:
        effort = effort.within(affordable)
        run = run_stretched(target, draws, begin, stretch, rng, budget, effort, points)
    if run is None or not run.is_good:
        return Trial(run)
    if run.mixing.good or points is None:
        points, labels = np.zeros(len(begin), dtype="int64"), np.zeros_like(labels)
        moved: WeightedDraws | None = all_draws(run)
    else:
        moved = draws_of_places(target, run, np.repeat(points, CHAINS_EACH), places, rng)
    return Trial(run, moved, agree(run, run.within.size, points, draws, logp, labels))


def run_stretched(
    target: Target,
    draws: WeightedDraws,
    begin: np.ndarray,
    stretch: Stretch,
    rng: np.random.Generator,
    *options: Any,
) -> ChainRun | None:
    """Let chains move where tails are short, and return them as draws of the target."""
    root = replace(draws, values=stretch.backward(draws.values)).root
    stretched = StretchedTarget(target, stretch)
    run = run_chains(stretched, stretch.backward(begin), root, rng, *options)
    if run is None:
        return None
    logp = run.logp - stretch.log_slope(run.values)
    return replace(run, values=stretch.forward(run.values), logp=logp)


def draws_of_places(
    target: Target,
    run: ChainRun,
    chains: np.ndarray,
    places: Sequence[FittedNormal],
    rng: np.random.Generator,
) -> WeightedDraws | None:
    """Return the draws of chains, weighted by how much their places hold.

    None if that cannot be told well enough.
    """
    parts, evidence = [], []
    for place, q in enumerate(places):
        values = run.values[:, chains == place].reshape(-1, target.ddim)
        logp = run.logp[:, chains == place].ravel()
        own = nearest(places, values) == place
        parts.append(values[own])
        drawn = q.at(rng.standard_normal((BRIDGE, target.ddim)))
        inside = nearest(places, drawn) == place
        ratios = np.where(inside, target.logp(drawn) - q.logq(drawn), -np.inf)
        size = min(run.within.size, len(values))
        evidence.append(bridged((logp - q.logq(values))[own], size, ratios))
    if max(e.error for e in evidence) > LARGEST_ERROR:
        return None
    mass = np.array([e.log_mass for e in evidence])
    log_weights = np.concatenate(
        [np.full(len(v), m - np.log(len(v))) for m, v in zip(mass, parts, strict=True)]
    )
    log_weights -= np.logaddexp.reduce(log_weights)
    values = np.concatenate(parts)
    return WeightedDraws(
        values, log_weights, np.nan, min(run.within.size * len(places), len(values))
    )


def agree(
    run: ChainRun,
    size: float,
    points: np.ndarray,
    draws: WeightedDraws,
    logp: np.ndarray,
    labels: np.ndarray,
) -> bool:
    """Tell whether chains and weighted draws are alike, in each place."""
    chains = np.repeat(points, CHAINS_EACH)
    moved = np.concatenate([run.values, run.logp[:, :, None]], axis=2)
    weighted = np.column_stack([draws.values, logp])
    worst = max(
        discrepancy(
            moved[:, chains == place].reshape(-1, moved.shape[2]),
            size,
            weighted[labels == place],
            draws.log_weights[labels == place],
        )
        for place in np.unique(points)
    )
    return bool(worst < LARGEST_DISCREPANCY)


def nearest(places: Sequence[FittedNormal], Z: np.ndarray) -> np.ndarray:
    """Return for each row the place whose normal has the highest density there."""
    return np.argmax([q.logq(Z) for q in places], axis=0)


def starting_rows(
    draws: WeightedDraws, logp: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return rows of draws to begin at, none twice: spread out, and as many of each place.

    They are wider than the posterior, so that chains which look alike have come to do so (Gelman &
    Rubin 1992), and some begin in the far parts of it, to which others hardly find.
    """
    kinds = np.unique(labels)
    count = POINTS if len(kinds) == 1 else max(POINTS_OF_PLACE, POINTS // len(kinds))
    chosen = []
    for kind in kinds:
        rows = np.flatnonzero(labels == kind)
        flat = warmed(draws.log_weights[rows], logp[rows])
        chosen.append(rows[np.argsort(-(flat + rng.gumbel(size=len(rows))))[:count]])
    return np.concatenate(chosen)


def partly_replaced(
    begin: np.ndarray,
    visited: np.ndarray,
    logp: np.ndarray,
    places: Sequence[FittedNormal],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return starting points of which up to half of each place are such as chains have come to.

    A part of the posterior that few of these have found is lost to chains that begin without it,
    and whose steps are chosen without it: they may mix in all the rest.
    """
    begin, own = begin.copy(), nearest(places, begin)
    labels = nearest(places, visited)
    chosen = starting_rows(WeightedDraws.even(visited), logp, labels, rng)
    for place in range(len(places)):
        rows, new = np.flatnonzero(own == place), visited[chosen[labels[chosen] == place]]
        rows = rows[len(rows) - len(rows) // 2 :][: len(new)]
        begin[rows] = new[: len(rows)]
    return begin


def warmed(log_weights: np.ndarray, logp: np.ndarray) -> np.ndarray:
    """Return log weights by which draws are of a posterior of a higher temperature.

    The highest one of which enough draws count; else their own weights, and where too few count by
    these, more even ones.
    """
    enough = min(SPREAD, 0.5 * len(logp))
    logp = np.where(np.isfinite(logp), logp, 0.0)  # by weight there are none elsewhere
    for temperature in TEMPERATURES:
        warm = normalized(log_weights + (1 / temperature - 1) * logp)
        if effective_size(warm) >= enough:
            return warm
    return tempered(log_weights, enough)


def discrepancy(
    moved: np.ndarray, size: float, reference: np.ndarray, log_weights: np.ndarray
) -> float:
    """Return how differently draws and weighted draws are distributed, beyond their noise.

    The largest difference of the probabilities to be below a number of quantiles, in units of
    sqrt(p (1 - p)), or of the logarithms of widths: about 0.1 for means a tenth of a standard
    deviation apart, or widths that differ by a tenth. In heavy tails these differ where
    probabilities hardly do.

    Parameters
    ----------
    moved
        Draws of equal weight, (n, q).
    size
        How many independent ones they are worth.
    reference, log_weights
        Weighted draws, (m, q) and (m,).
    """
    log_weights = log_weights - np.logaddexp.reduce(log_weights)
    weighted = WeightedDraws(reference, log_weights, np.nan)
    worst = 0.0
    for p, quantiles in zip(PROBABILITIES, weighted.quantiles(PROBABILITIES), strict=True):
        below = (moved <= quantiles).mean(axis=0)
        worst = max(worst, float(np.abs(below - p).max()) / np.sqrt(p * (1 - p)))
    worst = max(worst, stretching(moved, weighted))
    return worst - 2 * np.sqrt(1 / size + 1 / weighted.size)


def stretching(moved: np.ndarray, weighted: WeightedDraws) -> float:
    """Return by how much the logarithm of a width differs between draws and weighted ones.

    Of two widths of each coordinate it is the one that differs less: where one of several modes
    holds about a twentieth, the other one does not depend on which side of a gap its end is.
    """
    changes = []
    for ends in WIDTHS:
        width = np.diff(np.quantile(moved, ends, axis=0), axis=0)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            changes.append(np.abs(np.log(width / weighted.width(ends))))
    return float(np.nan_to_num(np.minimum(*changes), nan=0.0, posinf=np.inf).max())


def is_close(values: np.ndarray, draws: WeightedDraws) -> bool:
    """Tell whether draws have the means and widths of better ones, and can take their place."""
    widths = np.diff(np.quantile(values, CENTRAL, axis=0), axis=0)[0] / draws.width(CENTRAL)
    return has_moments_of(values, draws) and within(widths, CLOSE_WIDTHS)


def are_close(draws: WeightedDraws, better: WeightedDraws) -> bool:
    """Tell the same of weighted draws."""
    widths = draws.width(CENTRAL) / better.width(CENTRAL)
    return are_moments_of(draws.mean, draws.sd, better) and within(widths, CLOSE_WIDTHS)


def has_moments_of(values: np.ndarray, draws: WeightedDraws) -> bool:
    """Tell the same by means and standard deviations alone.

    Weights of few draws change these by little more than they have to, but the widths between two
    of the outermost draws by a tenth.
    """
    return are_moments_of(values.mean(axis=0), values.std(axis=0), draws)


def are_moments_of(mean: np.ndarray, sd: np.ndarray, draws: WeightedDraws) -> bool:
    """Tell whether means and standard deviations are about those of draws."""
    shift = np.abs(mean - draws.mean) / draws.sd
    return bool(shift.max() < CLOSE_SHIFT) and within(sd / draws.sd, CLOSE_WIDTHS)


def within(ratios: np.ndarray, limits: tuple[float, float]) -> bool:
    """Tell whether all ratios are between two limits."""
    return bool(ratios.min() > limits[0] and ratios.max() < limits[1])
