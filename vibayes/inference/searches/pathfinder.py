"""Normals along the ways to modes, importance resampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vibayes import progress
from vibayes.approximations.base import Approximation
from vibayes.importance import GOOD_KHAT
from vibayes.inference.searches.method import SearchMethod
from vibayes.inference.searches.run import SearchRun
from vibayes.model.target import Target
from vibayes.records.ending import Ending
from vibayes.search.explore import Exploration, first_proposal, verified
from vibayes.search.findings import findings_of
from vibayes.search.improve import enlarge
from vibayes.search.mixtures import FittedMixture, ImportanceSampler
from vibayes.search.normals import FittedNormal
from vibayes.search.paths import best_along, distinct_paths, searched
from vibayes.verdict.judge import draws_to_judge

__all__ = ["PathfinderVI"]


class PathfinderVI(SearchMethod):
    """Normals of highest ELBO along the ways to modes, importance resampled.

    Multi-path Pathfinder (Zhang et al. 2022), with the curvature at each point computed, where
    the paper estimates it by L-BFGS.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.

    References
    ----------
    Zhang et al. (2022), Pathfinder: Parallel quasi-Newton variational inference, JMLR 23(306).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Gamma("x", 50, 1)
    ...     approx = vb.fit(method="pathfinder", random_seed=1)
    >>> abs(approx.sample(1000, random_seed=1).posterior["x"].mean().item() - 50) < 1
    True
    """

    short_name = "pathfinder"

    def _search(self, run: SearchRun) -> Approximation:
        target, rng, budget = run.target(), run.rng, run.budget
        paths = distinct_paths(searched(target, rng, budget))
        progress.say("normals along the paths")
        run.show(target, paths)
        normals = [best_along(target, path, rng) for path in paths]
        exploration = weighed(target, normals, draws_to_judge(self.model), rng)
        if exploration.draws.khat < GOOD_KHAT:
            exploration = verified(exploration, rng, budget)
        exploration = enlarge(exploration, rng, budget)
        approx = run.of_draws(exploration)
        reason = f"{len(paths)} paths came to their ends"
        converged = any(path.converged for path in paths)
        approx.ending = Ending(converged, budget.exhausted or reason, findings_of(exploration))
        return approx


def weighed(
    target: Target, normals: Sequence[FittedNormal], count: int, rng: np.random.Generator
) -> Exploration:
    """Return an exploration of weighted draws of normals, of equal weight themselves."""
    mixture = FittedMixture.make(
        np.zeros(len(normals)), [q.mean for q in normals], [q.root for q in normals]
    )
    sampler = ImportanceSampler.empty(target, max(count, 200 * len(normals)))
    sampler = sampler.with_draws(first_proposal(target, mixture), rng)
    return Exploration(
        target=target,
        normals=tuple(normals),
        dropped=(),
        noise=np.empty(0),
        sampler=sampler,
        draws=sampler.draws,
        mixture=mixture,
    )
