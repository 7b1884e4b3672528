"""Conditions in graphs that depend on data alone, and graphs in which they are known to hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytensor.scalar as ps
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable, equal_computations
from pytensor.graph.traversal import toposort
from pytensor.tensor.elemwise import DimShuffle, Elemwise

__all__ = ["data_conditions", "where_they_hold"]


def data_conditions(outputs: Sequence[Variable], data: Collection[Variable]) -> list[Variable]:
    """Return the conditions of switches that depend on data, and on nothing else but constants.

    Parameters
    ----------
    outputs
        Expressions.
    data
        Variables that are data, however they are made.
    """
    of_data = set(data)
    fixed: set[Variable] = set()  # PyTensor itself knows what is made of constants
    found: dict[Variable, None] = {}
    for node in toposort(list(outputs)):
        inputs = {v for v in node.inputs if not isinstance(v, Constant)} - fixed
        if not inputs:
            fixed.update(node.outputs)
        elif inputs <= of_data:
            of_data.update(node.outputs)
        if is_switch(node) and (condition := without_axes(node.inputs[0])) in of_data:
            found[condition] = None
    return list(found)


def where_they_hold(outputs: Sequence[Variable], true: Sequence[Variable]) -> list[Variable]:
    """Return expressions in which some conditions are true of every element.

    Loops, and graphs with a name, stay as they are inside.

    Parameters
    ----------
    outputs
        Expressions.
    true
        Conditions; those that are computed in the same way from the same variables are meant, too.
    """
    changed: dict[Variable, Variable] = {}
    holds: dict[Variable, bool] = {}
    for node in toposort(list(outputs)):
        inputs = [changed.get(v, v) for v in node.inputs]
        if is_switch(node):
            condition = without_axes(node.inputs[0])
            if condition not in holds:
                holds[condition] = any(equal_computations([condition], [c]) for c in true)
            if holds[condition]:
                changed[node.outputs[0]] = as_result(inputs[1], node, inputs)
                continue
        if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
            again = node.clone_with_new_inputs(inputs)
            changed.update(zip(node.outputs, again.outputs, strict=True))
    return [changed.get(v, v) for v in outputs]


def as_result(value: Variable, node: Apply, inputs: Sequence[Variable]) -> Variable:
    """Return one of the inputs of an elementwise operation in the type that its result has."""
    result = node.outputs[0].type
    if value.type.broadcastable != result.broadcastable:
        for other in inputs:
            value = pt.second(other, value)
    return value if value.type.dtype == result.dtype else pt.cast(value, result.dtype)


def is_switch(node: Apply) -> bool:
    """Tell whether a node chooses between two values at each element."""
    return isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Switch)


def without_axes(variable: Variable) -> Variable:
    """Return what a variable was before axes of length one were added to it."""
    while variable.owner is not None and isinstance(variable.owner.op, DimShuffle):
        variable = variable.owner.inputs[0]
    return variable
