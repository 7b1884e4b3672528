"""Source of one Python function of a graph, as it grows line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.scalar.basic import ScalarOp, ScalarType
from pytensor.tensor.type import TensorType

from vibayes.backend.numba_linker.scalars import literal
from vibayes.backend.numba_linker.special import special_function

__all__ = ["LONG", "Value", "Writer", "as_tuple", "sum_of"]

LONG = 16  # elements from which on a loop is worth the code of a vectorized one

Kind = tuple[str, tuple[str, ...]]  # dtype and lengths of memory


@dataclass(frozen=True)
class Value:
    """How the source reads a variable.

    Attributes
    ----------
    name : str
        Name of an array, or of a number, or an expression of a constant one.
    lengths : tuple of str
        Length along each axis, as an expression: equal ones are equal lengths.
    axes : tuple of int or None
        Which axis of the array each axis is. Along one that is None all elements are the same.
    ndim : int
        Number of axes of the array; a number has none.
    is_contiguous : bool
        Whether the array is surely one block of memory, in C's order.
    elements : tuple of str, optional
        The numbers in a vector that has no array yet.
    begin : tuple of str
        Where along each axis of the array its part begins, or what the index is along one that
        none of these axes is; empty where it is all of it. A tuple without entries is of these.
    """

    name: str
    lengths: tuple[str, ...] = ()
    axes: tuple[int | None, ...] = ()
    ndim: int = 0
    is_contiguous: bool = False
    elements: tuple[str, ...] | None = None
    begin: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether all elements are one number."""
        return self.ndim == 0 and self.elements is None

    @property
    def is_plain(self) -> bool:
        """Whether the array is the variable, axis by axis."""
        return self.elements is None and self.ndim > 0 and self.axes == tuple(range(self.ndim))

    @property
    def is_in_order(self) -> bool:
        """Whether no axes of the array have changed places."""
        own = [axis for axis in self.axes if axis is not None]
        return own == sorted(own)

    def at(self, indices: Sequence[str]) -> str:
        """Return an element as an expression of its index."""
        if self.ndim == 0:
            return self.name
        own = [start or "0" for start in self.begin or [""] * self.ndim]
        for index, length, axis in zip(indices, self.lengths, self.axes, strict=True):
            if axis is not None and length != "1":
                own[axis] = index if own[axis] == "0" else sum_of(own[axis], index)
        return f"{self.name}[{', '.join(own)}]"


