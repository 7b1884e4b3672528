"""What a posterior looks like: its modes, the best normal at each, and weighted draws.

From cheap to dear: a search for modes, normals that maximize the ELBO, importance sampling from
these. Where the weights are no good, adaptive importance sampling by mixtures, in turns with
chains; and where that does not help either, chains alone. Draws are trusted if chains that begin
at them have mixed: those of the chains, or the weighted ones if they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vibayes import progress
from vibayes.importance import NEARLY_EVEN, has_good_tail, resampled
from vibayes.model.target import Target
from vibayes.records.findings import Search
from vibayes.search.budget import Budget
from vibayes.search.mixtures import (
    FittedMixture,
    ImportanceSampler,
    WeightedDraws,
    adapt,
    fitted_mixture,
)
from vibayes.search.modes import (
    SearchPath,
    approach,
    curvature_at,
    find_modes,
    screened_starts,
)
from vibayes.search.normals import (
    FittedNormal,
    apart,
    fit_diagonal,
    fit_full_rank,
    fit_large,
    from_curvature,
    matched_normals,
    mirrored_normals,
    stratified_normals,
)
from vibayes.search.scan import scanned_points, unexplained
from vibayes.search.stretched import Stretch
from vibayes.search.trust import (
    CHECK,
    FINAL,
    JUMPING,
    MOST_JUMPING,
    STRETCHED,
    Effort,
    Trial,
    all_draws,
    can_be_tried,
    tried,
)
from vibayes.search.whole import moved_to_mode, sampled

__all__ = [
    "LARGE",
    "Exploration",
    "best_along",
    "distinct_paths",
    "enlarge",
    "explore",
    "first_proposal",
    "glance",
    "improve",
    "improvements",
    "normal_of",
    "proposal",
    "searched",
    "settled",
    "show",
    "verified",
]

LARGE = 100
"""Dimensions from which a covariance is no longer fitted, but taken from the curvature."""
DRAWS = 1000
FEW_DRAWS = 100  # on a sample of rows, of which nothing but the normals is used
CURVATURES = 8  # draws at which curvatures are computed, for their mean
FEW_NOISE = 16  # draws for a first, rough fit in many dimensions
MEDIUM_NOISE = 32  # draws for the last steps on many data
ENOUGH = 3.0  # times as many effective draws as an exploration makes are what a result is made of
SOME, MOST_OF = 0.2, 0.5  # shares of effective draws
MOST_STARTS, MOST_PARAMETERS = 10, 2000  # of further starts in many dimensions, and of all of them
LATEST = 512  # states of chains to which a mixture is fitted
SEPARATE = 1.0  # in sds: how far apart normals have to be to count as two
SHOWN = 8  # of the normals on the way to a better one
NEGLIGIBLE = 7.0  # in ELBO: less than a thousandth of the mass


@dataclass(frozen=True)
class Exploration:
    """What is known of a posterior.

    It does not change: whatever makes the draws better returns a new one.

    Attributes
    ----------
    target : Target
        The posterior, in the coordinates in which it was explored.
    normals : tuple of FittedNormal
        The best normal at each mode that holds mass, best ELBO first.
    dropped : tuple of FittedNormal
        Normals at modes of negligible mass.
    noise : numpy.ndarray
        Standard normal draws that the normals were fitted to.
    sampler : ImportanceSampler
        Draws of the proposals, from which weighted ones are made.
    draws : WeightedDraws
        Draws that stand for the posterior, in the coordinates of ``target``.
    mixture : FittedMixture
        The last proposal.
    trusted : bool
        Whether the draws can be relied on.
    moved : bool
        Whether they were made by chains, for want of good weights.
    search : Search, optional
        How hard was looked for modes; None if a normal close by was known.
    """

    target: Target
    normals: tuple[FittedNormal, ...]
    dropped: tuple[FittedNormal, ...]
    noise: np.ndarray
    sampler: ImportanceSampler
    draws: WeightedDraws
    mixture: FittedMixture
    trusted: bool = False
    moved: bool = False
    search: Search | None = None

    @property
    def count(self) -> int:
        """Number of draws by which to judge."""
        return self.sampler.count

    @property
    def best(self) -> FittedNormal:
        """The normal of highest ELBO."""
        return self.normals[0]

    def resampled(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws of equal weight of the model's own flat vector, (count, d)."""
        rows = resampled(self.draws.log_weights, count, rng)
        return self.target.unstandardized(self.draws.values[rows])


