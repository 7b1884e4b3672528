"""The fit loop: compiled steps in chunks, up to the next iteration at which someone looks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.backend.shared import put
from vibayes.callbacks.base import calling, period, wants_to_look
from vibayes.exceptions import ProcessError
from vibayes.inference.breakdown import (
    Breakdown,
    Place,
    are_finite,
    first_breakdown,
    sensible_place,
)
from vibayes.inference.callback_memory import callback_states, restore_callbacks, start_callbacks
from vibayes.inference.losses import History
from vibayes.inference.sensible import Level
from vibayes.inference.steps import CompiledSteps, State
from vibayes.model.core import Model
from vibayes.progress import logger, loss_text
from vibayes.records.fit_state import FitState
from vibayes.streaming.feed import Feeds

__all__ = ["Ended", "FitLoop", "passes_over_data"]

CHUNK_SECONDS = 0.2  # well below the half second that Ctrl-C may have to wait
GROWTH = 4


class Ended(StopIteration):
    """Raised by a callback that ends the fit because it is done."""


class LeftByOther(KeyboardInterrupt):
    """Raised when another process that takes the same steps takes no more of them."""


class Look(NamedTuple):
    """A callback, after how many iterations it is called, and the block in which to call it."""

    callback: Callable[..., None]
    every: int
    block: AbstractContextManager[None]


class FitLoop:
    """A fit that can be run, and run on.

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    steps : CompiledSteps
        How.
    shared : dict of SharedVariable to SharedVariable
        For each tensor of ``steps`` that outlives the fit, the variable that holds its value:
        variational parameters, and what the user has given to be changed.
    state : State
        Where to begin.
    explain : callable
        Given a state from which the next step fails, says in words which variables are to blame.
    feeds : Feeds
        What brings the rows of streamed minibatches.
    check_data : callable, optional
        Raises if data were exchanged for such as the steps are not right for.

    Attributes
    ----------
    iteration : int
        Number of iterations done.
    run_seconds : float
        Time spent in compiled steps.
    ended : bool
        Whether a callback has ended the last run.
    interrupted : bool
        Whether Ctrl-C has.
    """

    def __init__(
        self,
        approx: Approximation,
        steps: CompiledSteps,
        shared: dict[SharedVariable, SharedVariable],
        state: State,
        explain: Callable[[State], str],
        feeds: Feeds,
        check_data: Callable[[], None] | None = None,
    ) -> None:
        self.approx = approx
        self.steps = steps
        self.shared = shared
        self.explain = explain
        self.feeds = feeds
        self.check_data = check_data
        self.run_seconds = 0.0
        self.ended = self.interrupted = False
        self._history = History(approx.hist)
        self._earlier = len(approx.hist)
        self._seconds_per_step = 0.0
        # State and iteration change in one assignment: an interrupt finds either both or none.
        self._done: Place = (state, 0)
        self._worth = self._done  # the last state known to be worth going on from
        self._level = Level()
        self._synced: dict[SharedVariable, np.ndarray] = {}
        self._seen = 0  # the last iteration that all callbacks have seen that wanted to

    @property
    def iteration(self) -> int:
        """Number of iterations done."""
        return self._done[1]

    @property
    def losses(self) -> np.ndarray:
        """Loss of each iteration done."""
        return self._history.view(self._earlier, self._earlier + self.iteration)

    def run(
        self,
        n: int,
        callbacks: Sequence[Callable[..., None]],
        saved: FitState | None = None,
        after_chunk: Callable[[], None] | None = None,
    ) -> None:
        """Run n further iterations, unless a callback or the user ends the fit before.

        Parameters
        ----------
        n
            Number of iterations.
        callbacks
            See :meth:`vibayes.Inference.fit`.
        saved
            The state from which the fit goes on, whose callbacks have a memory.
        after_chunk
            Called now and then, when all callbacks have seen what they want to.

        Raises
        ------
        FloatingPointError
            If the loss or a parameter stops being finite. The approximation then holds the last
            state that was finite, or the last of a sensible loss if the loss had run away.
        StreamError
            If data cannot be read. The approximation then holds the state before that.
        """
        looks = [Look(callback, period(callback), calling(callback)) for callback in callbacks]
        end = self.iteration + n
        report = progress.current()
        report.count(n, passes_over_data(self.approx.model))
        begun, self._seen = self.iteration, -1
        self.ended = self.interrupted = False
        try:
            self._begin(callbacks, saved)
            while self._advance_to(end, looks):
                if after_chunk is not None:
                    after_chunk()
                report.done, report.losses = self.iteration - begun, self.losses
        except (KeyboardInterrupt, StopIteration) as stop:
            self._tell_others(stop)
            self.ended = isinstance(stop, StopIteration)
            self.interrupted = not self.ended
            self._finish(report, begun)
            if str(stop):
                logger.info(str(stop))
            self._report("Ended at" if isinstance(stop, Ended) else "Interrupted at", end)
        except BaseException as error:
            self._tell_others(error)
            self._finish(report, begun)
            raise
        else:
            self._finish(report, begun)
            self._report("Finished", end)
        finally:
            self.feeds.stop()

    def _begin(self, callbacks: Sequence[Callable[..., None]], saved: FitState | None) -> None:
        """Take over what has changed since the last run, and tell callbacks that one begins."""
        self._take_changes()
        self.sync()
        start_callbacks(callbacks, self.approx)
        if saved is not None:
            restore_callbacks(callbacks, saved)
        self._seen = self.iteration

    def _advance_to(self, end: int, looks: Sequence[Look]) -> bool:
        """Run a chunk, and let callbacks look that want to; False if the end is reached already."""
        interrupts.check()  # state, history and what callbacks know belong together here
        stop = self._agreed_stop(end, [look.every for look in looks])
        if self.iteration == end:
            return False
        self._advance(stop)
        for look in looks:
            if wants_to_look(look.callback, look.every, self.iteration):
                self._look(look)
        self._seen = self.iteration
        return True

    # -- going on in another process --------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether all callbacks have their memory, and none was interrupted that was looking.

        One that has ended the fit is asked no more.
        """
        return self.ended or self._seen == self.iteration

    def fit_state(self, call: dict[str, Any], callbacks: Sequence[Callable[..., None]]) -> FitState:
        """Return where the fit stands, which the shared variables show too (:meth:`sync`)."""
        self._take_changes()
        state, iteration = self._done
        given = [v for v in self.shared.values() if v not in self.approx.params]
        return FitState(
            call=call,
            iteration=iteration,
            ended=self.ended,
            earlier=self._earlier,
            layout=self._layout(),
            vectors=state.vectors,
            generators=state.generators,
            given=tuple(v.get_value() for v in given),
            feed_seed=self.feeds.seed,
            feed_places=self.feeds.places,
            callbacks=callback_states(callbacks),
        )

    def resume(self, saved: FitState) -> None:
        """Go to where an earlier run of the same fit stood; the approximation is there already.

        Raises
        ------
        StorageError
            If the steps change other numbers than the saved ones, or had other losses.
        """
        if saved.layout != (layout := self._layout()):
            raise saved.unfit(
                f"the saved state does not fit the steps of this fit: it has "
                f"{layout_in_words(saved.layout)}, and they change {layout_in_words(layout)}. It "
                f"was made by other code, or by another version of a library."
            )
        if (here := len(self.steps.generators)) != (there := len(saved.generators)):
            raise saved.unfit(f"the steps of this fit have {here} random generators, not {there}")
        losses = saved.earlier + self.steps.has_loss * saved.iteration
        if self._history.length != losses:
            raise saved.unfit(f"it holds {self._history.length:,} losses, not {losses:,}")
        state = replace(self._done[0], vectors=saved.vectors, generators=saved.generators)
        self._done = self._worth = (state, saved.iteration)
        self._earlier = saved.earlier

    def _layout(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """Return the name, dtype and shape of each tensor that a step changes."""
        return tuple(
            (key.name or "", key.type.dtype, tuple(map(int, part.shape)))
            for key, part in self.steps.parts.items()
        )

    # -- one chunk ----------------------------------------------------------------------------

    def _next_stop(self, end: int, periods: Sequence[int]) -> int:
        """Return the iteration at which the next chunk ends."""
        i = self.iteration
        stop = min([end, *(i - i % every + every for every in periods)])
        return i + self.feeds.steps_ready(i, min(stop - i, self._affordable_steps()))

    def _agreed_stop(self, end: int, periods: Sequence[int]) -> int:
        """Return where the next chunk ends in all processes that take the same steps.

        Raises
        ------
        LeftByOther
            If one of them takes no more steps.
        """
        i = self.iteration
        wanted = self._next_stop(end, periods) - i if i < end else 1
        if (agreed := self.steps.agreed(wanted)) == 0:
            raise LeftByOther("Another process has ended the fit")
        return i + agreed

    def _tell_others(self, why: BaseException) -> None:
        """Let the processes that take the same steps know that this one takes no more."""
        if not isinstance(why, LeftByOther | ProcessError):
            self.steps.agreed(0)

    def _affordable_steps(self) -> int:
        if not self._seconds_per_step:
            return 1
        return max(1, int(CHUNK_SECONDS / self._seconds_per_step))

    def _advance(self, stop: int) -> None:
        if self.check_data is not None:
            self.check_data()
        state, i = self._done
        if windows := self.feeds.windows():
            state = replace(state, windows=windows)
        began = time.perf_counter()
        after, losses = self.steps.run(state, stop - i)
        seconds = time.perf_counter() - began
        if not (are_finite(self.steps, losses) and after.is_finite()):
            self._break_down(state, i, stop)
        self._record(i, losses)
        self._done = (after, stop)
        if self.steps.has_loss and self._level.is_sensible(self.losses):
            self._worth = self._done
        self.run_seconds += seconds
        # A first chunk is dominated by the cost of the call itself: let chunks grow step by step.
        rate = seconds / (stop - i)
        slowest_growth = self._seconds_per_step / GROWTH
        self._seconds_per_step = max(rate, slowest_growth)

    def _look(self, look: Look) -> None:
        self.sync()
        try:
            with look.block:
                look.callback(self.approx, self.losses, self.iteration)
        finally:
            self._take_changes()

    # -- shared variables and history ---------------------------------------------------------

    def sync(self) -> None:
        """Write the state to the shared variables, so that everyone sees it."""
        state = self._done[0]
        for key, shared in self.shared.items():
            self._synced[key] = put(shared, self.steps.value(state, key))
        self.approx.hist = self._all_losses()

    def _take_changes(self) -> None:
        """Take over what someone has changed in the shared variables since they were written."""
        state, i = self._done
        changed = [
            (self.steps.parts[key], self.shared[key].get_value(borrow=True))
            for key, written in self._synced.items()
            if self.shared[key].get_value(borrow=True) is not written
        ]
        if changed:
            vectors = tuple(v.copy() for v in state.vectors)
            for part, value in changed:
                vectors[part.vector][part.start : part.stop] = value.ravel()
            self._done = (replace(state, vectors=vectors), i)

    def _finish(self, report: progress.Report, begun: int) -> None:
        with interrupts.shut():
            self.sync()
            # what is left behind must not be a view of memory that a later run shares
            for key, shared in self.shared.items():
                shared.set_value(shared.get_value(borrow=False), borrow=True)
                self._synced[key] = shared.get_value(borrow=True)
            self.approx.hist = np.array(self._all_losses())
            report.done, report.losses = self.iteration - begun, self.losses
            report.is_counting = False

    def _record(self, i: int, losses: np.ndarray) -> None:
        if self.steps.has_loss:
            self._history.rewind(self._earlier + i)
            self._history.extend(losses)

    def _all_losses(self) -> np.ndarray:
        if not self.steps.has_loss:
            return self._history.view(0, self._earlier)
        return self._history.view(0, self._earlier + self.iteration)

    def _report(self, what: str, end: int) -> None:
        if not self.steps.reports:
            return
        done = self.iteration
        percent = f"[{100 * done // max(end, 1)}%]"
        where = f"{what} {done:,} {percent}" if what != "Finished" else f"{what} {percent}"
        loss = loss_text(self.losses) if self.steps.has_loss else ""
        logger.info(f"{where}: {loss}" if loss else where)

    # -- failure ------------------------------------------------------------------------------

    def _break_down(self, state: State, i: int, stop: int) -> NoReturn:
        """Stop at the last good state of a chunk that went wrong, and say what went wrong.

        If the loss had run away by then, stop where it was sensible last.

        Parameters
        ----------
        state, i
            Where the chunk began.
        stop
            Where it was to end.
        """
        found = first_breakdown(self.steps, state, stop - i)
        end = i + found.good
        self._record(i, found.losses)
        self._done = (found.last, end)
        what = self._describe(found)
        place = sensible_place(self.steps, self.losses, (state, i), self._worth)
        if place is not None:
            self._done = place
            self._history.rewind(self._earlier + self.iteration)
        ran_away = "" if self.iteration == end else ", the last one before the loss ran away"
        raise FloatingPointError(
            f"The fit broke down at iteration {end + 1}: {what}. The approximation holds the state "
            f"after iteration {self.iteration}{ran_away}. Try a "
            f"smaller learning rate, total_grad_norm_constraint=..., more draws a step "
            f"(obj_n_mc=...), or another start."
        )

    def _describe(self, found: Breakdown) -> str:
        """Say what went wrong in a step."""
        said = []
        if not are_finite(self.steps, found.broken_losses):
            said.append(f"the loss became {found.broken_losses[-1]}")
        for key, shared in self.shared.items():
            value = self.steps.value(found.broken, key).ravel()
            bad = ~np.isfinite(value)
            if bad.any():
                names = np.array(self.approx.name_elements(shared))[bad]
                elements = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
                said.append(f"{shared.name} of {elements} became {float(value[bad][0])}")
        said.append(self.explain(found.last))
        return "; ".join(s for s in said if s) or "the optimizer's state is not finite any more"


def layout_in_words(layout: Sequence[tuple[str, str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name or 'a tensor'} {shape}" for name, _, shape in layout)


def passes_over_data(model: Model) -> float:
    """Return by how much of a pass over the data of minibatches a step goes; zero without any."""
    sampled = [m for m in model.minibatches if m.is_sampled]
    shares = (math.prod(m.batch_shape) / max(math.prod(m.whole_shape), 1) for m in sampled)
    return max(shares, default=0.0)
