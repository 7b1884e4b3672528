"""The modes of a posterior, and the best normal at each.

Up to a hundred dimensions a normal is fitted at the end of each path of Newton's method; in more,
the best independent normals come first. Of rows that are many, those of a sample are moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vibayes import progress
from vibayes.model.target import Target
from vibayes.records.findings import Search
from vibayes.search.annealing import annealed, unexplained_points
from vibayes.search.best_normals import LARGE, fit_diagonal, fit_full_rank, fit_large
from vibayes.search.budget import Budget
from vibayes.search.colored import Coloring, curvature_of_all, with_curvature_of_all
from vibayes.search.modes import SearchPath, curvature_at, find_modes, screened_starts
from vibayes.search.noise import matched_normals, mirrored_normals, stratified_normals
from vibayes.search.normals import FittedNormal, apart, from_curvature, from_root
from vibayes.search.paths import best_along, distinct_paths
from vibayes.search.scan import scanned_points, unexplained
from vibayes.search.whole import begins_on_sample, moved_to_mode, sampled

__all__ = [
    "MEDIUM_NOISE",
    "Located",
    "locate",
    "show",
]

CURVATURES = 8  # draws at which curvatures are computed, for their mean
FEW_NOISE = 16  # draws for a first, rough fit in many dimensions
MEDIUM_NOISE = 32  # draws for the last steps on many data
MOST_STARTS, MOST_PARAMETERS = 10, 2000  # of further starts in many dimensions, and of all of them
FEWER_STARTS = {"best": 4, "peaks": 2}
SEPARATE = 1.0  # in sds: how far apart normals have to be to count as two
SHOWN = 8  # of the normals on the way to a better one
MOST_LOOKS = 4  # at what a population has come to
NEGLIGIBLE = 7.0  # in ELBO: less than a thousandth of the mass


@dataclass(frozen=True)
class Located:
    """Normals at the modes of a posterior, and what is known of the search for these.

    Attributes
    ----------
    normals : tuple of FittedNormal
        The best normal at each mode that holds mass, best ELBO first.
    dropped : tuple of FittedNormal
        Normals at modes of negligible mass.
    noise : numpy.ndarray
        Standard normal draws that the normals were fitted to.
    search : Search, optional
        How hard was looked for modes; None if a normal close by was known.
    population : numpy.ndarray, optional
        Points of the posterior that had cooled to it, where there are several modes, (n, d).
    """

    normals: tuple[FittedNormal, ...]
    dropped: tuple[FittedNormal, ...]
    noise: np.ndarray
    search: Search | None = None
    population: np.ndarray | None = None

    @classmethod
    def of(
        cls, fits: Sequence[FittedNormal], noise: np.ndarray, search: Search | None = None
    ) -> Located:
        """Return the normals that differ, of all that were fitted."""
        return cls(*separate(fits), noise, search)

    @property
    def best(self) -> FittedNormal:
        """The normal of highest ELBO."""
        return self.normals[0]


def locate(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None = None,
    begin: FittedNormal | None = None,
    known: FittedNormal | None = None,
) -> Located:
    """Search for modes, and fit normals there.

    Parameters
    ----------
    target
        The posterior.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    observe
        Called with each state of each normal.
    begin
        A normal that is close already, so that nothing needs to be searched for.
    known
        A normal where the search goes on if it comes to nothing as good.
    """
    if begin is not None:
        noise = mirrored_normals(MEDIUM_NOISE, target.ddim, rng)
        return Located.of([fit_large(target, begin, noise, budget, observe=observe)], noise)
    if begins_on_sample(target):
        sample = sampled(target, rng)
        on_sample = locate(sample, rng, budget)
        return moved_normals(target, sample, on_sample, rng, budget, observe)
    if target.ddim > LARGE:  # the first of its searches begins where the target starts
        return large_normals(target, rng, budget, observe, known)
    return small_normals(target, rng, budget, observe, known)


def separate(
    fits: Sequence[FittedNormal],
) -> tuple[tuple[FittedNormal, ...], tuple[FittedNormal, ...]]:
    """Return normals that differ, best ELBO first, and those of them that hold negligible mass."""
    kept: list[FittedNormal] = []
    dropped: list[FittedNormal] = []
    for q in sorted(fits, key=lambda q: -q.elbo):
        known = [*kept, *dropped]
        differs = all(np.abs(o.whitened(q.mean[None])).max() > SEPARATE for o in known)
        if not known or (differs and q.elbo > known[0].elbo - NEGLIGIBLE):
            kept.append(q)
        elif differs and q.converged:
            dropped.append(q)
    return tuple(kept), tuple(dropped)


def small_normals(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
    known: FittedNormal | None,
) -> Located:
    """Return the best normal at each mode."""
    target.check_start()
    progress.say("searching for modes")
    # other coordinates have no modes of their own
    screening = screened_starts(target, rng, **({} if known is None else FEWER_STARTS))
    paths = distinct_paths(find_modes(target, screening.starts, budget))
    noise = matched_normals(max(128, 6 * target.ddim), target.ddim, rng)

    def fitted(path: SearchPath) -> FittedNormal:
        begin = best_along(target, path, rng)
        if observe is not None and path is paths[0]:
            show(target, [from_root(z, root) for z, root in path.trail], noise, observe)
        return fit_full_rank(target, begin, noise, budget, observe=observe)

    fits: list[FittedNormal] = []
    for i, path in enumerate(paths, 1):
        if fits and budget.exhausted:
            break
        progress.say(f"normal at mode {i} of {len(paths)}")
        fits.append(fitted(path))
    if known is not None and all(q.elbo < known.elbo for q in fits):
        # Newton steps can leave a place that holds mass for a mode that holds none
        begin = from_root(known.mean, known.full_root)
        fits.append(fit_full_rank(target, begin, noise, budget, observe=observe))

    def look_from(points: np.ndarray) -> bool:
        """Add the normals at modes that are near points; tell whether there are any."""
        if not len(points) or budget.exhausted:
            return False
        further = [path for path in find_modes(target, points, budget) if path.converged]
        new = distinct_paths(further, paths)
        paths.extend(new)
        fits.extend(map(fitted, new))
        return bool(new)

    progress.say("looking for narrow modes")
    points = unexplained(target, fits, rng)
    look_from(points)
    starts = len(screening.starts) + len(points)
    search = Search(starts, screening.points, screening.prior, scanned_points(target))
    found = Located.of(fits, noise, search)
    if len(apart(found.normals)) == 1:
        return found
    population = annealed(target, found.normals, rng, budget)
    for _ in range(MOST_LOOKS):
        points = unexplained_points(population, separate(fits)[0], rng)
        starts += len(points)
        if not look_from(points):
            break
    search = replace(search, starts=starts, temperatures=population.temperatures)
    cooled = population.values if len(population.values) else None
    return replace(Located.of(fits, noise, search), population=cooled)


def show(
    target: Target,
    normals: Sequence[FittedNormal],
    noise: np.ndarray,
    observe: Callable[[FittedNormal], None],
) -> None:
    """Show some of the normals on the way to a better one, with their ELBO on the same draws."""
    chosen = np.unique(np.linspace(0, len(normals) - 1, min(SHOWN, len(normals))).astype(int))
    for i in chosen:
        q = normals[i]
        elbo = float(target.logp(q.at(noise)).mean()) + q.entropy
        if np.isfinite(elbo):
            observe(replace(q, elbo=elbo))


def large_normals(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
    known: FittedNormal | None,
) -> Located:
    """Return the best normals that were found from a few starts.

    The mode of a hierarchy may be a pole of the density, far from the mass. So the best
    independent normals come first, and correlations are those of the mean curvature about there,
    if that makes them better.
    """
    target.check_start()
    rough = stratified_normals(FEW_NOISE, target.ddim, rng)
    most = MOST_STARTS if known is None else FEWER_STARTS["best"]
    screening = screened_starts(target, rng, count=8 * MOST_STARTS, best=most, peaks=0)
    on_the_way: list[FittedNormal] = []
    diagonals = diagonal_normals(target, rough, screening.starts, budget, on_the_way.append)
    high, _ = separate(diagonals)
    noise = mirrored_normals(256, target.ddim, rng)
    if observe is not None:
        show(target, on_the_way, noise, observe)
    fits: list[FittedNormal] = []
    for i, diagonal in enumerate(high, 1):
        if fits and budget.exhausted:
            break
        progress.say(f"normal at mode {i} of {len(high)}")
        begin = correlated(target, diagonal, noise, rng, budget)
        fits.append(fit_large(target, begin, noise, budget, observe=observe))
    return Located.of(fits, noise, Search(len(diagonals), screening.points, screening.prior))


def diagonal_normals(
    target: Target,
    noise: np.ndarray,
    starts: np.ndarray,
    budget: Budget,
    observe: Callable[[FittedNormal], None],
) -> list[FittedNormal]:
    """Return the best independent normals from where the target starts, and from a few of others.

    Those on the way of the first are shown.
    """
    count = min(MOST_STARTS, MOST_PARAMETERS // target.ddim)
    begins = [None, *starts[1 : 1 + count]]
    found: list[FittedNormal] = []
    for i, start in enumerate(begins, 1):
        if found and budget.exhausted:
            break
        progress.say(f"independent normals from start {i} of {len(begins)}")
        watch = observe if start is None else None
        found.append(fit_diagonal(target, noise, budget, start=start, observe=watch))
    return found


def correlated(
    target: Target,
    diagonal: FittedNormal,
    noise: np.ndarray,
    rng: np.random.Generator,
    budget: Budget,
) -> FittedNormal:
    """Return a normal with the correlations of the mean curvature, if that makes it better."""
    normals = [diagonal]
    if not budget.exhausted:
        normals.append(from_curvature(diagonal.mean, mean_curvature(target, diagonal, rng)))
    scored = (q.scored(target, noise)[0] for q in normals)
    return max(scored, key=lambda q: q.elbo)


def mean_curvature(target: Target, q: FittedNormal, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of the negative Hessian at a few draws of a normal.

    At its mean alone, the curvature of a skewed posterior may be next to none.
    """
    first, *points = q.at(mirrored_normals(CURVATURES, target.ddim, rng))
    total = curvature_at(target, first, q.sd)
    coloring = Coloring.of(total)  # zeros of the first one are taken for those of all
    for z in points:
        few = None if coloring is None else curvature_of_all(target, coloring, z, q.sd)
        total = total + (curvature_at(target, z, q.sd) if few is None else few)
    return total / CURVATURES


def moved_normals(
    target: Target,
    sample: Target,
    on_sample: Located,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
) -> Located:
    """Return the best normals for many rows, begun at those of a sample of them.

    Where a draw is a pass over the data, the noise is as little as tells a covariance: of many rows
    the log density is close to quadratic, for which that is exact.
    """
    d = target.ddim
    begun = [moved_to_mode(target, q, budget, LARGE) for q in on_sample.normals]
    if d > LARGE:
        noise = mirrored_normals(MEDIUM_NOISE, d, rng)
        begun = [with_curvature_of_all(target, sample, q) for q in begun]
        fits = [fit_large(target, q, noise, budget, observe=observe) for q in begun]
    else:
        noise = matched_normals(2 * d + 2 if target.by_rows else max(64, 4 * d), d, rng)
        fits = [fit_full_rank(target, q, noise, budget, observe=observe) for q in begun]
    return Located.of(fits, noise, on_sample.search)
