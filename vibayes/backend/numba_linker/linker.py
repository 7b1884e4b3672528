"""The linker, and steps in a loop: a graph as one function that Numba compiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from operator import is_
from typing import Any

import numpy as np
from pytensor import config
from pytensor.compile.aliasing import add_supervisor_to_fgraph
from pytensor.compile.io import In
from pytensor.compile.mode import Mode, get_mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.features import PreserveVariableAttributes
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.linker import NumbaLinker
from pytensor.tensor.type import TensorType

from vibayes.backend.graphs import fixed_parts
from vibayes.backend.numba import register_numba_versions
from vibayes.backend.numba_linker.convert import is_call, write
from vibayes.backend.numba_linker.elementary import simd_functions
from vibayes.backend.numba_linker.generators import addresses_of, generator_at
from vibayes.backend.numba_linker.helpers import helpers
from vibayes.backend.numba_linker.normals import standard_normal
from vibayes.backend.numba_linker.split import split
from vibayes.backend.numba_linker.writer import Value, Writer
from vibayes.backend.rewriting import InterpretedRewrites
from vibayes.backend.settings import EXACT_ARITHMETIC, WITHOUT_TRACES

__all__ = ["OneFunctionLinker", "Repeated", "numba_mode"]

VERSION = 6  # of the code that is written for an operation: what is kept on disk depends on it
INDENT = "    "


class OneFunctionLinker(NumbaLinker):
    """Linker that makes one function of a graph."""

    incompatible_rewrites = (
        *NumbaLinker.incompatible_rewrites,
        "fuse_indexed_into_elemwise",  # for PyTensor's functions: reductions are fused here
        "inplace_elemwise",  # takes most of the time of all rewrites: memory is shared out here
    )

    def fgraph_convert(self, fgraph: FunctionGraph, order: Any = None, **kwargs: Any) -> Any:
        """Return the graph as a compiled function."""
        return graph_function(fgraph.inputs, fgraph.outputs, order or fgraph.toposort())

    def jit_compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is."""
        return function


@cache
def numba_mode() -> Mode:
    """Return PyTensor's numba mode with this linker."""
    register_numba_versions()
    return InterpretedRewrites(OneFunctionLinker(), get_mode("NUMBA").provided_optimizer)


def graph_function(
    inputs: Sequence[Variable], outputs: Sequence[Variable], order: Sequence[Any]
) -> Callable[..., Any]:
    """Return a compiled function of the values of a graph's inputs, to a tuple of its outputs."""
    w = Writer(order, outputs, (), is_call)
    names = [f"input{i}" for i in range(len(inputs))]
    for v, name in zip(inputs, names, strict=True):
        w.values[v] = argument(w, v, name)
    with EXACT_ARITHMETIC:
        w.write(write)
        results = [
            w.array(v) if isinstance(v.type, TensorType) else w.value(v).name for v in outputs
        ]
        last = f"return ({''.join(f'{name}, ' for name in results)})"
        return compiled("graph", names, [*in_parts("part", w.source("setup"), [last], w), last], w)


def argument(w: Writer, v: Variable, name: str) -> Value:
    """Return how to read an argument of a function."""
    w.names_of_setup.add(name)
    if isinstance(v.type, TensorType) and v.type.ndim == 0:
        return Value(w.assigned("x", f"{name}.item()"))
    return w.new_value(v, name)


