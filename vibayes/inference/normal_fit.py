"""Automatic fits of normal families, where the log density can be had as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.backend.modes import evaluate
from vibayes.callbacks.base import calling, period, wants_to_look
from vibayes.inference.callback_memory import start_callbacks
from vibayes.model.data_size import sample_size
from vibayes.model.target import Target, is_deterministic
from vibayes.objectives.base import ObjectiveFunction
from vibayes.objectives.options import StepOptions
from vibayes.progress import logger
from vibayes.records.ending import INTERRUPTED, Ending
from vibayes.search.begin import MOST_DENSE, current_center, set_normal
from vibayes.search.best_normals import fit_diagonal, fit_mean_field
from vibayes.search.budget import Budget
from vibayes.search.explore import glance, verified
from vibayes.search.findings import findings_of
from vibayes.search.located import MEDIUM_NOISE
from vibayes.search.noise import mirrored_normals, stratified_normals
from vibayes.search.normals import FittedNormal, independent
from vibayes.search.whole import begins_on_sample
from vibayes.verdict.judge import FEWEST_DRAWS, draws_to_judge

__all__ = [
    "Recorder",
    "fit_normal_family",
    "is_normal_fit",
]


def is_normal_fit(objective: ObjectiveFunction, options: StepOptions) -> bool:
    """Tell whether it is the KL divergence of one normal from a posterior that is in memory.

    Whoever gives options of steps wants steps.
    """
    approx = objective.approx
    return (
        not options.given
        and objective.op.is_elbo
        and approx.is_normal
        and (approx.ddim <= MOST_DENSE or approx.groups[0].is_diagonal)
        and all(m.in_memory or m.stands_for_all for m in approx.model.minibatches)
        and is_deterministic(approx.model)
    )


class Recorder:
    """Puts each improvement into the approximation, records its loss, and calls callbacks.

    Parameters
    ----------
    approx : Approximation
        Of one group.
    callbacks : sequence of callable
        Called as ``callback(approx, losses, i)``.

    Attributes
    ----------
    has_found : bool
        Whether there was anything but where the fit began.
    """

    def __init__(self, approx: Approximation, callbacks: Sequence[Callable[..., None]]) -> None:
        self.approx = approx
        self._callbacks = [(callback, period(callback)) for callback in callbacks]
        self._losses: list[float] = []
        self._earlier = approx.hist
        self.has_found = False
        start_callbacks(callbacks, approx)

    def begin(self, q: FittedNormal) -> None:
        """Take over the normal with which the fit begins."""
        self(q)
        self.has_found = False

    def __call__(self, q: FittedNormal, is_last: bool = False) -> None:
        """Take over a normal, if it is better than all before, or the last."""
        worse = not np.isfinite(q.elbo) or (self._losses and -q.elbo > self._losses[-1])
        if worse and not is_last:
            return
        with interrupts.shut():
            set_normal(self.approx, q)
            self._losses.append(-q.elbo)
            losses = np.array(self._losses)
            self.approx.hist = np.concatenate([self._earlier, losses])
            self.has_found = True
        for callback, every in self._callbacks:
            if wants_to_look(callback, every, len(losses)):
                with calling(callback):
                    callback(self.approx, losses, len(losses))


def fit_normal_family(
    approx: Approximation, budget: Budget, callbacks: Sequence[Callable[..., None]] = ()
) -> None:
    """Fit a normal family from where it stands, until the steps come to an end.

    The approximation holds the best state so far whenever a callback, the user or the budget ends
    the fit.

    Raises
    ------
    KeyboardInterrupt
        If the user ends it before there is anything to hold.
    """
    approx.ending = Ending(False, INTERRUPTED)
    record = Recorder(approx, callbacks)
    try:
        approx.ending = found_ending(approx, budget, record)
    except (KeyboardInterrupt, StopIteration) as stop:
        if isinstance(stop, KeyboardInterrupt) and not record.has_found:
            raise
        if str(stop):
            logger.info(str(stop))


def found_ending(approx: Approximation, budget: Budget, record: Recorder) -> Ending:
    """Take all steps, and return why they ended."""
    rng = approx.spawn_generator()
    progress.say("compiling the log density")
    target = Target(approx.model, start=current_center(approx))
    diagonal = approx.groups[0].is_diagonal
    if not len(approx.hist) and all(map(approx.groups[0].holds, ("mean", "std"))):
        record.begin(start_of_fit(approx, target))
    if target.ddim > MOST_DENSE:
        noise = stratified_normals(MEDIUM_NOISE, target.ddim, rng)
        progress.say("independent normals")
        best, findings = fit_diagonal(target, noise, budget, observe=record), None
    else:
        on_the_way: list[FittedNormal] = []
        count, observe = draws_to_judge(approx.model), on_the_way.append if diagonal else record
        begin = None if begins_on_sample(target) else found_on_sample(approx, rng, budget)
        if begin is not None:
            count = FEWEST_DRAWS
        exploration = glance(target, rng, budget, count, observe, begin)
        exploration = verified(exploration, rng, budget)
        best, findings = exploration.best, findings_of(exploration)
        if diagonal:
            progress.say("independent normals")
            for q in on_the_way:
                record(independent(q).scored(target, exploration.noise)[0])
            best = fit_mean_field(target, best, exploration.noise, budget, observe=record)
    record(best, is_last=True)
    return Ending(best.converged, why_it_ended(best, budget), findings)


def start_of_fit(approx: Approximation, target: Target) -> FittedNormal:
    """Return where a fit starts, as a normal with its ELBO."""
    (group,), (places,) = approx.groups, approx.places()
    mean, sd = (np.asarray(v)[np.argsort(places)] for v in evaluate([group.mean, group.std]))
    noise = mirrored_normals(MEDIUM_NOISE, target.ddim, np.random.default_rng(0))
    return FittedNormal(mean.astype("float64"), sd.astype("float64")).scored(target, noise)[0]


def why_it_ended(best: FittedNormal, budget: Budget) -> str:
    """Return in words why the steps ended."""
    if best.converged:
        return f"the steps came to an end after {budget.elapsed:.1f} seconds"
    return budget.exhausted or "the steps did not come to an end"


def found_on_sample(
    approx: Approximation, rng: np.random.Generator, budget: Budget
) -> FittedNormal | None:
    """Return the best normal for a sample of data that are many; None if they are not."""
    rows = sample_size(approx.model)
    if rows is None:
        return None
    sample = approx.model.sampled_data_replacements(rows, rng)
    target = Target(approx.model, sample, start=current_center(approx))
    with progress.aside(f"on {rows:,} rows"):
        return glance(target, rng, budget, FEWEST_DRAWS).best