def explore(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    draws: int = DRAWS,
    observe: Callable[[FittedNormal], None] | None = None,
    begin: FittedNormal | None = None,
) -> Exploration:
    """Search for modes, fit normals there, and weigh draws of these.

    The draws are trusted if their weights are good, and chains agree.

    Parameters
    ----------
    target
        What to explore.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    draws
        Number of draws.
    observe
        Called with each state of each normal.
    begin
        A normal that is close already, so that nothing needs to be searched for.
    """
    found = glance(target, rng, budget, draws, observe, begin)
    worth_a_look = is_promising(found) or is_nearly_even(found)
    return verified(found, rng, budget) if worth_a_look else found


def glance(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    draws: int = DRAWS,
    observe: Callable[[FittedNormal], None] | None = None,
    begin: FittedNormal | None = None,
) -> Exploration:
    """Do what :func:`explore` does, without chains: nothing is trusted."""
    if target.by_rows and begin is None:
        fits, noise, search = normals_by_rows(target, rng, budget, observe)
    elif begin is not None:
        noise = mirrored_normals(MEDIUM_NOISE, target.ddim, rng)
        fits, search = [fit_large(target, begin, noise, budget, observe=observe)], None
    else:
        find = large_normals if target.ddim > LARGE else small_normals
        fits, noise, search = find(target, rng, budget, observe)
    normals, dropped = separate(sorted(fits, key=lambda q: -q.elbo))
    progress.say("weighing draws")
    mixture = FittedMixture.of_normals(normals)
    first = first_proposal(target, mixture)
    sampler = ImportanceSampler.empty(target, draws).with_draws(first, rng)
    return Exploration(
        target, normals, dropped, noise, sampler, sampler.draws, mixture, search=search
    )


def proposal(mixture: FittedMixture) -> FittedMixture:
    """Return what to draw from to weigh a mixture: with tails that are heavier than its own.

    Draws of a normal hardly show that the posterior has heavier tails. In many dimensions hardly
    any draws of a heavy-tailed distribution would count.
    """
    return mixture if mixture.means.shape[1] > LARGE else mixture.widened()


def first_proposal(target: Target, mixture: FittedMixture) -> FittedMixture:
    """Return what to draw from first: of data that go by rows one normal itself.

    It most often is the posterior, of which few draws tell if nearly all of them count.
    """
    return mixture if target.by_rows and len(mixture) == 1 else proposal(mixture)


def is_promising(exploration: Exploration) -> bool:
    """Tell whether the weights of draws of one normal look good."""
    draws = exploration.draws
    count = len(draws.values)
    good = has_good_tail(draws.khat, draws.size, count) and draws.size > SOME * count
    return good and len(exploration.normals) == 1 and exploration.best.converged


def verified(
    exploration: Exploration, rng: np.random.Generator, budget: Budget, effort: Effort = CHECK
) -> Exploration:
    """Return an exploration of weighted draws that is trusted if chains speak for it.

    Where the chains have mixed, and the weighted draws are different, it has those of the chains.
    Weights that are nearly even need no proof; and very many data leave no time for one, so that
    the weights have to be good by themselves.
    """
    if is_nearly_even(exploration):
        return replace(exploration, trusted=True)
    if not can_be_tried(exploration.target):
        enough = exploration.draws.size > MOST_OF * len(exploration.draws.values)
        return replace(exploration, trusted=is_promising(exploration) and enough)
    return concluded(exploration, trial_of(exploration, rng, budget, effort))


def is_nearly_even(exploration: Exploration) -> bool:
    """Tell whether the weights of draws are about those that the normals themselves would have.

    Of several normals they are never even: the proposal has heavier tails.
    """
    draws, sampler, normals = exploration.draws, exploration.sampler, exploration.normals
    if draws.values is not sampler.values:
        return False
    several = len(normals) > 1
    if several and not all(np.isfinite(q.elbo) for q in normals):
        return False  # by what weights they would be mixed is not known
    most = sampler.size_if(FittedMixture.of_normals(normals)) if several else len(draws.values)
    tail = has_good_tail(draws.khat, draws.size, len(draws.values))
    return draws.size > NEARLY_EVEN * most and (tail or not several)


