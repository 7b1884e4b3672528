"""Which of PyTensor's rewrites a graph for NumPy goes through, and two of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pytensor.compile.aliasing import add_supervisor_to_fgraph
from pytensor.compile.builders import OpFromGraph, SymbolicOp
from pytensor.compile.io import In
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.rewriting.basic import (
    GraphRewriter,
    dfs_rewriter,
    graph_rewriter,
    node_rewriter,
)
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.scan.op import Scan
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.type import tensor

from vibayes.backend.numpy_linker.linker import NumpyLinker, graph_function
from vibayes.backend.numpy_linker.stack import stack_scan
from vibayes.backend.rewriting import Interpreted, InterpretedRewrites

__all__ = ["inner_function", "inner_variables", "numpy_mode"]

# A switch between equal branches becomes one of them, to which PyTensor adds the notes of where all
# of them were made. Where that is the same constant again and again, its notes grow to gigabytes.
# Random generators advance in place (a copy costs more than a draw); nothing else does.
QUERY = RewriteDatabaseQuery(
    include=[
        "ShapeOpt",
        "UnShapeOpt",
        "merge",
        "canonicalize",
        "stabilize",
        "specialize",
        "scan",
        "scan_reduce_trace_no_prealloc",
        "add_destroy_handler",
        "random_make_inplace",
    ],
    exclude=["local_useless_switch"],
)


@cache
def numpy_mode() -> Mode:
    """Return the PyTensor mode that evaluates graphs with NumPy and compiles nothing."""
    mode = InterpretedRewrites(NumpyLinker(), QUERY)
    return mode.register(
        (dfs_rewriter(inline_graph), 0.01),
        (stack_inner_graphs, 0.02),  # before the rewrites of scans
    )


@cache
def simplifying_rewrites() -> GraphRewriter:
    """Return rewrites that work out shapes and put inner graphs in their place."""
    query = RewriteDatabaseQuery(
        include=["ShapeOpt", "UnShapeOpt", "canonicalize"], exclude=["local_useless_switch"]
    )
    mode = InterpretedRewrites(NumpyLinker(), query)
    # of graphs that are being rewritten already
    return Interpreted(mode.register((dfs_rewriter(inline_graph), 0.01)).chosen)


@node_rewriter([OpFromGraph])
def inline_graph(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Put the inner graph of an operation in its place."""
    if isinstance(node.op, SymbolicOp):  # rewrites know these
        return None
    return bound(node.op.fgraph, node.inputs)


@graph_rewriter
def stack_inner_graphs(fgraph: FunctionGraph) -> None:
    """Replace vectorized inner graphs by inner graphs of stacks."""
    cores = [n.op.core_op for n in fgraph.apply_nodes if isinstance(n.op, Blockwise)]
    if any(isinstance(core, Scan) for core in cores):
        simplifying_rewrites().rewrite(fgraph)  # so that numbers of steps are plain
    if any(isinstance(core, Scan | OpFromGraph) for core in cores):
        dfs_rewriter(stack_inner_graph).rewrite(fgraph)


@node_rewriter([Blockwise])
def stack_inner_graph(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Replace many runs of an inner graph, one an element of a stack, by one on whole stacks."""
    core = node.op.core_op
    if isinstance(core, Scan):
        return stack_scan(node, *simplified(*inner_variables(core)))
    if not isinstance(core, OpFromGraph):
        return None
    batch_ndim = node.op.batch_ndim(node)
    inputs = [tensor(dtype=v.type.dtype, shape=v.type.shape[batch_ndim:]) for v in node.inputs]
    outputs = bound(core.fgraph, inputs)
    return vectorize_graph(outputs, dict(zip(inputs, node.inputs, strict=True)))


def bound(inner: Any, inputs: Sequence[Variable]) -> list[Variable]:
    """Return the outputs of an inner graph as expressions of other inputs."""
    replace = dict(zip(inner.inputs, inputs, strict=True))
    if hasattr(inner, "bind"):  # PyTensor 3.2 and later, where inner graphs are frozen
        return list(inner.bind(replace))
    return clone_replace(list(inner.outputs), replace)


def inner_variables(op: Any) -> tuple[list[Variable], list[Variable]]:
    """Return new inputs, and outputs, of an operation's inner graph."""
    inputs = [v.type() for v in op.fgraph.inputs]
    return inputs, bound(op.fgraph, inputs)


def simplified(
    inputs: list[Variable], outputs: list[Variable]
) -> tuple[list[Variable], list[Variable]]:
    """Return a graph without the shapes and inner graphs that do not vectorize well."""
    fgraph = FunctionGraph(inputs, outputs, clone=False)
    simplifying_rewrites().rewrite(fgraph)
    return list(fgraph.inputs), list(fgraph.outputs)


def inner_function(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    own: Sequence[Variable] = (),
    of_symbolic: bool = False,
) -> Callable[..., Any]:
    """Return an inner graph as a Python function.

    Parameters
    ----------
    inputs, outputs
        The graph, of its own variables.
    own
        Inputs that the function may change in place.
    of_symbolic
        Whether it is the inner graph of an operation that rewrites would put back.
    """
    fgraph = FunctionGraph(list(inputs), list(outputs), clone=False)
    specifications = [In(v, borrow=True, mutable=v in own) for v in inputs]
    add_supervisor_to_fgraph(fgraph=fgraph, input_specs=specifications, accept_inplace=True)
    mode = numpy_mode()
    if of_symbolic:
        mode = mode.excluding("symbolic_op_recognition")
    mode.optimizer.rewrite(fgraph)
    return graph_function(fgraph.inputs, fgraph.outputs, fgraph.toposort())
