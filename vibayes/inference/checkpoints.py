"""What a fit keeps in a file as it goes, so that another process can go on with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytensor.graph.basic import Variable

from vibayes.approximations.base import Approximation
from vibayes.approximations.saved import approximation_from
from vibayes.exceptions import StorageError, StorageWarning
from vibayes.inference.base import frames_of_library
from vibayes.inference.loop import FitLoop
from vibayes.model.core import Model
from vibayes.objectives.base import Operator
from vibayes.objectives.options import StepOptions
from vibayes.records.ending import Ending
from vibayes.records.fit_state import FitState
from vibayes.search.budget import Budget
from vibayes.storage.approximations import check_record, restore
from vibayes.storage.calls import (
    check_described,
    describe_approximation,
    describe_argument,
    describe_density,
    describe_graphs,
    describe_seeds,
    describe_start,
)
from vibayes.storage.checkpoint import Checkpoint, Found
from vibayes.storage.files import understood

__all__ = [
    "Keeping",
    "approximation_in",
    "describe_fit",
    "find_kept",
    "take_over",
]


@dataclass(frozen=True)
class Keeping:
    """The checkpoint of a fit, if there is one, and what it held at the begin.

    Attributes
    ----------
    call : dict
        What the fit was told to do.
    checkpoint : Checkpoint, optional
        The file.
    found : Found, optional
        What an earlier run of the same call has left in it.
    """

    call: dict[str, Any]
    checkpoint: Checkpoint | None = None
    found: Found | None = None
    told: set[str] = field(default_factory=set, compare=False)
    """Why it could not be written: the user is told once, not at each try."""

    @property
    def saved(self) -> FitState | None:
        """Where the earlier run stood."""
        return None if self.found is None else self.found.state

    def after_chunk(
        self, loop: FitLoop, callbacks: Sequence[Callable[..., None]]
    ) -> Callable[[], None] | None:
        """Return what the loop is to call when callbacks have seen a chunk."""
        checkpoint = self.checkpoint
        if checkpoint is None:
            return None

        def look() -> None:
            if checkpoint.is_due(loop.iteration):
                ending = Ending(None, f"{loop.iteration:,} iterations were done when it was saved")
                loop.sync()
                state = loop.fit_state(self.call, callbacks)
                self.write(loop.approx, state, ending)

        return look

    def finish(self, loop: FitLoop, callbacks: Sequence[Callable[..., None]]) -> None:
        """Keep the state at the end of a run, and its ending."""
        state = loop.fit_state(self.call, callbacks)
        loop.approx.outcome.fit_state = state
        if loop.is_settled:
            self.write(loop.approx, state)

    def finish_search(self, approx: Approximation) -> None:
        """Keep the result of a fit without steps."""
        if approx.ending.is_interrupted:  # the same call is to begin anew
            return
        approx.outcome.fit_state = FitState(self.call, ended=True)
        self.write(approx, approx.outcome.fit_state)

    def write(self, approx: Approximation, state: FitState, ending: Ending | None = None) -> None:
        """Write the checkpoint, if there is one; warn once of a failure, and let the fit go on."""
        if self.checkpoint is None:
            return
        try:
            self.checkpoint.write(approx, approx.outcome, state, ending)
        except (OSError, MemoryError, StorageError) as error:
            if not self.told:
                self.told.add(str(error))
                warnings.warn(
                    f"The checkpoint of the fit cannot be written: {error or 'out of memory'}. The "
                    f"fit goes on, and tries again from time to time; its result is kept in memory "
                    f"alone if that fails to the end.",
                    StorageWarning,
                    stacklevel=1 + frames_of_library(),
                )


def approximation_in(found: Found, model: Model) -> Approximation:
    """Return the approximation of a file."""
    with understood(found.path):
        shapes = {name: array.shape for name, array in found.arrays.items()}
        check_record(found.record, shapes, model, found.path)
        approx = approximation_from(found.record, found.arrays, model, found.path)
    approx.outcome.fit_state = found.state
    return approx


def take_over(found: Found, approx: Approximation, given: Sequence[Any]) -> None:
    """Give the approximation, and shared variables of the user's own, their saved values.

    Raises
    ------
    StorageError
        If the file's have other shapes or dtypes.
    """
    with understood(found.path):
        restore(approx, approx.outcome, found.record, found.arrays, found.path)
    given = [v for v in given if v not in approx.params] if found.state.vectors else []
    types = [(v.type.dtype, v.get_value(borrow=True).shape) for v in given]
    saved = [(value.dtype.name, value.shape) for value in found.state.given]
    if types != saved:
        raise found.state.unfit(
            f"the fit changes shared variables of your own of dtypes and shapes {types}, and in "
            f"the file they are {saved}"
        )
    for variable, value in zip(given, found.state.given, strict=True):
        variable.set_value(value)


def describe_fit(
    method: str,
    op: Operator,
    options: StepOptions,
    budget: Budget | None,
) -> dict[str, Any]:
    """Return what a fit is told to do, before it begins.

    Parameters
    ----------
    method
        Name of the inference.
    op
        The operator.
    options
        The options of steps.
    budget
        Budget of a fit that ends by itself.
    """
    approx = op.approx
    return {
        "method": method,
        "objective": [type(op).__qualname__, describe_settings(op)],
        "approximation": describe_approximation(approx),
        "options": options.describe(),
        "max_steps": None if budget is None else budget.steps,
        "random_seed": describe_seeds(approx.noise_seeds, approx.is_seeded),
        "start": describe_start(approx.params),
    }


def describe_settings(op: Operator) -> Any:
    """Return the settings of an operator as what JSON can hold."""
    if op.setting_names is None:
        return describe_argument(op.key)
    return describe_argument([type(op), *(getattr(op, name) for name in op.setting_names)])


def find_kept(
    call: dict[str, Any],
    checkpoint: Checkpoint | None,
    model: Model,
    own: str = "",
    changing: Collection[Variable] = (),
) -> Keeping:
    """Return what an earlier run of a call has left, if there is anything.

    Parameters
    ----------
    call
        What the fit is told to do.
    checkpoint
        Its file.
    model
        The model.
    own
        Identity of the file that the same inference has written, if it has.
    changing
        Shared variables of the user's own that the fit changes.

    Raises
    ------
    StorageError
        If the file is none of this call, or the call cannot be told from others.
    """
    if checkpoint is None:
        return Keeping(call)
    call = call | describe_graphs(model, changing)
    check_described(call)
    call |= {"density": describe_density(model)}
    found = checkpoint.find(call, model, own)
    # the seed and the start are those of the fit that began
    return Keeping(call if found is None else call | kept_begin(found), checkpoint, found)


def kept_begin(found: Found) -> dict[str, Any]:
    call = found.state.call
    return {key: call[key] for key in ("random_seed", "start") if key in call}
