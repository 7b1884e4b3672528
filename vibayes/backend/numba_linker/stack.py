"""A graph of a vector as one compiled function of the rows of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.numba_linker.convert import is_call, write
from vibayes.backend.numba_linker.linker import (
    INDENT,
    argument,
    compiled,
    in_parts,
    rewritten,
)
from vibayes.backend.numba_linker.writer import Value, Writer
from vibayes.backend.settings import EXACT_ARITHMETIC

__all__ = ["StackCode"]


class StackCode:
    """A graph of a vector as a compiled function of the rows of a matrix, one after the other.

    What it computes of other inputs, and of data, is computed once for all rows. It holds no lock
    while it runs: parts of a stack can be left to threads.

    Parameters
    ----------
    vector : TensorVariable
        The vector, of known length.
    others
        Further inputs, the same for all rows.
    outputs
        The graph: tensors of known lengths. It may hold shared variables.

    Raises
    ------
    TypeError
        If an input or a result is something else than a tensor, or has no known lengths.
    """

    def __init__(
        self, vector: TensorVariable, others: Sequence[Variable], outputs: Sequence[Variable]
    ) -> None:
        self.data = [v for v in ancestors(list(outputs)) if isinstance(v, SharedVariable)]
        read = {v: v.type(v.name) for v in self.data}
        inputs = [vector, *others, *read.values()]
        fgraph = rewritten([], inputs, graph_replace(list(outputs), read, strict=False))
        if not all(isinstance(v.type, TensorType) for v in [*fgraph.inputs, *fgraph.outputs]):
            raise TypeError("a stack is computed of tensors alone")
        if any(None in v.type.shape for v in [vector, *outputs]):
            raise TypeError("the vector and the results have to have known lengths")
        self.results = [(v.type.dtype, v.type.shape) for v in outputs]
        with EXACT_ARITHMETIC:
            self.code = stack_function(fgraph, [shape for _, shape in self.results])
        self.source: str = self.code.py_func.__source__

    def empty(self, count: int) -> list[np.ndarray]:
        """Return arrays for the results at some rows."""
        return [np.empty((count, *shape), dtype) for dtype, shape in self.results]

    def __call__(self, stack: np.ndarray, others: Sequence[Any], results: list[np.ndarray]) -> None:
        """Compute the results at the rows of a matrix, (n, d), into given arrays."""
        data = [v.get_value(borrow=True) for v in self.data]
        self.code(stack, *others, *data, *results)


def stack_function(fgraph: FunctionGraph, shapes: Sequence[tuple[int, ...]]) -> Any:
    """Return a compiled function of a matrix, of other inputs, and of arrays for the results.

    Parameters
    ----------
    fgraph
        The graph of a row, which is its first input.
    shapes
        Of the results at a row.
    """
    vector, *others = fgraph.inputs
    w = Writer(fgraph.toposort(), fgraph.outputs, [vector], is_call)
    names = [f"data{i}" for i in range(len(others))]
    for v, name in zip(others, names, strict=True):
        w.values[v] = argument(w, v, name)
    with w.part("step"):
        lengths = [str(n) for n in vector.type.shape]
        w.values[vector] = w.new_value(vector, w.assigned("p", "stack0[row0]"), lengths)
    w.write(write)
    arrays = [f"result{i}" for i in range(len(shapes))]
    with w.part("step"):
        for v, array, shape in zip(fgraph.outputs, arrays, shapes, strict=True):
            if not shape:
                w.line(f"{array}[row0] = {w.number(v)}")
                continue
            own = tuple(map(str, shape))
            place = Value(w.assigned("p", f"{array}[row0]"), own, tuple(range(len(own))), len(own))
            w.copy(w.readable(v), place)
    lines = in_parts("setup", w.source("setup"), w.source("step"), w)
    lines.append("for row0 in range(len(stack0)):")
    lines += [INDENT + line for line in in_parts("step", w.source("step"), [], w)]
    return compiled("stacked", ["stack0", *names, *arrays], lines, w)
