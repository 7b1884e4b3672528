"""Inference: an approximation, an objective, and the fit that joins them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import Approximation, SingleGroupApproximation, judge
from vibayes.approximations.full_rank import FullRank
from vibayes.approximations.low_rank import LowRank
from vibayes.approximations.mean_field import MeanField
from vibayes.approximations.normalizing_flow import NormalizingFlow
from vibayes.arguments import check_whole
from vibayes.backend.compiled import Compiled
from vibayes.backend.graphs import as_replacements
from vibayes.backend.modes import evaluate, profiling_mode, resolve_mode
from vibayes.backend.seeds import new_generator
from vibayes.families.normalizing_flow import DEFAULT_FLOW
from vibayes.flows import Flow
from vibayes.inference.checkpoints import Keeping, describe_fit, find_kept, saved_scales
from vibayes.inference.convergence import FEWEST_LOSSES, loss_trend
from vibayes.inference.loop import FitLoop
from vibayes.inference.normal_fit import fit_normal_family
from vibayes.inference.schedule import ScaledAdam, Schedule
from vibayes.inference.steps import CompiledSteps, State, as_next_value, with_default_updates
from vibayes.model.core import Model
from vibayes.model.initial import check_point, describe_value
from vibayes.model.target import is_deterministic
from vibayes.objectives.base import ObjectiveFunction, Operator, StepGraph
from vibayes.objectives.kl import KL
from vibayes.objectives.renyi import Renyi
from vibayes.records.ending import Ending
from vibayes.records.fit_state import FitState
from vibayes.search.begin import MOST_DENSE, begin_near, find_normal, unit_scales
from vibayes.search.budget import Budget
from vibayes.storage.checkpoint import Checkpoint
from vibayes.storage.records import seeds_from, seeds_record
from vibayes.streaming.feed import Feeds
from vibayes.streaming.shuffle import ReadingPlace
from vibayes.updates import adagrad_window

__all__ = ["ADVI", "NFVI", "FullRankADVI", "Inference", "KLqp", "LowRankADVI"]


class Inference:
    """An objective that is made small over the parameters of an approximation.

    Parameters
    ----------
    objective : Operator or ObjectiveFunction
        The objective, which knows its approximation.

    Attributes
    ----------
    objective : ObjectiveFunction
        The objective.
    approx : Approximation
        What is fitted.
    hist : numpy.ndarray
        The loss at each iteration so far.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu")
    ...     y = vb.Normal("y", mu, observed=[1.0, 2.0])
    ...     inference = vb.Inference(vb.KL(vb.MeanField(random_seed=1)))
    >>> approx = inference.fit(50, backend="py", progressbar=False)
    >>> approx = inference.refine(50, progressbar=False)
    >>> len(inference.hist)
    100
    """

    def __init__(self, objective: Operator | ObjectiveFunction) -> None:
        if isinstance(objective, Operator):
            objective = ObjectiveFunction(objective)
        self.objective = objective
        self._own_steps = Compiled()
        self._loop: FitLoop | None = None
        self._callbacks: list[Callable[..., None]] = []
        self._make_loop: Callable[[], FitLoop] | None = None  # of a fit that a file has ended
        self._keeping = Keeping({})
        self._is_searched = False

    @property
    def approx(self) -> Approximation:
        """The approximation that is fitted."""
        return self.objective.approx

    @property
    def hist(self) -> np.ndarray:
        """Loss at each iteration."""
        return self.approx.hist

    @property
    def compile_seconds(self) -> float:
        """Time that the compilation of the last fit's steps took, whenever that was."""
        return 0.0 if self._loop is None else self._loop.steps.compile_seconds

    @property
    def run_seconds(self) -> float:
        """Time that the steps of the last fit took."""
        return 0.0 if self._loop is None else self._loop.run_seconds

    @property
    def wait_seconds(self) -> float:
        """Time that the steps of the last fit waited for data that are not in memory."""
        return 0.0 if self._loop is None else self._loop.feeds.wait_seconds

    def fit(
        self,
        n: int | None = None,
        score: bool | None = None,
        callbacks: Sequence[Callable[..., None]] | None = None,
        progressbar: bool = True,
        *,
        obj_n_mc: int | None = None,
        tf_n_mc: int | None = None,
        obj_optimizer: Callable[..., Mapping[Variable, Variable]] | None = None,
        test_optimizer: Callable[..., Mapping[Variable, Variable]] | None = None,
        more_obj_params: Sequence[SharedVariable] | None = None,
        more_tf_params: Sequence[SharedVariable] | None = None,
        more_updates: Mapping[SharedVariable, Variable] | None = None,
        more_replacements: Mapping[Variable, Any] | None = None,
        total_grad_norm_constraint: float | None = None,
        compile_kwargs: Mapping[str, Any] | None = None,
        backend: str | None = None,
        diagnose: bool = False,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        checkpoint: Any = None,
        checkpoint_every: int | None = None,
    ) -> Approximation:
        """Fit the approximation.

        A second call goes on from where the parameters stand, with a new optimizer.

        Parameters
        ----------
        n
            Number of iterations. If neither ``n`` nor ``obj_optimizer`` is given, the fit runs
            until it has converged, or to its budget: see the notes. With an optimizer, and for
            what has no loss to converge by, such as particles, 10,000.
        score
            Whether to record the loss of each iteration; yes by default, and always if the fit
            is to end by itself.
        callbacks
            Called as ``callback(approx, losses, i)``; see :class:`vibayes.callbacks.Callback`.
        progressbar
            Whether to show a progress bar, if there is a terminal or a notebook to show it in.
        obj_n_mc
            Number of Monte Carlo draws that estimate the objective at each iteration, 1 by
            default; 10 if a fit of the whole data is to end by itself.
        tf_n_mc
            Number of Monte Carlo draws by which a test function with parameters is trained, 1 by
            default.
        obj_optimizer
            Optimizer, such as ``vb.adam(learning_rate=0.01)``;
            ``vb.adagrad_window()`` by default.
        test_optimizer
            Optimizer of the parameters of a test function; ``vb.adagrad_window()`` by default.
        more_obj_params
            Shared variables to be optimized beside the variational parameters.
        more_tf_params
            Shared variables to be optimized beside the parameters of a test function.
        more_updates
            Shared variables that change in other ways, with their values after a step.
        more_replacements
            What to put in the place of parts of the model's graph, such as
            ``{full_data: minibatch}``.
        total_grad_norm_constraint
            Largest norm that the gradients of all parameters together may have.
        compile_kwargs
            ``mode``: a PyTensor mode.
        backend : {"numba", "c", "py"}, optional
            What to compile with; numba by default.
        diagnose
            Whether to judge the result, and to warn if it is not good; see
            :meth:`Approximation.diagnose`.
        max_seconds, max_steps
            Budget of a fit that ends by itself: 600 seconds and 100,000 steps by default.
        checkpoint
            Path of a ``.nc`` file in which to keep the state of the fit. If the file is there, the
            same call goes on with the fit, to the numbers that it would have had without a break;
            one with a larger ``n`` goes on from the end. If the fit is done already, the result
            is what the file holds.
        checkpoint_every
            Least number of iterations between two checkpoints; every 5 seconds by default. They
            are written less often if that would take more than 2 % of the time, and at the end.

        Returns
        -------
        Approximation
            ``self.approx``; its ``ending`` tells why the fit ended.

        Raises
        ------
        FloatingPointError
            If the loss or a parameter stops being finite. The approximation holds the last state
            that was finite, and ``hist`` the losses up to there.
        SamplingError
            If the log density is not finite where the fit starts.
        StreamError
            If data that are not in memory cannot be read. The approximation holds the state that
            it had before them; when the cause is mended, :meth:`refine` goes on.

        StorageError
            If ``checkpoint`` is the file of another model or of another call, or is not whole.

        Notes
        -----
        Ctrl-C, and ``StopIteration`` in a callback, end the fit early. Everything up to then is
        kept.

        A fit that ends by itself finds the modes and the scale of the posterior first, so that
        neither start nor units matter. A normal family, fitted by KL to data in memory, then takes
        natural-gradient steps on draws that stay the same, until they come to an end. Everything
        else takes stochastic steps whose rate goes down when the loss is level; they end when
        averages of the parameters are accurate to 0.05 of their units.
        """
        given = dict(n=n, obj_optimizer=obj_optimizer)
        automatic = all(v is None for v in given.values()) and self._ends_by_itself
        budget = automatic_budget(automatic, max_seconds, max_steps)
        callbacks = self._callbacks = list(callbacks or [])
        steps = dict(
            score=score,
            obj_n_mc=obj_n_mc,
            tf_n_mc=tf_n_mc,
            obj_optimizer=obj_optimizer,
            test_optimizer=test_optimizer,
            more_obj_params=more_obj_params,
            more_tf_params=more_tf_params,
            more_updates=more_updates,
            more_replacements=more_replacements,
            total_grad_norm_constraint=total_grad_norm_constraint,
        )
        mode = resolve_mode(backend, dict(compile_kwargs or {}).get("mode"))
        if budget is None:
            n = check_whole(10_000 if n is None else n, "n", least=0)
        by_schedule = budget is not None and not (
            self._is_normal_fit and all(value is None for value in steps.values())
        )
        self._begin_keeping(Checkpoint.wanted(checkpoint, checkpoint_every), steps, budget)
        if by_schedule and steps["obj_n_mc"] is None and not self.approx.model.minibatches:
            steps["obj_n_mc"] = 10
        found = self._keeping.found
        if found is not None and found.is_done(n):
            self._end_by_file(found.state, budget, steps, mode)
        elif budget is None:
            self._fit_steps(n, step_options(**steps), mode, callbacks, progressbar)
        elif by_schedule:
            self._fit_by_schedule(budget, steps, mode, callbacks, progressbar)
        else:
            self._fit_normal(budget, callbacks)
        if diagnose:
            judge(self.approx, stacklevel=2)
        return self.approx

    def _fit_steps(
        self,
        n: int,
        options: dict[str, Any],
        mode: Any,
        callbacks: Sequence[Callable[..., None]],
        progressbar: bool,
    ) -> None:
        """Take steps up to the n-th."""
        keeping = self._keeping
        loop = self._loop = self._start(options, mode, keeping.saved)
        look = keeping.after_chunk(loop, callbacks)
        loop.run(n - loop.iteration, callbacks, progressbar, keeping.saved, look)
        self.approx.ending = ending_of(loop)
        keeping.finish(loop, callbacks)

    # -- checkpoints ----------------------------------------------------------------------------

    def _begin_keeping(
        self, checkpoint: Checkpoint | None, steps: Mapping[str, Any], budget: Budget | None
    ) -> None:
        """Find what an earlier run of the same fit has left, and take it over."""
        approx, before = self.approx, self._keeping.checkpoint
        call = describe_fit(type(self).__qualname__, self.objective.op, steps, budget)
        own = "" if before is None else before.id
        self._keeping = find_kept(call, checkpoint, approx.model, own)
        self._loop = self._make_loop = None
        approx.diagnosis = approx.outcome.fit_state = None
        if self._keeping.found is not None:
            self._keeping.take_over(approx, self._given(step_options(**steps)))

    def _end_by_file(
        self, saved: FitState, budget: Budget | None, steps: dict[str, Any], mode: Any
    ) -> None:
        """Be where a fit that is done has ended, ready for :meth:`refine`."""
        self.approx.outcome.fit_state = saved
        self._is_searched = not saved.vectors
        if self._is_searched:
            return
        if budget is not None:
            scales, schedule = saved_scales(saved, self.approx)
            optimizer = self._scaled_adam(scales)
            Schedule(optimizer, budget).restore(schedule)
            steps = steps | {"score": True, "obj_optimizer": optimizer}
        self._make_loop = partial(self._start, step_options(**steps), mode, saved)

    # -- fits that end by themselves ------------------------------------------------------------

    @property
    def _ends_by_itself(self) -> bool:
        """Whether there are a loss to converge by and parameters of a density."""
        return isinstance(self.objective.op, KL | Renyi) and all(
            group.has_logq for group in self.approx.groups
        )

    @property
    def _is_normal_fit(self) -> bool:
        """Whether it is the KL divergence of one normal from a posterior that is in memory."""
        op, approx = self.objective.op, self.approx
        return (
            type(op) is KL
            and op.beta == 1.0
            and approx.is_normal
            and (approx.ddim <= MOST_DENSE or approx.groups[0].is_diagonal)
            and not approx.model.has_streams
            and is_deterministic(approx.model)
        )

    def _fit_normal(self, budget: Budget, callbacks: Sequence[Callable[..., None]]) -> None:
        self._is_searched = True
        self.approx.model.check_shapes()
        fit_normal_family(self.approx, budget, callbacks)
        self._keeping.finish_search(self.approx)

    def _fit_by_schedule(
        self,
        budget: Budget,
        steps: dict[str, Any],
        mode: Any,
        callbacks: Sequence[Callable[..., None]],
        progressbar: bool,
    ) -> None:
        approx, keeping = self.approx, self._keeping
        if keeping.saved is None:
            scales = self._found_scales(budget, steps)
        else:
            scales, schedule_state = saved_scales(keeping.saved, approx)
            budget.taken = int(schedule_state["taken"])
        optimizer = self._scaled_adam(scales)
        schedule = Schedule(optimizer, budget)
        # a level loss is how it ends
        options = step_options(**steps | {"obj_optimizer": optimizer, "score": True})
        loop = self._loop = self._start(options, mode, keeping.saved)
        looks = [schedule, *callbacks]
        approx.ending = schedule.ending
        try:
            left = schedule.most_steps - loop.iteration
            loop.run(left, looks, progressbar, keeping.saved, keeping.after_chunk(loop, looks))
        finally:
            approx.ending = schedule.ending
        keeping.finish(loop, looks)

    def _found_scales(self, budget: Budget, steps: Mapping[str, Any]) -> list[np.ndarray]:
        """Go near the posterior, if it can be found, and return the unit of each parameter."""
        approx, sd = self.approx, None
        own = steps["more_obj_params"] or steps["more_replacements"]
        local = any(group.local for group in approx.groups)
        if not (own or local) and is_deterministic(approx.model):
            q = find_normal(approx, budget)
            begin_near(approx, q)
            sd = q.sd
        return unit_scales(approx, sd)

    def _scaled_adam(self, scales: Sequence[np.ndarray]) -> ScaledAdam:
        """Return the optimizer of automatic fits, the same each time: it is compiled once."""
        key = ("scaled adam", self.approx.key)
        optimizer = self.approx.model.compiled(key, lambda: ScaledAdam(scales))
        optimizer.set_scales(scales)
        return optimizer

    def refine(
        self,
        n: int,
        callbacks: Sequence[Callable[..., None]] | None = None,
        progressbar: bool = True,
    ) -> Approximation:
        """Go on with the last fit as if it had not ended, the optimizer's memory included.

        Parameters
        ----------
        n
            Number of further iterations.
        callbacks
            Called as in :meth:`fit`; iterations go on counting. By default those of that fit.
        progressbar
            Whether to show a progress bar.

        Raises
        ------
        TypeError
            If there was no fit yet.
        """
        callbacks = self._callbacks if callbacks is None else list(callbacks)
        if self._loop is None and self._make_loop is not None:
            self._loop = self._make_loop()
        if self._loop is None and self._is_searched:  # steps that never began go on from here
            return self.fit(n, callbacks=callbacks, progressbar=progressbar)
        if self._loop is None:
            raise TypeError("refine goes on with a fit: call fit first")
        self.approx.diagnosis = None
        self._loop.run(check_whole(n, "n", least=0), callbacks, progressbar)
        self.approx.ending = ending_of(self._loop)
        self.approx.outcome.fit_state = self._loop.fit_state(self._keeping.call, callbacks)
        return self.approx

    def run_profiling(self, n: int = 1000, score: bool | None = None, **kwargs: Any) -> Any:
        """Return where the time of a step goes, operation by operation.

        The operations run one by one, in NumPy: their shares tell what is worth changing in a
        model, but in a fit, where they are compiled together, all are faster. The approximation
        stays as it is.

        Parameters
        ----------
        n
            Number of steps.
        score
            Whether to include the loss; yes by default.
        **kwargs
            Further arguments of :meth:`fit`; of ``compile_kwargs`` the ``mode``.

        Returns
        -------
        pytensor.compile.profiling.ProfileStats
            ``.summary()`` prints it.
        """
        n = check_whole(n, "n", least=1)
        mode = profiling_mode(dict(kwargs.pop("compile_kwargs", None) or {}).get("mode"))
        self.approx.model.check_shapes()
        graph = with_default_updates(self.objective.step(**step_options(score=score, **kwargs)))
        step = one_step(graph, mode, self.approx.spawn_generator)
        for _ in range(n):
            step()
        return step.profile

    # -- compiled steps -----------------------------------------------------------------------

    def _start(self, options: dict[str, Any], mode: Any, saved: FitState | None = None) -> FitLoop:
        """Return a loop that is ready to run: compiled, its start checked.

        Parameters
        ----------
        options
            See :func:`step_options`.
        mode
            PyTensor mode.
        saved
            Where to go on, in the place of a beginning.
        """
        approx, seeds = self.approx, seeds_record(self.approx.noise_seeds)
        approx.model.check_shapes()
        steps, made_from = self._compiled_steps(options, mode)
        shared = dict(zip(made_from, approx.params, strict=True))
        shared |= {v: v for v in self._given(options)}
        values = {key: variable.get_value(borrow=True) for key, variable in shared.items()}
        state = steps.state(values, self._generators(steps))
        feed_seed = self._whole_number() if steps.windows else 0
        feeds = Feeds(steps.windows, feed_seed)
        if saved is not None:
            approx.noise_seeds = seeds_from(seeds)  # those that were drawn belong to a beginning
            places = [ReadingPlace(*p) for p in saved.feed_places]
            feeds = Feeds(steps.windows, saved.feed_seed, places)
        steps.compile(state)
        check_start(self, steps, state)
        explain = partial(explain_draw, approx, steps, made_from, options)
        loop = FitLoop(approx, steps, shared, state, explain, feeds)
        if saved is not None:
            loop.resume(saved)
        return loop

    def _given(self, options: Mapping[str, Any]) -> list[SharedVariable]:
        """Return the tensors of the user's own that a fit changes."""
        given = [
            *self.objective.op.test_params,
            *options["more_obj_params"],
            *options["more_tf_params"],
            *options["more_updates"],
        ]
        return [v for v in dict.fromkeys(given) if not isinstance(v.type, RandomType)]

    def _whole_number(self) -> int:
        """Return a random whole number that depends on the approximation's seed."""
        return int(self.approx.spawn_generator().integers(2**63))

    def _compiled_steps(
        self, options: dict[str, Any], mode: Any
    ) -> tuple[CompiledSteps, list[SharedVariable]]:
        """Return the steps, and the parameters that their graph was made from.

        They are kept with the model: a second fit that differs in nothing but numbers builds no
        graph and compiles nothing. Graphs that a user wrote may refer to the parameters of this
        very approximation: steps that hold some are kept here.
        """
        own = self.objective.key is None or any(
            options[name] for name in ("more_obj_params", "more_tf_params", "more_updates")
        )
        compiled = self._own_steps.get if own else self.approx.model.compiled

        def steps() -> tuple[CompiledSteps, list[SharedVariable]]:
            return CompiledSteps(self.objective.step(**options), mode), list(self.approx.params)

        return compiled(("steps", self._key(options), mode), steps)

    def _key(self, options: dict[str, Any]) -> Hashable:
        optimizers = [options["obj_optimizer"], options["test_optimizer"]]
        return (
            self.approx.key,
            self.objective.key,
            tuple(getattr(optimizer, "key", optimizer) for optimizer in optimizers),
            tuple(options["more_obj_params"]),
            tuple(options["more_tf_params"]),
            tuple(options["more_updates"].items()),
            tuple(options["more_replacements"].items()),
            options["obj_n_mc"],
            options["tf_n_mc"],
            options["total_grad_norm_constraint"],
            options["score"],
        )

    def _generators(self, steps: CompiledSteps) -> dict[SharedVariable, np.random.Generator]:
        """Return generators for a fit, all from the approximation's seed.

        Generators that the model brings along (of minibatches) get streams that depend on what
        tells them apart too: their identity, or else their state.
        """
        generators = {key: self.approx.spawn_generator() for key in steps.own_generators}
        base = self._whole_number()
        for key in steps.generators:
            if key not in generators:
                seed = np.random.SeedSequence([base, *identity(key)])
                generators[key] = new_generator(seed)
        return generators

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.approx!r}>"