class Repeated:
    """A graph of one step as a compiled function of n steps.

    What a step computes of the data alone is computed once, before the first one.

    Parameters
    ----------
    numbers
        Tensors that a step changes.
    generators
        Random generators that it advances, where they are.
    windows
        Tensors that it reads, other ones at each call.
    targets
        The values of ``numbers`` and ``generators`` after a step, and the loss if there is one.
    parts : dict
        For each of ``numbers`` its place in the vectors of a state: ``vector``, ``start``,
        ``stop`` and ``shape``.
    dtypes
        Dtypes of these vectors.

    Attributes
    ----------
    source : str
        The function. Comments name operations, and variables that have names.
    """

    def __init__(
        self,
        numbers: Sequence[SharedVariable],
        generators: Sequence[SharedVariable],
        windows: Sequence[SharedVariable],
        targets: Sequence[Variable],
        parts: Mapping[SharedVariable, Any],
        dtypes: Sequence[str],
    ) -> None:
        known = {*numbers, *generators, *windows}
        found = [v for v in ancestors(list(targets)) if isinstance(v, SharedVariable)]
        self.data = [v for v in found if v not in known]
        moving: dict[Variable, Variable] = {
            v: v.type.clone(shape=parts[v].shape)(v.name) for v in numbers
        }
        moving |= {v: v.type(v.name) for v in generators}
        read = {v: v.type(v.name) for v in [*windows, *self.data]}
        fixed = fixed_parts(targets, list(moving))
        known_parts = {v: v.type(v.name) for v in fixed}
        first = rewritten([], list(read.values()), graph_replace(fixed, read, strict=False))
        step = rewritten(
            list(moving.values()),
            [*known_parts.values(), *read.values()],
            graph_replace(list(targets), {**known_parts, **read, **moving}, strict=False),
        )
        with EXACT_ARITHMETIC:
            places = [parts[v] for v in numbers]
            self.code = steps_function(first, step, places, len(generators), dtypes)
        self.source: str = self.code.py_func.__source__
        self.count = len(dtypes), len(dtypes) + len(generators)
        self.has_loss = len(targets) > len(numbers) + len(generators)
        self._generators: tuple[Any, ...] = ()  # those that it was given last
        self._addresses: list[np.ndarray] = []  # where they are
        self._last: list[Any] = []  # what else it was given last beside vectors
        self._entry: Any = None  # the machine code for that

    def __call__(self, n: int, *args: Any) -> Sequence[Any]:
        """Return the vectors of the state after n steps, the generators, and the losses if any."""
        count, end = self.count
        # NumPy asks for large pages of memory, Numba does not
        vectors = [v.copy() for v in args[:count]]
        generators = args[count:end]
        if generators != self._generators:
            self._generators, self._addresses = generators, [addresses_of(g) for g in generators]
        data = [v.get_value(borrow=True) for v in self.data]
        others = [*self._addresses, *args[end:], *data]
        losses = self._code_for(others)(n, *vectors, *others)
        return [*vectors, *generators, *([losses] if self.has_loss else [])]

    def _code_for(self, others: list[Any]) -> Any:
        """Return the function for given data and addresses of generators.

        To find out their types takes Numba as long as many steps: that is spared where they are
        the objects of the last call.
        """
        if not self._last or not all(map(is_, others, self._last)):
            self._last, self._entry = others, None
        elif self._entry is None and len(self.code.overloads) == 1:
            self._entry = next(iter(self.code.overloads.values())).entry_point
        return self._entry or self.code


def rewritten(
    own: Sequence[Variable], read: Sequence[Variable], outputs: Sequence[Variable]
) -> FunctionGraph:
    """Return a graph as it is compiled, which may change its own inputs in place."""
    inputs = [*own, *read]
    fgraph = FunctionGraph(
        inputs, list(outputs), clone=True, features=[PreserveVariableAttributes()]
    )
    specifications = [In(v, borrow=True, mutable=i < len(own)) for i, v in enumerate(inputs)]
    add_supervisor_to_fgraph(fgraph=fgraph, input_specs=specifications, accept_inplace=True)
    with WITHOUT_TRACES:
        numba_mode().optimizer.rewrite(fgraph)
    return fgraph


def steps_function(
    first: FunctionGraph,
    step: FunctionGraph,
    parts: Sequence[Any],
    n_generators: int,
    dtypes: Sequence[str],
) -> Any:
    """Return a compiled function of n steps, which changes vectors and generators in their places.

    Parameters
    ----------
    first : FunctionGraph
        What is computed of the data once.
    step : FunctionGraph
        A step. Its inputs are tensors that change, generators, what ``first`` gives, and its
        inputs; its outputs the former after the step, and the loss if there is one.
    parts
        Where the tensors lie in the vectors of the state.
    n_generators
        Number of generators.
    dtypes
        Dtypes of the vectors.
    """
    count = len(parts)
    moving, others = step.inputs[: count + n_generators], step.inputs[count + n_generators :]
    states, generators = moving[:count], moving[count:]
    known, read = others[: len(first.outputs)], others[len(first.outputs) :]
    results, loss = step.outputs[:count], step.outputs[count + n_generators :]
    order = [*first.toposort(), *step.toposort()]
    w = Writer(order, [*results, *loss, *first.outputs], moving, is_call)
    w.same.update(zip(known, first.outputs, strict=True))
    rngs = [f"rng{i}" for i in range(n_generators)]
    addresses = [f"generator{i}" for i in range(n_generators)]
    w.values.update((v, Value(name)) for v, name in zip(generators, rngs, strict=True))
    names = [f"data{i}" for i in range(len(read))]
    for v, again, name in zip(first.inputs, read, names, strict=True):
        w.values[v] = w.values[again] = argument(w, v, name)
    places = [state_part(w, v, part) for v, part in zip(states, parts, strict=True)]
    w.targets = dict(zip(results, zip(states, places, strict=True), strict=True))
    w.write(write)
    with w.part("step"):
        end_step(w, states, results, places)
        ends = [f"losses[step] = {w.number(v)}" for v in loss]
    vectors = range(len(dtypes))
    lines = [f"{rng} = generator_at({at})" for rng, at in zip(rngs, addresses, strict=True)]
    lines += [f"losses = new_array((n,), np.{v.type.dtype})" for v in loss]
    lines += in_parts("setup", w.source("setup"), w.source("step"), w)
    lines.append("for step in range(n):")
    lines += [INDENT + line for line in [*in_parts("step", w.source("step"), ends, w), *ends]]
    lines += ["return losses"] * len(loss)
    return compiled("steps", ["n", *(f"state{i}" for i in vectors), *addresses, *names], lines, w)