class Writer:
    """Writes the source of a function.

    Parameters
    ----------
    order
        The operations of the graph, sorted.
    outputs
        Its results.
    moving
        Variables that differ from step to step; without steps there are none.
    is_call
        Tells whether an operation is a call, whose results may be views of what it is given.
    """

    def __init__(
        self,
        order: Sequence[Apply],
        outputs: Sequence[Variable],
        moving: Collection[Variable],
        is_call: Callable[[Apply], bool],
    ) -> None:
        self.roots = memory_of(order, is_call)
        self.steps = nodes_of_steps(order, moving, self.roots)
        self.order = [n for n in order if n not in self.steps]
        n_setup = len(self.order)
        self.order += [n for n in order if n in self.steps]
        self.last_use = last_uses(self.order, n_setup if moving else None, outputs, self.roots)
        self.clients: dict[Variable, list[Apply]] = defaultdict(list)
        for node in order:
            for v in node.inputs:
                self.clients[v].append(node)
        self.outputs = set(outputs)
        self.values: dict[Variable, Value] = {}
        self.same: dict[Variable, Variable] = {}  # inputs that are results of other operations
        # for results, the variable whose place in the state they take, and that place
        self.targets: dict[Variable, tuple[Variable, Value]] = {}
        self.scope: dict[str, Any] = {}
        self.keys: list[str | None] = []
        self.functions: list[str] = []  # sources of those that are written beside
        self.done: set[Apply] = set()
        self.node: Apply | None = None
        self._parts: dict[str, list[str]] = {"setup": [], "step": []}
        self._part = "setup"
        self.depth = self._count = self._now = 0
        self.comment = ""
        self.names_of_setup: set[str] = set()  # names that the setup has
        self._buffers: list[tuple[set[Variable], Kind, str]] = []
        self._free: dict[Kind, list[str]] = defaultdict(list)

    # -- lines --------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Add a line."""
        comment = f"  # {self.comment}" if self.comment else ""
        self._parts[self._part].append("    " * self.depth + text + comment)
        self.comment = ""

    def name(self, letter: str) -> str:
        """Return a new name."""
        self._count += 1
        result = f"{letter}{self._count}"
        if self._part == "setup":
            self.names_of_setup.add(result)
        return result

    def assigned(self, letter: str, expression: str) -> str:
        """Return a new name of the value of an expression."""
        result = self.name(letter)
        self.line(f"{result} = {expression}")
        return result

    def source(self, part: str) -> list[str]:
        """Return the lines of a part."""
        return self._parts[part]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Write the lines of the block to a part of the function."""
        before, self._part = self._part, name
        yield
        self._part = before

    # -- operations ---------------------------------------------------------------------------

    def write(self, write: Callable[[Any, Writer, Apply], None]) -> None:
        """Write all operations, those of a setup first."""
        for k, node in enumerate(self.order):
            self._now = k
            if node not in self.done:  # as part of another
                self.node = node
                self.done.add(node)
                with self.part("step" if node in self.steps else "setup"):
                    self.comment = described(node)
                    write(node.op, self, node)
                    self.comment = ""
            self._release()

    def is_last_use(self, v: Variable) -> bool:
        """Tell whether nothing reads the memory of a variable after the operation at hand."""
        return self._last_use_of(self.roots.get(v, {v})) <= self._now

    def _last_use_of(self, roots: Collection[Variable]) -> int:
        return max(self.last_use.get(r, -1) for r in roots)

    def _release(self) -> None:
        """Let memory that nothing reads any more be used again."""
        kept = []
        for roots, kind, name in self._buffers:
            if self._last_use_of(roots) > self._now:
                kept.append((roots, kind, name))
            else:
                self._free[kind].append(name)
        self._buffers = kept

    # -- values -------------------------------------------------------------------------------

    def value(self, v: Variable) -> Value:
        """Return how to read a variable."""
        v = self.same.get(v, v)
        if v not in self.values:
            self.values[v] = self._constant(v)
        return self.values[v]

    def _constant(self, v: Variable) -> Value:
        if not isinstance(v, Constant):
            raise ValueError(f"{v} is neither computed nor an input")
        if not isinstance(v.type, TensorType | ScalarType):
            return Value(self.known(v.data, "c"))
        array = np.asarray(v.data)
        lengths = tuple(map(str, array.shape))
        if array.size == 1 and v.type.dtype != "float16":
            return Value(literal(array, v.type.dtype), lengths, (None,) * array.ndim)
        if array.ndim == 1 and array.dtype == "int64" and array.size <= 8:
            return Value("", lengths, (0,), 1, elements=tuple(literal(n, "int64") for n in array))
        name = self.known(np.ascontiguousarray(array), "c")
        return Value(name, lengths, tuple(range(array.ndim)), array.ndim, True)

    def known(self, thing: Any, letter: str, key: str | None = "") -> str:
        """Return the name under which the function knows a constant, or a function.

        Parameters
        ----------
        thing
            What it is.
        letter
            The name begins with it.
        key
            What tells it from others; None if nothing does, so that no code is kept. By default
            the value of a constant.
        """
        from pytensor.link.numba.dispatch.basic import cache_key_for_constant

        for (name, other), found in zip(self.scope.items(), self.keys, strict=True):
            if other is thing or (found and found == key):
                return name
        self._count += 1
        name = f"{letter}{self._count}"
        self.names_of_setup.add(name)
        self.scope[name] = thing
        self.keys.append(cache_key_for_constant(thing) if key == "" else key)
        return name

    def number(self, v: Variable) -> str:
        """Return a variable of one element as a number."""
        value = self.readable(v)
        if value.is_number:
            return value.name
        return self.assigned("x", value.at(["0"] * len(value.lengths)))

    def length(self, v: Variable) -> str:
        """Return a whole number as a length, or an index."""
        if isinstance(v, Constant):
            return literal(int(v.data), "int64")
        number = self.number(v)
        return number if v.type.dtype == "int64" else self.assigned("n", f"np.int64({number})")

    def elements(self, v: Variable) -> tuple[str, ...]:
        """Return the numbers in a vector of known length."""
        value = self.value(v)
        if value.elements is not None:
            return value.elements
        if not value.lengths[0].isdigit():
            raise ValueError(f"{v} has no known length")
        count = int(value.lengths[0])
        return tuple(
            value.name if value.is_number else self.assigned("x", value.at([str(i)]))
            for i in range(count)
        )

    def readable(self, v: Variable) -> Value:
        """Return how to read a variable's elements by their index."""
        value = self.value(v)
        if value.elements is None:
            return value
        array = self.new_array(v.type.dtype, value.lengths)
        for i, element in enumerate(value.elements):
            self.line(f"{array.name}[{i}] = {element}")
        return array

    def array(self, v: Variable) -> str:
        """Return a variable as an array of its own axes."""
        return self.as_array(self.readable(v), v.type.dtype)

    def as_array(self, value: Value, dtype: str) -> str:
        """Return a value as an array of its own axes."""
        value = self.viewed(value)
        if value.is_plain:
            return value.name
        if not value.lengths:
            return self.assigned("a", f"np.asarray({value.at(())})")
        if any(a is None and n != "1" for a, n in zip(value.axes, value.lengths, strict=True)) or (
            value.is_number
        ):
            return self.copied(value, dtype).name
        order = [axis for axis in value.axes if axis is not None]
        if value.is_contiguous and value.is_in_order:
            return self.assigned("a", f"with_shape({value.name}, {as_tuple(value.lengths)})")
        first = ", ".join(":" if axis in order else "0" for axis in range(value.ndim))
        permuted = tuple(sorted(order).index(axis) for axis in order)
        view = value.name if len(order) == value.ndim else f"{value.name}[{first}]"
        if permuted != tuple(range(len(order))):
            view = f"{view}.T" if permuted == (1, 0) else f"{view}.transpose({permuted})"
        if None in value.axes:
            new = ", ".join("None" if axis is None else ":" for axis in value.axes)
            view = f"{view}[{new}]"
        return self.assigned("a", view)

    def viewed(self, value: Value) -> Value:
        """Return a value that is all of an array, a view of the one that it is a part of."""
        if not value.begin:
            return value
        lengths = {a: n for a, n in zip(value.axes, value.lengths, strict=True) if a is not None}
        index = [
            (f"{start}:{sum_of(start, lengths[axis])}" if start else ":")
            if axis in lengths
            else start or "0"
            for axis, start in enumerate(value.begin)
        ]
        while index[-1] == ":":
            index.pop()
        kept = sorted(lengths)
        return replace(
            value,
            name=self.assigned("a", f"{value.name}[{', '.join(index)}]"),
            axes=tuple(None if axis is None else kept.index(axis) for axis in value.axes),
            ndim=len(kept),
            begin=(),
        )

    def own(self, v: Variable) -> Value:
        """Return memory that an operation may change in a variable's place."""
        value = self.value(v)
        return value if value.is_plain else self.copied(self.readable(v), v.type.dtype)

    def copied(self, value: Value, dtype: str) -> Value:
        """Return a new array of the same elements."""
        array = self.new_array(dtype, value.lengths)
        self.copy(value, array)
        return array

    def copy(self, value: Value, to: Value) -> None:
        """Copy elements to memory of as many."""
        with self.loops(value.lengths) as index:
            self.line(f"{to.at(index)} = {value.at(index)}")

    @contextmanager
    def loops(self, lengths: Sequence[str]) -> Iterator[list[str]]:
        """Write the lines of the block in loops over all axes; it takes the index."""
        index = []
        depth = self.depth
        for length in lengths:
            index.append("0" if length == "1" else self.name("i"))
            if length != "1":
                self.line(f"for {index[-1]} in range({length}):")
                self.depth += 1
        yield index
        self.depth = depth

    def new_array(self, dtype: str, lengths: Sequence[str], v: Variable | None = None) -> Value:
        """Return a new array, whose elements are anything.

        Where its lengths are the same in each step, so is its memory.

        Parameters
        ----------
        dtype, lengths
            Of the array.
        v
            The variable that it is for; by default all results of the operation at hand.
        """
        lengths, ndim = tuple(lengths), len(lengths)
        expression = f"new_array({as_tuple(lengths)}, np.{np.dtype(dtype).type.__name__})"
        if all(map(self.is_fixed, lengths)):
            kind = dtype, lengths
            name = self._free[kind].pop() if self._free[kind] else self._in_setup(expression)
            if self.node is not None:
                made = self.node.outputs if v is None else [v]
                self._buffers.append((memory_of_all(made, self.roots), kind, name))
        else:
            name = self.assigned("a", expression)
        return Value(name, lengths, tuple(range(ndim)), ndim, True)

    def take_over(self, old: Variable, new: Variable) -> bool:
        """Let a variable have the memory of another one that is not read again, if it may."""
        value = self.value(old)
        for k, (roots, kind, name) in enumerate(self._buffers):
            fits = name == value.name and kind == (new.type.dtype, value.lengths)
            if fits and self.is_last_use(old) and self._last_use_of(roots) <= self._now:
                self._buffers[k] = self.roots[new], kind, name
                return True
        return False

    def _in_setup(self, expression: str) -> str:
        """Return the name of what is made once."""
        comment, self.comment = self.comment, ""
        depth, self.depth = self.depth, 0
        with self.part("setup"):
            name = self.assigned("a", expression)
        self.comment, self.depth = comment, depth
        return name

    # -- lengths ------------------------------------------------------------------------------

    def new_value(
        self, v: Variable, name: str, lengths: Sequence[str | None] | None = None
    ) -> Value:
        """Return how to read a variable that a name stands for.

        Parameters
        ----------
        v
            The variable.
        name
            The name.
        lengths
            Those lengths that are known, None for others.
        """
        ndim = getattr(v.type, "ndim", 0)
        if not ndim:
            return Value(name)
        found = tuple(
            "1" if static == 1 else length or f"{name}.shape[{axis}]"
            for axis, (static, length) in enumerate(
                zip(v.type.shape, lengths or [None] * ndim, strict=True)
            )
        )
        return Value(name, found, tuple(range(ndim)), ndim)

    def is_fixed(self, length: str) -> bool:
        """Tell whether a length is known before the steps."""
        return length.isdigit() or length.partition(".")[0] in self.names_of_setup

    def function(self, op: Op, node: Apply) -> str:
        """Return the name of the function that does an operation: SciPy's, or PyTensor's."""
        is_scalar = isinstance(op, ScalarOp)  # part of a loop: nothing of its own on the disk
        if is_scalar and (found := special_function(op, node)) is not None:
            return self.known(found[0], "f", found[1])
        from pytensor.link.numba.dispatch.basic import (
            numba_funcify_and_cache_key,
            numba_funcify_ensure_cache,
        )

        convert = numba_funcify_and_cache_key if is_scalar else numba_funcify_ensure_cache
        function, key = convert(op, node=node)
        return self.known(function, "f", key)

    def broadcast(self, shapes: Sequence[Sequence[str]], ndim: int) -> tuple[str, ...]:
        """Return the lengths that operands have together, and check that they fit."""
        result = []
        for axis in range(ndim):
            found: str | None = None
            for shape in shapes:
                length = shape[axis - ndim] if ndim - axis <= len(shape) else "1"
                if length == "1" or length == found:
                    continue
                if found is None or (length.isdigit() and not found.isdigit()):
                    found, length = length, found or length
                if length != found:
                    self.line(f"check_equal({length}, {found})")
            result.append(found or "1")
        return tuple(result)