def automatic_budget(
    automatic: bool, max_seconds: float | None, max_steps: int | None
) -> Budget | None:
    """Return the budget of a fit that ends by itself, None for one that is told when to stop."""
    if automatic:
        return Budget(
            600.0 if max_seconds is None else max_seconds,
            100_000 if max_steps is None else max_steps,
        )
    for name, value in {"max_seconds": max_seconds, "max_steps": max_steps}.items():
        if value is not None:
            raise TypeError(
                f"{name} is for a fit that ends by itself: give neither n nor obj_optimizer"
            )
    return None


def ending_of(loop: FitLoop) -> Ending:
    """Return why a fit ended that was told when to stop."""
    reason = f"{loop.iteration:,} iterations were done"
    if not loop.steps.has_loss or len(loop.losses) < FEWEST_LOSSES:
        return Ending(None, reason)
    trend = loss_trend(loop.losses)
    return Ending(None, f"{reason}; {trend}", unsettled=not trend.settled)


def identity(generator: SharedVariable) -> tuple[int, ...]:
    """Return whole numbers that tell a random generator of the model from others."""
    if hasattr(generator.tag, "identity"):
        return generator.tag.identity
    own = generator.get_value(borrow=True).bit_generator.state["state"]
    return tuple(int(value) for value in own.values())


