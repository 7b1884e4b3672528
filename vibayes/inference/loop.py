"""The fit loop: compiled steps in chunks, up to the next iteration at which someone looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.approximations.base import Approximation
from vibayes.inference.callbacks import Callback, period
from vibayes.inference.progress import Progress, average_loss, logger
from vibayes.inference.steps import CompiledSteps, State
from vibayes.streaming.feed import Feeds

__all__ = ["Ended", "FitLoop"]

CHUNK_SECONDS = 0.2  # well below the half second that Ctrl-C may have to wait
GROWTH = 4


class Ended(StopIteration):
    """Raised by a callback that ends the fit because it is done."""


class Losses(np.ndarray):
    """Losses of a fit, which format as the latest of them: ``f"{losses:.2f}"``."""

    def __format__(self, spec: str) -> str:
        return format(float(self[-1]), spec) if spec and self.size else super().__format__(spec)


class History:
    """Losses that grow by chunks, without a copy of everything at each."""

    def __init__(self, earlier: np.ndarray) -> None:
        self._buffer = np.array(earlier)
        self.length = len(earlier)

    def extend(self, losses: np.ndarray) -> None:
        end = self.length + len(losses)
        if end > len(self._buffer):
            grown = np.empty(max(2 * len(self._buffer), end, 1024))
            grown[: self.length] = self._buffer[: self.length]
            self._buffer = grown
        self._buffer[self.length : end] = losses
        self.length = end

    def rewind(self, length: int) -> None:
        self.length = min(self.length, length)

    def view(self, start: int, stop: int) -> np.ndarray:
        return self._buffer[start:stop].view(Losses)


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

    Attributes
    ----------
    iteration : int
        Number of iterations done.
    run_seconds : float
        Time spent in compiled steps.
    """

    def __init__(
        self,
        approx: Approximation,
        steps: CompiledSteps,
        shared: dict[SharedVariable, SharedVariable],
        state: State,
        explain: Callable[[State], str],
        feeds: Feeds,
    ) -> None:
        self.approx = approx
        self.steps = steps
        self.shared = shared
        self.explain = explain
        self.feeds = feeds
        self.run_seconds = 0.0
        self._history = History(approx.hist)
        self._earlier = len(approx.hist)
        self._seconds_per_step = 0.0
        # State and iteration change in one assignment: an interrupt finds either both or none.
        self._done: tuple[State, int] = (state, 0)
        self._synced: dict[SharedVariable, np.ndarray] = {}

    @property
    def iteration(self) -> int:
        """Number of iterations done."""
        return self._done[1]

    @property
    def losses(self) -> np.ndarray:
        """Loss of each iteration done."""
        return self._history.view(self._earlier, self._earlier + self.iteration)

    def run(self, n: int, callbacks: Sequence[Callable[..., None]], progressbar: bool) -> None:
        """Run n further iterations, unless a callback or the user ends the fit before.

        Raises
        ------
        FloatingPointError
            If the loss or a parameter stops being finite. The approximation then holds the last
            state that was finite.
        StreamError
            If data cannot be read. The approximation then holds the state before that.
        """
        looks = [(callback, period(callback)) for callback in callbacks]
        end = self.iteration + n
        progress = Progress(n, progressbar)
        begun = self.iteration
        try:
            self._take_changes()
            self._sync()
            for callback in callbacks:
                if isinstance(callback, Callback):
                    callback.start(self.approx)
            while self.iteration < end:
                self._advance(self._next_stop(end, [every for _, every in looks]))
                for callback, every in looks:
                    if self.iteration % every == 0:
                        self._look(callback)
                progress.update(self.iteration - begun, self.losses)
        except (KeyboardInterrupt, StopIteration) as stop:
            self._finish(progress, begun)
            if str(stop):
                logger.info(str(stop))
            self._report("Ended at" if isinstance(stop, Ended) else "Interrupted at", end)
        except BaseException:
            self._finish(progress, begun)
            raise
        else:
            self._finish(progress, begun)
            self._report("Finished", end)
        finally:
            self.feeds.stop()

    # -- one chunk ----------------------------------------------------------------------------

    def _next_stop(self, end: int, periods: Sequence[int]) -> int:
        """Return the iteration at which the next chunk ends."""
        i = self.iteration
        stop = min([end, *(i - i % every + every for every in periods)])
        return i + self.feeds.steps_ready(i, min(stop - i, self._affordable_steps()))

    def _affordable_steps(self) -> int:
        if not self._seconds_per_step:
            return 1
        return max(1, int(CHUNK_SECONDS / self._seconds_per_step))

    def _advance(self, stop: int) -> None:
        state, i = self._done
        state = replace(state, windows=self.feeds.windows())
        began = time.perf_counter()
        after, losses = self.steps.run(state, stop - i)
        seconds = time.perf_counter() - began
        if not (self._finite(losses) and after.is_finite()):
            self._go_to_last_finite(state, i, stop)
        self._record(i, losses)
        self._done = (after, stop)
        self.run_seconds += seconds
        # A first chunk is dominated by the cost of the call itself: let chunks grow step by step.
        rate = seconds / (stop - i)
        slowest_growth = self._seconds_per_step / GROWTH
        self._seconds_per_step = max(rate, slowest_growth)

    def _look(self, callback: Callable[..., None]) -> None:
        self._sync()
        try:
            callback(self.approx, self.losses, self.iteration)
        finally:
            self._take_changes()

    # -- shared variables and history ---------------------------------------------------------

    def _sync(self) -> None:
        """Write the state to the shared variables, so that everyone sees it."""
        state = self._done[0]
        for key, shared in self.shared.items():
            shared.set_value(self.steps.value(state, key), borrow=True)
            self._synced[key] = shared.get_value(borrow=True)
        self.approx.hist = self._all_losses()

    def _take_changes(self) -> None:
        """Take over what someone has changed in the shared variables since they were written."""
        state, i = self._done
        changed = [
            (self.steps.places[key], self.shared[key].get_value(borrow=True))
            for key, written in self._synced.items()
            if self.shared[key].get_value(borrow=True) is not written
        ]
        if changed:
            vectors = tuple(v.copy() for v in state.vectors)
            for place, value in changed:
                vectors[place.vector][place.start : place.stop] = value.ravel()
            self._done = (replace(state, vectors=vectors), i)

    def _finish(self, progress: Progress, begun: int) -> None:
        self._sync()
        progress.close(self.iteration - begun, self.losses)
        # what is left behind must not be a view of memory that a later run shares
        for key, shared in self.shared.items():
            shared.set_value(shared.get_value(borrow=False), borrow=True)
            self._synced[key] = shared.get_value(borrow=True)
        self.approx.hist = np.array(self._all_losses())

    def _record(self, i: int, losses: np.ndarray) -> None:
        if self.steps.has_loss:
            self._history.rewind(self._earlier + i)
            self._history.extend(losses)

    def _all_losses(self) -> np.ndarray:
        if not self.steps.has_loss:
            return self._history.view(0, self._earlier)
        return self._history.view(0, self._earlier + self.iteration)

    def _report(self, what: str, end: int) -> None:
        done = self.iteration
        percent = f"[{100 * done // max(end, 1)}%]"
        where = f"{what} {done:,} {percent}" if what != "Finished" else f"{what} {percent}"
        loss = f": Average Loss = {average_loss(self.losses):,.5g}" if self.steps.has_loss else ""
        logger.info(f"{where}{loss}")

    # -- failure ------------------------------------------------------------------------------

    def _finite(self, losses: np.ndarray) -> bool:
        return not self.steps.has_loss or bool(np.isfinite(losses).all())

    def _go_to_last_finite(self, state: State, i: int, stop: int) -> None:
        """Stop at the last finite state within a chunk that went wrong, and say what went wrong.

        Steps are a pure function of the state, so the state after any number of them can be had
        again: bisect for the largest number after which everything is still finite.
        """
        good, bad = 0, stop - i
        while bad - good > 1:
            middle = (good + bad) // 2
            after, losses = self.steps.run(state, middle)
            if self._finite(losses) and after.is_finite():
                good = middle
            else:
                bad = middle
        last, losses = (state, np.zeros(0)) if good == 0 else self.steps.run(state, good)
        broken, broken_losses = self.steps.run(last, 1)
        self._record(i, losses)
        self._done = (last, i + good)
        raise FloatingPointError(self._describe(last, broken, broken_losses, i + bad))

    def _describe(self, last: State, broken: State, losses: np.ndarray, iteration: int) -> str:
        """Say what went wrong in the step from ``last`` to ``broken``."""
        found = []
        if not self._finite(losses):
            found.append(f"the loss became {losses[-1]}")
        for key, shared in self.shared.items():
            bad = ~np.isfinite(self.steps.value(broken, key)).ravel()
            if bad.any():
                names = np.array(self.approx.name_elements(shared))[bad]
                shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
                found.append(f"{shared.name} of {shown} became {first_bad(broken, self, key)}")
        found.append(self.explain(last))
        what = "; ".join(f for f in found if f) or "the optimizer's state is not finite any more"
        return (
            f"The fit broke down at iteration {iteration}: {what}. The approximation holds the "
            f"state after iteration {iteration - 1}. Try a smaller learning rate, "
            f"total_grad_norm_constraint=..., more draws a step (obj_n_mc=...), or another start."
        )


def first_bad(state: State, loop: FitLoop, key: SharedVariable) -> float:
    """Return the first number of a tensor that is not finite."""
    value = loop.steps.value(state, key).ravel()
    return float(value[~np.isfinite(value)][0])