def memory_of(
    order: Sequence[Apply], is_call: Callable[[Apply], bool]
) -> dict[Variable, set[Variable]]:
    """Return for each computed variable those whose memory it may be, itself among them."""
    roots: dict[Variable, set[Variable]] = {}
    for node in order:
        every = range(len(node.inputs)) if is_call(node) else ()
        for i, v in enumerate(node.outputs):
            shared = {*every, *node.op.view_map.get(i, ()), *node.op.destroy_map.get(i, ())}
            roots[v] = {v} | memory_of_all([node.inputs[k] for k in shared], roots)
    return roots


def memory_of_all(
    variables: Sequence[Variable], roots: Mapping[Variable, set[Variable]]
) -> set[Variable]:
    """Return all variables whose memory any of some may be."""
    return set().union(*(roots.get(v, {v}) for v in variables))


def last_uses(
    order: Sequence[Apply],
    n_setup: int | None,
    outputs: Sequence[Variable],
    roots: Mapping[Variable, set[Variable]],
) -> dict[Variable, int]:
    """Return for each variable the place of the last operation that reads its memory.

    What steps read of the first ``n_setup`` operations, all of them read.
    """
    last: dict[Variable, int] = {}
    for k, node in enumerate(order):
        for v in (*node.inputs, *node.outputs):
            for root in roots.get(v, {v}):
                outlives = n_setup is not None and last.get(root, k) < n_setup <= k
                last[root] = len(order) if outlives else max(k, last.get(root, k))
    for v in outputs:
        last.update(dict.fromkeys(roots.get(v, {v}), len(order)))
    return last