def check_start(inference: Inference, steps: CompiledSteps, state: State) -> None:
    """Raise if the loss is not finite at the start, naming the variables that are to blame."""
    if not steps.has_loss:
        return
    loss = steps.run(state, 1)[1][0]
    if np.isfinite(loss):
        return
    check_point(inference.approx.model, inference.approx.model.initial_point())
    # otherwise a draw went astray, not the start: the loop reports that


def explain_draw(
    approx: Approximation,
    steps: CompiledSteps,
    made_from: Sequence[SharedVariable],
    options: Mapping[str, Any],
    state: State,
) -> str:
    """Name the variables whose log density is not finite at the draw of the next step.

    The generators' state is part of the fit's state, so that the very draw can be had again.
    """
    if options["more_replacements"] or not steps.own_generators:
        return ""  # the step does not see the model's own data, or draws nothing (particles)
    n_mc = options["obj_n_mc"]
    draws, updates = approx.draw(n_mc)
    givens = dict(zip(updates, generators_of(steps, state), strict=True))
    for shared, key in zip(approx.params, made_from, strict=True):
        givens[shared] = steps.value(state, key)
    inputs = {shared: shared.type() for shared in givens}
    z = evaluate(
        graph_replace(list(draws.z.values()), inputs, strict=False),
        {inputs[shared]: value for shared, value in givens.items()},
    )
    for i in range(n_mc):
        point = {v.name: value[i] for v, value in zip(draws.z, z, strict=True)}
        logps = approx.model.point_logps(point, round_vals=None)
        bad = [f"{name} is {value}" for name, value in logps.items() if not np.isfinite(value)]
        if bad:
            at = ", ".join(f"{name} = {describe_value(value)}" for name, value in point.items())
            return f"the log density of {', of '.join(bad)} at the draw {at}"
    return ""


