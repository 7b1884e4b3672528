"""A mixture of normals that adapts to importance weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibayes import interrupts
from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments, check_whole
from vibayes.inference.searches.method import SearchMethod
from vibayes.inference.searches.run import PARTICLES, SearchRun
from vibayes.model.core import Model
from vibayes.records.ending import INTERRUPTED, Ending
from vibayes.search.best_normals import LARGE
from vibayes.search.budget import Budget
from vibayes.search.explore import Exploration, explore
from vibayes.search.findings import findings_of
from vibayes.search.improve import enlarge, improvements
from vibayes.search.mixtures import FittedMixture, fitted_mixture
from vibayes.verdict.judge import draws_to_judge

__all__ = ["MixtureVI"]


class MixtureVI(SearchMethod):
    """A mixture of normals, fitted by adaptive importance sampling.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    components : int, optional
        Number of normals; as many as are needed by default.

    Raises
    ------
    ValueError
        If the model has more than 100 unconstrained dimensions.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.NormalMixture("x", w=[0.3, 0.7], mu=[-2, 2], sigma=1)
    ...     approx = vb.fit(method="mixture", random_seed=1)
    >>> mean = approx.sample(4000, random_seed=1).posterior["x"].mean()
    >>> abs(mean.item() - 0.8) < 0.15
    True
    """

    short_name = "mixture"

    @check_arguments
    def __init__(
        self,
        model: Model | None = None,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
        *,
        components: int | None = None,
    ) -> None:
        super().__init__(model, random_seed, start)
        if components is not None:
            components = check_whole(components, "components", least=1)
        self.components = components

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"components": self.components}

    def _search(self, run: SearchRun) -> Approximation:
        target, rng, budget = run.target(), run.rng, run.budget
        if target.ddim > LARGE:
            raise ValueError(
                f'method="mixture" is for up to {LARGE} unconstrained dimensions, the model has '
                f'{target.ddim}: try method="auto"'
            )
        run.show(target)
        exploration = explore(target, rng, budget, draws_to_judge(self.model), run.observe)
        stopped = ""
        try:
            for better in improvements(exploration, rng, budget):
                exploration = better
            exploration = enlarge(exploration, rng, budget)
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        with interrupts.held():
            approx = run.of_mixture(self._mixture(exploration, run))
        approx.ending = ending_of(exploration, stopped, budget)
        return approx

    def _mixture(self, exploration: Exploration, run: SearchRun) -> FittedMixture:
        """Return the mixture of an exploration, or one of the wanted number of normals."""
        mixture = exploration.mixture
        if self.components is None and not exploration.moved:
            return mixture
        most = self.components or len(mixture)
        return fitted_mixture(exploration.resampled(PARTICLES, run.rng), run.rng, most)


def ending_of(exploration: Exploration, stopped: str, budget: Budget) -> Ending:
    """Return why the mixture adapts no more."""
    converged = exploration.trusted and not stopped
    reason = f"the mixture stood still after {budget.elapsed:.1f} seconds"
    if not converged:
        used_up = stopped or budget.exhausted
        reason = used_up or "the weights of the draws did not become good"
    return Ending(converged, reason, findings_of(exploration))
