"""A graph of vectors, evaluated at many of them in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from vibayes import interrupts
from vibayes.backend.graphs import lift_constants
from vibayes.backend.jax.convert import jax_function, lengths_of_parts
from vibayes.backend.jax.devices import double_precision
from vibayes.backend.jax.placed import PlacedData
from vibayes.backend.jax.processes import while_all_are_there

__all__ = ["StackFunction"]

COARSE, DOUBLED = 4, 256  # lengths grow by this factor, up to here; and then by two


class StackFunction:
    """A graph of vectors as a function of stacks of them.

    XLA compiles for each length anew: stacks are filled up to one of a few lengths.

    Parameters
    ----------
    vectors
        The vectors, of known length.
    others
        Further inputs, the same for each vector of a stack.
    outputs
        Expressions of them, and of shared variables.
    data : PlacedData
        Where it runs, and what is there already.

    Attributes
    ----------
    compiled : dict
        For the shapes of the data the function that JAX has compiled.
    """

    def __init__(
        self,
        vectors: Sequence[Variable],
        others: Sequence[Variable],
        outputs: Sequence[Variable],
        data: PlacedData,
    ) -> None:
        self.vectors = list(vectors)
        self.others = list(others)
        self.outputs = lift_constants(outputs, but=lengths_of_parts(outputs))
        self.data = data
        self.shared = [v for v in ancestors(self.outputs) if isinstance(v, SharedVariable)]
        self.compiled: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._used: set[Any] = set()  # with lengths: what is compiled no signal may end

    def __call__(self, *values: np.ndarray) -> list[np.ndarray]:
        """Return the outputs, one row for each of the stacks' rows.

        Parameters
        ----------
        *values
            A stack (n, d) for each vector, and the other inputs.
        """
        count = len(values[0])
        stacks = [filled_up(Z) for Z in values[: len(self.vectors)]]
        with double_precision():
            data = [self.data(v) for v in self.shared]
            run = self._run_for(tuple(self.data.shape(v) for v in self.shared))
            place = self.data.devices.place
            own = [place(Z) for Z in stacks]
            others = [place(value) for value in values[len(self.vectors) :]]
            known = run, len(stacks[0])
            uncut = interrupts.shut() if known in self._used else nullcontext()
            with uncut, while_all_are_there():
                results = [np.asarray(part)[:count] for part in run(own, others, data)]
        self._used.add(known)
        return results

    def _run_for(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        """Return the compiled function for data of some shapes."""
        if shapes not in self.compiled:
            inputs = [*self.vectors, *self.others, *self.shared]
            own = [v.type.shape for v in (*self.vectors, *self.others)]
            with interrupts.interruptible():
                function = jax_function(inputs, self.outputs, [*own, *shapes])
            self.compiled[shapes] = self.data.devices.compiled(self._stacked(function, shapes))
        return self.compiled[shapes]

    def _stacked(
        self, function: Callable[..., list[Any]], shapes: Sequence[tuple[int, ...]]
    ) -> Callable[..., Any]:
        """Return a function of stacks, of the other inputs and of data, for JAX to compile."""
        import jax

        def stacked(stacks: Any, others: Any, data: Any) -> Any:
            whole = list(map(self.data.whole, self.shared, data, shapes))
            return jax.vmap(lambda *rows: function(*rows, *others, *whole))(*stacks)

        return stacked


def filled_up(Z: np.ndarray) -> np.ndarray:
    """Return a stack whose last row comes again, up to one of a few lengths."""
    return np.pad(Z, [(0, padded_length(len(Z)) - len(Z)), (0, 0)], mode="edge")


def padded_length(count: int) -> int:
    """Return the least of a few lengths that is not below ``count``."""
    length = 1
    while length < count:
        length *= COARSE if length < DOUBLED else 2
    return length