def trial_of(
    exploration: Exploration,
    rng: np.random.Generator,
    budget: Budget,
    effort: Effort,
    stretch: Stretch | None = None,
) -> Trial:
    """Let chains begin at the draws of an exploration."""
    target, draws, sampler = exploration.target, exploration.draws, exploration.sampler
    known = draws.values is sampler.values
    logp = sampler.logp if known else target.logp(draws.values)
    return tried(target, draws, logp, exploration.normals, rng, budget, effort, stretch)


def concluded(exploration: Exploration, trial: Trial) -> Exploration:
    """Return what is known of the posterior after chains have begun at weighted draws."""
    draws = exploration.draws
    if trial.agrees and has_good_tail(draws.khat, draws.size, len(draws.values)):
        return replace(exploration, trusted=True)
    if trial.draws is not None:
        return replace(exploration, draws=trial.draws, trusted=True, moved=True)
    return exploration


def separate(
    fits: list[FittedNormal],
) -> tuple[tuple[FittedNormal, ...], tuple[FittedNormal, ...]]:
    """Return normals that differ, and those among them that hold negligible mass."""
    kept: list[FittedNormal] = []
    dropped: list[FittedNormal] = []
    for q in fits:
        known = [*kept, *dropped]
        differs = all(np.abs(o.whitened(q.mean[None])).max() > SEPARATE for o in known)
        if not known or (differs and q.elbo > known[0].elbo - NEGLIGIBLE):
            kept.append(q)
        elif differs and q.converged:
            dropped.append(q)
    return tuple(kept), tuple(dropped)


# -- normals at the modes -------------------------------------------------------------------------


def searched(target: Target, rng: np.random.Generator, budget: Budget) -> list[SearchPath]:
    """Return the ends of searches for modes: of many, or in many dimensions of one."""
    if target.by_rows:
        return searched_by_rows(target, rng, budget)
    target.check_start()
    progress.say("searching for modes")
    if target.ddim <= LARGE:
        return find_modes(target, screened_starts(target, rng).starts, budget)
    search = approach(target, target.start[None], budget)[0]
    return find_modes(target, search.z[None], budget, iterations=4, tolerance=1e-2)


def searched_by_rows(target: Target, rng: np.random.Generator, budget: Budget) -> list[SearchPath]:
    """Return the ends of searches that began at the modes of a sample of rows."""
    paths = distinct_paths(searched(sampled(target, rng), rng, budget))
    normals = [from_curvature(path.z, path.curvature) for path in paths if path.converged]
    if not normals:
        return paths
    starts = [moved_to_mode(target, q, budget, LARGE).mean for q in normals]
    return find_modes(target, np.array(starts), budget, tolerance=1e-3)


def normals_by_rows(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
) -> tuple[list[FittedNormal], np.ndarray, Search | None]:
    """Return the best normals, begun at those of a sample of rows, their noise, and the search.

    The noise is as little as tells a covariance: of many rows the log density is close to
    quadratic, for which that is exact.
    """
    found = glance(sampled(target, rng), rng, budget, FEW_DRAWS)
    d = target.ddim
    begun = [moved_to_mode(target, q, budget, LARGE) for q in found.normals]
    if d > LARGE:
        noise = mirrored_normals(MEDIUM_NOISE, d, rng)
        fits = [fit_large(target, q, noise, budget, observe=observe) for q in begun]
    else:
        noise = matched_normals(2 * d + 2, d, rng)
        fits = [fit_full_rank(target, q, noise, budget, observe=observe) for q in begun]
    return fits, noise, found.search


def small_normals(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
) -> tuple[list[FittedNormal], np.ndarray, Search]:
    """Return the best normal at each mode, the noise they were fitted to, and the search."""
    target.check_start()
    progress.say("searching for modes")
    screening = screened_starts(target, rng)
    paths = distinct_paths(find_modes(target, screening.starts, budget))
    noise = matched_normals(max(128, 6 * target.ddim), target.ddim, rng)

    def fitted(path: SearchPath) -> FittedNormal:
        begin = best_along(target, path, rng)
        if observe is not None and path is paths[0]:
            show(target, [normal_of(z, root) for z, root in path.trail], noise, observe)
        return fit_full_rank(target, begin, noise, budget, observe=observe)

    fits: list[FittedNormal] = []
    for i, path in enumerate(paths, 1):
        if fits and budget.exhausted:
            break
        progress.say(f"normal at mode {i} of {len(paths)}")
        fits.append(fitted(path))
    progress.say("looking for narrow modes")
    points = unexplained(target, fits, rng)
    if len(points) and not budget.exhausted:
        further = [path for path in find_modes(target, points, budget) if path.converged]
        fits += [fitted(path) for path in distinct_paths(further, paths)]
    starts = len(screening.starts) + len(points)
    search = Search(starts, screening.points, screening.prior, scanned_points(target))
    return fits, noise, search


