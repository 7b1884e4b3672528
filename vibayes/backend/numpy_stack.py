"""Functions of the rows of matrices in NumPy, parts of which are left to threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable

from vibayes.backend.graphs import Work, compiled_graph, with_known_lengths, work_of
from vibayes.backend.modes import EVALUATE_MODE, compiled_code
from vibayes.backend.threads import even_parts, threads

__all__ = ["StackInNumpy"]

PART = 60_000  # numbers that an operation makes of a part: in caches, and worth a thread


class StackInNumpy:
    """A graph of a stack of vectors as a function of the rows of a matrix.

    Large stacks are computed in parts, whose arrays stay in the caches of the cores. How many there
    are follows from the graph and the lengths of its data: results do not depend on how many
    threads take part.

    Parameters
    ----------
    inputs
        The stack, and further inputs that are the same for all rows.
    outputs
        The graph: a row for each of the stack. It may hold shared variables.

    Attributes
    ----------
    function
        PyTensor's function of a stack as it is.
    """

    def __init__(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        self.function = pytensor.function(
            list(inputs),
            list(outputs),
            mode=EVALUATE_MODE,
            trust_input=True,
            on_unused_input="ignore",
        )
        self._code = compiled_code(self.function)
        self._most: dict[Any, int] = {}  # rows of a part, by the lengths of data

    def __call__(self, stack: np.ndarray, *others: Any) -> list[np.ndarray]:
        """Return the results at the rows of a matrix, (n, ...) each."""
        count = self._parts(len(stack))
        if count == 1 or self._code is None:
            return self.function(stack, *others)
        code, data = self._code, [v.get_value(borrow=True) for v in self._data]

        def part(rows: slice) -> Sequence[np.ndarray]:
            with np.errstate(all="ignore"):
                return code(stack[rows], *others, *data)

        parts, pool = even_parts(len(stack), count), threads()
        found = map(part, parts) if pool is None else pool.map(part, parts)
        return [np.concatenate(results) for results in zip(*found, strict=True)]

    @property
    def work(self) -> Work:
        """What an evaluation takes at a row, of data as long as they are now."""
        return work_of(with_known_lengths(self._graph[1]))

    @cached_property
    def _graph(self) -> tuple[list[Variable], list[Variable]]:
        return compiled_graph(self.function)

    @cached_property
    def _data(self) -> list[SharedVariable]:
        return [v for v in self._graph[0] if isinstance(v, SharedVariable)]

    def _parts(self, rows: int) -> int:
        """Return into how many parts of about the same size a stack is cut: one, or an even one."""
        lengths = tuple(np.shape(v.get_value(borrow=True)) for v in self._data)
        if lengths not in self._most:
            work = self.work
            self._most[lengths] = max(1, PART * work.operations // max(work.numbers, 1))
        return 1 if rows <= self._most[lengths] else 2 * -(-rows // (2 * self._most[lengths]))
