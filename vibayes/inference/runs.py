"""Runs of compiled steps: how one begins, why it ended, and what it leaves for the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.tensor.random.type import RandomType

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.backend.compiled import Compiled
from vibayes.backend.jax import JaxDevices, from_first
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.seeds import new_generator
from vibayes.callbacks.base import period
from vibayes.inference.callback_memory import check_callbacks
from vibayes.inference.checkpoints import Keeping, find_kept, take_over
from vibayes.inference.convergence import FEWEST_LOSSES, loss_trend
from vibayes.inference.failures import check_first_loss, explain_draw
from vibayes.inference.jax_steps import JaxSteps
from vibayes.inference.loop import FitLoop
from vibayes.inference.steps import CompiledSteps
from vibayes.model.core import Model
from vibayes.model.data_size import observed_lengths
from vibayes.model.guards import DataGuards
from vibayes.model.initial import check_support
from vibayes.model.target import check_in_parts
from vibayes.objectives.base import ObjectiveFunction, StepGraph
from vibayes.objectives.options import StepOptions
from vibayes.records.ending import INTERRUPTED, Ending
from vibayes.records.fit_state import FitState
from vibayes.search.budget import Budget
from vibayes.storage.checkpoint import Checkpoint
from vibayes.storage.records import seeds_from, seeds_record
from vibayes.streaming.feed import Feeds
from vibayes.streaming.shuffle import ReadingPlace

__all__ = [
    "Run",
    "Start",
    "among_processes",
    "approximation_of",
    "begin_run",
    "ending_after",
    "ending_of",
    "fit_steps",
    "start_loop",
]


Start = Callable[[StepOptions, FitState | None], FitLoop]
"""Makes the loop of a fit: at its beginning, or where an earlier process has left it."""


@dataclass(frozen=True)
class Run:
    """What a fit leaves behind, for a refinement to go on from.

    Attributes
    ----------
    keeping : Keeping
        What the fit was told to do, and its checkpoint.
    callbacks : tuple of callable
        Those of the fit.
    loop : FitLoop, optional
        The loop of its steps, if it has taken some here.
    make_loop : callable, optional
        Makes the loop of a fit that was done in another process.
    compiled : callable, optional
        Makes a loop of compiled steps, where those of the fit are too few to be compiled.
    is_search : bool
        Whether the fit has searched, so that steps never began.
    """

    keeping: Keeping = field(default_factory=lambda: Keeping({}))
    callbacks: tuple[Callable[..., None], ...] = ()
    loop: FitLoop | None = None
    make_loop: Callable[[], FitLoop] | None = None
    compiled: Callable[[FitState], FitLoop] | None = None
    is_search: bool = False


def approximation_of(objective: ObjectiveFunction) -> Approximation:
    """Return what an objective fits."""
    approx = objective.approx
    if not isinstance(approx, Approximation):
        raise TypeError(f"what is fitted must be an Approximation, got {approx!r}")
    return approx


def among_processes(model: Model, mode: Any, budget: Budget | None) -> bool:
    """Check what a fit by several processes needs; tell whether this one is to report.

    Raises
    ------
    ValueError
        If data are a part of this process alone, and it does not fit together with the others; or
        if the fit is to end by itself, which a clock may decide, another one in each process.
    """
    check_in_parts(model, mode)
    if not (isinstance(mode, JaxDevices) and mode.span_processes):
        return True
    if budget is not None:
        raise ValueError(
            "a fit by several processes takes a number of steps: give n, with an obj_optimizer "
            "whose learning rate suits it"
        )
    return mode.is_first


def begin_run(
    objective: ObjectiveFunction,
    options: StepOptions,
    call: dict[str, Any],
    checkpoint: Checkpoint | None,
    before: Run,
    callbacks: Sequence[Callable[..., None]] | None,
    mode: Any = None,
) -> Run:
    """Return a new run, which has taken over what an earlier process has left of it.

    Parameters
    ----------
    objective, options
        What the fit makes small, and how.
    call
        What it was told to do.
    checkpoint
        Its file.
    before
        The last run.
    callbacks
        The callbacks of the fit.
    mode
        What runs its steps.
    """
    approx, earlier = approximation_of(objective), before.keeping.checkpoint
    for callback in callbacks or ():
        period(callback)
    if checkpoint is not None:
        check_callbacks(callbacks or ())
    given = users_variables(objective, options)
    own = "" if earlier is None else earlier.id
    keeping = find(partial(find_kept, call, checkpoint, approx.model, own, given), checkpoint, mode)
    approx.diagnosis = approx.outcome.fit_state = None
    if keeping.found is not None:
        take_over(keeping.found, approx, given)
    return Run(keeping, tuple(callbacks or ()))


def find(find_here: Callable[[], Keeping], checkpoint: Checkpoint | None, mode: Any) -> Keeping:
    """Return what an earlier run has left; of several processes the first one reads and writes."""
    if checkpoint is None or not (isinstance(mode, JaxDevices) and mode.span_processes):
        return find_here()
    own: list[Keeping] = []

    def found_here() -> tuple[dict[str, Any], Any]:
        own.append(find_here())
        return own[0].call, own[0].found

    call, found = from_first(found_here)
    return own[0] if own else Keeping(call, None, found)


def fit_steps(run: Run, n: int, options: StepOptions, start: Start) -> None:
    """Take steps up to the n-th."""
    keeping = run.keeping
    loop = start(options, keeping.saved)
    look = keeping.after_chunk(loop, run.callbacks)
    interrupts.check()
    progress.say("taking steps")
    loop.run(n - loop.iteration, run.callbacks, keeping.saved, look)
    loop.approx.ending = ending_of(loop)
    keeping.finish(loop, run.callbacks)


def start_loop(
    objective: ObjectiveFunction,
    options: StepOptions,
    mode: Any,
    own: Compiled,
    saved: FitState | None = None,
) -> FitLoop:
    """Return a loop that is ready to run: compiled, its start checked.

    Parameters
    ----------
    objective
        What the steps make small.
    options
        Options of the steps.
    mode : Mode, str or JaxDevices
        PyTensor mode, or the devices of JAX.
    own
        Keeps the steps that can serve no other inference.
    saved
        Where to go on, in the place of a beginning.
    """
    approx = approximation_of(objective)
    seeds = seeds_record(approx.noise_seeds)
    approx.model.check_shapes()
    guards = guards_for(approx.model, options, mode)
    progress.say("compiling steps")
    steps, made_from = compiled_steps(objective, options, mode, own, guards)
    shared = dict(zip(made_from, approx.params, strict=True))
    shared |= {v: v for v in users_variables(objective, options)}
    values = {key: variable.get_value(borrow=True) for key, variable in shared.items()}
    state = steps.state(values, generators_for(steps, approx))
    feed_seed = whole_number(approx) if steps.windows else 0
    feeds = Feeds(steps.windows, feed_seed)
    if saved is not None:
        approx.noise_seeds = seeds_from(seeds)  # those that were drawn belong to a beginning
        feeds = saved_feeds(saved, feeds, steps)
    try:
        check_support(approx.model)
        if isinstance(steps, JaxSteps):
            state = steps.alike(state)
        steps.compile(state)
        check_first_loss(approx, steps, state)
        interrupts.check()
    except KeyboardInterrupt:
        approx.noise_seeds = seeds_from(seeds)  # the same call has the same numbers again
        raise
    explain = partial(explain_draw, approx, steps, made_from, options)
    check_data = None if guards is None else guards.check
    loop = FitLoop(approx, steps, shared, state, explain, feeds, check_data)
    if saved is not None:
        loop.resume(saved)
    return loop


def saved_feeds(saved: FitState, new: Feeds, steps: CompiledSteps) -> Feeds:
    """Return the feeds of streams where an earlier process has left them.

    Raises
    ------
    StorageError
        If they do not lead to the saved iteration.
    """
    places = [ReadingPlace(*place) for place in saved.feed_places]
    if len(places) == len(new.places):
        feeds = Feeds(steps.windows, saved.feed_seed, places)
        if feeds.lead_to(saved.iteration):
            return feeds
    raise saved.unfit(
        f"iteration {saved.iteration:,} does not read its rows of {len(new.places)} streams from "
        f"the places {list(map(tuple, places))!s:.200}"
    )


def guards_for(model: Model, options: StepOptions, mode: Any) -> DataGuards | None:
    """Return the conditions on data that steps need not ask, if that is worth knowing.

    Not where NumPy takes few steps, not where something takes the place of the model's data, and
    not where other processes have other data, of which other conditions may hold.
    """
    in_several = isinstance(mode, JaxDevices) and mode.span_processes
    if mode is EVALUATE_MODE or options.more_replacements or in_several:
        return None
    return DataGuards(model)


def compiled_steps(
    objective: ObjectiveFunction,
    options: StepOptions,
    mode: Any,
    own: Compiled,
    guards: DataGuards | None = None,
) -> tuple[CompiledSteps, list[SharedVariable]]:
    """Return the steps, and the parameters that their graph was made from.

    They are kept with the model: a second fit that differs in nothing but numbers builds no graph
    and compiles nothing. Steps that can serve no other inference are kept with their own.
    """
    approx = objective.approx
    is_shared = objective.key is not None and options.key is not None
    keep = approx.compiled if is_shared else own.get

    def make() -> tuple[CompiledSteps, list[SharedVariable]]:
        graph = objective.step_graph(options)
        if guards is not None:
            graph = without_guards(graph, guards)
        if isinstance(mode, JaxDevices):
            return JaxSteps(graph, mode, observed_lengths(approx.model)), list(approx.params)
        return CompiledSteps(graph, mode), list(approx.params)

    holding = () if guards is None else guards.holding
    return keep(("steps", objective.key, options.own_key, mode, holding), make)


def without_guards(graph: StepGraph, guards: DataGuards) -> StepGraph:
    """Return a step that does not ask what is known of the data."""
    losses = [] if graph.loss is None else [graph.loss]
    updates = [v if isinstance(v, Variable) else pt.as_tensor(v) for v in graph.updates.values()]
    outputs = guards.without([*updates, *losses])
    loss = outputs.pop() if losses else None
    return StepGraph(dict(zip(graph.updates, outputs, strict=True)), loss)


def users_variables(objective: ObjectiveFunction, options: StepOptions) -> list[SharedVariable]:
    """Return the tensors of the user's own that a fit changes."""
    given = [
        *objective.op.test_params,
        *options.more_obj_params,
        *options.more_tf_params,
        *options.more_updates,
    ]
    return [v for v in dict.fromkeys(given) if not isinstance(v.type, RandomType)]


