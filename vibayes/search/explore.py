"""What a posterior looks like: its modes, the best normal at each, and weighted draws.

A search for modes, normals that maximize the ELBO, and importance sampling from these. Draws are
trusted if chains that begin at them have mixed: those of the chains, or the weighted ones if they
agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vibayes import progress
from vibayes.importance import NEARLY_EVEN, has_good_tail, resampled
from vibayes.model.target import Target
from vibayes.records.findings import Search
from vibayes.search.annealing import POPULATION, annealed
from vibayes.search.best_normals import LARGE
from vibayes.search.budget import Budget
from vibayes.search.effort import CHECK, Effort
from vibayes.search.located import locate
from vibayes.search.mixtures import FittedMixture, ImportanceSampler, WeightedDraws
from vibayes.search.normals import FittedNormal, apart
from vibayes.search.stretched import Stretch
from vibayes.search.trust import (
    LARGEST_DISCREPANCY,
    Trial,
    all_draws,
    are_close,
    can_be_tried,
    discrepancy,
    is_close,
    is_dear,
    nearest,
    tried,
)

__all__ = [
    "Exploration",
    "concluded",
    "cooled_draws",
    "explore",
    "first_proposal",
    "glance",
    "is_near",
    "is_promising",
    "proposal",
    "trial_of",
    "trusted",
    "verified",
    "with_better_draws",
]

DRAWS = 1000
SOME, SOME_MORE = 0.2, 0.3  # shares of effective draws
NEARLY = 1.0  # Pareto k
ABOUT_ALIKE = 2 * LARGEST_DISCREPANCY
EFFECTIVE = 0.3  # share of a population that is worth as many independent draws


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
        Whether they were made by chains or by cooling, for want of good weights.
    search : Search, optional
        How hard was looked for modes; None if a normal close by was known.
    population : numpy.ndarray, optional
        Points that have cooled towards the posterior, where there are several modes, (n, d).
    witness : WeightedDraws, optional
        Draws of chains that agree with weighted ones.
    visited : numpy.ndarray, optional
        Where chains that were not believed have come to, (chains, d): others begin there, too.
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
    population: np.ndarray | None = None
    witness: WeightedDraws | None = None
    visited: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Number of draws by which to judge."""
        return self.sampler.count

    @property
    def best(self) -> FittedNormal:
        """The normal of highest ELBO."""
        return self.normals[0]

    @cached_property
    def reliable_population(self) -> np.ndarray | None:
        """The population, if its halves, which have cooled by themselves, have come to the same."""
        if self.population is None:
            return None
        halves = [cooled_draws(part) for part in np.array_split(self.population, 2)]
        differ = max(
            discrepancy(a.values, a.size, b.values, b.log_weights)
            for a, b in (halves, halves[::-1])
        )
        return self.population if differ < LARGEST_DISCREPANCY else None

    def of_equal_weight(self, count: int, most: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws of equal weight of the model's own flat vector.

        All there are, if they have it already, are at least ``count``, and are of at most ``most``
        numbers; else ``count``, to which it is dealt.
        """
        weights, values = self.draws.log_weights, self.draws.values
        if np.ptp(weights) == 0 and len(values) >= count and values.size <= most:
            return self.target.unstandardized(values)
        return self.resampled(count, rng)

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
    known: FittedNormal | None = None,
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
    known
        A normal where the search goes on if it comes to nothing as good.
    """
    found = glance(target, rng, budget, draws, observe, begin, known)
    worth_a_look = is_promising(found) or is_nearly_even(found)
    return verified(found, rng, budget) if worth_a_look else found


def glance(
    target: Target,
    rng: np.random.Generator,
    budget: Budget,
    draws: int = DRAWS,
    observe: Callable[[FittedNormal], None] | None = None,
    begin: FittedNormal | None = None,
    known: FittedNormal | None = None,
) -> Exploration:
    """Do what :func:`explore` does, without chains: nothing is trusted."""
    found = locate(target, rng, budget, observe, begin, known)
    progress.say("weighing draws")
    mixture = FittedMixture.of_normals(found.normals)
    first = first_proposal(target, mixture)
    sampler = ImportanceSampler.empty(target, draws).with_draws(first, rng)
    return Exploration(
        target=target,
        normals=found.normals,
        dropped=found.dropped,
        noise=found.noise,
        sampler=sampler,
        draws=sampler.draws,
        mixture=mixture,
        search=found.search,
        population=found.population,
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
    Weights that are nearly even need no proof; and many data leave little time for one, so that
    weights may be good by themselves.
    """
    if is_nearly_even(exploration):
        return trusted(exploration, rng, budget)
    draws, target = exploration.draws, exploration.target
    good = draws.is_reliable and is_promising(exploration)
    if not can_be_tried(target) or (good and is_dear(target)):
        return replace(exploration, trusted=good)
    return concluded(exploration, trial_of(exploration, rng, budget, effort), rng, budget)


def is_nearly_even(exploration: Exploration) -> bool:
    """Tell whether the weights of draws are about those that the normals themselves would have.

    Of several normals they are never even: the proposal has heavier tails.
    """
    draws, sampler, normals = exploration.draws, exploration.sampler, exploration.normals
    if draws.values is not sampler.values:
        return False
    several = len(normals) > 1
    if several and not exploration.mixture.is_of(normals):
        return False  # what the normals' own weights would be tells nothing of other draws
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
    facts = target, draws, logp, exploration.normals
    return tried(*facts, rng, budget, effort, stretch, exploration.visited)


def concluded(
    exploration: Exploration, trial: Trial, rng: np.random.Generator, budget: Budget
) -> Exploration:
    """Return what is known of the posterior after chains have begun at weighted draws.

    Weights that agree are preferred, if they are reliable: else they leave out tails in which few
    draws count for much, by less than chains of some hundred effective draws can show.
    """
    draws, found = exploration.draws, exploration
    if trial.agrees and has_good_tail(draws.khat, draws.size, len(draws.values)):
        witnessed = with_better_draws(replace(exploration, witness=trial.draws))
        found = trusted(witnessed, rng, budget)
    if trial.draws is not None and not found.trusted:
        moved = replace(exploration, draws=trial.draws, moved=True, population=found.population)
        found = trusted(moved, rng, budget)
    if found.trusted:
        return with_shares_of_population(found)
    visited = exploration.visited
    if trial.run is not None:
        visited = np.unique(trial.run.values[-1], axis=0)
    return replace(exploration, visited=visited, population=found.population)


def with_better_draws(exploration: Exploration) -> Exploration:
    """Return an exploration with the draws of chains, unless its own are reliable, and close.

    Draws that agree may still lack what few of either tell of, such as a shoulder of a twentieth
    that the proposal hardly reaches: chains have come there, if any have.
    """
    draws, witness = exploration.draws, exploration.witness
    if witness is None or (draws.is_reliable and are_close(draws, witness)):
        return exploration
    return replace(exploration, draws=witness, moved=True)


def is_near(draws: WeightedDraws) -> bool:
    """Tell whether more draws may show good weights: k-hat is uncertain by 0.1 and more."""
    return draws.khat < NEARLY and draws.size > SOME_MORE * len(draws.values)


def with_shares_of_population(exploration: Exploration) -> Exploration:
    """Return an exploration whose draws are its population, if others differ, but not much.

    How much each mode holds is what chains that stay near one tell least, and what weights get
    wrong without a sign where no normal is wide enough.
    """
    population, draws = exploration.reliable_population, exploration.draws
    if population is None or (not exploration.moved and is_close(population, draws)):
        return exploration
    return replace(exploration, draws=cooled_draws(population), moved=True)


def cooled_draws(population: np.ndarray) -> WeightedDraws:
    """Return a population as draws, all of the same weight."""
    return WeightedDraws.even(population, EFFECTIVE * len(population))


def trusted(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Return an exploration whose draws are trusted, unless a population contradicts them.

    One that does so in how much each place holds is looked at more closely: further ones have to
    come to the same. Chains that begin at it, forget where they began, and come to the draws tell
    that it had not come to rest: then it is left out.
    """
    draws = exploration.draws
    if is_contradicted(exploration):
        exploration = with_further_populations(exploration, rng, budget)
    if not is_contradicted(exploration):
        return replace(exploration, trusted=True)
    population = exploration.reliable_population
    assert population is not None
    begun = replace(exploration, draws=cooled_draws(population))
    run = trial_of(begun, rng, budget, CHECK).run
    at_rest = run is None or not run.mixing.good or not are_alike(all_draws(run), draws)
    left = population if at_rest else None
    return replace(exploration, trusted=not at_rest, population=left)


def is_contradicted(exploration: Exploration) -> bool:
    """Tell whether there is a population that has come to rest, and differs from the draws."""
    population = exploration.reliable_population
    return population is not None and not are_alike(cooled_draws(population), exploration.draws)


def with_further_populations(
    exploration: Exploration, rng: np.random.Generator, budget: Budget
) -> Exploration:
    """Return an exploration with as many populations more, or without any if these differ.

    That is where the draws differ from the first ones in shares alone: two populations may have
    come to the same ones by chance.
    """
    known = exploration.population
    assert known is not None
    if len(known) > POPULATION or not differs_in_shares(exploration):
        return exploration
    more = annealed(exploration.target, exploration.normals, rng, budget).values
    if not len(more):
        return exploration
    both = replace(exploration, population=np.concatenate([known, more]))
    others = replace(exploration, population=more)
    if others.reliable_population is None or both.reliable_population is None:
        return replace(exploration, population=None)
    return both


def differs_in_shares(exploration: Exploration) -> bool:
    """Tell whether draws and population are about alike in each place.

    What is in a place is what chains tell, and tell better.
    """
    population, draws = exploration.population, exploration.draws
    assert population is not None
    places = apart(exploration.normals)
    own, others = nearest(places, population), nearest(places, draws.values)
    if not set(own) <= set(others):
        return False
    return all(
        are_alike(cooled_draws(population[own == place]), draws.of(others == place), ABOUT_ALIKE)
        for place in np.unique(own)
    )


def are_alike(
    draws: WeightedDraws, others: WeightedDraws, most: float = LARGEST_DISCREPANCY
) -> bool:
    """Tell whether even draws and weighted ones may be of one distribution."""
    return discrepancy(draws.values, draws.size, others.values, others.log_weights) <= most