def generators_of(steps: CompiledSteps, state: State) -> list[np.random.Generator]:
    """Return generators of the noise, as they stand in a state."""
    generators = []
    for key, at in zip(steps.generators, state.generators, strict=True):
        if key in steps.own_generators:
            generator = new_generator(0)
            generator.bit_generator.state = at
            generators.append(generator)
    return generators


def step_options(
    *,
    score: bool | None = None,
    obj_n_mc: int | None = None,
    tf_n_mc: int | None = None,
    obj_optimizer: Any = None,
    test_optimizer: Any = None,
    more_obj_params: Sequence[SharedVariable] | None = None,
    more_tf_params: Sequence[SharedVariable] | None = None,
    more_updates: Mapping[SharedVariable, Variable] | None = None,
    more_replacements: Mapping[Variable, Any] | None = None,
    total_grad_norm_constraint: float | None = None,
) -> dict[str, Any]:
    """Return the arguments of an objective's step, checked; see :meth:`Inference.fit`."""
    check_shared(more_updates or (), "more_updates")
    return dict(
        score=True if score is None else bool(score),
        obj_n_mc=check_whole(1 if obj_n_mc is None else obj_n_mc, "obj_n_mc", least=1),
        tf_n_mc=check_whole(1 if tf_n_mc is None else tf_n_mc, "tf_n_mc", least=1),
        obj_optimizer=check_optimizer(obj_optimizer, "obj_optimizer"),
        test_optimizer=check_optimizer(test_optimizer, "test_optimizer"),
        more_obj_params=check_shared(more_obj_params or (), "more_obj_params"),
        more_tf_params=check_shared(more_tf_params or (), "more_tf_params"),
        more_updates=dict(more_updates or {}),
        more_replacements=as_replacements(more_replacements),
        total_grad_norm_constraint=total_grad_norm_constraint,
    )


