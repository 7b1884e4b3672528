"""Where a variable is used in graphs, and by what kind of operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pytensor import scalar as ps
from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Identity
from pytensor.scalar.math import Sigmoid, Softplus
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.variable import TensorConstant

__all__ = [
    "axes_after",
    "chooses_elements",
    "is_elementwise",
    "is_made_of_positive",
    "is_matrix_product",
    "is_product",
    "is_view",
    "uses_in",
    "without_axes",
]

ALWAYS_POSITIVE = {ps.Exp, ps.Exp2, ps.Cosh, Sigmoid, Softplus}
KEEPS_POSITIVE = {
    *(ps.Add, ps.Mul, ps.TrueDiv, ps.Reciprocal, ps.Pow, ps.Sqr, ps.Sqrt, ps.Abs),
    *(ps.Maximum, ps.Minimum, ps.Cast, Identity),
}
CHOICES = "Subtensor", "AdvancedSubtensor", "AdvancedSubtensor1"  # the last before PyTensor 3.1


def uses_in(outputs: Sequence[Variable]) -> Mapping[Variable, Sequence[Apply]]:
    """Return for each variable behind some the nodes that it is an input of."""
    uses: dict[Variable, dict[Apply, None]] = {}
    for node in dict.fromkeys(v.owner for v in ancestors(outputs) if v.owner is not None):
        for v in node.inputs:
            uses.setdefault(v, {})[node] = None
    return {v: list(nodes) for v, nodes in uses.items()}


def is_elementwise(node: Apply, kind: type) -> bool:
    """Tell whether a node does an operation of scalars, of some kind, with each element."""
    return isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, kind)


def is_product(node: Apply) -> bool:
    """Tell whether a node multiplies elements."""
    return is_elementwise(node, ps.Mul)


def is_matrix_product(node: Apply) -> bool:
    """Tell whether a node multiplies two matrices."""
    op = node.op.core_op if isinstance(node.op, Blockwise) else node.op
    return isinstance(op, Dot) and all(v.type.ndim == 2 for v in node.inputs)


def axes_after(node: Apply, axes: Sequence[int | None]) -> list[int | None]:
    """Return which axes of a variable those of a node's result are, given those of its input.

    None of those that are new, and all of them if elements are chosen.
    """
    if isinstance(node.op, DimShuffle):
        return [None if i == "x" else axes[i] for i in node.op.new_order]
    return [None] * node.outputs[0].type.ndim


def is_view(node: Apply) -> bool:
    """Tell whether a node gives its input another name, as ``Deterministic`` does."""
    return is_elementwise(node, Identity) or isinstance(node.op, ViewOp)


def chooses_elements(node: Apply, v: Variable) -> bool:
    """Tell whether a node takes some elements of a variable, or puts its axes in another order."""
    takes = isinstance(node.op, DimShuffle) or type(node.op).__name__ in CHOICES
    return takes and node.inputs[0] is v and v not in node.inputs[1:]


def without_axes(v: Variable) -> Variable:
    """Return the variable of which another one is a view with more axes, or in another order."""
    while v.owner is not None and isinstance(v.owner.op, DimShuffle):
        v = v.owner.inputs[0]
    return v


def is_made_of_positive(v: Variable, is_known: Callable[[Variable], bool]) -> bool:
    """Tell whether usual operations make an expression of what is positive, so that it is, too.

    Parameters
    ----------
    v
        The expression.
    is_known
        Tells of what is known of a variable to be positive.
    """
    if is_known(v):
        return True
    if isinstance(v, TensorConstant):
        return bool((np.asarray(v.data) > 0).all())
    node = v.owner
    if node is None:
        return False
    if isinstance(node.op, Elemwise) and not is_view(node):
        kind = type(node.op.scalar_op)
        operands = node.inputs[:1] if kind is ps.Pow else node.inputs
        made = kind in KEEPS_POSITIVE and all(is_made_of_positive(x, is_known) for x in operands)
        return made or kind in ALWAYS_POSITIVE
    is_same = is_view(node) or chooses_elements(node, node.inputs[0])
    return is_same and is_made_of_positive(node.inputs[0], is_known)
