"""Graphs as functions of arrays that several threads, or other processes, can call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.graph.basic import Apply, Variable

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.numpy_linker import graph_function

__all__ = ["PlainFunction"]


class PlainFunction:
    """A graph as a function of NumPy arrays alone, which keeps nothing from call to call.

    A function of PyTensor has storage of its own for what goes in and out: it serves one thread,
    and to be sent elsewhere it would be compiled there once more. This is the rewritten graph as
    generated code; what is pickled is the graph.

    Parameters
    ----------
    inputs, outputs
        The graph. It may hold shared variables.

    Attributes
    ----------
    source : str
        The generated code.
    """

    def __init__(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        function = pytensor.function(
            list(inputs),
            list(outputs),
            mode=EVALUATE_MODE,
            trust_input=True,
            on_unused_input="ignore",
        )
        fgraph = function.maker.fgraph
        shared = [entry.variable for entry in function.maker.expanded_inputs[len(inputs) :]]
        self._shared: list[Any] = shared
        self._graph = list(fgraph.inputs), list(fgraph.outputs), list(fgraph.toposort())
        self._extra: list[Any] | None = None
        self._make()

    def _make(self) -> None:
        self._function = graph_function(*self._graph)
        self.source: str = self._function.source  # type: ignore[attr-defined]

    def __call__(self, *values: Any) -> tuple[np.ndarray, ...]:
        """Return the outputs for the values of the inputs."""
        extra = self._extra
        if extra is None:
            extra = [v.get_value(borrow=True) for v in self._shared]
        with np.errstate(all="ignore"):
            return self._function(*values, *extra)

    def __getstate__(self) -> dict[str, Any]:
        """Return the graph, with the values that shared variables have now."""
        extra = [v.get_value(borrow=True) for v in self._shared]
        return {
            "graph": flattened(*self._graph),
            "extra": extra if self._extra is None else self._extra,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._graph, self._extra, self._shared = built(*state["graph"]), state["extra"], []
        self._make()


def flattened(
    inputs: Sequence[Variable], outputs: Sequence[Variable], order: Sequence[Apply]
) -> tuple[list[Any], list[Any], list[int]]:
    """Return a graph as lists: a pickle of the graph itself goes as deep as it is long.

    These are the types of the inputs, each operation with its inputs and the types of its outputs,
    and the outputs; a variable is the number under which it comes up, a constant itself.
    """
    numbers: dict[Any, Any] = {v: i for i, v in enumerate(inputs)}

    def numbered(v: Variable) -> Any:
        return numbers.get(v, v)

    nodes = []
    for node in order:
        nodes.append((node.op, [numbered(v) for v in node.inputs], [v.type for v in node.outputs]))
        for v in node.outputs:
            numbers[v] = len(numbers)
    return [v.type for v in inputs], nodes, [numbered(v) for v in outputs]


def built(
    types: Sequence[Any], nodes: Sequence[Any], results: Sequence[Any]
) -> tuple[list[Variable], list[Variable], list[Apply]]:
    """Return the graph that was flattened: inputs, outputs and operations."""
    variables = [t() for t in types]
    inputs, order = list(variables), []

    def found(v: Any) -> Variable:
        return variables[v] if isinstance(v, int) else v

    for op, arguments, made in nodes:
        order.append(Apply(op, [found(v) for v in arguments], [t() for t in made]))
        variables += order[-1].outputs
    return inputs, [found(v) for v in results], order
