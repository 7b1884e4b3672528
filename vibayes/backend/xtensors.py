"""PyTensor's xtensors, whose axes have names, as tensors: all else here knows tensors alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.compile.ops import ViewOp
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.sharedvar import TensorSharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import copied_with

__all__ = [
    "along",
    "as_named",
    "dims_of",
    "has_xtensors",
    "in_tensors",
    "is_xtensor",
    "leading",
    "shared_tensor",
]

MODULE = "pytensor.xtensor.type"  # which is not imported but by those who use it


def is_xtensor(variable: Any) -> bool:
    """Tell whether something is a PyTensor variable whose axes have names."""
    found = sys.modules.get(MODULE)
    kind = getattr(variable, "type", None)
    return found is not None and isinstance(kind, found.XTensorType)


def dims_of(variable: Any) -> tuple[str, ...]:
    """Return the names of the axes of an xtensor."""
    dims: tuple[str, ...] = variable.type.dims
    return dims


def has_xtensors(graphs: Iterable[Variable]) -> bool:
    """Tell whether something in graphs is an xtensor."""
    return MODULE in sys.modules and any(map(is_xtensor, ancestors(list(graphs))))


def as_named(tensor: Variable, dims: Sequence[str]) -> Variable:
    """Return a tensor as an xtensor, its axes being those of the given names."""
    from pytensor.xtensor.type import as_xtensor

    result: Variable = as_xtensor(tensor, dims=tuple(dims))
    return result


def leading(variable: Any, dims: Sequence[str]) -> TensorVariable:
    """Return an xtensor as a tensor along the first of the given dims.

    Along as many as it has without a gap; along others it is summed. So densities keep an axis for
    each axis of independent values, in the order that these have.
    """
    own, kept = set(dims_of(variable)), []
    for dim in dims:
        if dim not in own:
            break
        kept.append(dim)
    summed = [dim for dim in dims_of(variable) if dim not in kept]
    variable = variable.sum(dim=summed) if summed else variable
    return variable.transpose(*kept).values


def along(variable: Any, dims: Sequence[str | None]) -> TensorVariable:
    """Return an xtensor as a tensor that broadcasts against one with the given dims.

    Dims of its own, such as that of categories, come last.
    """
    own = dims_of(variable)
    first = next((i for i, dim in enumerate(dims) if dim in own), len(dims))
    wanted = [*dims[first:], *(dim for dim in own if dim not in dims)]
    order = [own.index(dim) if dim in own else "x" for dim in wanted]
    result: TensorVariable = variable.values.dimshuffle(*order)
    return result


def in_tensors(graphs: Sequence[Any]) -> list[TensorVariable]:
    """Return graphs in which nothing is an xtensor; of an xtensor the tensor of its axes in order.

    Parts that do not depend on xtensors stay the variables that they are.

    Raises
    ------
    NotImplementedError
        If PyTensor does not tell which operations of tensors stand for one of xtensors.
    ValueError
        If an xtensor has no value.
    """
    if not has_xtensors(graphs):
        return list(graphs)
    tensors = [v.values if is_xtensor(v) else v for v in graphs]
    touched, edge = parts_of(tensors)
    inputs = {v: v.clone(name=v.name) for v in edge if v.owner is not None}
    copied = copied_with(inputs | roots_of(touched), tensors)
    copied = rewrite_graph(copied, include=(), custom_rewrite=dfs_rewriter(as_it_is))
    lowered = rewrite_graph(copied, include=("lower_xtensor",))
    results = copied_with({new: old for old, new in inputs.items()}, lowered)
    for before, after in zip(graphs, results, strict=True):
        if has_xtensors([after]):
            left = next(v for v in ancestors([after]) if is_xtensor(v))
            raise NotImplementedError(
                f"{before.name or before}: PyTensor has no tensors for {left.owner or left}"
            )
    return [
        after if before in touched else before
        for before, after in zip(tensors, results, strict=True)
    ]


def parts_of(tensors: Sequence[Variable]) -> tuple[set[Variable], dict[Variable, None]]:
    """Return what is an xtensor or depends on one, and that on which it depends beside those."""
    touched = {v for v in ancestors(list(tensors)) if v.owner is None and is_xtensor(v)}
    edge: dict[Variable, None] = {}
    for node in toposort(list(tensors)):
        if touched.intersection(node.inputs) or any(map(is_xtensor, node.outputs)):
            touched.update(node.outputs)
            edge |= dict.fromkeys(tensors_below(v for v in node.inputs if v not in touched))
    return touched, edge


def tensors_below(variables: Iterable[Variable]) -> list[Variable]:
    """Return variables, in the place of slices and their like what these are made of."""
    found: list[Variable] = []
    for variable in variables:
        if variable.owner is None or isinstance(variable.type, pt.TensorType):
            found.append(variable)
        else:
            found += tensors_below(variable.owner.inputs)
    return found


@node_rewriter([ViewOp])
def as_it_is(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Take away names that an xtensor has besides its own: PyTensor has no tensors for them."""
    return list(node.inputs) if is_xtensor(node.inputs[0]) else None


def roots_of(variables: Iterable[Variable]) -> dict[Variable, Variable]:
    """Return tensors with names of axes in the place of those xtensors that nothing computes."""
    roots: dict[Variable, Variable] = {}
    for variable in variables:
        if variable.owner is not None or not is_xtensor(variable):
            continue
        tensor: Variable
        if isinstance(variable, Constant):
            tensor = pt.constant(variable.data, name=variable.name)
        elif isinstance(variable, SharedVariable):
            tensor = shared_tensor(variable)
        else:
            raise ValueError(
                f"the xtensor {variable.name or variable} has no value: give one that has, or one "
                f"made of PyTensor's tensors by pytensor.xtensor.as_xtensor(x, dims=...)"
            )
        roots[variable] = as_named(tensor, dims_of(variable))
    return roots


def shared_tensor(variable: Any) -> TensorSharedVariable:
    """Return a shared variable of tensors that has the value of one of xtensors, always the same.

    Whoever changes the value of one changes that of the other.
    """
    if getattr(variable.tag, "tensor", None) is None:
        kind = pt.TensorType(variable.type.dtype, shape=variable.type.shape)
        variable.tag.tensor = TensorSharedVariable(
            type=kind, value=None, strict=None, container=variable.container, name=variable.name
        )
    return variable.tag.tensor