def state_part(w: Writer, v: Variable, part: Any) -> Value:
    """Return where a tensor lies in the state, and have steps read it from there."""
    lengths = tuple(map(str, part.shape))
    vector = f"state{part.vector}"
    w.comment = v.name or ""
    if all(n == "1" for n in lengths):
        place = f"{vector}[{part.start}]"
        with w.part("step"):
            w.values[v] = Value(w.assigned("x", place), lengths, (None,) * len(lengths))
        return Value(place, lengths, (None,) * len(lengths))
    place = f"{vector}[{part.start}:{part.stop}]"
    name = w.assigned("p", f"with_shape({place}, {part.shape})" if len(lengths) > 1 else place)
    w.values[v] = Value(name, lengths, tuple(range(len(lengths))), len(lengths), True)
    return w.values[v]


def end_step(
    w: Writer, states: Sequence[Variable], results: Sequence[Variable], places: Sequence[Value]
) -> None:
    """Write the lines that put the results of a step in the place of what it began from."""
    old = set(states)
    values = []
    for v, place in zip(results, places, strict=True):
        value = w.readable(v)
        if value.ndim and value != place and old & w.roots.get(v, {v}):
            value = w.copied(value, v.type.dtype)  # before what it is read from changes
        values.append(value)
    for value, place in zip(values, places, strict=True):
        if value != place:
            w.copy(value, place)


def in_parts(name: str, lines: Sequence[str], after: Sequence[str], w: Writer) -> list[str]:
    """Return lines, those of a long function as calls of shorter ones."""
    from pytensor.link.numba.cache import compile_numba_function_src
    from pytensor.link.numba.dispatch.basic import numba_njit

    calls, functions = split(lines, after, w.scope, name)
    for own, arguments, body in functions:
        source = "\n".join([f"def {own}({arguments}):", *(INDENT + line for line in body)])
        function = compile_numba_function_src(source, own, {**given(), **w.scope})
        w.functions.append(source)
        w.scope[own] = numba_njit(function, fastmath=False, error_model="numpy")
        w.keys.append(repr(without_comments(body)))
    return calls


def compiled(name: str, arguments: Sequence[str], lines: Sequence[str], w: Writer) -> Any:
    """Return a function of given lines, compiled at its first call."""
    from pytensor.link.numba.cache import compile_numba_function_src
    from pytensor.link.numba.dispatch.basic import numba_njit

    head = f"def {name}({', '.join(arguments)}):"
    key = None
    if config.numba__cache and None not in w.keys:
        told = VERSION, head, without_comments(lines), w.keys  # names make no difference
        key = sha256(repr(told).encode()).hexdigest()
    function = compile_numba_function_src(
        src="\n".join([head, *(INDENT + line for line in lines)]),
        function_name=name,
        # what numba keeps on disk names the module that it came from
        global_env={"__name__": __name__, **given(), **w.scope},
        cache_key=None if key is None else f"{key}_{name}_{__name__}",
    )
    function.__source__ = "\n\n\n".join([*w.functions, function.__source__])
    return numba_njit(
        function,
        fastmath=False,
        error_model="numpy",
        final_function=True,
        cache=key is not None,
        nogil=True,
    )


def without_comments(lines: Sequence[str]) -> list[str]:
    """Return what a compiler reads of lines."""
    return [line.partition("  # ")[0] for line in lines]


@cache
def given() -> dict[str, Any]:
    """Return what each function may call."""
    of_generators = {"generator_at": generator_at(), "standard_normal": standard_normal()}
    return {"np": np, "math": math, **helpers(), **simd_functions(), **of_generators}