def distinct_paths(
    paths: Sequence[SearchPath], known: Sequence[SearchPath] = ()
) -> list[SearchPath]:
    """Return paths that end at different modes, best first; those astray only if they are high.

    Those that end at the modes of ``known`` paths are left out.
    """
    best = max((path.logp for path in [*paths, *known]), default=-np.inf)
    chosen: list[SearchPath] = []
    for path in sorted(paths, key=lambda p: -p.logp):
        if not path.trail or (not path.converged and path.logp < best - 50 - 5 * len(path.z)):
            continue
        same = (
            np.abs(np.linalg.solve(other.trail[-1][1], path.z - other.z)).max() < 0.1
            for other in [*known, *chosen]
            if other.converged
        )
        if not any(same):
            chosen.append(path)
    return chosen


def best_along(
    target: Target, path: SearchPath, rng: np.random.Generator, draws: int = 48
) -> FittedNormal:
    """Return the normal of highest ELBO along a path: a mode itself may hold no mass.

    As Pathfinder does (Zhang et al. 2022), with the curvature of each point.
    """
    noise = mirrored_normals(draws, target.ddim, rng)
    points = np.concatenate([z + noise @ root.T for z, root in path.trail])
    elbos = target.logp(points).reshape(len(path.trail), draws).mean(axis=1)
    elbos = elbos + [np.linalg.slogdet(root)[1] for _, root in path.trail]
    return normal_of(*path.trail[int(np.argmax(elbos))])


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


def normal_of(z: np.ndarray, root: np.ndarray) -> FittedNormal:
    """Return the normal of a mean and any square root of the covariance."""
    inverse = np.linalg.inv(root)
    return from_curvature(z, inverse.T @ inverse)


