"""What each operation is in NumPy: a function of the values of its inputs.

Values of tensors without axes may be NumPy scalars; all others are arrays, never written to.
A function of an operation with one output returns its value, of one with several a tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.tensor.basic import Alloc, MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.elemwise import CAReduce, DimShuffle
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i
from pytensor.tensor.subtensor import IncSubtensor, Subtensor, unflatten_index_variables
from pytensor.tensor.type import TensorType

try:
    from pytensor.conditional.op import IfElse
except ImportError:  # before PyTensor 3.3
    from pytensor.ifelse import IfElse

__all__ = ["convert", "only"]


@singledispatch
def convert(op: Op, node: Apply) -> Callable[..., Any]:
    """Return a function of the values of a node's inputs: by default the operation's own."""
    op.prepare_node(node, None, None, "py")
    tensors = [isinstance(v.type, TensorType) for v in node.inputs]
    count = len(node.outputs)

    def perform(*inputs: Any) -> Any:
        storage: list[list[Any]] = [[None] for _ in range(count)]
        values = [np.asarray(x) if tensor else x for x, tensor in zip(inputs, tensors, strict=True)]
        op.perform(node, values, storage)
        return storage[0][0] if count == 1 else tuple(s[0] for s in storage)

    return perform


def only(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives the one output of another instead of a tuple."""
    return lambda *inputs: function(*inputs)[0]


@convert.register(IfElse)
def if_else(op: IfElse, node: Apply) -> Callable[..., Any]:
    n = op.n_outs

    def chosen(condition: Any, *branches: Any) -> Any:
        values = branches[:n] if condition else branches[n:]
        return values[0] if n == 1 else values

    return chosen


# -- sums and products ----------------------------------------------------------------------------


@convert.register(CAReduce)
def reduction(op: CAReduce, node: Apply) -> Callable[..., Any]:
    ufunc = op.ufunc
    if ufunc.types == ["O->O"] or "OO->O" in ufunc.types[:1]:  # a Python function
        return convert.dispatch(Op)(op, node)
    dtype = node.outputs[0].type.dtype
    accumulator = op.acc_dtype or dtype
    axis = op.axis
    if axis is None or len(axis) == node.inputs[0].type.ndim:
        axis = None
    elif len(axis) == 1:
        (axis,) = axis
    if accumulator == dtype:
        return lambda x: ufunc.reduce(x, axis=axis, dtype=dtype)
    return lambda x: ufunc.reduce(x, axis=axis, dtype=accumulator).astype(dtype)


@convert.register(Dot)
def dot(op: Dot, node: Apply) -> Callable[..., Any]:
    return np.dot


@convert.register(BatchedDot)
def batched_dot(op: BatchedDot, node: Apply) -> Callable[..., Any]:
    return np.matmul


# -- shapes ---------------------------------------------------------------------------------------


@convert.register(DimShuffle)
def dim_shuffle(op: DimShuffle, node: Apply) -> Callable[..., Any]:
    new_axes = tuple(None if i == "x" else slice(None) for i in op.new_order)
    order = [i for i in op.new_order if i != "x"]
    first = tuple(slice(None) if i in order else 0 for i in range(node.inputs[0].type.ndim))
    permutation = tuple(sorted(order).index(i) for i in order)
    if permutation == tuple(range(len(first))):
        return lambda x: x[new_axes]
    return lambda x: x[first].transpose(permutation)[new_axes]


@convert.register(Reshape)
def reshape(op: Reshape, node: Apply) -> Callable[..., Any]:
    if isinstance(node.inputs[1], Constant):
        fixed = tuple(int(n) for n in node.inputs[1].data)
        return lambda x, _: np.reshape(x, fixed)
    return lambda x, shape: np.reshape(x, tuple(shape))


@convert.register(Shape)
def shape(op: Shape, node: Apply) -> Callable[..., Any]:
    return lambda x: np.array(np.shape(x), dtype="int64")


@convert.register(Shape_i)
def length_along(op: Shape_i, node: Apply) -> Callable[..., Any]:
    axis = op.i
    return lambda x: np.int64(x.shape[axis])


@convert.register(Alloc)
def alloc(op: Alloc, node: Apply) -> Callable[..., Any]:
    if None in node.inputs[0].type.shape:

        def checked(x: Any, *lengths: Any) -> Any:
            op._check_runtime_broadcast(node, x, lengths)
            return np.broadcast_to(x, lengths)

        return checked
    return lambda x, *lengths: np.broadcast_to(x, lengths)


@convert.register(MakeVector)
def make_vector(op: MakeVector, node: Apply) -> Callable[..., Any]:
    dtype = op.dtype
    return lambda *parts: np.array(parts, dtype=dtype)


@convert.register(TensorFromScalar)
def tensor_from_scalar(op: TensorFromScalar, node: Apply) -> Callable[..., Any]:
    dtype = node.outputs[0].type.dtype
    return lambda x: np.asarray(x, dtype=dtype)


@convert.register(ScalarFromTensor)
def scalar_from_tensor(op: ScalarFromTensor, node: Apply) -> Callable[..., Any]:
    return lambda x: x[()]


# -- parts of arrays ------------------------------------------------------------------------------


@convert.register(Subtensor)
def part(op: Subtensor, node: Apply) -> Callable[..., Any]:
    index = constant_index(op, node.inputs[1:])
    if index is None:
        entries = op.idx_list
        return lambda x, *parts: x[unflatten_index_variables(parts, entries)]
    return lambda x, *_: x[index]


@convert.register(IncSubtensor)
def changed_part(op: IncSubtensor, node: Apply) -> Callable[..., Any]:
    fixed = constant_index(op, node.inputs[2:])
    entries, replaces = op.idx_list, op.set_instead_of_inc

    def changed(x: Any, y: Any, *parts: Any) -> Any:
        index = unflatten_index_variables(parts, entries) if fixed is None else fixed
        x = np.array(x)
        if replaces:
            x[index] = y
        else:
            x[index] += y
        return x

    return changed


def constant_index(op: Any, variables: list[Variable]) -> tuple[Any, ...] | None:
    """Return the index that an operation takes a part by, None if it is computed."""
    if not all(isinstance(v, Constant) for v in variables):
        return None
    return tuple(unflatten_index_variables([int(v.data) for v in variables], op.idx_list))
