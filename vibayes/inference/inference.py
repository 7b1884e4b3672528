"""Inference: an approximation, an objective, and the fit that joins them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.compiled import Compiled
from vibayes.backend.evaluation import evaluating_as
from vibayes.backend.modes import (
    EVALUATE_MODE,
    given_mode,
    is_chosen_by_hand,
    profiling_mode,
    resolve_steps_mode,
)
from vibayes.inference.base import Method, budget_if
from vibayes.inference.callback_memory import restore_callbacks, start_callbacks
from vibayes.inference.few_steps import FEW_STEPS
from vibayes.inference.fit_call import FitCall
from vibayes.inference.loop import FitLoop
from vibayes.inference.normal_fit import fit_normal_family
from vibayes.inference.runs import (
    Run,
    Start,
    among_processes,
    approximation_of,
    begin_run,
    ending_after,
    ending_of,
    fit_steps,
    start_loop,
)
from vibayes.inference.scheduled_fit import fit_by_schedule, options_at_end
from vibayes.inference.steps import profiled_step, with_default_updates
from vibayes.objectives.base import ObjectiveFunction, Operator
from vibayes.objectives.options import StepOptions
from vibayes.records.fit_state import FitState
from vibayes.search.budget import Budget
from vibayes.storage.checkpoint import Checkpoint

__all__ = ["Inference"]


class Inference(Method):
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
    last_run : Run
        What the last fit has left behind, for :meth:`refine` to go on from.

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

    @check_arguments
    def __init__(self, objective: Operator | ObjectiveFunction) -> None:
        if isinstance(objective, Operator):
            objective = ObjectiveFunction(objective)
        self.objective = objective
        self.last_run: Run = Run()
        self._own_steps = Compiled()

    @classmethod
    def for_model(cls, model: Any = None, random_seed: Any = None, **options: Any) -> Self:
        if cls.__init__ is Inference.__init__:
            raise TypeError(
                f"{cls.__name__} needs an objective, which knows its approximation: pass an "
                f"object, such as method=vb.{cls.__name__}(vb.KL(vb.MeanField(model=model))), or "
                f"a class that makes its own, such as method=vb.ADVI"
            )
        return super().for_model(model, random_seed, **options)

    @property
    def approx(self) -> Approximation:  # type: ignore[override]
        """The approximation that is fitted."""
        return approximation_of(self.objective)

    @property
    def compile_seconds(self) -> float:
        """Time that the compilation of the last fit's steps took, whenever that was."""
        return 0.0 if self.last_run.loop is None else self.last_run.loop.steps.compile_seconds

    @property
    def run_seconds(self) -> float:
        """Time that the steps of the last fit took."""
        return 0.0 if self.last_run.loop is None else self.last_run.loop.run_seconds

    @property
    def step_source(self) -> str | None:
        """The Python function of the last fit's steps that Numba compiles.

        Its comments name operations, and variables of the model that have names. None where Numba
        did not run: a fit that ended by itself, or whose steps NumPy took as they were few (see
        ``backend``), or JAX.
        """
        return None if self.last_run.loop is None else self.last_run.loop.steps.source

    @property
    def wait_seconds(self) -> float:
        """Time that the steps of the last fit waited for data that are not in memory."""
        return 0.0 if self.last_run.loop is None else self.last_run.loop.feeds.wait_seconds

    @interrupts.Deferral(keeps_result=True)
    @check_arguments
    def fit(  # type: ignore[override]
        self,
        n: int | None = None,
        score: bool | None = None,
        callbacks: Sequence[Callable[..., None]] | None = None,
        progressbar: bool = True,
        *,
        obj_n_mc: int | None = None,
        tf_n_mc: int | None = None,
        obj_optimizer: Callable[..., Mapping[Any, Variable]] | str | None = None,
        test_optimizer: Callable[..., Mapping[Any, Variable]] | str | None = None,
        more_obj_params: Sequence[SharedVariable] | None = None,
        more_tf_params: Sequence[SharedVariable] | None = None,
        more_updates: Mapping[SharedVariable, Variable] | None = None,
        more_replacements: Mapping[Variable, Any] | None = None,
        total_grad_norm_constraint: float | None = None,
        compile_kwargs: Mapping[str, Any] | None = None,
        backend: str | None = None,
        device: Any = None,
        devices: Any = None,
        diagnose: bool = False,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        checkpoint: Any = None,
        checkpoint_every: int | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
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
            Optimizer, such as ``vb.adam(learning_rate=0.01)`` or its name, ``"adam"``;
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
            ``mode``, and nothing else: a PyTensor mode; ``"JAX"`` is ``backend="jax"``.
        backend : {"numba", "jax", "c", "py"}, optional
            What runs the steps. By default what :class:`vibayes.config <vibayes.Config>` says;
            else numba, or NumPy, which compiles nothing, for up to 2,000 steps of what has a
            density, if the model has no loop and its data are not too large. JAX compiles in a
            second or two and runs on GPUs; it is never chosen unless asked for: see the page on
            devices. Where there are no steps of an optimizer, and for the judgement, the log
            density is evaluated by JAX if that was asked for, else by NumPy.
        device : str or jax.Device, optional
            Where JAX runs: a kind of device, such as ``"cpu"`` or ``"gpu"``, or one of
            ``jax.devices()``.
        devices : str or sequence of jax.Device, optional
            Several devices that share the rows of the observed data: all of a kind, or a list.
            Those of several processes are among them if all of these call the fit.
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
        fn_kwargs
            Another name of ``compile_kwargs``.

        Returns
        -------
        Approximation
            ``self.approx``; its ``ending`` tells why the fit ended.

        Raises
        ------
        FloatingPointError
            If the loss or a parameter stops being finite. The approximation holds the last state
            that was finite, or, if the loss had run away before, the last one of a sensible loss,
            and ``hist`` the losses up to there.
        SamplingError
            If the log density is not finite where the fit starts.
        ProcessError
            If another process, which takes part in the fit, has ended. The approximation holds the
            state before.
        StreamError
            If data that are not in memory cannot be read. The approximation holds the state that
            it had before them; when the cause is mended, :meth:`refine` goes on.

        StorageError
            If ``checkpoint`` is the file of another model or of another call, or is not whole.

        Notes
        -----
        Ctrl-C, and ``StopIteration`` in a callback, end the fit early. Everything up to then is
        kept. Ctrl-C before the first iteration raises ``KeyboardInterrupt``.

        A fit that ends by itself finds the modes and the scale of the posterior first, so that
        neither start nor units matter. A normal family, fitted by KL to data in memory, then takes
        natural-gradient steps on draws that stay the same, until they come to an end. Everything
        else takes stochastic steps whose rate goes down when the loss is level; they end when
        averages of the parameters are accurate to 0.05 of their units.
        """
        began = time.perf_counter()
        options = StepOptions.of(
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
        self.approx.taken(options.more_replacements)
        users_mode = given_mode(compile_kwargs or fn_kwargs)
        ends_by_itself = n is None and obj_optimizer is None and self.can_end_by_itself
        call = FitCall(
            objective=self.objective,
            options=options,
            budget=budget_if(ends_by_itself, max_seconds, max_steps),
            mode=resolve_steps_mode(backend, users_mode, device, devices),
            is_mode_given=is_chosen_by_hand(backend, users_mode),
            n=check_whole(10_000 if n is None else n, "n", least=0),
            checkpoint=Checkpoint.wanted(checkpoint, checkpoint_every),
        )
        described = call.described(type(self).__qualname__)
        show = among_processes(self.approx.model, call.mode, call.budget) and progressbar
        with (
            progress.shown(show, "looking at the model", call.seconds),
            evaluating_as(call.mode),
        ):
            before = self.last_run
            self.last_run = begin_run(
                self.objective, options, described, call.checkpoint, before, callbacks, call.mode
            )
            try:
                self._carry_out(call)
            except KeyboardInterrupt:
                if self.last_run.loop is None:  # nothing was done: the fit before can still go on
                    self.last_run = before
                raise
            with evaluating_as(call.judging_mode):
                return self.result(self.approx, diagnose, began)

    def _carry_out(self, call: FitCall) -> None:
        """Search, or take steps; if that is done already, be where it has ended."""
        found, start = self.last_run.keeping.found, self._starting(call)
        by_schedule = call.budget is not None and not call.is_normal_fit
        options = call.schedule_options if by_schedule else call.options
        if found is not None and found.is_done(call.wanted):
            self._end_by_file(found.state, call.budget, options, start)
        elif call.budget is None:
            fit_steps(self.last_run, call.n, options, start)
        elif by_schedule:
            fit_by_schedule(self.approx, self.last_run, call.budget, options, start)
        else:
            self._fit_normal_family(call.budget)

    def _fit_normal_family(self, budget: Budget) -> None:
        """Search for the best normal of the family."""
        self.last_run = replace(self.last_run, is_search=True)
        self.approx.model.check_shapes()
        fit_normal_family(self.approx, budget, self.last_run.callbacks)
        self.last_run.keeping.finish_search(self.approx)

    def _starting(self, call: FitCall) -> Start:
        """Return what makes the loop of a fit.

        Steps that are too few to be compiled are NumPy's; a refinement may compile more of them.
        """
        start: Start = partial(self._start, call.mode)
        if not call.takes_few_steps:
            return start
        self.last_run = replace(self.last_run, compiled=partial(start, call.options))
        return partial(self._start, EVALUATE_MODE)

    def check_options(self, options: StepOptions) -> None:
        """Raise if steps of these options cannot begin; a subclass may know."""

    def _start(self, mode: Any, options: StepOptions, saved: FitState | None) -> FitLoop:
        """Return a loop that is ready to run, from which a refinement can go on."""
        self.check_options(options)
        loop = start_loop(self.objective, options, mode, self._own_steps, saved)
        self.last_run = replace(self.last_run, loop=loop)
        return loop

    def _end_by_file(
        self, saved: FitState, budget: Budget | None, options: StepOptions, start: Start
    ) -> None:
        """Be where a fit that is done has ended, ready for :meth:`refine`."""
        self.approx.outcome.fit_state = saved
        if not saved.vectors:
            self.last_run = replace(self.last_run, is_search=True)
            return
        if not saved.ended:  # the last that was written may be from before the end was known
            losses = self.approx.hist[saved.earlier :]
            self.approx.ending = ending_after(saved.iteration, losses)
        start_callbacks(self.last_run.callbacks, self.approx)
        restore_callbacks(self.last_run.callbacks, saved, is_done=True)
        if budget is not None:
            options = options_at_end(self.approx, saved, budget, options)
        self.last_run = replace(self.last_run, make_loop=partial(start, options, saved))

    @property
    def can_end_by_itself(self) -> bool:
        """Whether there are a loss to converge by and parameters of a density."""
        return self.objective.op.is_bound and self.approx.has_logq

    @interrupts.Deferral(keeps_result=True)
    @check_arguments
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
        run = self.last_run
        callbacks = run.callbacks if callbacks is None else tuple(callbacks)
        if run.loop is None and run.is_search:  # steps that never began go on from here
            return self.fit(n, callbacks=callbacks, progressbar=progressbar)
        loop = self._loop_to_go_on()
        n = check_whole(n, "n", least=0)
        self.approx.diagnosis = None
        if run.compiled is not None and n > FEW_STEPS:
            loop = run.compiled(loop.fit_state(run.keeping.call, callbacks))
            self.last_run = replace(self.last_run, compiled=None)
        began = time.perf_counter()
        with progress.shown(progressbar, "taking steps"):
            loop.run(n, callbacks)
        earlier = self.approx.outcome.seconds or 0.0
        self.approx.outcome.seconds = earlier + time.perf_counter() - began
        self.approx.ending = ending_of(loop)
        self.approx.outcome.fit_state = loop.fit_state(run.keeping.call, callbacks)
        return self.approx

    def _loop_to_go_on(self) -> FitLoop:
        """Return the loop of the last fit, which may have been done in another process."""
        run = self.last_run
        if run.loop is not None:
            return run.loop
        if run.make_loop is None:
            raise TypeError("refine goes on with a fit: call fit first")
        return run.make_loop()

    @check_arguments
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
        mode = profiling_mode(given_mode(kwargs.pop("compile_kwargs", None)))
        self.approx.model.check_shapes()
        graph = with_default_updates(
            self.objective.step_graph(StepOptions.of(score=score, **kwargs))
        )
        step = profiled_step(graph, mode, self.approx.spawn_generator)
        for _ in range(n):
            step()
        return step.profile

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.approx!r}>"
