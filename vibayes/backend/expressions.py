"""Which operation made a variable, where a formula is better stated in terms of its argument."""

from __future__ import annotations

from typing import Any

from pytensor.graph.basic import Apply, Variable
from pytensor.scalar import Cast, Exp, Identity, Sigmoid
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.special import Softmax, softmax
from pytensor.tensor.variable import TensorVariable

__all__ = [
    "argument_of_exp",
    "argument_of_sigmoid",
    "argument_of_softmax",
    "display_name",
    "is_cast_or_copy",
    "is_random_variable",
]


def argument_of_exp(value: TensorVariable) -> TensorVariable | None:
    """Return x if ``value`` is exp(x), else None."""
    return argument_of(value, Exp)


def argument_of_sigmoid(value: TensorVariable) -> TensorVariable | None:
    """Return x if ``value`` is sigmoid(x), else None."""
    return argument_of(value, Sigmoid)


def argument_of_softmax(value: TensorVariable) -> TensorVariable | None:
    """Return x if ``value`` is softmax(x) along the last axis, else None."""
    node = application_of(value, Softmax)
    if node is None or node.op != softmax(node.inputs[0], axis=-1).owner.op:
        return None
    return node.inputs[0]


def argument_of(value: TensorVariable, op_class: type) -> TensorVariable | None:
    """Return x if ``value`` is ``op_class`` of x, else None."""
    node = application_of(value, op_class)
    return None if node is None else node.inputs[0]


def application_of(value: TensorVariable, op_class: type) -> Apply | None:
    """Return the node that makes ``value`` if its operation is ``op_class``, else None.

    Copies, by which a variable is given a name, do not count.
    """
    node = value.owner
    while node is not None and isinstance(scalar_op(node.op), Identity):
        node = node.inputs[0].owner
    return node if node is not None and isinstance(scalar_op(node.op), op_class) else None


def scalar_op(op: Any) -> Any:
    """Return the scalar operation that ``op`` does to each element, or ``op`` itself."""
    return op.scalar_op if isinstance(op, Elemwise) else op


def is_cast_or_copy(op: Any) -> bool:
    """Tell whether an operation changes at most the dtype of its argument."""
    return isinstance(scalar_op(op), Cast | Identity)


def is_random_variable(op: Any) -> bool:
    """Tell whether an operation draws from a distribution."""
    return isinstance(op, RandomVariable)


def display_name(rv: Variable) -> str:
    """Return the name that a random variable's operation is displayed by."""
    op = rv.owner.op
    return (getattr(op, "_print_name", None) or (type(op).__name__,))[0]
