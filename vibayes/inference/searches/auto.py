"""The cheapest family that holds the posterior, found by trying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.approximations.gaussian_mixture import GaussianMixture
from vibayes.approximations.mean_field import MeanField
from vibayes.backend.seeds import derived_seed
from vibayes.importance import GOOD_KHAT, smoothed
from vibayes.inference.normal_fit import fit_normal_family
from vibayes.inference.searches.method import SearchMethod
from vibayes.inference.searches.run import PARTICLES, SearchRun
from vibayes.inference.searches.single_normal import with_normals
from vibayes.inference.searches.tried import Tried
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.target import Target
from vibayes.records.ending import INTERRUPTED, Ending
from vibayes.records.findings import first_names
from vibayes.search.begin import MOST_DENSE
from vibayes.search.centring import suited
from vibayes.search.comparisons import is_better
from vibayes.search.conditional import given_parameters, of_many
from vibayes.search.explore import Exploration, explore
from vibayes.search.findings import findings_of
from vibayes.search.gaps import names_at_gaps
from vibayes.search.improve import enlarge, improvements
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.trust import LIKELY_GRADIENTS, is_close
from vibayes.verdict.judge import diagnose, draws_to_judge

__all__ = ["AutoVI"]

CONDITIONAL = "mixture for parameters"


class AutoVI(SearchMethod):
    """The cheapest family that holds the posterior, found by trying.

    Full rank, or mean field where that holds it, too; where the model has variables whose location
    or scale depends on others, a full rank in coordinates between centred and non-centred, and
    mixtures for the few parameters that these depend on; where there are several modes,
    populations that cool from a distribution as wide as the prior; then mixtures of normals by
    adaptive importance sampling; then many short chains. In more than 2,000 dimensions mixtures for
    parameters, or mean field. If no family holds the posterior, but importance weights or chains
    do, the result is :class:`vibayes.Empirical`, made of draws that are right.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.

    Notes
    -----
    ``approx.diagnose()`` tells what was tried.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.1)
    ...     approx = vb.AutoVI(random_seed=1).fit()
    >>> approx
    <FullRank: FullRankGroup(x, y), 2 dimensions>
    >>> [attempt.name for attempt in approx.diagnose(random_seed=1).attempts]
    ['mean field', 'full rank']
    """

    short_name = "auto"

    def _search(self, run: SearchRun) -> Approximation:
        target, budget = run.target(), run.budget
        if target.ddim > MOST_DENSE:  # families that have correlations would take too long
            return fit_of_many(run)
        run.show(target)
        count = draws_to_judge(self.model)
        tried = Tried(explore(target, run.rng, budget, count, run.observe))
        stopped = ""
        try:
            for known in tries(run, tried):
                tried = known
            if tried.single is None:
                tried = enlarged(run, tried)
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        with interrupts.held():
            approx = tried.single or made_of(run, tried.exploration)
        approx.ending = ending_of(run, tried, stopped)
        if isinstance(approx, GaussianMixture) and approx.ending.converged and not holds(approx):
            ending, approx = approx.ending, run.of_draws(tried.exploration)
            approx.ending = ending
        return approx


def fit_of_many(run: SearchRun) -> Approximation:
    """Return draws given few parameters, if they are right, else a mean field."""
    rng, budget = run.rng, run.budget
    target, found = standardized(run), None
    if target is not None:
        target, _ = suited(target, rng, budget)
        found = of_many(target, rng, budget, PARTICLES // 2)
    if found is not None and found.trusted:
        found = enlarge(found, rng, budget)
    if found is None or not found.trusted:
        approx = run.made(MeanField, start=run.start)
        fit_normal_family(approx, budget)
        return approx
    approx = run.of_draws(found)
    tried = Tried(found).noted(CONDITIONAL, found.best.elbo, found.draws, budget)
    approx.ending = ending_of(run, tried, "")
    return approx


def tries(run: SearchRun, tried: Tried) -> Iterator[Tried]:
    """Yield what is known after each try: whoever interrupts keeps the last."""
    tried = with_normals(run, tried)
    yield tried
    if tried.single is None and not tried.exploration.trusted:
        yield from better(run, tried)


def better(run: SearchRun, tried: Tried) -> Iterator[Tried]:
    """Yield explorations whose draws are as good as can be had, the best one last."""
    known = tried.exploration.target
    # standard variables take a compilation
    skip = known.is_standardized or known.by_rows or run.budget.is_late
    target = None if skip else standardized(run)
    other = None
    if target is not None:
        tried, other = non_centred(run, tried, target)
        yield tried
    tried = with_parameters(run, tried)
    if other is not None and not tried.exploration.trusted:
        # before chains in the other coordinates, of which they may take long
        found = with_parameters(run, replace(tried, exploration=other))
        other = found.exploration
        tried = found if other.trusted else replace(found, exploration=tried.exploration)
    yield tried
    best = tried.exploration
    sides = [best] if other is None else [best, other]
    # chains mix better in coordinates that suit the data, whatever weights there are worth
    for side in sorted(sides, key=lambda e: not e.target.is_standardized):
        if tried.exploration.trusted or run.budget.is_late:
            return
        for found in improved_in_its_coordinates(run, replace(tried, exploration=side)):
            closer = side is best or is_more_reliable(found.exploration, tried.exploration)
            tried = found if closer else replace(found, exploration=tried.exploration)
            yield tried


def with_parameters(run: SearchRun, tried: Tried) -> Tried:
    """Return what is known after a mixture for parameters, where there can be one."""
    found = given_parameters(tried.exploration, run.rng, run.budget)
    if found is tried.exploration:
        return tried
    return replace(tried, exploration=found).noted(CONDITIONAL, np.nan, found.draws, run.budget)


def improved_in_its_coordinates(run: SearchRun, tried: Tried) -> Iterator[Tried]:
    """Yield better and better draws in the coordinates of an exploration."""
    for exploration in improvements(tried.exploration, run.rng, run.budget):
        tried = replace(tried, exploration=exploration)
        yield tried
    exploration = tried.exploration
    yield tried.noted(name_of(exploration), np.nan, exploration.draws, run.budget)


def is_more_reliable(new: Exploration, old: Exploration) -> bool:
    """Tell whether draws are trusted, or those of chains that have come closer to it."""
    if new.trusted != old.trusted:
        return new.trusted
    return new.moved and (not old.moved or new.draws.size > old.draws.size)


def non_centred(run: SearchRun, tried: Tried, target: Target) -> tuple[Tried, Exploration]:
    """Explore in coordinates that suit the data; return the better exploration, and the other."""
    before = tried.exploration
    target.expect(LIKELY_GRADIENTS)
    target, known = suited(target, run.rng, run.budget)
    found = explore(target, run.rng, run.budget, len(before.draws.values), known=known)
    tried = tried.noted("full rank, non-centred", found.best.elbo, found.draws, run.budget)
    if before.search is not None and found.search is not None:
        found = replace(found, search=before.search + found.search)
    best, other = (found, before) if is_better(found, before) else (before, found)
    return replace(tried, exploration=best), other


def standardized(run: SearchRun) -> Target | None:
    """Return the target in non-centred coordinates, None if they are of no use."""
    variables = bent_variables(run.model)
    if not variables:
        return None
    target = run.target(coordinates=Coordinates.non_centred(run.model, variables))
    return target if np.isfinite(target.logp(target.start[None])[0]) else None


def enlarged(run: SearchRun, tried: Tried) -> Tried:
    """Return what is known once there are as many draws as a result is made of.

    Where more draws tell that the first ones cannot be trusted, it goes on from there, and if that
    comes to nothing better, with chains.
    """
    for further in (better, improved_in_its_coordinates):
        progress.say("drawing more")
        exploration = enlarge(tried.exploration, run.rng, run.budget)
        lost_trust = tried.exploration.trusted and not exploration.trusted
        tried = replace(tried, exploration=exploration)
        if not lost_trust:
            return tried
        for known in further(run, tried):
            tried = known
    return replace(tried, exploration=enlarge(tried.exploration, run.rng, run.budget))


def made_of(run: SearchRun, exploration: Exploration) -> Approximation:
    """Return a mixture, if it holds the posterior itself, else draws."""
    mixture, is_own = exploration.mixture, not exploration.target.is_standardized
    if exploration.trusted and not exploration.moved and len(mixture) > 1 and is_own:
        values = mixture.draw(len(exploration.noise), run.rng)
        draws = WeightedDraws(
            values, *smoothed(exploration.target.logp(values) - mixture.logq(values))
        )
        good = draws.khat < GOOD_KHAT and draws.size > 0.5 * len(values)
        if good and is_close(values, exploration.draws):
            return run.of_mixture(mixture)
    return run.of_draws(exploration)


def ending_of(run: SearchRun, tried: Tried, stopped: str) -> Ending:
    """Return why the search has ended."""
    exploration = tried.exploration
    passes = passes_of(exploration.target)
    reason = f"a good result was found after {run.budget.elapsed:.1f} seconds{passes}"
    converged = exploration.trusted and not stopped
    if not converged:
        reason = stopped or run.budget.exhausted or "no family that was tried holds the posterior"
    elif tried.single is None and (names := names_at_gaps(exploration)):
        converged, exploration = False, replace(exploration, trusted=False)
        reason = (
            f"the 5 % or 95 % point of {first_names(names)} lies at a gap between modes, of whose "
            f"shares more draws would have to tell on which side"
        )
    return Ending(converged, reason, findings_of(exploration, tried.attempts))


def passes_of(target: Target) -> str:
    """Return in words how many passes over the data there were, nothing if they are in memory."""
    return f", in {target.passes} passes over the data" if target.by_rows else ""


def holds(approx: Approximation) -> bool:
    """Tell whether a mixture is what the better draws are, on the variables' own scale, too."""
    seed = derived_seed(approx.noise_seeds)
    return diagnose(approx, approx.ending, draws_to_judge(approx.model), seed).good


def name_of(exploration: Exploration) -> str:
    """Return what to call the result of improvements."""
    if exploration.draws.values is exploration.population:
        return "cooled population"
    count = len(exploration.mixture)
    if exploration.moved:
        return "chains"
    return f"mixture of {count} normals" if count > 1 else "more draws"
