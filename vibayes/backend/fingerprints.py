"""Fingerprints of graphs and values: equal in another process, for what computes the same."""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import os
import struct
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.type import Type
from pytensor.tensor.random.type import RandomType

from vibayes.settings import attributes

__all__ = [
    "HISTORY",
    "VERSIONED",
    "GraphPrint",
    "UnknowableError",
    "exact_fingerprint",
    "fingerprint",
    "graph_fingerprint",
    "in_order",
    "is_foreign",
]

DIGEST_BYTES = 16
PATHS = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
LIBRARIES = tuple(p + os.sep for p in {*PATHS, str(Path(__file__).parents[1])})
OF_CLASSES = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
"""Attributes of classes that change nothing in what they do."""
HISTORY = {
    *("connection_pattern", "imported_by", "removed_by", "trace", "used"),
    *("fake_node", "gufunc", "sig", "ufunc"),
    *("is_arange", "is_non_negative", "is_positive", "jointly_unique_indices", "unique_indices"),
    *("is_diagonal", "is_permutation", "is_selection", "is_tridiagonal"),
}
"""PyTensor's notes of how a graph came to be, and of what it has worked out of it."""
VERSIONED = {"numpy", "pytensor", "scipy", "vibayes", *sys.stdlib_module_names}
"""Packages whose versions, and Python's, stand for their code."""


class UnknowableError(TypeError):
    """A value cannot be told from another by what it is made of."""


class GraphPrint(NamedTuple):
    """What tells a graph from others.

    Attributes
    ----------
    structure : str
        Of the operations, how they are joined, and of single numbers.
    data : list of tuple of str
        Name and fingerprint of each array in it.
    """

    structure: str
    data: list[tuple[str, str]]


def fingerprint(value: Any) -> str:
    """Return a fingerprint of a value: of numbers by value, of functions by code and closure.

    Raises
    ------
    UnknowableError
        If something in it has neither.
    """
    return Feeder().hexdigest_of(value)


def graph_fingerprint(
    outputs: Sequence[Variable],
    inputs: Sequence[Variable] = (),
    changing: Collection[Variable] = (),
) -> GraphPrint:
    """Return the fingerprint of a graph.

    Parameters
    ----------
    outputs
        The graph.
    inputs
        Variables that stand for values to come.
    changing
        Shared variables whose values do not count.
    """
    feeder = Feeder()
    data: list[tuple[str, str]] = []
    feeder.graph(outputs, inputs, changing, data)
    return GraphPrint(feeder.hexdigest(), data)


def exact_fingerprint(fgraph: FunctionGraph) -> str:
    """Return the fingerprint of a graph with all that its rewrites may look at.

    Beside what it computes, those are static shapes, names and notes of its variables.

    Raises
    ------
    UnknowableError
        If there is code in it for which no version of ``VERSIONED`` stands.
    """
    return ExactFeeder().hexdigest_of(fgraph)


def is_foreign(value: Any) -> bool:
    """Tell whether a function or class is of the user's own code, which no version stands for."""
    if isinstance(value, FunctionType):
        path = value.__code__.co_filename
        # functions that a library has made at run time hold what they were made of
        return "<locals>" in value.__qualname__ or not path.startswith(LIBRARIES)
    try:
        path = inspect.getfile(value)
    except (TypeError, OSError):  # of a builtin module, or typed in
        return value.__module__ == "__main__"
    return not path.startswith(LIBRARIES)