def one_step(
    graph: StepGraph, mode: Any, spawn_generator: Callable[[], np.random.Generator]
) -> Any:
    """Return a profiled function of one step, on copies of what the step changes."""
    copies: dict[Variable, SharedVariable] = {}
    for key in graph.updates:
        if isinstance(key.type, RandomType):
            copies[key] = pytensor.shared(spawn_generator(), name=key.name)
        else:
            value = key.get_value()
            copies[key] = pytensor.shared(value, name=key.name, shape=value.shape)
    targets = [as_next_value(key, update) for key, update in graph.updates.items()]
    targets += [] if graph.loss is None else [graph.loss]
    targets = graph_replace(targets, copies, strict=False)
    updates = dict(zip(copies.values(), targets, strict=False))
    return pytensor.function([], targets[len(updates) :], updates=updates, mode=mode, profile=True)


def check_optimizer(optimizer: Any, name: str) -> Callable[..., Any]:
    if optimizer is None:
        return adagrad_window
    if not callable(optimizer):
        raise TypeError(
            f"{name} must be an optimizer such as vb.adam(learning_rate=0.01), got {optimizer!r}"
        )
    return optimizer


def check_shared(variables: Any, name: str) -> list[SharedVariable]:
    for variable in variables:
        if not isinstance(variable, SharedVariable):
            raise TypeError(f"{name} must hold shared variables, got {variable!r}")
    return list(variables)


