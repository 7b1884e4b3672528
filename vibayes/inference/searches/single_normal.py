"""Whether one normal holds the posterior: a mean field, or a full rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vibayes import progress
from vibayes.approximations.base import Approximation
from vibayes.approximations.full_rank import FullRank
from vibayes.approximations.mean_field import MeanField
from vibayes.importance import smoothed
from vibayes.inference.searches.run import SearchRun
from vibayes.inference.searches.tried import Tried
from vibayes.records.findings import Findings
from vibayes.search.best_normals import fit_mean_field
from vibayes.search.comparisons import is_nearly_even, is_nearly_exact
from vibayes.search.explore import Exploration
from vibayes.search.findings import findings_of
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal
from vibayes.search.trust import has_moments_of, is_close
from vibayes.search.whole import NormalTarget
from vibayes.verdict.judge import agrees

__all__ = ["with_normals"]

MANY_DRAWS = 1000  # of a normal in the place of the target, which cost nothing


def with_normals(run: SearchRun, tried: Tried) -> Tried:
    """Try the full rank, and the mean field where that may do: it is none the better otherwise."""
    exploration = tried.exploration
    best = exploration.best
    if not exploration.trusted:
        return tried.noted("full rank", best.elbo, exploration.draws, run.budget)
    stands_in = exploration.target.by_rows and is_nearly_even(exploration.draws)
    progress.say("independent normals")
    mean_field, draws = weighed_mean_field(run, exploration, stands_in)
    tried = tried.noted("mean field", mean_field.elbo, draws, run.budget)
    tried = tried.noted("full rank", best.elbo, exploration.draws, run.budget)
    single = single_of_few(run, exploration, mean_field, draws) if stands_in else None
    return replace(tried, single=single or single_checked(run, exploration, mean_field, draws))


def weighed_mean_field(
    run: SearchRun, exploration: Exploration, stands_in: bool
) -> tuple[FittedNormal, WeightedDraws]:
    """Return the best independent normals, and weighted draws of them.

    Where weights have told that the best normal is the posterior, it ``stands_in`` for it: what
    many rows tell need not be paid for twice.
    """
    target, best = exploration.target, exploration.best
    density: Any = NormalTarget(best) if stands_in else target
    mean_field = fit_mean_field(density, best, exploration.noise, run.budget)
    count = MANY_DRAWS if stands_in else len(exploration.noise)
    if target.by_rows and not stands_in:
        count = exploration.count
    values = mean_field.at(run.rng.standard_normal((count, target.ddim)))
    logp, logq = density.logp(values), mean_field.logq(values)
    return mean_field, WeightedDraws(values, *smoothed(logp - logq))


def single_of_few(
    run: SearchRun, exploration: Exploration, mean_field: FittedNormal, draws: WeightedDraws
) -> Approximation | None:
    """Return the approximation by a normal, if weights that are nearly even leave it as it is.

    Of few draws it is known better what their weights change than what they are.
    """
    if is_nearly_even(draws) and is_close(draws.values, draws):
        return run.of_normal(MeanField, mean_field)
    if has_moments_of(exploration.draws.values, exploration.draws):
        return run.of_normal(FullRank, exploration.best)
    return None


def single_checked(
    run: SearchRun, exploration: Exploration, mean_field: FittedNormal, draws: WeightedDraws
) -> Approximation | None:
    """Return the approximation by a normal, if it has the moments of draws that are right."""
    best, right, findings = exploration.best, exploration.draws, findings_of(exploration)
    if is_nearly_exact(draws) and (single := holding(run, MeanField, mean_field, findings)):
        return single
    if is_close(best.at(exploration.noise), right) or is_nearly_exact(right):
        return holding(run, FullRank, best, findings)
    return None


def holding(
    run: SearchRun, family: type[Approximation], q: FittedNormal, findings: Findings
) -> Approximation | None:
    """Return the approximation by a normal, if better draws agree with it on both scales."""
    approx = run.of_normal(family, q)
    return approx if agrees(approx, findings) else None