class Feeder:
    """Feeds values to a hash function."""

    def __init__(self, inside: Sequence[Any] = ()) -> None:
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._inside = list(inside)  # what is being fed: a value may hold itself

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def hexdigest_of(self, value: Any) -> str:
        self.feed(value)
        return self.hexdigest()

    def apart(self, value: Any) -> str:
        """Return the fingerprint of a part of what is being fed."""
        return type(self)(self._inside).hexdigest_of(value)

    def text(self, *parts: Any) -> None:
        for part in parts:
            content = part if isinstance(part, bytes) else str(part).encode("utf-8", "replace")
            self._hash.update(struct.pack("<Q", len(content)))
            self._hash.update(content)

    def feed(self, value: Any) -> None:
        """Feed anything."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.text(type(value).__name__, value if isinstance(value, bytes) else repr(value))
            return
        for depth, outer in enumerate(self._inside):
            if outer is value:
                self.text("inside", depth)
                return
        self._inside.append(value)
        try:
            self._feed_object(value)
        finally:
            self._inside.pop()

    def whole_graph(self, value: Any) -> None:
        """Feed a graph that is a value itself, with its data."""
        data: list[tuple[str, str]] = []
        self.graph(value.outputs, value.inputs, (), data)
        self.feed(data)

    def _feed_object(self, value: Any) -> None:
        kinds = type(value).__mro__  # isinstance asks each of PyTensor's hundreds of classes
        if isinstance(value, np.ndarray | np.generic):
            self.array(np.asarray(value))
        elif Variable in kinds:
            self.variable(value)
        elif Op in kinds:
            self.op(value)
        elif Type in kinds or isinstance(value, np.dtype):
            self.text(type(value).__name__, repr(value))
        elif FunctionGraph in kinds:
            self.whole_graph(value)
        elif isinstance(value, np.random.Generator):
            self.feed(value.bit_generator.state)
        elif isinstance(value, functools.partial):
            self.text("partial")
            self.feed([value.func, value.args, value.keywords])
        elif isinstance(value, FunctionType):
            self.function(value)
        elif isinstance(value, MethodType):
            self.text("method")
            self.feed([value.__self__, value.__func__])
        elif isinstance(value, BuiltinFunctionType):
            owner = value.__self__
            self.text("builtin", value.__qualname__)
            self.feed(None if isinstance(owner, ModuleType) else owner)
        elif isinstance(value, CodeType):
            self.code(value)
        elif isinstance(value, type):
            self.cls(value)
        elif isinstance(value, ModuleType):
            self.text("module", value.__name__)
        elif isinstance(value, np.ufunc | PurePath | enum.Enum | slice | range):
            self.text(type(value).__name__, value)
        elif isinstance(value, staticmethod | classmethod):
            self.feed(value.__func__)
        elif isinstance(value, property):
            self.feed([value.fget, value.fset, value.fdel])
        elif isinstance(value, Mapping):
            self.unordered("mapping", [self.apart([k, v]) for k, v in value.items()])
        elif isinstance(value, list | tuple):
            self.text(type(value).__name__, len(value))
            for part in value:
                self.feed(part)
        elif isinstance(value, set | frozenset):
            self.unordered("set", [self.apart(v) for v in value])
        else:
            self.instance(value)

    def unordered(self, kind: str, prints: list[str]) -> None:
        self.text(kind, *sorted(prints))

    def array(self, value: np.ndarray) -> None:
        self.text("array", value.dtype.str, value.shape)
        if value.dtype == object:
            for part in value.ravel():
                self.feed(part)
        else:
            self._hash.update(np.ascontiguousarray(value).reshape(-1).view("uint8"))

    def instance(self, value: Any) -> None:
        """Feed an object by its class and attributes."""
        found = attributes(value)
        if not found and not hasattr(value, "__dict__"):
            raise UnknowableError(f"{value!r:.80} of type {type(value).__qualname__}")
        self.cls(type(value))
        self.feed(found)

    # -- code -----------------------------------------------------------------------------------

    def function(self, value: FunctionType) -> None:
        """Feed a function of a library by name, any other by code and what it refers to."""
        if not is_foreign(value):
            self.text("function", value.__module__, value.__qualname__)
            return
        self.text("code")
        self.code(value.__code__)
        self.feed([value.__defaults__, value.__kwdefaults__])
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self.text(name)
            try:
                self.feed(cell.cell_contents)
            except ValueError:  # it is empty yet
                self.text("empty")
        for name in sorted(set(global_names(value.__code__))):
            if name in value.__globals__:
                self.text(name)
                self.feed(value.__globals__[name])

    def code(self, value: CodeType) -> None:
        self.text(value.co_argcount, value.co_kwonlyargcount, value.co_flags, value.co_code)
        self.feed([value.co_names, value.co_freevars, value.co_consts])

    def cls(self, value: type) -> None:
        """Feed a class of a library by name, any other by the code in it."""
        self.text("class", value.__qualname__)
        if not is_foreign(value):
            self.text(value.__module__)
            return
        for name, part in sorted(vars(value).items()):
            if name in OF_CLASSES:
                continue
            self.text(name)
            try:
                self.text(self.apart(part))
            except UnknowableError:  # what makes a class, as a descriptor of a slot
                self.text(type(part).__qualname__)
        self.feed(value.__bases__)

    # -- graphs -----------------------------------------------------------------------------------

    def variable(self, value: Variable) -> None:
        data: list[tuple[str, str]] = []
        self.graph([value], (), (), data)
        self.feed(data)

    def op(self, op: Op) -> None:
        """Feed an operation by its class, its properties, and the graph inside of it."""
        self.cls(type(op))
        inner = getattr(op, "fgraph", None)
        if isinstance(inner, FunctionGraph):
            self.feed(inner)
        props = getattr(op, "__props__", None)
        if props is not None:
            self.feed({name: getattr(op, name) for name in props})
        elif isinstance(inner, FunctionGraph):
            self.feed(getattr(op, "info", None))
        else:
            own = attributes(op).items()
            self.feed({name: v for name, v in own if "cache" not in name and name != "nfunc_spec"})

    def graph(
        self,
        outputs: Sequence[Variable],
        inputs: Sequence[Variable],
        changing: Collection[Variable],
        data: list[tuple[str, str]],
    ) -> None:
        """Feed a graph, but for arrays in it, whose fingerprints are added to a list."""
        numbers: dict[Any, int] = {}
        for variable in inputs:
            numbers[variable] = len(numbers)
            self.text("input", variable.type)
        ops: dict[Op, str] = {}
        for variable in in_order(outputs, numbers):
            numbers[variable] = len(numbers)
            node = variable.owner
            if node is None:
                self.root(variable, changing, data)
                continue
            if node.op not in ops:
                ops[node.op] = type(self)().hexdigest_of(node.op)
            self.text("node", ops[node.op], node.outputs.index(variable))
            self.text(*(numbers[v] for v in node.inputs))
        self.text("outputs", *(numbers[v] for v in outputs))

    def root(
        self, variable: Variable, changing: Collection[Variable], data: list[tuple[str, str]]
    ) -> None:
        """Feed a variable that nothing computes."""
        kind = variable.type
        self.text(type(kind).__name__, getattr(kind, "dtype", ""), getattr(kind, "ndim", ""))
        if isinstance(kind, RandomType) and isinstance(variable, SharedVariable):
            known = getattr(variable.tag, "identity", None)
            self.feed(variable.get_value(borrow=True) if known is None else known)
        elif (
            variable in changing
            or not isinstance(variable, Constant | SharedVariable)
            or getattr(variable, "default_update", None) is not None  # it moves by itself
        ):
            self.text("named", variable.name)
        else:
            is_constant = isinstance(variable, Constant)
            value = variable.data if is_constant else variable.get_value(borrow=True)
            if getattr(value, "size", 1) == 1 or not isinstance(value, np.ndarray):
                self.feed(value)
            else:
                label = f"{variable.name or 'an array'} of shape {value.shape}"
                data.append((label, type(self)().hexdigest_of(value)))


class ExactFeeder(Feeder):
    """Feeds, of a graph, all that its rewrites may look at."""

    def graph(
        self,
        outputs: Sequence[Variable],
        inputs: Sequence[Variable],
        changing: Collection[Variable],
        data: list[tuple[str, str]],
    ) -> None:
        super().graph(outputs, inputs, changing, data)
        for variable in [*inputs, *in_order(outputs, inputs)]:
            self.variable_alone(variable)
            if variable.owner is not None and (found := notes(variable.owner)):
                self.feed(found)

    def variable_alone(self, variable: Variable) -> None:
        """Feed what a variable says beside how it is computed."""
        kind = variable.type
        self.text(type(kind).__qualname__, getattr(kind, "dtype", ""), getattr(kind, "shape", kind))
        self.text(variable.name)
        if found := notes(variable):
            self.feed(found)

    def _feed_object(self, value: Any) -> None:
        if hasattr(value, "toposort") and not isinstance(value, FunctionGraph):  # is frozen
            self.whole_graph(value)
        else:
            super()._feed_object(value)

    def function(self, value: FunctionType) -> None:
        check_is_versioned(value)
        super().function(value)

    def cls(self, value: type) -> None:
        check_is_versioned(value)
        super().cls(value)


def notes(thing: Variable | Apply) -> dict[str, Any]:
    """Return what PyTensor and others have noted of a variable, or of an operation."""
    found = vars(thing.tag)
    return {name: found[name] for name in found.keys() - HISTORY} if len(found) > 1 else {}


def check_is_versioned(value: Any) -> None:
    """Raise if no version stands for a function or class."""
    if is_foreign(value) or value.__module__.partition(".")[0] not in VERSIONED:
        raise UnknowableError(f"{value.__module__}.{value.__qualname__}")


def in_order(outputs: Sequence[Variable], known: Collection[Variable]) -> Iterator[Variable]:
    """Return each variable of a graph once, inputs of an operation before its outputs."""
    seen = set(known)
    stack = [(v, False) for v in reversed(outputs)]
    while stack:
        variable, ready = stack.pop()
        if variable in seen:
            continue
        if ready or variable.owner is None:
            seen.add(variable)
            yield variable
        else:
            stack.append((variable, True))
            stack += [(v, False) for v in reversed(variable.owner.inputs)]


def global_names(code: CodeType) -> Iterator[str]:
    """Return the names of globals that code reads, that of functions within it included."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from global_names(inner)