class KLqp(Inference):
    r"""Make the Kullback-Leibler divergence from the approximation to the posterior small.

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    beta : float, default 1
        Weight of the divergence from the prior: :math:`E_q[-\log p(y \mid z)] + \beta\,
        KL(q \| p(z))`.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu")
    ...     y = vb.Normal("y", mu, observed=[1.0, 2.0])
    ...     inference = vb.KLqp(vb.FullRank(random_seed=1))
    >>> inference.fit(progressbar=False).mean.eval()
    array([1.])
    """

    def __init__(
        self, approx: Approximation, beta: float = 1.0, path_derivative: bool = False
    ) -> None:
        super().__init__(KL(approx, beta=beta, path_derivative=path_derivative))


class FamilyInference(KLqp):
    """ADVI with one family for all variables.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}``. The parameters of these functions go into
        ``more_obj_params`` of :meth:`fit`.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default False
        Whether the loss is of the size of a minibatch, and not of the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").
    **options
        Further arguments of the approximation.
    """

    short_name: ClassVar[str] = ""
    approximation: ClassVar[type[SingleGroupApproximation]]

    def __init__(
        self,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        model: Model | None = None,
        cost_part_grad_scale: Any = 1.0,
        scale_cost_to_minibatch: bool = False,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        *,
        beta: float = 1.0,
        path_derivative: bool = False,
        **options: Any,
    ) -> None:
        approx = self.approximation(
            local_rv=local_rv,
            model=model,
            cost_part_grad_scale=cost_part_grad_scale,
            scale_cost_to_minibatch=scale_cost_to_minibatch,
            random_seed=random_seed,
            start=start,
            start_sigma=start_sigma,
            **options,
        )
        super().__init__(approx, beta=beta, path_derivative=path_derivative)


