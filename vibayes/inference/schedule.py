"""The schedule of automatic fits by stochastic steps: their rates, and when they end.

Steps of a constant rate come to a halt at a distance from the optimum that grows with the rate and
with the noise of the gradients; there the mean of the iterates does not stand still by more than
its Monte Carlo error (Dhaka et al. 2020; Welandawe et al. 2022). So the rate goes down when the
loss does so no more, and at the last rate the iterates are averaged (Polyak & Juditsky 1992) until
their average is known accurately enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable

from vibayes import progress
from vibayes.approximations.base import Approximation
from vibayes.backend.shared import assign, flat_values, set_flat_values
from vibayes.callbacks import Callback
from vibayes.inference.loop import Ended
from vibayes.records.ending import INTERRUPTED, Ending
from vibayes.search.budget import Budget
from vibayes.updates import adam

__all__ = ["ScaledAdam", "Schedule", "check_schedule"]

RATES = 0.1, 0.03, 0.01
BLOCK = 200  # steps
FEWEST_BLOCKS = 8
ACCURACY = 0.05
"""Standard error, in units of each parameter, at which averages are accurate enough."""
SETTLED_SHARE = 0.95  # of the parameters that have to be so


class ScaledAdam:
    """Adam whose rate can change from step to step, and is in units of each parameter's own.

    Parameters
    ----------
    scales : sequence of numpy.ndarray
        Unit of each parameter.
    """

    def __init__(self, scales: Sequence[np.ndarray]) -> None:
        floatX = pytensor.config.floatX
        self.rate = pytensor.shared(np.asarray(RATES[0], dtype=floatX), name="rate")
        self.scales = [
            pytensor.shared(np.asarray(s, dtype=floatX), name="scale", shape=np.shape(s))
            for s in scales
        ]

    def __call__(
        self, grads: Sequence[Variable], params: Sequence[SharedVariable]
    ) -> dict[SharedVariable, Variable]:
        """Return the updates of a step."""
        scaled = [g * s for g, s in zip(grads, self.scales, strict=False)]
        scaled += list(grads[len(self.scales) :])  # parameters of the user's own
        updates = adam(scaled, params, learning_rate=self.rate, beta2=0.99)
        for param, scale in zip(params, self.scales, strict=False):
            updates[param] = param + pt.cast(scale, param.dtype) * (updates[param] - param)
        return updates

    def set_scales(self, scales: Sequence[np.ndarray]) -> None:
        """Set the unit of each parameter."""
        for shared, scale in zip(self.scales, scales, strict=True):
            assign(shared, scale)


class Schedule(Callback):
    """Lowers the rate when the loss is level, and ends the fit when averages are accurate.

    Parameters
    ----------
    optimizer : ScaledAdam
        Optimizer of the steps.
    budget : Budget
        Time and steps.

    Attributes
    ----------
    ending : Ending
        Why the fit ended.
    """

    every = BLOCK

    def __init__(self, optimizer: ScaledAdam, budget: Budget) -> None:
        self.optimizer, self.budget = optimizer, budget
        self.ending = Ending(False, INTERRUPTED)
        scales = [s.get_value(borrow=True).ravel() for s in optimizer.scales]
        self._scales = np.concatenate([*scales, []])  # none, if all parameters are the user's own
        self._taken = budget.taken
        self._snapshots: list[np.ndarray] = []
        self._phase(0, 0)

    @property
    def is_urgent(self) -> bool:
        """Whether the time is up: a block may take as long as all that was to be taken."""
        return self.budget.time_is_up

    def start(self, approx: Approximation) -> None:
        self._say()  # the steps were compiled meanwhile

    def state(self) -> dict[str, Any]:
        return {
            "place": self._place,
            "begun": self._begun,
            "taken": self._taken,
            "elapsed": self.budget.elapsed,
            "snapshots": np.array(self._snapshots),
            "scales": self._scales,
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        check_schedule(state, len(self._scales))
        self._phase(int(state["place"]), int(state["begun"]))
        self._snapshots = list(state["snapshots"])
        self.budget.begun = time.perf_counter() - float(state["elapsed"])

    @property
    def most_steps(self) -> int:
        """Number of steps within the budget, in whole blocks."""
        return -(-(self.budget.steps - self.budget.taken) // BLOCK) * BLOCK

    def _phase(self, place: int, begun: int) -> None:
        self._place, self._begun = place, begun
        self._say()
        assign(self.optimizer.rate, RATES[place])

    def _say(self) -> None:
        progress.say(f"steps at rate {RATES[self._place]:g}")

    @property
    def _is_last(self) -> bool:
        return self._place == len(RATES) - 1

    def __call__(self, approx: Approximation, losses: np.ndarray, i: int) -> None:
        """Look at a block of steps, or at what there is of it when the time is up."""
        self.budget.taken = self._taken + i
        if i % BLOCK == 0:
            self._look_at_block(approx, losses, i)
        if self.budget.exhausted:
            self._end(approx, False, self.budget.exhausted)

    def _look_at_block(self, approx: Approximation, losses: np.ndarray, i: int) -> None:
        level = is_level(losses[self._begun :])
        if self._is_last and len(self._scales):
            self._snapshots.append(self._averaged(approx))
            error = self._error()
            if error < ACCURACY:
                self._end(approx, True, f"averages are accurate to {error:.2g} of their units")
        elif level and self._is_last:
            self._end(approx, True, "the loss is level at the lowest rate")
        elif level:
            self._phase(self._place + 1, i)

    def _end(self, approx: Approximation, converged: bool, reason: str) -> None:
        self.ending = Ending(converged, reason)
        if self._snapshots:
            set_flat_values(approx.params, np.mean(self._kept, axis=0))
        raise Ended(reason)

    def _averaged(self, approx: Approximation) -> np.ndarray:
        """Return the values of the parameters that have units."""
        return flat_values(approx.params).astype("float64")[: len(self._scales)]

    @property
    def _kept(self) -> list[np.ndarray]:
        return self._snapshots[len(self._snapshots) // 4 :]

    def _error(self) -> float:
        """Return the standard error of averages by batch means, in units, of most parameters."""
        if len(self._snapshots) < FEWEST_BLOCKS:
            return np.inf
        batches = np.array([np.mean(part, axis=0) for part in np.array_split(self._kept, 4)])
        errors = batches.std(axis=0, ddof=1) / np.sqrt(len(batches)) / self._scales
        return float(np.quantile(errors, SETTLED_SHARE))


def check_schedule(state: Mapping[str, Any], length: int) -> None:
    """Raise unless a state is one of a schedule of parameters that have so many numbers.

    Raises
    ------
    ValueError
        Names the entry.
    """
    found = {name: np.asarray(state[name]) for name in ("scales", "snapshots", "elapsed")}
    counts = {name: np.asarray(state[name]) for name in ("place", "begun", "taken")}
    good = {name: a.shape == () and a.dtype.kind in "iu" and a >= 0 for name, a in counts.items()}
    good["place"] = good["place"] and counts["place"] < len(RATES)
    good |= {name: a.dtype.kind == "f" and np.isfinite(a).all() for name, a in found.items()}
    scales, snapshots, elapsed = found.values()
    good["scales"] = good["scales"] and scales.shape == (length,) and (scales > 0).all()
    good["snapshots"] = good["snapshots"] and snapshots.shape in ((0,), (len(snapshots), length))
    good["elapsed"] = good["elapsed"] and elapsed.shape == () and elapsed >= 0
    if bad := [name for name, is_good in good.items() if not is_good]:
        raise ValueError(f"{bad[0]} {state[bad[0]]!s:.200}")


def is_level(losses: np.ndarray) -> bool:
    """Tell whether losses fall no more: medians of blocks, the later half and that before."""
    blocks = len(losses) // BLOCK
    if blocks < FEWEST_BLOCKS:
        return False
    medians = np.median(losses[: blocks * BLOCK].reshape(blocks, BLOCK), axis=1)
    early, late = medians[blocks // 4 : blocks // 2], medians[blocks // 2 :]
    noise = np.sqrt(early.var() / len(early) + late.var() / len(late))
    return bool(late.mean() >= early.mean() - noise)  # without any noise it may stand still
