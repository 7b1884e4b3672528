"""Shapes of arrays, parts of them, and arrays put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from pytensor.compile.ops import DeepCopyOp, ViewOp
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.scalar.basic import ScalarOp
from pytensor.tensor import subtensor
from pytensor.tensor.basic import (
    Alloc,
    AllocEmpty,
    Join,
    MakeVector,
    ScalarFromTensor,
    Split,
    TensorFromScalar,
)
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
)
from pytensor.tensor.type import TensorType

from vibayes.backend.graphs import is_none
from vibayes.backend.numba_linker.convert import write, write_call
from vibayes.backend.numba_linker.scalars import scalar_lines
from vibayes.backend.numba_linker.writer import LONG, Value, Writer, as_tuple, sum_of

__all__: list[str] = []


@write.register(ScalarOp)
def scalar(op: ScalarOp, w: Writer, node: Apply) -> None:
    names = [w.value(v).name for v in node.inputs]
    dtypes = [v.type.dtype for v in node.inputs]
    lines, results = scalar_lines(op, names, dtypes, lambda: w.name("t"), w.function)
    for line in lines:
        w.line(line)
    w.values.update((v, Value(name)) for v, name in zip(node.outputs, results, strict=True))


@write.register(ViewOp)
@write.register(TensorFromScalar)
@write.register(ScalarFromTensor)
def same(op: Any, w: Writer, node: Apply) -> None:
    w.values[node.outputs[0]] = w.value(node.inputs[0])


@write.register(DeepCopyOp)
def copy(op: DeepCopyOp, w: Writer, node: Apply) -> None:
    (x,), (v,) = node.inputs, node.outputs
    if not isinstance(v.type, TensorType):
        write_call(op, w, node)
        return
    value = w.value(x)
    is_fixed = value.is_number or value.elements is not None
    w.values[v] = value if is_fixed else w.copied(value, v.type.dtype)


# -- shapes ---------------------------------------------------------------------------------------


@write.register(DimShuffle)
def dim_shuffle(op: DimShuffle, w: Writer, node: Apply) -> None:
    value = w.readable(node.inputs[0])
    for axis in op.drop:
        if value.lengths[axis] != "1":
            w.line(f"check_equal({value.lengths[axis]}, 1)")
    order = [None if axis == "x" else axis for axis in op.new_order]
    w.values[node.outputs[0]] = replace(
        value,
        lengths=tuple("1" if axis is None else value.lengths[axis] for axis in order),
        axes=tuple(None if axis is None else value.axes[axis] for axis in order),
    )


@write.register(Reshape)
def reshape(op: Reshape, w: Writer, node: Apply) -> None:
    (x, _), (v,) = node.inputs, node.outputs
    shape = shape_of(w, node.inputs[1], v.type.ndim)
    value = w.readable(x)
    if all(n == "1" for n in shape) and value.is_number and set(value.lengths) <= {"1"}:
        w.values[v] = replace(value, lengths=shape, axes=(None,) * len(shape))
        return
    name = w.as_array(value, x.type.dtype)
    if not (value.is_contiguous and value.is_in_order):
        name = f"np.ascontiguousarray({name})"
    if not shape:
        w.values[v] = Value(w.assigned("t", f"{name}.item()"))
        return
    name = w.assigned("a", f"{name}.reshape({as_tuple(shape)})")
    known = [None if "-" in n else n for n in shape]
    w.values[v] = replace(w.new_value(v, name, known), is_contiguous=True)


def shape_of(w: Writer, v: Variable, ndim: int) -> tuple[str, ...]:
    """Return the lengths in a vector."""
    value = w.value(v)
    if value.elements is None and not value.lengths[0].isdigit():
        value = replace(value, lengths=(str(ndim),))
        return tuple(w.assigned("n", f"int({value.at([str(i)])})") for i in range(ndim))
    return w.elements(v)


@write.register(Shape)
def shape(op: Shape, w: Writer, node: Apply) -> None:
    (v,), lengths = node.outputs, w.value(node.inputs[0]).lengths
    w.values[v] = Value("", (str(len(lengths)),), (0,), 1, elements=lengths)


@write.register(Shape_i)
def length(op: Shape_i, w: Writer, node: Apply) -> None:
    w.values[node.outputs[0]] = Value(w.value(node.inputs[0]).lengths[op.i])


@write.register(SpecifyShape)
def specify_shape(op: SpecifyShape, w: Writer, node: Apply) -> None:
    x, *shape = node.inputs
    value = w.readable(x)
    lengths = list(value.lengths)
    for axis, v in enumerate(shape):
        if not is_none(v):
            wanted = w.length(v)
            if wanted != lengths[axis]:
                w.line(f"check_equal({lengths[axis]}, {wanted})")
            lengths[axis] = wanted if wanted.isdigit() else lengths[axis]
    w.values[node.outputs[0]] = replace(value, lengths=tuple(lengths))


@write.register(Alloc)
def alloc(op: Alloc, w: Writer, node: Apply) -> None:
    (x, *_), (v,) = node.inputs, node.outputs
    lengths = tuple(w.length(n) for n in node.inputs[1:])
    value = w.readable(x)
    added = len(lengths) - len(value.lengths)
    for own, wanted in zip(value.lengths, lengths[added:], strict=True):
        if own not in ("1", wanted):
            w.line(f"check_equal({own}, {wanted})")
    spread = replace(
        value,
        lengths=lengths,
        axes=(
            *[None] * added,
            *(a if n != "1" else None for a, n in zip(value.axes, value.lengths, strict=True)),
        ),
    )
    # a number stays what it is, whatever becomes of the memory that an array lies in
    w.values[v] = spread if value.is_number else w.copied(spread, v.type.dtype)


@write.register(AllocEmpty)
def alloc_empty(op: AllocEmpty, w: Writer, node: Apply) -> None:
    (v,) = node.outputs
    w.values[v] = w.new_array(v.type.dtype, [w.length(n) for n in node.inputs], v)


@write.register(MakeVector)
def make_vector(op: MakeVector, w: Writer, node: Apply) -> None:
    (v,) = node.outputs
    count = str(len(node.inputs))
    if v.type.dtype == "int64" and all(u.type.dtype == "int64" for u in node.inputs):
        elements = tuple(w.length(u) for u in node.inputs)
        w.values[v] = Value("", (count,), (0,), 1, elements=elements)
        return
    array = w.values[v] = w.new_array(v.type.dtype, [count], v)
    for i, u in enumerate(node.inputs):
        w.line(f"{array.name}[{i}] = {w.number(u)}")


@write.register(Join)
def join(op: Join, w: Writer, node: Apply) -> None:
    (v,) = node.outputs
    axis = getattr(op, "axis", None)
    inputs = node.inputs
    if axis is None:  # before PyTensor 3.1
        axis, inputs = node.inputs[0], node.inputs[1:]
        if not isinstance(axis, Constant):
            write_call(op, w, node)
            return
        axis = int(axis.data) % v.type.ndim
    values = [w.readable(u) for u in inputs]
    lengths = list(values[0].lengths)
    for value in values[1:]:
        for k, (own, first) in enumerate(zip(value.lengths, lengths, strict=True)):
            if k != axis and own != first:
                w.line(f"check_equal({own}, {first})")
    ends, end = [], "0"
    for value in values:
        end = added(w, end, value.lengths[axis])
        ends.append(end)
    lengths[axis] = end
    array = w.values[v] = w.new_array(v.type.dtype, lengths, v)
    for value, start in zip(values, ["0", *ends], strict=False):
        with w.loops(value.lengths) as index:
            place = list(index)
            place[axis] = index[axis] if start == "0" else f"{index[axis]} + {start}"
            if lengths[axis] == "1":
                place[axis] = "0"
            w.line(f"{array.at(place)} = {value.at(index)}")


def added(w: Writer, first: str, second: str) -> str:
    """Return the sum of two lengths."""
    if first == "0":
        return second
    total = sum_of(first, second)
    return total if total.isdigit() else w.assigned("n", total)


# -- parts of arrays ------------------------------------------------------------------------------


@write.register(Subtensor)
def part(op: Subtensor, w: Writer, node: Apply) -> None:
    (x, *indices), (v,) = node.inputs, node.outputs
    value = w.readable(x)
    index = basic_index(w, op, value, indices)
    if value.is_number and v.type.ndim == 0:
        w.values[v] = Value(value.name)
    else:
        w.values[v] = taken(w, value, index, v)


@write.register(Split)
def split(op: Split, w: Writer, node: Apply) -> None:
    x, *axes, sizes = node.inputs
    axis = axes[0] if axes else op.axis  # the former before PyTensor 3.1
    axis = axis.data if isinstance(axis, Constant) else axis
    counts = np.atleast_1d(sizes.data).tolist() if isinstance(sizes, Constant) else []
    is_known = not isinstance(axis, Variable) and len(counts) == len(node.outputs)
    if not is_known or min(counts) < 0:
        write_call(op, w, node)
        return
    axis, value, total = int(axis) % x.type.ndim, w.readable(x), str(sum(counts))
    if value.lengths[axis] != total:
        w.line(f"check_equal({value.lengths[axis]}, {total})")
    lengths = (*value.lengths[:axis], total, *value.lengths[axis + 1 :])
    value, end = replace(value, lengths=lengths), 0
    for v, count in zip(node.outputs, counts, strict=True):
        start, end = end, end + count
        w.values[v] = taken(w, value, [*[":"] * axis, f"{start}:{end}"], v)


def taken(w: Writer, value: Value, index: Sequence[str], v: Variable) -> Value:
    """Return the part of a value that an index takes, which a variable is."""
    part = part_of(w, value, index) if value.ndim else None
    if part is not None:
        return part if part.lengths else Value(w.assigned("x", part.at(())))
    value = w.viewed(value)
    view = f"{w.as_array(value, v.type.dtype)}[{', '.join(index)}]"
    if v.type.ndim == 0:
        return Value(w.assigned("x", view))
    made = w.new_value(v, w.assigned("a", view), lengths_of_part(value, index))
    is_block = value.is_contiguous and value.is_plain and is_one_block(index)
    return replace(made, is_contiguous=is_block)


def part_of(w: Writer, value: Value, index: Sequence[str]) -> Value | None:
    """Return a part of an array as the array itself, read from where the part begins.

    A view would be one more array for a compiler to make, and to count references of. Long slices
    are views: a loop along one that does not begin at zero is not vectorized.
    """
    entries = [*index, *[":"] * (len(value.lengths) - len(index))]
    begin = list(value.begin) or [""] * value.ndim
    lengths, axes = [], []
    for text, length, own in zip(entries, value.lengths, value.axes, strict=True):
        is_slice, start = ":" in text, text
        if is_slice:
            taken = range_of(text, length) if text != ":" else None
            if text != ":" and (taken is None or taken.step != 1 or len(taken) >= LONG):
                return None
            start = "" if taken is None else str(taken.start)
            lengths.append(length if taken is None else str(len(taken)))
            axes.append(own)
        if start and own is not None and (is_slice or length != "1"):
            begin[own] = added(w, begin[own] or "0", start)
    are_last = value.axes == tuple(range(value.ndim))[-len(value.axes) :]
    return replace(
        value,
        lengths=tuple(lengths),
        axes=tuple(axes),
        begin=tuple(begin) if any(begin) else (),
        is_contiguous=value.is_contiguous and are_last and is_one_block(index),
    )


def range_of(text: str, length: str) -> range | None:
    """Return which places a slice takes of an axis, None if that is not known."""
    bounds = [None if t == "" else t.strip("()") for t in text.split(":")]
    if length.isdigit() and all(b is None or b.lstrip("-").isdigit() for b in bounds):
        limits = slice(*(None if b is None else int(b) for b in bounds))
        return range(*limits.indices(int(length)))
    return None


def basic_index(w: Writer, op: Any, value: Value, variables: Sequence[Variable]) -> list[str]:
    """Return the entries of an index, those that are numbers checked."""
    given = iter(variables)

    def number(entry: Any) -> str:
        return "" if entry is None else w.length(next(given))

    index = []
    for axis, entry in enumerate(op.idx_list):
        if isinstance(entry, slice):
            start, stop, step = number(entry.start), number(entry.stop), number(entry.step)
            index.append(f"{start}:{stop}" + (f":{step}" if step else ""))
        else:
            index.append(checked(w, number(entry), value.lengths[axis]))
    return index


def checked(w: Writer, index: str, length: str) -> str:
    """Return an index that is surely within an axis."""
    plain = index.strip("()")
    if length.isdigit() and plain.lstrip("-").isdigit():
        n, i = int(length), int(plain)
        if -n <= i < n:
            return str(i % n)
    return w.assigned("k", f"checked_index({index}, {length})")


def lengths_of_part(value: Value, index: Sequence[str]) -> list[str | None]:
    """Return those lengths of a part that can be told."""
    found: list[str | None] = []
    for axis, length in enumerate(value.lengths):
        text = index[axis] if axis < len(index) else ":"
        if ":" in text:
            known = range_of(text, length) if text != ":" else None
            found.append(length if text == ":" else None if known is None else str(len(known)))
    return found


def is_one_block(index: Sequence[str]) -> bool:
    """Tell whether a part of contiguous memory is contiguous: numbers, then at most one slice."""
    slices = [k for k, text in enumerate(index) if ":" in text]
    return not slices or (slices == [len(index) - 1] and index[-1].count(":") == 1)


@write.register(IncSubtensor)
def changed_part(op: IncSubtensor, w: Writer, node: Apply) -> None:
    (x, y, *indices), (v,) = node.inputs, node.outputs
    whole = w.own(x) if op.inplace else w.copied(w.readable(x), v.type.dtype)
    w.values[v] = whole
    index = basic_index(w, op, whole, indices)
    sign = "=" if op.set_instead_of_inc else "+="
    lengths = lengths_of_part(whole, index)
    value = w.readable(y)
    if not lengths:
        w.line(f"{whole.name}[{', '.join(index)}] {sign} {value.at(['0'] * y.type.ndim)}")
        return
    target = part_of(w, whole, index)
    if target is None:
        name = w.assigned("a", f"{whole.name}[{', '.join(index)}]")
        own = tuple(n or f"{name}.shape[{k}]" for k, n in enumerate(lengths))
        target = Value(name, own, tuple(range(len(own))), len(own))
    known = target.lengths
    check_spread(w, value, known)
    with w.loops(known) as place:
        w.line(f"{target.at(place)} {sign} {spread_at(value, known, place)}")


def check_spread(w: Writer, value: Value, lengths: Sequence[str]) -> None:
    """Write the check that a value can be read along longer axes, or more of them."""
    new = len(lengths) - len(value.lengths)
    for own, wanted in zip(value.lengths, lengths[new:], strict=True):
        if own not in ("1", wanted):
            w.line(f"check_spread({own}, {wanted})")


def spread_at(value: Value, lengths: Sequence[str], index: Sequence[str]) -> str:
    """Return an element by the index of longer axes, or more of them."""
    new = len(lengths) - len(value.lengths)
    own = [
        i if n == wanted else f"min({i}, {n} - 1)"
        for n, wanted, i in zip(value.lengths, lengths[new:], index[new:], strict=True)
    ]
    return value.at(own)


@write.register(AdvancedSubtensor)
def chosen_elements(op: Any, w: Writer, node: Apply) -> None:
    (x, *indices), (v,) = node.inputs, node.outputs
    if not is_by_numbers(op, indices):
        write_call(op, w, node)
        return
    choice = Choice(w, op, w.readable(x), indices)
    result = w.values[v] = w.new_array(v.type.dtype, choice.lengths, v)
    with choice.loops() as (place, chosen):
        w.line(f"{result.at(place)} = {choice.value.at(chosen)}")


@write.register(AdvancedIncSubtensor)
def changed_elements(op: Any, w: Writer, node: Apply) -> None:
    (x, y, *indices), (v,) = node.inputs, node.outputs
    adds = not op.set_instead_of_inc
    if not is_by_numbers(op, indices) or (adds and getattr(op, "ignore_duplicates", False)):
        write_call(op, w, node)
        return
    whole = w.values[v] = w.own(x) if op.inplace else w.copied(w.readable(x), v.type.dtype)
    choice, value = Choice(w, op, whole, indices), w.readable(y)
    check_spread(w, value, choice.lengths)
    with choice.loops() as (place, chosen):
        element = spread_at(value, choice.lengths, place)
        w.line(f"{whole.at(chosen)} {'+=' if adds else '='} {element}")


for name in ("AdvancedSubtensor1", "AdvancedIncSubtensor1"):  # before PyTensor 3.1
    if hasattr(subtensor, name):
        writer = chosen_elements if name == "AdvancedSubtensor1" else changed_elements
        write.register(getattr(subtensor, name))(writer)


def is_by_numbers(op: Any, indices: Sequence[Variable]) -> bool:
    """Tell whether an index is made of whole axes and, side by side, arrays of whole numbers."""
    places = [k for k, entry in enumerate(op.idx_list) if not isinstance(entry, slice)]
    whole = all(entry == slice(None) for entry in op.idx_list if isinstance(entry, slice))
    known = all(isinstance(v.type, TensorType) and v.type.dtype != "bool" for v in indices)
    return whole and known and places == list(range(places[0], places[-1] + 1))


class Choice:
    """Elements of an array that arrays of whole numbers choose.

    Parameters
    ----------
    w
        Writer.
    op
        The operation, for its index.
    value
        The array.
    indices
        The arrays of numbers.

    Attributes
    ----------
    lengths : tuple of str
        Lengths along the axes of what is chosen.
    """

    def __init__(self, w: Writer, op: Any, value: Value, indices: Sequence[Variable]) -> None:
        self.w, self.value = w, value
        self.first = min(k for k, entry in enumerate(op.idx_list) if not isinstance(entry, slice))
        self.numbers = [w.readable(v) for v in indices]
        ndim = max(v.type.ndim for v in indices)
        self.shape = w.broadcast([number.lengths for number in self.numbers], ndim)
        self.last = self.first + len(indices)
        self.lengths = value.lengths[: self.first] + self.shape + value.lengths[self.last :]

    @contextmanager
    def loops(self) -> Iterator[tuple[list[str], list[str]]]:
        """Write loops over what is chosen; the value is its index, and that in the array."""
        w, lengths = self.w, self.value.lengths
        with w.loops(lengths[: self.first]) as before, w.loops(self.shape) as at:
            chosen = [
                w.assigned(
                    "k", f"checked_index({number.at(at[len(at) - len(number.lengths) :])}, {n})"
                )
                for number, n in zip(self.numbers, lengths[self.first : self.last], strict=True)
            ]
            with w.loops(lengths[self.last :]) as after:
                yield [*before, *at, *after], [*before, *chosen, *after]
