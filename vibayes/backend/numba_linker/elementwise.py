"""Elementwise operations and reductions as loops.

A reduction of what an elementwise operation computes is part of the same loop; if nothing else
reads that, it is never kept in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pytensor import scalar as ps
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.elemwise import CAReduce, Elemwise

from vibayes.backend.numba_linker.convert import write, write_call
from vibayes.backend.numba_linker.scalars import (
    as_dtype,
    divisors,
    has_calls,
    has_limits,
    literal,
    scalar_lines,
)
from vibayes.backend.numba_linker.writer import LONG, Value, Writer

__all__: list[str] = []

# of what was found so far, {0}, and a new element, {1}
REDUCTIONS: dict[type, str] = {
    ps.Add: "{0} + {1}",
    ps.Mul: "{0} * {1}",
    ps.AND: "{0} & {1}",
    ps.OR: "{0} | {1}",
    ps.XOR: "{0} ^ {1}",
    ps.Maximum: "{1} if {1} > {0} or {1} != {1} else {0}",
    ps.Minimum: "{1} if {1} < {0} or {1} != {1} else {0}",
}
IN_ANY_ORDER = "simd_add({0}, {1})"  # sums of floats, in loops


@write.register(Elemwise)
def elementwise(op: Elemwise, w: Writer, node: Apply) -> None:
    ndim = node.outputs[0].type.ndim
    inputs = [w.readable(v) for v in node.inputs]
    lengths = w.broadcast([value.lengths for value in inputs], ndim)
    if all(n == "1" for n in lengths):
        results = numbers_of(w, op.scalar_op, node, inputs, ["0"] * ndim)
        for v, name in zip(node.outputs, results, strict=True):
            w.values[v] = Value(name, lengths, (None,) * ndim)
        return
    sums = [
        Reduction(w, client, i, lengths)
        for i, v in enumerate(node.outputs)
        for client in w.clients[v]
        if is_fused(w, node, client)
    ]
    fused = {reduction.node for reduction in sums}
    w.done |= fused
    kept = [i for i, v in enumerate(node.outputs) if is_kept(w, v, fused)]
    axes = list(range(ndim)) if kept else axes_in_memory(inputs, ndim)
    # one by one, C's functions of float32 are quicker
    is_single = any(v.type.dtype == "float32" for v in node.outputs)
    in_loop = is_long(lengths, axes) and not (is_single and has_calls(op.scalar_op))
    flag = w.assigned("u", typed("0")) if in_loop and has_limits(op.scalar_op) else ""
    inverse = reciprocals(w, op.scalar_op, node, inputs, lengths) if in_loop else {}
    operands = list(zip(node.inputs, inputs, strict=True))
    stored: dict[int, Value] = {}
    for i in kept:
        v = node.outputs[i]
        stored[i] = w.values[v] = memory_for(w, operands, v, lengths, may_replace=not flag)

    def write_loops(flag: str) -> None:
        with Loops(w, lengths, axes, sums, in_loop) as index:
            results = numbers_of(w, op.scalar_op, node, inputs, index, in_loop, flag, inverse)
            for i, value in stored.items():
                w.line(f"{value.at(index)} = {results[i]}")
            for reduction in sums:
                reduction.add(results[reduction.position], index)

    write_loops(flag)
    if flag:  # again, with functions that hold for all numbers
        w.line(f"if {flag}:")
        w.depth += 1
        write_loops("")
        w.depth -= 1
    for reduction in sums:
        reduction.finish()


@write.register(CAReduce)
def reduce_elements(op: CAReduce, w: Writer, node: Apply) -> None:
    if not is_known_reduction(node):
        write_call(op, w, node)
        return
    value = w.readable(node.inputs[0])
    reduction = Reduction(w, node, 0, value.lengths)
    ndim = len(value.lengths)
    axes = axes_in_memory([value], ndim)
    in_loop = is_long(value.lengths, axes)
    with Loops(w, value.lengths, axes, [reduction], in_loop) as index:
        reduction.add(value.at(index), index)
    reduction.finish()


def is_kept(w: Writer, v: Variable, fused: Collection[Apply]) -> bool:
    """Tell whether a result is kept in memory: something else than fused reductions reads it."""
    others = [client for client in w.clients[v] if client not in fused]
    return bool(others) or v in w.outputs or not w.clients[v]


def is_fused(w: Writer, node: Apply, client: Apply) -> bool:
    """Tell whether a reduction is part of the loop that computes what it reduces."""
    return is_known_reduction(client) and (node in w.steps) == (client in w.steps)


def is_known_reduction(node: Any) -> bool:
    return (
        isinstance(node.op, CAReduce)
        and type(node.op.scalar_op) in REDUCTIONS
        and not any("complex" in v.type.dtype for v in (*node.inputs, *node.outputs))
    )


def numbers_of(
    w: Writer,
    op: Any,
    node: Apply,
    inputs: Sequence[Value],
    index: Sequence[str],
    in_loop: bool = False,
    flag: str = "",
    inverse: Mapping[int, Value] | None = None,
) -> list[str]:
    """Write an operation on the elements at an index, and return the names of the results.

    ``inverse`` has one over some of the inputs, by their position.
    """

    def read(value: Value) -> str:
        return value.name if value.is_number else w.assigned("x", value.at(index))

    names = [read(value) for value in inputs]
    reciprocals = {names[i]: read(value) for i, value in (inverse or {}).items()}
    lines, results = scalar_lines(
        op,
        names,
        [v.type.dtype for v in node.inputs],
        lambda: w.name("t"),
        lambda inner, inner_node: w.function(inner, inner_node),
        in_loop,
        flag,
        reciprocals,
    )
    for line in lines:
        w.line(line)
    return results


def reciprocals(
    w: Writer, op: Any, node: Apply, inputs: Sequence[Value], lengths: Sequence[str]
) -> dict[int, Value]:
    """Write one over each divisor that many elements have in common, and return how to read it.

    A division takes a processor several times as long as a product.
    """
    result = {}
    for i in divisors(op, [v.type.dtype for v in node.inputs]):
        value, dtype = inputs[i], node.inputs[i].type.dtype
        same = [axis is None or n == "1" for n, axis in zip(value.lengths, value.axes, strict=True)]
        if not any(is_one and n != "1" for is_one, n in zip(same, lengths, strict=True)):
            continue
        own = ["1" if is_one else n for is_one, n in zip(same, value.lengths, strict=True)]
        one = literal(1, dtype)
        if all(n == "1" for n in own):
            name = w.assigned("r", f"{one} / {value.at(['0'] * len(own))}")
            result[i] = Value(name, tuple(own), (None,) * len(own))
            continue
        result[i] = w.new_array(dtype, own)
        with w.loops(own) as index:
            w.line(f"{result[i].at(index)} = {one} / {value.at(index)}")
    return result


def memory_for(
    w: Writer,
    operands: Sequence[tuple[Variable, Value]],
    v: Variable,
    lengths: tuple[str, ...],
    may_replace: bool,
) -> Value:
    """Return where a result is kept: in the state, in the place of an operand, or anew.

    Each element of a result is written after the same element of the operands was read. They stay
    as they are if the result may not replace them.
    """
    if v in w.targets:
        state, target = w.targets[v]
        reads = [(u, value) for u, value in operands if state in w.roots.get(u, {u})]
        fits = target.lengths == lengths and all(r == (state, target) for r in reads)
        if fits and w.is_last_use(state) and (may_replace or not reads):
            return target
    for u, value in operands if may_replace else ():
        alike = all(other == value for _, other in operands if other.name == value.name)
        if value.is_plain and value.lengths == lengths and alike and w.take_over(u, v):
            return value
    return w.new_array(v.type.dtype, lengths, v)


def axes_in_memory(inputs: Sequence[Value], ndim: int) -> list[int]:
    """Return the axes in the order that arrays have them in memory, if all have the same."""
    orders = {
        tuple(sorted(range(ndim), key=[a for a in value.axes if a is not None].__getitem__))
        for value in inputs
        if value.ndim and None not in value.axes
    }
    return list(orders.pop()) if len(orders) == 1 else list(range(ndim))


def is_long(lengths: Sequence[str], axes: Sequence[int]) -> bool:
    """Tell whether the inner one of loops is not known to be short."""
    inner = [lengths[axis] for axis in axes if lengths[axis] != "1"][-1:]
    return any(not n.isdigit() or int(n) >= LONG for n in inner)


class Reduction:
    """A reduction of what is computed in a loop.

    Parameters
    ----------
    w
        Writer.
    node
        The reduction.
    position
        Which of the numbers that the loop computes it reduces.
    lengths
        Of the loop's axes.
    """

    def __init__(self, w: Writer, node: Apply, position: int, lengths: Sequence[str]) -> None:
        ndim = len(lengths)
        op, (v,) = node.op, node.outputs
        self.w, self.node, self.position = w, node, position
        axes = range(ndim) if op.axis is None else [axis % ndim for axis in op.axis]
        self.kept = [axis for axis in range(ndim) if axis not in axes]
        self.reduced = {axis for axis in axes if lengths[axis] != "1"}
        self.lengths = tuple(lengths[axis] for axis in self.kept)
        self.dtype = v.type.dtype
        self.sum_dtype = getattr(op, "acc_dtype", None) or self.dtype
        self.rule = REDUCTIONS[type(op.scalar_op)]
        self.start = typed(literal(identity(op.scalar_op, self.sum_dtype), self.sum_dtype))
        self.array: Value | None = None
        self.sum = self.total = ""  # names; the same where loops are written twice

    def begin(self, axes: Sequence[int], in_loop: bool) -> int | None:
        """Prepare for loops over axes, and return in how many of them the sum is one number.

        None if it is not: then all sums are kept in memory. ``in_loop`` tells whether a compiler
        should vectorize the inner one.
        """
        is_sum = isinstance(self.node.op.scalar_op, ps.Add) and "float" in self.sum_dtype
        if is_sum and in_loop and axes[-1] in self.reduced:
            self.rule = IN_ANY_ORDER
        kept = [axis for axis in axes if axis not in self.reduced]
        inside = len(kept) if list(axes[: len(kept)]) == kept else None
        (v,) = self.node.outputs
        if kept and self.array is None:
            dtype = self.dtype if inside is not None else self.sum_dtype
            self.array = self.w.new_array(dtype, self.lengths, v)
            self.w.values[v] = self.array
        if self.array is not None and inside is None:
            with self.w.loops(self.lengths) as index:
                self.w.line(f"{self.array.at(index)} = {self.start}")
        return inside

    def open(self) -> None:
        """Write what begins a sum."""
        self.sum = self.sum or self.w.name("s")
        self.w.line(f"{self.sum} = {self.start}")

    def add(self, name: str, index: Sequence[str]) -> None:
        """Write what adds an element."""
        name = as_dtype(name, self.node.inputs[0].type.dtype, self.sum_dtype)
        place = self.sum or self._at(index)
        if not self.sum:
            found = self.w.assigned("s", place)
            self.w.line(f"{place} = {self.rule.format(found, name)}")
        else:
            self.w.line(f"{place} = {self.rule.format(place, name)}")

    def close(self, index: Sequence[str]) -> None:
        """Write what ends a sum."""
        if not self.sum:
            return
        result = as_dtype(self.sum, self.sum_dtype, self.dtype)
        if self.array is not None:
            self.w.line(f"{self._at(index)} = {result}")
        else:
            if result != self.sum:
                self.total = self.total or self.w.name("t")
                self.w.line(f"{self.total} = {result}")
            (v,) = self.node.outputs
            name = self.total or self.sum
            self.w.values[v] = Value(name, self.lengths, (None,) * len(self.lengths))

    def finish(self) -> None:
        """Write what comes after all loops."""
        (v,) = self.node.outputs
        if self.array is not None and not self.sum and self.sum_dtype != self.dtype:
            result = self.w.new_array(self.dtype, self.lengths, v)
            with self.w.loops(self.lengths) as index:
                found = as_dtype(self.array.at(index), self.sum_dtype, self.dtype)
                self.w.line(f"{result.at(index)} = {found}")
            self.w.values[v] = result

    def _at(self, index: Sequence[str]) -> str:
        assert self.array is not None
        return self.array.at([index[axis] for axis in self.kept])


class Loops:
    """Loops over axes in a given order, with what the reductions in them begin and end with.

    It is a context, whose value is the index of an element.
    """

    def __init__(
        self,
        w: Writer,
        lengths: Sequence[str],
        axes: Sequence[int],
        sums: Sequence[Reduction],
        in_loop: bool,
    ) -> None:
        self.w, self.sums, self.in_loop = w, sums, in_loop
        self.index = ["0"] * len(lengths)
        self.lengths = lengths
        self.axes = [axis for axis in axes if lengths[axis] != "1"]

    def __enter__(self) -> list[str]:
        w = self.w
        self.inside = [reduction.begin(self.axes, self.in_loop) for reduction in self.sums]
        for depth in range(len(self.axes) + 1):
            for reduction, inside in zip(self.sums, self.inside, strict=True):
                if inside == depth:
                    reduction.open()
            if depth < len(self.axes):
                axis = self.axes[depth]
                self.index[axis] = w.name("i")
                w.line(f"for {self.index[axis]} in range({self.lengths[axis]}):")
                w.depth += 1
        return self.index

    def __exit__(self, *_: object) -> None:
        for depth in range(len(self.axes), -1, -1):
            for reduction, inside in zip(self.sums, self.inside, strict=True):
                if inside == depth:
                    reduction.close(self.index)
            if depth:
                self.w.depth -= 1


def typed(number: str) -> str:
    """Return a literal as an expression of its type.

    Numba gives True, or 0, a type of its own until it has seen what else the name stands for. A
    function to which the name is given is compiled for both.
    """
    if number in ("True", "False"):
        return f"np.bool_({number})"
    return f"np.int64({number})" if number.lstrip("(-").rstrip(")").isdigit() else number


def identity(op: Any, dtype: str) -> Any:
    """Return what a reduction begins with."""
    start, kind = op.identity, np.dtype(dtype).kind
    if np.isfinite(start) or kind == "f":
        return np.asarray(start).astype(dtype)
    if kind == "b":
        return start > 0
    limits = np.iinfo(dtype)
    return limits.max if start > 0 else limits.min
