"""The linker: a graph as one generated Python function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.link.basic import JITLinker
from pytensor.link.utils import raise_with_op
from pytensor.tensor.elemwise import CAReduce, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.type import TensorType

from vibayes.backend.numpy_linker.convert import convert

__all__ = ["NumpyLinker", "graph_function"]


class NumpyLinker(JITLinker):
    """Linker whose functions call NumPy, one line for each operation of the graph."""

    # inner graphs are rewritten when they are converted; reading what others write to in place,
    # fused operations and BLAS calls are for compilers
    incompatible_rewrites = (
        "BlasOpt",
        "compile_inner_graph",
        "cxx_only",
        "fusion",
        "local_careduce_fusion",
        "scan_make_inplace",
        "scan_reduce_trace_prealloc",
    )

    def fgraph_convert(self, fgraph: FunctionGraph, order: Any = None, **kwargs: Any) -> Any:
        """Return the graph as a Python function."""
        return graph_function(fgraph.inputs, fgraph.outputs, order or fgraph.toposort())

    def jit_compile(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is."""
        return fn

    def create_thunk_inputs(self, storage_map: dict[Variable, list[Any]]) -> list[Any]:
        """Return where the values of the inputs are stored."""
        return [storage_map[v] for v in self.fgraph.inputs]

    def create_jitable_thunk(
        self,
        compute_map: Any,
        order: Sequence[Apply],
        input_storage: Any,
        output_storage: Any,
        storage_map: dict[Variable, list[Any]],
    ) -> tuple[list[Callable[..., Any]], list[Apply], Callable[..., Any]]:
        """Return the function as PyTensor calls it, from storage to storage.

        Unlike its base, it says at which operation an error happened.
        """
        fgraph = self.fgraph
        function = self.fgraph_convert(fgraph, order=order)
        inputs = self.create_thunk_inputs(storage_map)
        outputs = [storage_map[v] for v in fgraph.outputs]

        def thunk() -> None:
            try:
                with np.errstate(all="ignore"):
                    results = function(*[storage[0] for storage in inputs])
            except Exception as error:
                node = failed_node(function, error)
                if node is None:
                    raise
                raise_with_op(fgraph, node)
            for storage, result in zip(outputs, results, strict=True):
                storage[0] = result

        vars(thunk).update(inputs=inputs, outputs=outputs, lazy=False)
        return [thunk], list(order[:1]), function


def graph_function(
    inputs: Sequence[Variable], outputs: Sequence[Variable], order: Sequence[Apply]
) -> Callable[..., Any]:
    """Return a Python function of the values of a graph's inputs, to a tuple of its outputs.

    No output shares memory with an input, with a constant or with a view of one.

    Parameters
    ----------
    inputs, outputs
        The graph.
    order
        Its operations, sorted.
    """
    scope: dict[str, Any] = {"as_array": np.asarray, "copied": np.array}
    names = {v: f"x{i}" for i, v in enumerate(inputs)}
    arguments = ", ".join(names[v] for v in inputs)

    def name(v: Variable) -> str:
        if v not in names:
            if not isinstance(v, Constant):
                raise ValueError(f"{v} is neither computed nor an input")
            names[v] = f"c{len(names)}"
            scope[names[v]] = v.data
        return names[v]

    last_use = {v: k for k, node in enumerate(order) for v in node.inputs}
    kept = {*inputs, *outputs}
    lines = []
    for k, node in enumerate(order):
        scope[f"f{k}"] = convert(node.op, node)
        values = ", ".join(name(v) for v in node.inputs)
        names.update((v, f"v{k}_{j}") for j, v in enumerate(node.outputs))
        results = [names[v] for v in node.outputs]
        free = {names[v] for v in node.inputs if v.owner and last_use[v] == k and v not in kept}
        free |= {names[v] for v in node.outputs if v not in last_use and v not in kept}
        freed = "".join(f"; {n} = None" for n in sorted(free))
        assigned = f"{', '.join(results)} = " if results else ""
        lines.append(f"{assigned}f{k}({values}){freed}")
    lines.append(f"return ({''.join(f'{returned(v, name(v))}, ' for v in outputs)})")
    source = f"def function({arguments}):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(source, "<graph>", "exec"), scope)
    function = scope["function"]
    function.source, function.order = source, list(order)
    return function


def returned(v: Variable, name: str) -> str:
    """Return the expression of an output: an array of its own."""
    if not isinstance(v.type, TensorType):
        return name
    return f"as_array({name})" if is_new_array(v) else f"copied({name})"


def is_new_array(v: Variable) -> bool:
    """Tell whether a variable surely has memory of its own."""
    op = None if v.owner is None else v.owner.op
    if isinstance(op, Elemwise):
        return len(v.owner.inputs) > 1 and getattr(op.scalar_op, "nfunc_spec", None) is not None
    return isinstance(op, CAReduce | Dot | RandomVariable)


def failed_node(function: Any, error: BaseException) -> Apply | None:
    """Return the operation in whose line of a generated function an error arose."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is function.__code__:
            index = traceback.tb_lineno - 2  # the line of ``def`` is number 1
            return function.order[index] if index < len(function.order) else None
        traceback = traceback.tb_next
    return None