def generators_for(
    steps: CompiledSteps, approx: Approximation
) -> dict[SharedVariable, np.random.Generator]:
    """Return generators for a fit, all from the approximation's seed.

    Generators that the model brings along (of minibatches) get streams that depend on what tells
    them apart too: their identity, or else their state.
    """
    generators = {key: approx.spawn_generator() for key in steps.own_generators}
    base = whole_number(approx)
    for key in steps.generators:
        if key not in generators:
            generators[key] = new_generator(np.random.SeedSequence([base, *identity(key)]))
    return generators


def whole_number(approx: Approximation) -> int:
    """Return a random whole number that depends on the approximation's seed."""
    return int(approx.spawn_generator().integers(2**63))


def identity(generator: SharedVariable) -> tuple[int, ...]:
    """Return whole numbers that tell a random generator of the model from others."""
    if hasattr(generator.tag, "identity"):
        return generator.tag.identity
    own = generator.get_value(borrow=True).bit_generator.state["state"]
    return tuple(int(value) for value in own.values())


def ending_of(loop: FitLoop) -> Ending:
    """Return why a fit ended that was told when to stop."""
    if loop.interrupted:
        return Ending(None, f"{INTERRUPTED}: {loop.iteration:,} iterations were done")
    losses = loop.losses if loop.steps.has_loss else loop.losses[:0]
    return ending_after(loop.iteration, losses, by_callback=loop.ended)


def ending_after(iterations: int, losses: np.ndarray, by_callback: bool = False) -> Ending:
    """Return the ending of a fit that is done, or that a callback ended; losses may be missing."""
    reason = f"{iterations:,} iterations were done"
    if by_callback:
        reason = f"a callback ended it after {iterations:,} iterations"
    if len(losses) < FEWEST_LOSSES:
        return Ending(None, reason)
    trend = loss_trend(losses)
    return Ending(None, f"{reason}; {trend}", unsettled=not trend.settled)