def nodes_of_steps(
    order: Sequence[Apply], moving: Collection[Variable], roots: Mapping[Variable, set[Variable]]
) -> set[Apply]:
    """Return the operations that each step has to do anew.

    Those are what depends on the state, what such an operation changes in place, and what changes
    in place that which such an operation reads.
    """
    steps: set[Apply] = set()
    changed: set[Variable] = set()
    read: set[Variable] = set()
    before = -1
    while moving and len(steps) > before:
        before = len(steps)
        moved = set(moving)
        for node in order:
            places = {i for destroyed in node.op.destroy_map.values() for i in destroyed}
            destroyed = set().union(
                *(roots.get(v, {v}) for v in map(node.inputs.__getitem__, places))
            )
            made = memory_of_all(node.outputs, roots)
            if moved.intersection(node.inputs) or changed & made or read & destroyed:
                steps.add(node)
                moved.update(node.outputs)
                changed |= destroyed
                read |= memory_of_all(node.inputs, roots)
    return steps


def described(node: Apply) -> str:
    """Return what a comment says of an operation."""
    names = [v.name for v in node.outputs if v.name]
    return f"{', '.join(names)}: {node.op}"[:80] if names else str(node.op)[:80]


def sum_of(first: str, second: str) -> str:
    """Return the sum of two lengths, or indices."""
    if first.isdigit() and second.isdigit():
        return str(int(first) + int(second))
    return f"{first} + {second}"


def as_tuple(parts: Sequence[str]) -> str:
    """Return expressions as that of a tuple."""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
