"""Products of matrices."""

from __future__ import annotations

from dataclasses import replace

from pytensor.graph.basic import Apply
from pytensor.tensor.math import Dot

from vibayes.backend.numba_linker.convert import write, write_call
from vibayes.backend.numba_linker.writer import Value, Writer

__all__: list[str] = []


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
