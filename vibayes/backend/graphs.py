"""Graphs taken apart and put together, beyond what PyTensor documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.scalar as ps
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.ops import view_op
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node, clone_replace, graph_replace
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, toposort
from pytensor.scan.op import Scan
from pytensor.tensor.basic import Alloc, ARange
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.type import TensorType
from pytensor.tensor.type_other import NoneTypeT
from pytensor.tensor.variable import TensorConstant, TensorVariable

from vibayes.backend.uses import is_elementwise
from vibayes.numeric import numeric_array

__all__ = [
    "Work",
    "as_replacements",
    "check_replaced",
    "compiled_graph",
    "copied_with",
    "copy_graphs",
    "fixed_parts",
    "holds_numbers",
    "inner_graph",
    "integer_input",
    "is_loop",
    "is_none",
    "lift_constants",
    "replaced",
    "rewritten",
    "shared_numbers",
    "vectorized",
    "view_as",
    "with_known_lengths",
    "with_rows",
    "without_sums_of_scalars",
    "work_of",
]


LARGEST_EMBEDDED_CONSTANT = 16
SPECIAL_FUNCTIONS = "pytensor.scalar.math"  # the module of these operations
UNKNOWN_STEPS = 100
"""Of a loop whose number of rounds follows from what is not known yet."""


def as_replacements(replacements: Mapping[Variable, Any] | None) -> dict[Variable, Variable]:
    """Return replacements whose values are variables of types that fit."""
    result = {}
    for old, new in (replacements or {}).items():
        if not isinstance(old, Variable):
            raise TypeError(f"more_replacements: {old!r} is not a PyTensor variable")
        if not isinstance(new, Variable):
            array = numeric_array(new, f"more_replacements: what takes the place of {old}")
            new = shared_numbers(array.astype(old.dtype))
        result[old] = pt.as_tensor_variable(new)
    return result


def shared_numbers(array: np.ndarray) -> SharedVariable:
    """Return a shared variable of an array that a user gave, whom it does not belong to."""
    variable = pytensor.shared(array)
    variable.tag.holds_numbers = True
    return variable


def holds_numbers(variable: Any) -> bool:
    """Tell whether something is a shared variable that :func:`shared_numbers` has made."""
    return bool(getattr(getattr(variable, "tag", None), "holds_numbers", False))


def check_replaced(replacements: Collection[Variable], graphs: Iterable[Variable]) -> None:
    """Raise if something that is to be replaced is in none of the graphs.

    Raises
    ------
    ValueError
        Names it.
    """
    if not replacements:
        return
    known = set(ancestors(list(graphs)))
    for old in replacements:
        if old not in known:
            raise ValueError(
                f"more_replacements: {old} is no part of the model, so that nothing can take its "
                f"place; give a variable that the model was written with"
            )


def copy_graphs(graphs: Iterable[Variable], copies: dict[Variable, Variable]) -> None:
    """Add to ``copies`` those of graphs: every operation is a new one, inputs stay the same.

    Parameters
    ----------
    graphs
        What to copy.
    copies
        Copy of each variable that has one already: it stands for that, wherever it is used.
    """
    for node in toposort(list(graphs), blockers=list(copies)):
        inputs = [copies.get(v, v) for v in node.inputs]
        for old, new in zip(
            node.outputs, node.clone_with_new_inputs(inputs, strict=False).outputs, strict=True
        ):
            new.name = old.name
            new.tag = copy(old.tag)
            copies.setdefault(old, new)


def copied_with(
    replacements: Mapping[Variable, Variable], graphs: Sequence[Variable]
) -> list[Variable]:
    """Return copies of graphs in which variables stand for others, which are not copied."""
    copies = dict(replacements)
    copy_graphs(graphs, copies)
    return [copies.get(v, v) for v in graphs]


def view_as(source: Variable, result: Variable) -> None:
    """Make a variable that nothing has computed yet another name of the value of ``source``."""
    Apply(view_op, [source], [result])


def vectorized(node: Apply, inputs: Sequence[Variable]) -> Sequence[Variable]:
    """Return the outputs of an operation on inputs that have more axes in front."""
    result = _vectorize_node(node.op, node, *inputs)
    return result.outputs if isinstance(result, Apply) else result


def integer_input(name: str) -> tuple[Variable, TensorVariable]:
    """Return a whole number as an input that is quicker to pass than a tensor, and as a tensor."""
    number = ps.int64(name)
    return number, pt.tensor_from_scalar(number)


def is_loop(node: Apply) -> bool:
    """Tell whether a node is a scan."""
    return isinstance(node.op, Scan)


def inner_graph(node: Apply) -> tuple[list[Variable], list[Variable]] | None:
    """Return inputs and outputs of the graph that an operation stands for; None of most."""
    if not isinstance(node.op, OpFromGraph):
        return None
    fgraph = node.op.fgraph
    if hasattr(fgraph, "unfreeze"):  # from PyTensor 3.2 on graphs of operations cannot be built on
        fgraph = fgraph.unfreeze()
    return list(fgraph.inputs), list(fgraph.outputs)


def replaced(
    graphs: Sequence[Variable], replacements: Mapping[Variable, Variable]
) -> list[Variable]:
    """Return copies of graphs in which some variables stand for others, random ones kept as such.

    PyTensor's own function copies a random variable whose length is computed from what the graphs
    use in other places, too: the copy then is no variable of the model.
    """
    if not replacements:
        return list(graphs)
    kept = {v: v for v in ancestors(list(graphs)) if hasattr(v.tag, "distribution")}
    return graph_replace(list(graphs), {**kept, **replacements}, strict=False)


class Work(NamedTuple):
    """How many operations a graph takes, and how many numbers they make.

    Some of the operations are of linear algebra, on each matrix of a stack; some of the numbers are
    values of special functions, which take ten times as long as others.
    """

    operations: int
    numbers: int
    on_matrices: int = 0
    special: int = 0


def work_of(outputs: Sequence[Variable]) -> Work:
    """Return what it takes to evaluate a graph, a loop as often as it goes round.

    Of an array whose length is not known, as of a stack of vectors, one row is counted.
    """
    total = Work(0, 0)
    for node in toposort(list(outputs)):
        numbers = sum(map(known_size, node.outputs))
        special = numbers if is_special(node.op) else 0
        times, inner = 1, Work(1, numbers, int(is_on_matrices(node.op)), special)
        if is_loop(node):
            times = int(getattr(node.inputs[0], "data", UNKNOWN_STEPS))
            inner = work_of(node.op.fgraph.outputs)
        elif isinstance(node.op, OpFromGraph):
            inner = work_of(node.op.fgraph.outputs)
        total = Work(*(a + times * b for a, b in zip(total, inner, strict=True)))
    return total


def is_special(op: Op) -> bool:
    """Tell whether an operation is a special function of each number, such as log gamma."""
    return type(getattr(op, "scalar_op", None)).__module__ == SPECIAL_FUNCTIONS


def is_on_matrices(op: Op) -> bool:
    """Tell whether an operation does something to each matrix of a stack."""
    if isinstance(op, Blockwise):
        return max(map(len, op.inputs_sig), default=0) > 1
    return isinstance(op, BatchedDot)


def with_known_lengths(outputs: Sequence[Variable]) -> list[Variable]:
    """Return graphs whose types say the lengths that shared data have now.

    What goes through a loop, or a graph with a name, stays as it is.
    """
    known: dict[Variable, Variable] = {}
    for variable in ancestors(list(outputs)):
        if isinstance(variable, SharedVariable) and None in getattr(variable.type, "shape", ()):
            lengths = np.shape(variable.get_value(borrow=True))
            known[variable] = variable.type.clone(shape=lengths)()
    for node in toposort(list(outputs)) if known else ():
        changed = any(variable in known for variable in node.inputs)
        if changed and not is_loop(node) and not isinstance(node.op, OpFromGraph):
            again = node.op.make_node(*(known.get(variable, variable) for variable in node.inputs))
            known.update(zip(node.outputs, again.outputs, strict=True))
    return [known.get(variable, variable) for variable in outputs]


def with_rows(
    outputs: Sequence[Variable],
    replacements: Mapping[Variable, Variable],
    length: int,
    rows: Variable,
) -> list[Variable]:
    """Return graphs with other variables in the place of some, of another number of rows.

    Every operation on the way is made anew, so that no type goes on to tell the former length;
    where a shape is given, and begins with it, the new one is put there.

    Parameters
    ----------
    outputs
        Expressions.
    replacements
        What takes the place of what.
    length
        Number of rows before.
    rows
        The new number of rows, a scalar.

    Raises
    ------
    TypeError, ValueError
        If an operation is for the former length alone.
    """
    known = dict(replacements)
    for node in toposort(list(outputs)):
        inputs = [known.get(variable, variable) for variable in node.inputs]
        first = SHAPED.get(type(node.op))
        if first is not None:
            inputs[first] = with_row_count(inputs[first], length, rows)
        if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
            for old, new in zip(node.outputs, made_again(node, inputs), strict=True):
                known.setdefault(old, new)
    return [known.get(variable, variable) for variable in outputs]


def made_again(node: Apply, inputs: Sequence[Variable]) -> list[Variable]:
    """Return the outputs of an operation on inputs of other types."""
    if hasattr(node.op, "build_inner_graph"):  # its own graph is for types too
        return list(node.op(*inputs, return_list=True))
    return list(node.op.make_node(*inputs).outputs)


SHAPED: dict[type, int] = {SpecifyShape: 1, Alloc: 1, Reshape: 1, ARange: 1}
"""Operations that are told lengths, and which input the first of them, or all, is."""


def with_row_count(shape: Variable, length: int, rows: Variable) -> Variable:
    """Return a length, or a vector of lengths, with other rows if it tells a number of rows."""
    value = getattr(shape, "data", None)
    if value is None or is_none(shape) or np.ndim(value) > 1:
        return shape
    lengths = np.atleast_1d(value)
    if not lengths.size or lengths[0] != length:
        return shape
    new = rows.astype("int64")
    return new if np.ndim(value) == 0 else pt.stack([new, *(int(n) for n in lengths[1:])])


def known_size(variable: Variable) -> int:
    """Return the product of those lengths of an array that are known."""
    shape = getattr(variable.type, "shape", ())
    return int(np.prod([length for length in shape if length is not None], dtype=int))


def is_none(variable: Variable) -> bool:
    """Tell whether a variable stands for None."""
    return isinstance(variable.type, NoneTypeT)


def compiled_graph(function: Any) -> tuple[list[Variable], list[Variable]]:
    """Return a copy of the rewritten graph that a compiled function runs: inputs and outputs.

    Among the inputs are the shared variables that the function reads.
    """
    maker = function.maker
    own = [entry.variable for entry in maker.expanded_inputs]
    replace = dict(zip(maker.fgraph.inputs, own, strict=True))
    return own, clone_replace(list(maker.fgraph.outputs), replace)


def fixed_parts(outputs: Sequence[Variable], moving: Sequence[Variable]) -> list[Variable]:
    """Return the largest parts of graphs that depend on data, and on nothing that moves.

    Exponentials that are added to what moves are left in the graph: PyTensor makes
    ``log(exp(x) + exp(data))`` safe from an overflow, if it sees both.

    Parameters
    ----------
    outputs
        Expressions.
    moving
        Variables in them whose values change.
    """
    known = set(moving)
    of_data: set[Variable] = set()  # constants are folded by PyTensor itself
    found: dict[Variable, None] = {}
    for node in toposort(list(outputs)):
        is_tensor = all(isinstance(v.type, TensorType) for v in node.outputs)
        if is_tensor and not known.intersection(node.inputs):
            if any(isinstance(v, SharedVariable) or v in of_data for v in node.inputs):
                of_data.update(node.outputs)
            continue
        known.update(node.outputs)
        parts = [v for v in node.inputs if v in of_data]
        if is_elementwise(node, ps.Add):
            parts = [part for v in parts for part in without_exponentials(v) if part in of_data]
        found |= dict.fromkeys(parts)
    return list(found | dict.fromkeys(v for v in outputs if v in of_data))


def without_exponentials(v: Variable) -> list[Variable]:
    """Return what a sum of exponentials is made of: their arguments; itself if it is none."""
    node = v.owner
    if node is None:
        return [v]
    if is_elementwise(node, ps.Exp):
        return list(node.inputs)
    if is_elementwise(node, ps.Add) or isinstance(node.op, DimShuffle):
        parts = [part for x in node.inputs for part in without_exponentials(x)]
        return [v] if parts == list(node.inputs) else parts
    return [v]


def rewritten(
    graphs: list[Variable], op_class: type, rewrite: Callable[[Apply], list[Variable] | None]
) -> list[Variable]:
    """Return copies of graphs in which operations of a class are replaced.

    Parameters
    ----------
    graphs
        Expressions.
    op_class
        Class of the operations.
    rewrite
        Maps a node to what stands for its outputs, or to None if it is to stay.
    """

    @node_rewriter([op_class])
    def replace(fgraph: Any, node: Apply) -> list[Variable] | None:
        return rewrite(node)

    return rewrite_graph(graphs, include=(), custom_rewrite=dfs_rewriter(replace), clone=True)


def without_sums_of_scalars(graphs: list[Variable]) -> list[Variable]:
    """Return graphs without sums over an axis of what has none, of which PyTensor makes nothing.

    In a stack of points such a sum would be over the points.
    """

    def as_it_is(node: Apply) -> list[Variable] | None:
        (whole,) = node.inputs
        return None if whole.type.ndim else [whole.astype(node.outputs[0].dtype)]

    return rewritten(graphs, CAReduce, as_it_is)


def lift_constants(outputs: Sequence[Variable], but: Collection[Variable] = ()) -> list[Variable]:
    """Return graphs that take their large constants as inputs, but for some.

    Compiled into machine code, a data set would make compilation slow, and no compilation could
    serve a second data set.
    """
    large = {
        v: pytensor.shared(v.data, name=v.name, shape=v.type.shape, borrow=True)
        for v in ancestors(list(outputs))
        if isinstance(v, TensorConstant)
        and v.data.size > LARGEST_EMBEDDED_CONSTANT
        and v not in but
    }
    return graph_replace(list(outputs), large, strict=False) if large else list(outputs)
