"""Products of matrices, and operations on each matrix of a stack."""

from __future__ import annotations

from dataclasses import replace

from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.basic import ExtractDiag
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.blockwise import BlockwiseWithCoreShape
from pytensor.tensor.math import Dot
from pytensor.tensor.type import TensorType

from vibayes.backend.numba import NumbaOp
from vibayes.backend.numba_linker.convert import write, write_call
from vibayes.backend.numba_linker.writer import Value, Writer

__all__: list[str] = []

SMALL = 8  # rows and columns up to which loops are as fast as calls of BLAS


@write.register(Dot)
def dot(op: Dot, w: Writer, node: Apply) -> None:
    """Write a product of matrices; one with a vector, kept as a matrix, is one with a vector."""
    (x, y), (v,) = node.inputs, node.outputs
    dtype = v.type.dtype
    if {x.type.dtype, y.type.dtype} != {dtype} or dtype not in ("float32", "float64"):
        write_call(op, w, node)
        return
    left, right = w.readable(x), w.readable(y)
    (rows, inner), (other, columns) = left.lengths, right.lengths
    if inner != other:
        w.line(f"check_equal({inner}, {other})")
    if inner == "1":  # faster than a call
        result = w.values[v] = w.new_array(dtype, (rows, columns), v)
        with w.loops((rows, columns)) as (i, j):
            w.line(f"{result.at((i, j))} = {left.at((i, '0'))} * {right.at(('0', j))}")
        return
    first = w.as_array(along(left, 1) if rows == "1" else left, dtype)
    second = w.as_array(along(right, 0) if columns == "1" else right, dtype)
    if rows == columns == "1":
        number = w.assigned("t", f"np.dot({first}, {second})")
        w.values[v] = Value(number, ("1", "1"), (None, None))
        return
    lengths = [n for n in (rows, columns) if n != "1"]
    result = w.new_array(dtype, lengths, v)
    w.line(f"np.dot({first}, {second}, {result.name})")
    axes = (None, 0) if rows == "1" else (0, None) if columns == "1" else (0, 1)
    w.values[v] = replace(result, lengths=(rows, columns), axes=axes)


def along(value: Value, axis: int) -> Value:
    """Return a matrix of one row or column as a vector."""
    return replace(value, lengths=(value.lengths[axis],), axes=(value.axes[axis],))


@write.register(BatchedDot)
def batched_dot(op: BatchedDot, w: Writer, node: Apply) -> None:
    """Write products of small matrices as loops; of larger ones each is a call of BLAS."""
    (x, y), (v,) = node.inputs, node.outputs
    dtype = v.type.dtype
    left, right = w.readable(x), w.readable(y)
    (count, rows, inner), (other_count, other, columns) = left.lengths, right.lengths
    is_small = all(n.isdigit() and int(n) <= SMALL for n in (rows, inner, other, columns))
    if not is_small or {x.type.dtype, y.type.dtype} != {dtype}:
        write_call(op, w, node)
        return
    for own, needed in ((count, other_count), (inner, other)):
        if own != needed:
            w.line(f"check_equal({own}, {needed})")
    result = w.values[v] = w.new_array(dtype, (count, rows, columns), v)
    with w.loops((count, rows, columns)) as (m, i, j):
        total = w.assigned("s", f"np.{dtype}(0.0)")
        with w.loops((inner,)) as (k,):
            w.line(f"{total} += {left.at((m, i, k))} * {right.at((m, k, j))}")
        w.line(f"{result.at((m, i, j))} = {total}")


@write.register(ExtractDiag)
def extract_diag(op: ExtractDiag, w: Writer, node: Apply) -> None:
    """Write the diagonal of a square matrix; of others it is a call."""
    (x,), (v,) = node.inputs, node.outputs
    value = w.readable(x)
    if len(value.lengths) != 2 or op.offset or len(set(value.lengths)) != 1:
        write_call(op, w, node)
        return
    result = w.values[v] = w.new_array(v.type.dtype, value.lengths[:1], v)
    with w.loops(value.lengths[:1]) as (i,):
        w.line(f"{result.at((i,))} = {value.at((i, i))}")


@write.register(BlockwiseWithCoreShape)
def blockwise(op: BlockwiseWithCoreShape, w: Writer, node: Apply) -> None:
    """Write an operation of ours on each matrix of a stack as a loop; others are called."""
    (inner,) = op.fgraph.apply_nodes
    core, axes = inner.op.core_op, inner.op.batch_ndim(inner)
    if not isinstance(core, NumbaOp) or any(None in v.type.shape[axes:] for v in node.outputs):
        write_call(op, w, node)
        return
    given = dict(zip(op.fgraph.inputs, node.inputs, strict=True))
    inputs = [given[v] for v in inner.inputs]
    stacks = [w.readable(v).lengths[:axes] for v in inputs]
    lengths, arrays = w.broadcast(stacks, axes), [w.array(v) for v in inputs]
    function = w.function(core, core.make_node(*(without_stack(v, axes) for v in inputs)))
    for v in node.outputs:
        own = tuple(map(str, v.type.shape[axes:]))
        w.values[v] = w.new_array(v.type.dtype, (*lengths, *own), v)
    with w.loops(lengths) as index:
        arguments = []
        for v, array, stack in zip(inputs, arrays, stacks, strict=True):
            at = ", ".join("0" if n == "1" else i for i, n in zip(index, stack, strict=True))
            part = f"{array}[{at}]"
            arguments.append(part if v.type.ndim > axes else f"np.asarray({part})")
        names = [w.name("r") for _ in node.outputs]
        w.line(f"{', '.join(names)} = {function}({', '.join(arguments)})")
        for v, name in zip(node.outputs, names, strict=True):
            own = w.values[v].lengths[axes:]
            with w.loops(own) as place:
                element = f"{name}[{', '.join(place)}]" if own else f"{name}.item()"
                w.line(f"{w.values[v].at((*index, *place))} = {element}")


def without_stack(v: Variable, axes: int) -> Variable:
    """Return a variable of the type of each matrix of a stack, which has some axes."""
    return TensorType(v.type.dtype, shape=v.type.shape[axes:])()