class ADVI(FamilyInference):
    """Automatic differentiation variational inference, with a mean-field approximation.

    Parameters
    ----------
    local_rv, model, cost_part_grad_scale, scale_cost_to_minibatch
        As for :class:`FamilyInference`.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").

    References
    ----------
    Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     advi = vb.ADVI(random_seed=1)
    >>> advi.approx.shared_params
    {'mu': mu, 'rho': rho}
    """

    short_name = "advi"
    approximation = MeanField


class FullRankADVI(FamilyInference):
    """ADVI with a full-rank normal approximation, which holds correlations.

    Parameters
    ----------
    local_rv, model, cost_part_grad_scale, scale_cost_to_minibatch, random_seed, start, \
start_sigma, beta, path_derivative
        As for :class:`ADVI`.

    References
    ----------
    Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x", shape=2)
    ...     total = vb.Normal("total", x.sum(), 0.5, observed=3.0)
    ...     approx = vb.FullRankADVI(random_seed=1).fit(progressbar=False)
    >>> approx.mean.eval().round(2)
    array([1.33, 1.33])
    >>> approx.cov.eval().round(2)
    array([[ 0.56, -0.44],
           [-0.44,  0.56]])
    """

    short_name = "fullrank_advi"
    approximation = FullRank


class LowRankADVI(FamilyInference):
    """ADVI with a normal approximation whose covariance is diagonal plus low rank.

    Parameters
    ----------
    rank : int, optional
        Rank of the part beside the diagonal; see :class:`vibayes.LowRank`.
    local_rv, model, cost_part_grad_scale, scale_cost_to_minibatch, random_seed, start, \
start_sigma, beta, path_derivative
        As for :class:`ADVI`.

    References
    ----------
    Ong, Nott and Smith (2018), Gaussian variational approximation with a factor covariance
    structure, JCGS 27(3).
    """

    short_name = "lowrank_advi"
    approximation = LowRank


class NFVI(FamilyInference):
    """Variational inference with normalizing flows.

    Parameters
    ----------
    flow : str, Flow or sequence of Flow
        Flows, as a formula such as ``"planar*8"`` or as objects; see
        :class:`vibayes.NormalizingFlow`.
    local_rv, model, cost_part_grad_scale, scale_cost_to_minibatch, random_seed, start, \
start_sigma, beta, path_derivative
        As for :class:`ADVI`.

    References
    ----------
    Rezende and Mohamed (2015), Variational Inference with Normalizing Flows, arXiv:1505.05770.
    """

    short_name = "nfvi"
    approximation = NormalizingFlow

    def __init__(
        self,
        flow: str | Flow | Sequence[Flow] = DEFAULT_FLOW,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        model: Model | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(local_rv, model, flow=flow, **kwargs)
