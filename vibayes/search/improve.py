"""Better draws of a posterior, where the first weights are no good.

From cheap to dear: more draws, adaptive importance sampling by mixtures, in turns with chains; and
where that does not help either, chains alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from vibayes.search.annealing import MOST_NUMBERS, annealed
from vibayes.search.best_normals import LARGE
from vibayes.search.budget import Budget
from vibayes.search.effort import CHECK, FINAL, JUMPING, MOST_JUMPING, STRETCHED
from vibayes.search.explore import (
    Exploration,
    concluded,
    cooled_draws,
    is_near,
    is_promising,
    proposal,
    trial_of,
    verified,
    with_better_draws,
)
from vibayes.search.mixtures import ImportanceSampler, adapt, fitted_mixture
from vibayes.search.normals import FittedNormal, apart
from vibayes.search.stretched import Stretch
from vibayes.search.trust import all_draws, nearest

__all__ = ["enlarge", "improve", "improvements", "reaches_all", "settled"]

ENOUGH = 3.0  # times as many effective draws as an exploration makes are what a result is made of
MORE_POPULATIONS = 3
LEAST_OF_SHARE = 0.1  # of what an ELBO promises
LATEST = 512  # states of chains to which a mixture is fitted


def improve(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Return an exploration whose draws can be relied on, or the best that can be had."""
    for better in improvements(exploration, rng, budget):
        exploration = better
    return exploration


def improvements(
    exploration: Exploration, rng: np.random.Generator, budget: Budget
) -> Iterator[Exploration]:
    """Yield better and better explorations: whoever is interrupted keeps the last.

    It ends with the first one whose draws can be relied on.
    """
    large = exploration.target.ddim > LARGE
    if not exploration.trusted and len(exploration.normals) == 1 and not large:
        if is_near(exploration.draws) and not is_promising(exploration):
            exploration = add_draws(exploration, 3 * exploration.count, rng)
            if is_promising(exploration):
                exploration = verified(exploration, rng, budget)
            yield exploration
    if not exploration.trusted and exploration.reliable_population is not None:
        exploration = of_population(exploration, rng, budget)
        if exploration.trusted:
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
    found = concluded(exploration, trial, rng, budget)
    if found.trusted or trial.run is None or len(apart(exploration.normals)) > 1:
        return found
    moved = replace(found, draws=all_draws(trial.run), moved=True)
    stretch = Stretch.of(moved.draws.values)
    if stretch.is_heavy:
        found = concluded(moved, trial_of(moved, rng, budget, STRETCHED, stretch), rng, budget)
    if not found.trusted and exploration.target.ddim <= MOST_JUMPING:
        found = concluded(moved, trial_of(moved, rng, budget, JUMPING), rng, budget)
    return found if found.trusted else moved


def of_population(
    exploration: Exploration, rng: np.random.Generator, budget: Budget
) -> Exploration:
    """Return an exploration whose draws are the population that has cooled, if it is trusted.

    It is if it has come to all places that were found, and if chains that begin at it mix within
    these and agree with it.
    """
    values = exploration.reliable_population
    assert values is not None
    if not reaches_all(apart(exploration.normals), values):
        return exploration
    found = replace(exploration, draws=cooled_draws(values), moved=True)
    trial = trial_of(found, rng, budget, CHECK)
    return replace(found, trusted=True) if trial.agrees else exploration


def reaches_all(places: Sequence[FittedNormal], values: np.ndarray) -> bool:
    """Tell whether each place has at least a tenth of the draws that its ELBO promises."""
    elbos = np.array([q.elbo for q in places])
    shares = np.exp(elbos - np.logaddexp.reduce(elbos))
    counts = np.bincount(nearest(places, values), minlength=len(places))
    return bool((counts >= np.floor(LEAST_OF_SHARE * shares * len(values))).all())


def add_draws(exploration: Exploration, count: int, rng: np.random.Generator) -> Exploration:
    """Add draws of the mixture."""
    sampler = exploration.sampler.with_draws(proposal(exploration.mixture), rng, count)
    return replace(exploration, sampler=sampler, draws=sampler.draws)


def enlarge(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Add draws until there are enough effective ones to be a result, if there is time left.

    More draws may also find what the first ones have missed: then they are not trusted any more, or
    those of chains are better.
    """
    if not exploration.trusted or budget.is_late:
        return exploration
    if exploration.draws.values is exploration.population:
        return with_more_populations(exploration, rng, budget)
    if exploration.moved:
        return exploration
    size, count = exploration.draws.size, len(exploration.draws.values)
    wanted = ENOUGH * exploration.count
    if size >= wanted:
        return exploration
    most = 3.0 if exploration.target.ddim > LARGE else 10.0
    larger = add_draws(exploration, int(min(wanted / size - 0.9, most) * count), rng)
    found = with_better_draws(larger)
    return replace(found, trusted=found.moved or found.draws.has_variance)


def with_more_populations(
    exploration: Exploration, rng: np.random.Generator, budget: Budget
) -> Exploration:
    """Add populations that cool by themselves, where that takes a second or two.

    The share of a mode decides where a quantile is: on its one side or on the other. Draws are not
    trusted any more if the further ones come to something else.
    """
    target, parts = exploration.target, [exploration.draws.values]
    for _ in range(MORE_POPULATIONS):
        more = annealed(target, exploration.normals, rng, budget, MOST_NUMBERS / MORE_POPULATIONS)
        if not more.temperatures:
            return exploration
        parts.append(more.values)
    values = np.concatenate(parts)
    found = replace(exploration, draws=cooled_draws(values), population=values)
    return replace(found, trusted=found.reliable_population is not None)


def refinements(
    exploration: Exploration, rng: np.random.Generator, budget: Budget, cycles: int = 2
) -> Iterator[Exploration]:
    """Adapt a mixture in turns with chains, until the two agree, or the chains have mixed."""
    target = exploration.target
    for cycle in range(cycles):
        if exploration.population is not None:
            # mass that is no mode of its own, such as a wide shoulder of a narrow one
            around = fitted_mixture(exploration.population, rng)
            exploration = replace(exploration, mixture=exploration.mixture.with_half(around))
        sampler, mixture, _ = adapt(exploration.sampler, exploration.mixture, rng, budget)
        if not len(sampler.values):  # the budget was used up: the former draws stay
            return
        draws = sampler.draws
        exploration = replace(exploration, sampler=sampler, mixture=mixture, draws=draws)
        yield exploration
        trial = trial_of(exploration, rng, budget, CHECK)
        exploration = concluded(exploration, trial, rng, budget)
        if exploration.trusted:
            yield exploration
            return
        if cycle < cycles - 1 and trial.run is not None:
            moved = all_draws(trial.run).values[-LATEST:]
            empty = ImportanceSampler.empty(target, exploration.count)
            mixture = fitted_mixture(moved, rng)
            exploration = replace(exploration, sampler=empty, mixture=mixture)
            yield exploration
