"""What a posterior looks like: its modes, the best normal at each, and weighted draws.

From cheap to dear: a search for modes, normals that maximize the ELBO, importance sampling from
these. Where the weights are no good, adaptive importance sampling by mixtures, in turns with
Hamiltonian moves; and where that does not help either, moves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vibayes.importance import GOOD_KHAT, NEARLY_EVEN, has_good_tail, resampled
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.mixtures import (
    ImportanceSampler,
    Mixture,
    WeightedDraws,
    adapt,
    fitted_mixture,
)
from vibayes.search.modes import (
    Path,
    approach,
    curvature_at,
    find_modes,
    screened_starts,
)
from vibayes.search.moves import move, settle
from vibayes.search.normals import (
    FittedNormal,
    fit_diagonal,
    fit_full_rank,
    fit_large,
    from_curvature,
    matched_normals,
    mirrored_normals,
)

__all__ = [
    "LARGE",
    "Exploration",
    "best_along",
    "distinct_paths",
    "enlarge",
    "explore",
    "improve",
    "proposal",
    "searched",
]

LARGE = 100
"""Dimensions from which a covariance is no longer fitted, but taken from the curvature."""
DRAWS = 1000
FEW_NOISE = 16  # draws for a first, rough fit in many dimensions
MEDIUM_NOISE = 32  # draws for the last steps on many data
ENOUGH = 3.0  # times as many effective draws as an exploration makes are what a result is made of
FEWEST = 200.0  # effective draws that tell anything
SEPARATE = 1.0  # in sds: how far apart normals have to be to count as two
NEGLIGIBLE = 7.0  # in ELBO: less than a thousandth of the mass


@dataclass
class Exploration:
    """What is known of a posterior.

    Attributes
    ----------
    target : Target
        The posterior, in the coordinates in which it was explored.
    normals : list of FittedNormal
        The best normal at each mode that holds mass, best ELBO first.
    dropped : list of FittedNormal
        Normals at modes of negligible mass.
    noise : numpy.ndarray
        Standard normal draws that the normals were fitted to.
    sampler : ImportanceSampler
        Source of the draws.
    draws : WeightedDraws
        Draws that stand for the posterior, in the coordinates of ``target``.
    mixture : Mixture
        The last proposal.
    trusted : bool
        Whether the draws can be relied on.
    moved : bool
        Whether they were made by Hamiltonian moves, for want of good weights.
    """

    target: Target
    normals: list[FittedNormal]
    dropped: list[FittedNormal]
    noise: np.ndarray
    sampler: ImportanceSampler
    draws: WeightedDraws
    mixture: Mixture
    trusted: bool = False
    moved: bool = False

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
    if begin is not None:
        noise = mirrored_normals(MEDIUM_NOISE, target.ddim, rng)
        fits = [fit_large(target, begin, noise, budget, observe=observe)]
    else:
        find = large_normals if target.ddim > LARGE else small_normals
        fits, noise = find(target, rng, budget, observe)
    normals, dropped = separate(sorted(fits, key=lambda q: -q.elbo))
    mixture = Mixture.of_normals(normals)
    sampler = ImportanceSampler(target, rng, draws)
    sampler.add(proposal(mixture))
    result = Exploration(target, normals, dropped, noise, sampler, sampler.draws, mixture)
    result.trusted = is_good(result, share=0.5)
    return result


def proposal(mixture: Mixture) -> Mixture:
    """Return what to draw from to weigh a mixture: with tails that are heavier than its own.

    Draws of a normal hardly show that the posterior has heavier tails. In many dimensions hardly
    any draws of a heavy-tailed distribution would count.
    """
    return mixture if mixture.means.shape[1] > LARGE else mixture.widened()


def is_good(exploration: Exploration, share: float) -> bool:
    """Tell whether the weights of draws of one normal are good."""
    draws = exploration.draws
    size = draws.size / len(draws.values)
    good = (draws.khat < GOOD_KHAT and size > share) or size > NEARLY_EVEN
    if exploration.target.ddim > LARGE:  # where few draws count even of a good normal
        good |= draws.khat < 0.5 and draws.size > FEWEST
    return good and len(exploration.normals) == 1 and exploration.best.converged


def separate(fits: list[FittedNormal]) -> tuple[list[FittedNormal], list[FittedNormal]]:
    """Return normals that differ, and those among them that hold negligible mass."""
    kept: list[FittedNormal] = []
    dropped: list[FittedNormal] = []
    for q in fits:
        known = [*kept, *dropped]
        apart = all(np.abs(o.whitened(q.mean[None])).max() > SEPARATE for o in known)
        if not known or (apart and q.elbo > known[0].elbo - NEGLIGIBLE):
            kept.append(q)
        elif apart and q.converged:
            dropped.append(q)
    return kept, dropped


# -- normals at the modes -------------------------------------------------------------------------


def searched(target: Target, rng: np.random.Generator, budget: Budget) -> list[Path]:
    """Return the ends of searches for modes: of many, or in many dimensions of one."""
    target.check_start()
    if target.ddim <= LARGE:
        return find_modes(target, screened_starts(target, rng), budget)
    search = approach(target, target.start[None], budget)[0]
    return find_modes(target, search.z[None], budget, iterations=4, tolerance=1e-2)


def small_normals(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
) -> tuple[list[FittedNormal], np.ndarray]:
    """Return the best normal at each mode, and the noise they were fitted to."""
    paths = searched(target, rng, budget)
    noise = matched_normals(max(128, 6 * target.ddim), target.ddim, rng)
    fits = []
    for path in distinct_paths(paths):
        begin = best_along(target, path, rng)
        fits.append(fit_full_rank(target, begin, noise, budget, observe=observe))
    return fits, noise


def distinct_paths(paths: list[Path]) -> list[Path]:
    """Return paths that end at different modes, best first; those astray only if they are high."""
    best = max(path.logp for path in paths)
    chosen: list[Path] = []
    for path in sorted(paths, key=lambda p: -p.logp):
        if not path.trail or (not path.converged and path.logp < best - 50 - 5 * len(path.z)):
            continue
        same = (
            np.abs(np.linalg.solve(other.trail[-1][1], path.z - other.z)).max() < 0.1
            for other in chosen
            if other.converged
        )
        if not any(same):
            chosen.append(path)
    return chosen


def best_along(
    target: Target, path: Path, rng: np.random.Generator, draws: int = 48
) -> FittedNormal:
    """Return the normal of highest ELBO along a path: a mode itself may hold no mass.

    As Pathfinder does (Zhang et al. 2022), with the curvature of each point.
    """
    noise = mirrored_normals(draws, target.ddim, rng)
    points = np.concatenate([z + noise @ root.T for z, root in path.trail])
    elbos = target.logp(points).reshape(len(path.trail), draws).mean(axis=1)
    elbos = elbos + [np.linalg.slogdet(root)[1] for _, root in path.trail]
    z, root = path.trail[int(np.argmax(elbos))]
    inverse = np.linalg.inv(root)
    return from_curvature(z, inverse.T @ inverse)


def large_normals(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    observe: Callable[[FittedNormal], None] | None,
) -> tuple[list[FittedNormal], np.ndarray]:
    """Return the best normal that was found from one start, and the noise it was fitted to.

    The mode of a hierarchy may be a pole of the density, far from the mass. So the best
    independent normals come first, and correlations are those of the curvature at their mean.
    """
    target.check_start()
    diagonal = fit_diagonal(target, mirrored_normals(FEW_NOISE, target.ddim, rng), budget)
    curvature = curvature_at(target, diagonal.mean, diagonal.root)
    noise = mirrored_normals(256, target.ddim, rng)
    begin = from_curvature(diagonal.mean, curvature)
    return [fit_large(target, begin, noise, budget, observe=observe)], noise


# -- better draws ---------------------------------------------------------------------------------


def improve(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> None:
    """Make the draws of an exploration better until they can be relied on, if that can be."""
    large = exploration.target.ddim > LARGE
    if not exploration.trusted and len(exploration.normals) == 1 and not large:
        draws = exploration.draws
        if draws.khat < 1.0 and draws.size > 0.3 * len(draws.values):
            add_draws(exploration, 3 * exploration.count)  # k-hat is uncertain by 0.1 and more
            exploration.trusted = is_good(exploration, share=0.4)
    if not exploration.trusted and not large:
        refine(exploration, rng, budget)
    if not exploration.trusted and not budget.exhausted:
        move_draws(exploration, rng, budget)


def move_draws(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> None:
    """Move draws until they have settled; in many dimensions fewer, which begin close."""
    draws, target = exploration.draws, exploration.target
    begin = draws.tempered(min(100.0, 0.05 * len(draws.values)))
    if target.ddim <= LARGE:
        values = begin.values[resampled(begin.log_weights, 512, rng)]
        settled, fine = settle(target, values, rng, budget)
    else:
        values = begin.values[resampled(begin.log_weights, 128, rng)]
        settled, fine = settle(
            target, values, rng, budget, root=exploration.best.full_root, rounds=2, size=1.5
        )
    if fine:
        exploration.draws, exploration.trusted, exploration.moved = settled, True, True


def add_draws(exploration: Exploration, count: int) -> None:
    """Add draws of the mixture."""
    exploration.sampler.add(proposal(exploration.mixture), count)
    exploration.draws = exploration.sampler.draws


def enlarge(exploration: Exploration) -> None:
    """Add draws until there are enough effective ones to be a result.

    More draws may also find what the first ones have missed: then they are not trusted any more.
    """
    if not exploration.trusted or exploration.moved:
        return
    size, count = exploration.draws.size, len(exploration.draws.values)
    wanted = ENOUGH * exploration.count
    if size < wanted:
        most = 3.0 if exploration.target.ddim > LARGE else 10.0
        add_draws(exploration, int(min(wanted / size - 0.9, most) * count))
        draws = exploration.draws
        exploration.trusted = has_good_tail(draws.khat, draws.size, len(draws.values))


def refine(
    exploration: Exploration, rng: np.random.Generator, budget: Budget, cycles: int = 2
) -> None:
    """Adapt a mixture in turns with Hamiltonian moves, until the two agree.

    Weights see only where the proposals go. The moves start from the weighted draws, but do not
    come from the weights: where the moments of both agree, the draws are trusted.
    """
    target = exploration.target
    for cycle in range(cycles):
        mixture, fine = adapt(exploration.sampler, exploration.mixture, budget)
        if not len(exploration.sampler.values):  # the budget was used up: the former draws stay
            return
        exploration.mixture = mixture
        exploration.draws = draws = exploration.sampler.draws
        start = draws.tempered(min(40.0, 0.05 * len(draws.values)))
        rows = resampled(start.log_weights, 512, rng)
        moved, _ = move(target, start.values[rows], start.root, rng, rounds=12)
        if fine and draws.khat < GOOD_KHAT and agree(moved, draws):
            exploration.trusted = True
            return
        if cycle < cycles - 1:
            exploration.sampler = ImportanceSampler(target, rng, exploration.count)
            exploration.mixture = fitted_mixture(moved, rng)


def agree(moved: np.ndarray, draws: WeightedDraws) -> bool:
    """Tell whether moved draws have the moments of weighted ones."""
    shift = np.abs(moved.mean(axis=0) - draws.mean) / draws.sd
    ratio = np.abs(np.log(moved.std(axis=0) / draws.sd))
    return bool(shift.max() < 0.2 and ratio.max() < 0.15)