def large_normals(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
) -> tuple[list[FittedNormal], np.ndarray, Search]:
    """Return the best normals that were found from a few starts, their noise, and how.

    The mode of a hierarchy may be a pole of the density, far from the mass. So the best
    independent normals come first, and correlations are those of the mean curvature about there,
    if that makes them better.
    """
    target.check_start()
    rough = stratified_normals(FEW_NOISE, target.ddim, rng)
    count = min(MOST_STARTS, MOST_PARAMETERS // target.ddim)
    screening = screened_starts(target, rng, count=8 * MOST_STARTS, best=MOST_STARTS, peaks=0)
    diagonals: list[FittedNormal] = []
    on_the_way: list[FittedNormal] = []
    begins = [None, *screening.starts[1 : 1 + count]]
    for i, start in enumerate(begins, 1):
        if diagonals and budget.exhausted:
            break
        progress.say(f"independent normals from start {i} of {len(begins)}")
        watch = on_the_way.append if start is None else None
        diagonals.append(fit_diagonal(target, rough, budget, start=start, observe=watch))
    high, _ = separate(sorted(diagonals, key=lambda q: -q.elbo))
    noise = mirrored_normals(256, target.ddim, rng)
    if observe is not None:
        show(target, on_the_way, noise, observe)
    fits: list[FittedNormal] = []
    for i, diagonal in enumerate(high, 1):
        if fits and budget.exhausted:
            break
        progress.say(f"normal at mode {i} of {len(high)}")
        normals = [diagonal]
        if not budget.exhausted:
            curvature = mean_curvature(target, diagonal, rng)
            normals.append(from_curvature(diagonal.mean, curvature))
        scored = (q.scored(target, noise)[0] for q in normals)
        begin = max(scored, key=lambda q: q.elbo)
        fits.append(fit_large(target, begin, noise, budget, observe=observe))
    return fits, noise, Search(len(diagonals), screening.points, screening.prior)


def mean_curvature(target: Target, q: FittedNormal, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of the negative Hessian at a few draws of a normal.

    At its mean alone, the curvature of a skewed posterior may be next to none.
    """
    points = q.at(mirrored_normals(CURVATURES, target.ddim, rng))
    curvatures = (curvature_at(target, z, q.sd) for z in points)
    return sum(curvatures, np.zeros((target.ddim, target.ddim))) / CURVATURES


# -- better draws ---------------------------------------------------------------------------------


def improve(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Return an exploration whose draws can be relied on, or the best that can be had."""
    for better in improvements(exploration, rng, budget):
        exploration = better
    return exploration


def improvements(
    exploration: Exploration, rng: np.random.Generator, budget: Budget
) -> Iterator[Exploration]:
    """Yield better and better explorations: whoever is interrupted keeps the last.

    From cheap to dear: more draws, other proposals, and chains. It ends with the first one whose
    draws can be relied on.
    """
    large = exploration.target.ddim > LARGE
    if not exploration.trusted and len(exploration.normals) == 1 and not large:
        draws = exploration.draws
        near = draws.khat < 1.0 and draws.size > 0.3 * len(draws.values)
        if near and not is_promising(exploration):
            # k-hat is uncertain by 0.1 and more
            exploration = add_draws(exploration, 3 * exploration.count, rng)
            if is_promising(exploration):
                exploration = verified(exploration, rng, budget)
            yield exploration
    if not exploration.trusted and not large:
        for better in refinements(exploration, rng, budget):
            exploration = better
            yield better
    if not exploration.trusted and not budget.exhausted:
        yield settled(exploration, rng, budget)


def settled(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Return what chains make of draws, if they may take their time.

    Even chains that have not mixed are closer to the posterior than draws with bad weights. Others
    begin at them: in coordinates in which tails are short, if theirs are heavy; and with jumps,
    that need no gradient, in few dimensions.
    """
    trial = trial_of(exploration, rng, budget, FINAL)
    found = concluded(exploration, trial)
    if found.trusted or trial.run is None or len(apart(exploration.normals)) > 1:
        return found
    moved = replace(exploration, draws=all_draws(trial.run), moved=True)
    stretch = Stretch.of(moved.draws.values)
    if stretch.is_heavy:
        found = concluded(moved, trial_of(moved, rng, budget, STRETCHED, stretch))
    if not found.trusted and exploration.target.ddim <= MOST_JUMPING:
        found = concluded(moved, trial_of(moved, rng, budget, JUMPING))
    return found if found.trusted else moved


def add_draws(exploration: Exploration, count: int, rng: np.random.Generator) -> Exploration:
    """Add draws of the mixture."""
    sampler = exploration.sampler.with_draws(proposal(exploration.mixture), rng, count)
    return replace(exploration, sampler=sampler, draws=sampler.draws)


def enlarge(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Add draws until there are enough effective ones to be a result, if there is time left.

    More draws may also find what the first ones have missed: then they are not trusted any more.
    """
    if not exploration.trusted or exploration.moved or budget.is_late:
        return exploration
    size, count = exploration.draws.size, len(exploration.draws.values)
    wanted = ENOUGH * exploration.count
    if size >= wanted:
        return exploration
    most = 3.0 if exploration.target.ddim > LARGE else 10.0
    larger = add_draws(exploration, int(min(wanted / size - 0.9, most) * count), rng)
    draws = larger.draws
    return replace(larger, trusted=has_good_tail(draws.khat, draws.size, len(draws.values)))


def refinements(
    exploration: Exploration, rng: np.random.Generator, budget: Budget, cycles: int = 2
) -> Iterator[Exploration]:
    """Adapt a mixture in turns with chains, until the two agree, or the chains have mixed."""
    target = exploration.target
    for cycle in range(cycles):
        sampler, mixture, _ = adapt(exploration.sampler, exploration.mixture, rng, budget)
        if not len(sampler.values):  # the budget was used up: the former draws stay
            return
        draws = sampler.draws
        exploration = replace(exploration, sampler=sampler, mixture=mixture, draws=draws)
        yield exploration
        trial = trial_of(exploration, rng, budget, CHECK)
        found = concluded(exploration, trial)
        if found.trusted:
            yield found
            return
        if cycle < cycles - 1 and trial.run is not None:
            moved = all_draws(trial.run).values[-LATEST:]
            empty = ImportanceSampler.empty(target, exploration.count)
            exploration = replace(exploration, sampler=empty, mixture=fitted_mixture(moved, rng))
            yield exploration
