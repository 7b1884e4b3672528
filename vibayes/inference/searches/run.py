"""What a search works with: the target of its model, and approximations of what it has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibayes import progress
from vibayes.approximations.base import Approximation
from vibayes.approximations.empirical import Empirical
from vibayes.approximations.gaussian_mixture import GaussianMixture
from vibayes.backend.seeds import new_generator
from vibayes.model.core import Model
from vibayes.model.target import Target
from vibayes.search.begin import set_normal
from vibayes.search.budget import Budget
from vibayes.search.explore import Exploration
from vibayes.search.located import MEDIUM_NOISE, show
from vibayes.search.mixtures import FittedMixture
from vibayes.search.modes import SearchPath
from vibayes.search.noise import mirrored_normals
from vibayes.search.normals import FittedNormal, from_root

__all__ = ["PARTICLES", "SearchRun"]

PARTICLES = 4000
MOST_NUMBERS = 2_000_000  # of all draws, where these have equal weight: 16 MB
"""Number of draws that a result is made of."""


class SearchRun:
    """One run of a search.

    Parameters
    ----------
    model : Model
        The model.
    start : dict
        Where to start, by variable name.
    seeds : numpy.random.SeedSequence
        Seed of everything random in the run.
    budget : Budget
        Time and steps.

    Attributes
    ----------
    rng : numpy.random.Generator
        Where the randomness of the search comes from.
    losses : list of float
        Losses on the way to the best normal.
    """

    def __init__(
        self,
        model: Model,
        start: Mapping[str, Any],
        seeds: np.random.SeedSequence,
        budget: Budget,
    ) -> None:
        self.model, self.start, self.budget = model, start, budget
        self._seeds = seeds
        self.rng = new_generator(seeds.spawn(1)[0])
        self.losses: list[float] = []

    def target(self, **options: Any) -> Target:
        """Return the log density, of the options of :class:`vibayes.model.target.Target`."""
        progress.say("compiling the log density")
        seed = self._seeds.generate_state(4).tolist()
        return Target(self.model, start=dict(self.start), random_seed=seed, **options)

    # -- what is shown on the way -----------------------------------------------------------------

    def observe(self, q: FittedNormal) -> None:
        """Take note of the loss of a normal on the way, if it is the best so far."""
        if np.isfinite(q.elbo) and not (self.losses and -q.elbo > self.losses[-1]):
            self.losses.append(-q.elbo)

    def show(self, target: Target, paths: Sequence[SearchPath] = ()) -> None:
        """Take note of where a search begins, and of the normals along the first of some paths."""
        noise = mirrored_normals(MEDIUM_NOISE, target.ddim, np.random.default_rng(0))
        begin = FittedNormal(target.start, np.full(target.ddim, 0.1))
        show(target, [begin], noise, self.observe)
        for z, root in (place for path in paths[:1] for place in path.trail):
            if self.budget.time_is_up:  # in many dimensions each takes seconds
                return
            show(target, [from_root(z, root)], noise, self.observe)

    # -- approximations ---------------------------------------------------------------------------

    def made(self, family: type[Approximation], **options: Any) -> Approximation:
        """Return an approximation of a family, as it begins."""
        return family(model=self.model, random_seed=self._seeds.spawn(1)[0], **options)

    def of_normal(self, family: type[Approximation], q: FittedNormal) -> Approximation:
        """Return the approximation of a family that comes closest to a normal."""
        approx = self.made(family)
        set_normal(approx, q)
        return approx

    def of_mixture(self, q: FittedMixture) -> Approximation:
        """Return a mixture of normals."""
        approx = self.made(GaussianMixture, components=len(q))
        values = {"log_weights": q.log_weights, "mu": q.means, "L": q.roots}
        approx.groups[0].set_values(values)
        return approx

    def of_draws(self, exploration: Exploration) -> Approximation:
        """Return draws of equal weight."""
        values = exploration.of_equal_weight(PARTICLES, MOST_NUMBERS, self.rng)
        approx = self.made(Empirical, size=len(values))
        approx.groups[0].set_values({"histogram": values})
        return approx
