"""Methods that choose a family, or fit one, without steps of an optimizer of the user's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.approximations.empirical import Empirical
from vibayes.approximations.full_rank import FullRank
from vibayes.approximations.gaussian_mixture import GaussianMixture
from vibayes.approximations.mean_field import MeanField
from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.evaluation import evaluating_as
from vibayes.backend.jax import JaxDevices
from vibayes.backend.modes import resolve_steps_mode
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.context import modelcontext
from vibayes.exceptions import ModelError
from vibayes.families.base import check_continuous
from vibayes.importance import GOOD_KHAT, has_good_tail, smoothed
from vibayes.inference.base import Method, make_budget
from vibayes.inference.checkpoints import approximation_in, find_kept
from vibayes.inference.normal_fit import fit_normal_family
from vibayes.inference.runs import among_processes
from vibayes.model.by_rows import check_goes_by_rows
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.core import Model
from vibayes.model.passes import computing_now
from vibayes.model.target import Target, is_deterministic
from vibayes.records.ending import INTERRUPTED, Ending
from vibayes.records.findings import Attempt, Findings
from vibayes.search.begin import MOST_DENSE, set_normal
from vibayes.search.budget import Budget
from vibayes.search.centring import suited
from vibayes.search.conditional import given_parameters, of_many
from vibayes.search.explore import (
    LARGE,
    MEDIUM_NOISE,
    Exploration,
    best_along,
    distinct_paths,
    enlarge,
    explore,
    first_proposal,
    improvements,
    normal_of,
    searched,
    show,
    verified,
)
from vibayes.search.findings import attempt_of, findings_of
from vibayes.search.mixtures import FittedMixture, ImportanceSampler, WeightedDraws, fitted_mixture
from vibayes.search.modes import SearchPath
from vibayes.search.normals import (
    FittedNormal,
    fit_mean_field,
    from_curvature,
    mirrored_normals,
)
from vibayes.search.whole import NormalTarget
from vibayes.storage.calls import describe_seeds
from vibayes.storage.checkpoint import Checkpoint
from vibayes.verdict.judge import agrees, draws_to_judge

__all__ = ["AutoVI", "LaplaceVI", "MixtureVI", "PathfinderVI"]

PARTICLES = 4000
MANY_DRAWS = 1000  # of a normal in the place of the target, which cost nothing
CLOSE_SHIFT, CLOSE_WIDTHS = 0.1, (0.9, 1.1)
CENTRAL = 0.05, 0.95
CONDITIONAL = "mixture for parameters"
KHAT_ERROR = 0.1  # of a thousand draws
EVEN_WEIGHTS = 0.9  # share of effective draws


class SearchMethod(Method):
    """A fit that searches the posterior itself, in place of taking steps of an optimizer.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block. Minibatches stand for the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.

    Attributes
    ----------
    approx : Approximation
        The result of the last fit.
    """

    takes_steps = False

    @check_arguments
    def __init__(
        self,
        model: Model | None = None,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self.model: Model = modelcontext(model)
        self.start: dict[str, Any] = dict(start or {})
        self._seeds = as_seed_sequence(random_seed)
        self._is_seeded = random_seed is not None
        self._losses: list[float] = []
        self.approx: Approximation | None = None

    def _observe(self, q: FittedNormal) -> None:
        """Take note of the loss of a normal on the way, if it is the best so far."""
        if np.isfinite(q.elbo) and not (self._losses and -q.elbo > self._losses[-1]):
            self._losses.append(-q.elbo)

    def _show(self, target: Target, paths: Sequence[SearchPath] = ()) -> None:
        """Take note of where a search begins, and of the normals along the first of some paths."""
        noise = mirrored_normals(MEDIUM_NOISE, target.ddim, np.random.default_rng(0))
        begin = FittedNormal(target.start, np.full(target.ddim, 0.1))
        on_the_way = [normal_of(z, root) for path in paths[:1] for z, root in path.trail]
        for q in (begin, *on_the_way):
            show(target, [q], noise, self._observe)

    @interrupts.Deferral(keeps_result=True)
    @check_arguments
    def fit(
        self,
        n: int | None = None,
        callbacks: Sequence[Callable[..., None]] | None = None,
        progressbar: bool = True,
        *,
        diagnose: bool = False,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        checkpoint: Any = None,
        backend: str | None = None,
        device: Any = None,
        devices: Any = None,
        **options: Any,
    ) -> Approximation:
        """Search, and return the approximation.

        Parameters
        ----------
        n
            Not to be given: the search ends by itself.
        callbacks, **options
            Not to be given: there are no steps of an approximation to be called after.
        progressbar
            Whether to show what is being done, if there is a terminal or a notebook to show it in.
        diagnose
            Whether to judge the result and warn if it is not good.
        max_seconds, max_steps
            Budget, 600 seconds and 100,000 steps by default: the search ends with the best that it
            has found, and says so.
        checkpoint
            Path of a ``.nc`` file in which to keep the result. If the file is there, the result
            is what it holds. A search that was interrupted begins anew.
        backend : {"jax"}, optional
            What evaluates the log density: JAX, by default what the environment variable
            ``VIBAYES_BACKEND`` says, else NumPy. Of small models NumPy is the quicker.
        device, devices
            Where JAX runs, as for :meth:`vibayes.Inference.fit`.

        Raises
        ------
        ModelError
            If the whole data are not in memory, or the model has no continuous free variables.
        TypeError
            If ``n``, ``callbacks`` or options of steps are given.
        SamplingError
            If the log density is not finite wherever the search begins.
        StorageError
            If ``checkpoint`` is the file of another model or of another call, or is not whole.
        """
        began = time.perf_counter()
        given = {"n": n, "callbacks": callbacks, **options}
        if backend != "jax":
            given["backend"] = backend
        for name, value in given.items():
            if value is not None:
                raise TypeError(
                    f'{name} has no effect on method="{self.short_name}", which ends by itself; '
                    f"max_seconds and max_steps limit it"
                )
        check_continuous(self.model, self.model.free_RVs)
        if not is_deterministic(self.model):
            raise ModelError(
                f'method="{self.short_name}" evaluates the log density of the whole data, which '
                "are other ones at each evaluation: fit a family by steps, such as "
                'method="fullrank_advi"'
            )
        self.model.check_shapes()
        if self.model.has_streams or computing_now().is_asked:
            check_goes_by_rows(self.model, f'method="{self.short_name}"')
        mode = resolve_steps_mode(backend, None, device, devices)
        budget = make_budget(max_seconds, max_steps)
        among_processes(self.model, mode, budget)
        call = self._call(budget.steps)
        if isinstance(mode, JaxDevices):  # whose numbers are others in the last digits
            call["backend"] = "jax"
        with (
            progress.shown(progressbar, "looking at the model", budget.seconds),
            evaluating_as(mode),
        ):
            keeping = find_kept(call, Checkpoint.wanted(checkpoint, None), self.model)
            if keeping.found is None:
                self._losses = []
                approx = self.approx = self._search(budget)
                if not len(approx.hist):
                    approx.hist = np.array(self._losses)
                keeping.finish_search(approx)
            else:
                approx = self.approx = approximation_in(keeping.found, self.model)
            return self.result(approx, diagnose, began)

    def _call(self, max_steps: int) -> dict[str, Any]:
        """Return what the search is told to do; see :mod:`vibayes.storage.calls`."""
        return {
            "method": type(self).__qualname__,
            "settings": self._settings(),
            "max_steps": max_steps,
            "random_seed": describe_seeds(self._seeds, self._is_seeded),
        }

    def _settings(self) -> dict[str, Any]:
        return {"start": {name: np.asarray(v).tolist() for name, v in self.start.items()}}

    def _search(self, budget: Budget) -> Approximation:
        raise NotImplementedError

    def _generator(self) -> np.random.Generator:
        return new_generator(self._seeds.spawn(1)[0])

    def _target(self, **options: Any) -> Target:
        progress.say("compiling the log density")
        seed = self._seeds.generate_state(4).tolist()
        return Target(self.model, start=self.start, random_seed=seed, **options)

    def _made(self, family: type[Approximation], **options: Any) -> Approximation:
        return family(model=self.model, random_seed=self._seeds.spawn(1)[0], **options)

    def _of_normal(self, family: type[Approximation], q: FittedNormal) -> Approximation:
        approx = self._made(family)
        set_normal(approx, q)
        return approx

    def _of_mixture(self, q: FittedMixture) -> Approximation:
        approx = self._made(GaussianMixture, components=len(q))
        values = {"log_weights": q.log_weights, "mu": q.means, "L": q.roots}
        approx.groups[0].set_values(values)
        return approx

    def _of_draws(self, exploration: Exploration, rng: np.random.Generator) -> Approximation:
        approx = self._made(Empirical, size=PARTICLES)
        approx.groups[0].set_values({"histogram": exploration.resampled(PARTICLES, rng)})
        return approx


class AutoVI(SearchMethod):
    """The cheapest family that holds the posterior, found by trying.

    Mean field, then full rank; where the model has variables whose location or scale depends on
    others, the same in coordinates between centred and non-centred, and mixtures for the few
    parameters that these variables depend on; then mixtures of normals by adaptive importance
    sampling; then many short chains. In more than 2,000 dimensions mixtures for parameters, or mean
    field. If no family holds the posterior, but importance weights or chains do, the result
    is :class:`vibayes.Empirical`, made of draws that are right.

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

    def _search(self, budget: Budget) -> Approximation:
        rng, target = self._generator(), self._target()
        if target.ddim > MOST_DENSE:  # families that have correlations would take too long
            return self._of_many(rng, budget)
        self._show(target)
        count = draws_to_judge(self.model)
        tried, stopped = Tried(explore(target, rng, budget, count, self._observe)), ""
        try:
            for known in self._tries(tried, rng, budget):
                tried = known
            if tried.single is None:
                tried = self._enlarged(tried, rng, budget)
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        exploration = tried.exploration
        with interrupts.held():
            approx = tried.single or self._made_of(exploration, rng)
        converged = exploration.trusted and not stopped
        reason = f"a good result was found after {budget.elapsed:.1f} seconds{passes_of(target)}"
        if not converged:
            reason = stopped or budget.exhausted or "no family that was tried holds the posterior"
        approx.ending = Ending(converged, reason, findings_of(exploration, tried.attempts))
        return approx

    def _of_many(self, rng: np.random.Generator, budget: Budget) -> Approximation:
        """Return draws given few parameters, if they are right, else a mean field."""
        target, found = self._standardized(), None
        if target is not None:
            found = of_many(suited(target, rng, budget), rng, budget, PARTICLES // 2)
        if found is not None and found.trusted:
            found = enlarge(found, rng, budget)
        if found is None or not found.trusted:
            approx = self._made(MeanField, start=self.start)
            fit_normal_family(approx, budget)
            return approx
        approx = self._of_draws(found, rng)
        attempts = Tried(found).noted(CONDITIONAL, found.best.elbo, found.draws, budget).attempts
        reason = f"a good result was found after {budget.elapsed:.1f} seconds"
        approx.ending = Ending(True, reason, findings_of(found, attempts))
        return approx

    def _tries(self, tried: Tried, rng: np.random.Generator, budget: Budget) -> Iterator[Tried]:
        """Yield what is known after each try: whoever interrupts keeps the last."""
        tried = self._with_normals(tried, rng, budget)
        yield tried
        if tried.single is None and not tried.exploration.trusted:
            yield from self._better(tried, rng, budget)

    def _with_normals(self, tried: Tried, rng: np.random.Generator, budget: Budget) -> Tried:
        """Try the mean field and the full rank."""
        exploration = tried.exploration
        best, target = exploration.best, exploration.target
        progress.say("independent normals")
        even = target.by_rows and is_nearly_even(exploration.draws)
        # that the normal is the posterior need not be paid for twice
        stands_in: Any = NormalTarget(best) if even else target
        mean_field = fit_mean_field(stands_in, best, exploration.noise, budget)
        count = MANY_DRAWS if even else len(exploration.noise)
        if target.by_rows and not even:
            count = exploration.count
        values = mean_field.at(rng.standard_normal((count, target.ddim)))
        logp, logq = stands_in.logp(values), mean_field.logq(values)
        draws = WeightedDraws(values, *smoothed(logp - logq))
        tried = tried.noted("mean field", mean_field.elbo, draws, budget)
        tried = tried.noted("full rank", best.elbo, exploration.draws, budget)
        if not exploration.trusted:
            return tried
        if even:  # few draws: what their weights change is known better than what they are
            if is_nearly_even(draws) and is_close(values, draws):
                return replace(tried, single=self._of_normal(MeanField, mean_field))
            if is_close(exploration.draws.values, exploration.draws):
                return replace(tried, single=self._of_normal(FullRank, best))
        findings = findings_of(exploration)
        if is_nearly_exact(draws) and (single := self._holding(MeanField, mean_field, findings)):
            return replace(tried, single=single)
        close = is_close(best.at(exploration.noise), exploration.draws)
        if close or is_nearly_exact(exploration.draws):
            return replace(tried, single=self._holding(FullRank, best, findings))
        return tried

    def _holding(
        self, family: type[Approximation], q: FittedNormal, findings: Findings
    ) -> Approximation | None:
        """Return the approximation by a normal, if better draws agree with it on both scales."""
        approx = self._of_normal(family, q)
        return approx if agrees(approx, findings) else None

    def _better(self, tried: Tried, rng: np.random.Generator, budget: Budget) -> Iterator[Tried]:
        """Yield explorations whose draws are as good as can be had, the best one last."""
        exploration = tried.exploration
        target = None
        known = exploration.target
        # standard variables take a compilation
        if not (known.is_standardized or known.by_rows or budget.is_late):
            target = self._standardized()
        if target is not None:
            target = suited(target, rng, budget)
            other = explore(target, rng, budget, len(exploration.draws.values))
            tried = tried.noted("full rank, non-centred", other.best.elbo, other.draws, budget)
            if exploration.search is not None and other.search is not None:
                other = replace(other, search=exploration.search + other.search)
            if is_better(other, exploration):
                tried = replace(tried, exploration=other)
            yield tried
        conditional = given_parameters(tried.exploration, rng, budget)
        if conditional is not tried.exploration:
            tried = replace(tried, exploration=conditional)
            tried = tried.noted(CONDITIONAL, np.nan, conditional.draws, budget)
            yield tried
        if not tried.exploration.trusted:
            for better in improvements(tried.exploration, rng, budget):
                tried = replace(tried, exploration=better)
                yield tried
            exploration = tried.exploration
            name = "chains" if exploration.moved else mixture_name(exploration)
            yield tried.noted(name, np.nan, exploration.draws, budget)

    def _standardized(self) -> Target | None:
        """Return the target in non-centred coordinates, None if they are of no use."""
        variables = bent_variables(self.model)
        if not variables:
            return None
        target = self._target(coordinates=Coordinates.non_centred(self.model, variables))
        return target if np.isfinite(target.logp(target.start[None])[0]) else None

    def _enlarged(self, tried: Tried, rng: np.random.Generator, budget: Budget) -> Tried:
        """Return what is known once there are as many draws as a result is made of."""
        progress.say("drawing more")
        exploration = enlarge(tried.exploration, rng, budget)
        lost_trust = tried.exploration.trusted and not exploration.trusted
        tried = replace(tried, exploration=exploration)
        if lost_trust:
            for known in self._better(tried, rng, budget):
                tried = known
            tried = replace(tried, exploration=enlarge(tried.exploration, rng, budget))
        return tried

    def _made_of(self, exploration: Exploration, rng: np.random.Generator) -> Approximation:
        """Return a mixture, if it holds the posterior itself, else draws."""
        mixture, is_own = exploration.mixture, not exploration.target.is_standardized
        if exploration.trusted and not exploration.moved and len(mixture) > 1 and is_own:
            values = mixture.draw(len(exploration.noise), rng)
            draws = WeightedDraws(
                values, *smoothed(exploration.target.logp(values) - mixture.logq(values))
            )
            good = draws.khat < GOOD_KHAT and draws.size > 0.5 * len(values)
            if good and is_close(values, exploration.draws):
                return self._of_mixture(mixture)
        return self._of_draws(exploration, rng)


@dataclass(frozen=True)
class Tried:
    """What an automatic fit knows after it has tried some families.

    Attributes
    ----------
    exploration : Exploration
        The best one.
    attempts : tuple of Attempt
        How good each family was.
    single : Approximation, optional
        The approximation by one normal, if that holds the posterior.
    """

    exploration: Exploration
    attempts: tuple[Attempt, ...] = ()
    single: Approximation | None = None

    def noted(self, name: str, elbo: float, draws: WeightedDraws, budget: Budget) -> Tried:
        """Return this with a further attempt."""
        attempt = attempt_of(name, elbo, draws, budget.elapsed)
        return replace(self, attempts=(*self.attempts, attempt))


def passes_of(target: Target) -> str:
    """Return in words how many passes over the data there were, nothing if they are in memory."""
    return f", in {target.passes} passes over the data" if target.by_rows else ""


def is_better(new: Exploration, old: Exploration) -> bool:
    """Tell whether the weights of one exploration are better than those of another.

    By how many draws they are worth and by Pareto k-hat, where these tell them apart: an ELBO
    hardly sees the tails that it misses, and a k-hat of few effective draws is nothing to go by.
    """
    if new.trusted != old.trusted:
        return new.trusted
    sizes = new.draws.size / len(new.draws.values), old.draws.size / len(old.draws.values)
    if max(sizes) > 2 * min(sizes):
        return sizes[0] > sizes[1]
    least, difference = min(new.draws.khat, old.draws.khat), new.draws.khat - old.draws.khat
    if least < 1.0 and abs(difference) > KHAT_ERROR:
        return difference < 0
    return new.best.elbo > old.best.elbo


def mixture_name(exploration: Exploration) -> str:
    """Return what to call the result of adaptive importance sampling."""
    count = len(exploration.mixture)
    return f"mixture of {count} normals" if count > 1 else "more draws"


def is_nearly_exact(draws: WeightedDraws) -> bool:
    """Tell whether weights are so even that what was drawn from needs no correction."""
    return draws.khat < GOOD_KHAT and draws.size > EVEN_WEIGHTS * len(draws.values)


def is_nearly_even(draws: WeightedDraws) -> bool:
    """Tell the same of few draws, of which Pareto k-hat tells little if nearly all count."""
    count = len(draws.values)
    return draws.size > EVEN_WEIGHTS * count and has_good_tail(draws.khat, draws.size, count)


def is_close(values: np.ndarray, draws: WeightedDraws) -> bool:
    """Tell whether draws have the means and widths of better ones, and can take their place."""
    shift = np.abs(values.mean(axis=0) - draws.mean) / draws.sd
    ratios = np.array(
        [
            values.std(axis=0) / draws.sd,
            np.diff(np.quantile(values, CENTRAL, axis=0), axis=0)[0] / draws.width(CENTRAL),
        ]
    )
    low, high = CLOSE_WIDTHS
    return bool(shift.max() < CLOSE_SHIFT and ratios.min() > low and ratios.max() < high)


class LaplaceVI(SearchMethod):
    """The normal of the curvature at the best mode.

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
    Tierney and Kadane (1986), Accurate approximations for posterior moments and marginal
    densities, JASA 81(393).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Gamma("x", 50, 1)
    ...     approx = vb.fit(method="laplace", random_seed=1)
    >>> float(approx.mean.eval()[0])  # the mode of the logarithm: log 50
    3.912...
    """

    short_name = "laplace"

    def _search(self, budget: Budget) -> Approximation:
        target, rng = self._target(), self._generator()
        best = max(searched(target, rng, budget), key=lambda path: path.logp)
        self._show(target, [best])
        approx = self._of_normal(FullRank, from_curvature(best.z, best.curvature))
        reason = "the search came to a mode" if best.converged else "no mode was found"
        approx.ending = Ending(best.converged, budget.exhausted or reason)
        return approx


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

    def _search(self, budget: Budget) -> Approximation:
        target, rng = self._target(), self._generator()
        paths = distinct_paths(searched(target, rng, budget))
        progress.say("normals along the paths")
        self._show(target, paths)
        normals = [best_along(target, path, rng) for path in paths]
        count = draws_to_judge(self.model)
        mixture = FittedMixture.make(
            np.zeros(len(normals)), [q.mean for q in normals], [q.root for q in normals]
        )
        sampler = ImportanceSampler.empty(target, max(count, 200 * len(normals)))
        sampler = sampler.with_draws(first_proposal(target, mixture), rng)
        draws = sampler.draws
        exploration = Exploration(
            target=target,
            normals=tuple(normals),
            dropped=(),
            noise=np.empty(0),
            sampler=sampler,
            draws=draws,
            mixture=mixture,
        )
        if draws.khat < GOOD_KHAT:
            exploration = verified(exploration, rng, budget)
        exploration = enlarge(exploration, rng, budget)
        approx = self._of_draws(exploration, rng)
        reason = f"{len(paths)} paths came to their ends"
        converged = any(path.converged for path in paths)
        approx.ending = Ending(converged, budget.exhausted or reason, findings_of(exploration))
        return approx


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

    def _search(self, budget: Budget) -> Approximation:
        target, rng = self._target(), self._generator()
        if target.ddim > LARGE:
            raise ValueError(
                f'method="mixture" is for up to {LARGE} unconstrained dimensions, the model has '
                f'{target.ddim}: try method="auto"'
            )
        self._show(target)
        count = draws_to_judge(self.model)
        exploration = explore(target, rng, budget, count, self._observe)
        stopped = ""
        try:
            for better in improvements(exploration, rng, budget):
                exploration = better
            exploration = enlarge(exploration, rng, budget)
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        with interrupts.held():
            mixture = exploration.mixture
            if self.components is not None or exploration.moved:
                most = self.components or len(mixture)
                mixture = fitted_mixture(exploration.resampled(PARTICLES, rng), rng, most)
            approx = self._of_mixture(mixture)
        reason = f"the mixture stood still after {budget.elapsed:.1f} seconds"
        converged = exploration.trusted and not stopped
        if not converged:
            used_up = stopped or budget.exhausted
            reason = used_up or "the weights of the draws did not become good"
        approx.ending = Ending(converged, reason, findings_of(exploration))
        return approx
