"""An updates dictionary as one compiled function of any number of steps.

Each shared variable that an updates dictionary changes becomes recurrent state of one
``pytensor.scan``, so that n steps are one call. The compiled function is pure: it takes the state
and returns the next one, and never touches the shared variables that it was made from. So one
compilation serves every fit that has the same graph, and to go back to an earlier state is to
pass that state again.

At its boundary the state is one flat vector a dtype, beside the random generators: a call costs
about as much however many parameters and optimizer variables there are.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.variable import TensorVariable

from vibayes import interrupts
from vibayes.backend.graphs import integer_input, lift_constants
from vibayes.backend.modes import EVALUATE_MODE, evaluate, safe_from_signals
from vibayes.backend.numba_linker import Repeated, numba_mode
from vibayes.backend.seeds import new_generator
from vibayes.inference.numpy_loop import loop_in_numpy
from vibayes.objectives.base import StepGraph

__all__ = ["CompiledSteps", "State", "all_finite"]


@dataclass(frozen=True)
class State:
    """What a step starts from.

    Attributes
    ----------
    vectors : tuple of numpy.ndarray
        All numbers that a step changes, one vector a dtype.
    generators : tuple of dict
        The states of the random generators.
    windows : tuple of numpy.ndarray
        The data of streamed minibatches, which a step reads and does not change.
    """

    vectors: tuple[np.ndarray, ...]
    generators: tuple[Mapping[str, Any], ...]
    windows: tuple[np.ndarray, ...] = ()

    def is_finite(self) -> bool:
        """Tell whether all numbers are finite."""
        return all(all_finite(v) for v in self.vectors)


def all_finite(vector: np.ndarray) -> bool:
    """Tell whether all numbers of a vector are finite.

    One that is not finite makes their product with themselves so; which reads them once.
    """
    vector = np.asarray(vector)
    return math.isfinite(np.vdot(vector, vector)) or bool(np.isfinite(vector).all())


@dataclass(frozen=True)
class StatePart:
    """Where a shared variable lies in the state: which vector, and which part of it."""

    vector: int
    start: int
    stop: int
    shape: tuple[int, ...]

    def of(self, vectors: Sequence[Any]) -> Any:
        """Return this part of the given vectors, numeric or symbolic."""
        values = vectors[self.vector][self.start : self.stop]
        return values if len(self.shape) == 1 else values.reshape(self.shape)


class CompiledSteps:
    """A compiled function of n steps.

    Parameters
    ----------
    graph : StepGraph
        What changes in a step, and the loss.
    mode
        PyTensor mode.

    Attributes
    ----------
    numbers : list of SharedVariable
        The tensors that a step changes.
    generators : list of SharedVariable
        The random generators that a step advances.
    windows : list of SharedVariable
        The windows of streamed minibatches that a step reads.
    source : str or None
        The Python function that Numba compiles, once it is made.
    compile_seconds : float
        Time that building and compiling took, 0 until :meth:`compile` is done.
    """

    def __init__(self, graph: StepGraph, mode: Any) -> None:
        self.mode = mode
        self.has_loss = graph.loss is not None
        self.compile_seconds = 0.0
        self._graph: StepGraph | None = with_default_updates(graph)
        keys = list(self._graph.updates)
        self.generators = [k for k in keys if isinstance(k.type, RandomType)]
        self.numbers = [k for k in keys if not isinstance(k.type, RandomType)]
        self.own_generators = [k for k in self.generators if k in graph.updates]
        self.windows = windows_in(self._graph)
        self.dtypes, self.parts = lay_out(self.numbers)
        self.start_values = {
            k: getattr(k.tag, "start_value", k.get_value(borrow=True)).copy() for k in self.numbers
        }
        self.source: str | None = None
        self.function: Any = None
        self.lock = threading.Lock()
        self._buffers = [new_generator(0) for _ in self.generators]
        self._at: Sequence[Mapping[str, Any]] = ()  # where these stand, if that is known

    # -- state --------------------------------------------------------------------------------

    def state(
        self,
        values: Mapping[SharedVariable, np.ndarray],
        generators: Mapping[SharedVariable, np.random.Generator],
    ) -> State:
        """Return a state.

        Parameters
        ----------
        values
            Values of the tensors; those left out take the value that they had when the graph
            was built.
        generators
            Random generators, all of them.

        Streamed minibatches show their first rows.
        """
        vectors = [np.empty(self._length(i), dtype) for i, dtype in enumerate(self.dtypes)]
        for key, part in self.parts.items():
            value = values.get(key, self.start_values[key])
            vectors[part.vector][part.start : part.stop] = np.ravel(value)
        states = [self.generator_state(generators[k]) for k in self.generators]
        windows = [window.get_value(borrow=True) for window in self.windows]
        return State(tuple(vectors), tuple(states), tuple(windows))

    def generator_state(self, generator: np.random.Generator) -> Mapping[str, Any]:
        """Return what stands for a random generator in a state."""
        return generator.bit_generator.state

    def value(self, state: State, key: SharedVariable) -> np.ndarray:
        """Return the value of a tensor in a state: a view, not to be written to."""
        return self.parts[key].of(state.vectors)

    def _length(self, vector: int) -> int:
        return max(p.stop for p in self.parts.values() if p.vector == vector)

    # -- compiled function --------------------------------------------------------------------

    def run(self, state: State, n: int) -> tuple[State, np.ndarray]:
        """Return the state after n steps from a state, and the loss of each step."""
        with self.lock:
            self._go_to(state.generators)
            outputs = self.function(np.int64(n), *state.vectors, *self._buffers, *state.windows)
            # each output vector is new memory: nothing that a caller holds is ever overwritten
            count = len(state.vectors)
            vectors = tuple(outputs[:count])
            advanced = outputs[count : count + len(self._buffers)]
            self._at = states = tuple(g.bit_generator.state for g in advanced)
        losses = outputs[-1] if self.has_loss else np.full(n, np.nan)
        return State(vectors, states, state.windows), losses

    def _go_to(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Let the generators stand where a state has them."""
        before, self._at = self._at, ()
        if states is not before:
            for generator, at in zip(self._buffers, states, strict=True):
                generator.bit_generator.state = at

    @property
    def reports(self) -> bool:
        """Whether this process is the one that tells how the fit goes."""
        return True

    def agreed(self, n: int) -> int:
        """Return the least of n over all processes that take the same steps; see ``JaxSteps``."""
        return n

    def evaluate(
        self,
        outputs: Sequence[Variable],
        givens: Mapping[Variable, np.ndarray],
        generators: Sequence[SharedVariable],
        state: State,
    ) -> list[np.ndarray]:
        """Return the values of expressions that draw from the generators of a state.

        Parameters
        ----------
        outputs
            Expressions.
        givens
            Values of shared variables in them.
        generators
            Their random generators, in the order of the fit's own ones in a step.
        state
            The state.
        """
        values = dict(givens)
        for generator, at in zip(generators, self.own_states(state), strict=True):
            values[generator] = new_generator(0)
            values[generator].bit_generator.state = at
        inputs = {shared: shared.type() for shared in values}
        replaced = graph_replace(list(outputs), inputs, strict=False)
        return evaluate(replaced, {inputs[shared]: value for shared, value in values.items()})

    def own_states(self, state: State) -> list[Mapping[str, Any]]:
        """Return the states of the generators that belong to the fit, not to the model."""
        pairs = zip(self.generators, state.generators, strict=True)
        return [at for key, at in pairs if key in self.own_generators]

    def compile(self, state: State) -> None:
        """Compile, unless that is done; ``state`` is used for a first call and not changed."""
        if self.function is not None or self._graph is None:
            return
        began = time.perf_counter()
        self.function = self._build(self._graph)
        try:
            self.run(state, 1)  # linkers that compile lazily do so at the first call
        except BaseException:
            self.function = None
            raise
        self._graph = None
        self.compile_seconds = time.perf_counter() - began

    def _build(self, graph: StepGraph) -> Any:
        keys = [*self.numbers, *self.generators]
        targets = lift_constants(next_values(graph, keys))
        if self.mode is EVALUATE_MODE:
            return self._in_numpy(targets)
        with interrupts.interruptible():
            function = (
                self._in_one_function(targets)
                if self.mode is numba_mode()
                else self._scanned(targets)
            )
        return safe_from_signals(function, self.mode)

    def _in_one_function(self, targets: list[Variable]) -> Any:
        """Return a function whose loop and operations Numba compiles as one."""
        function = Repeated(
            self.numbers, self.generators, self.windows, targets, self.parts, self.dtypes
        )
        self.source = function.source
        return function

    def _scanned(self, targets: list[Variable]) -> Any:
        """Return a function that is a scan, compiled in the mode that was asked for."""
        keys = [*self.numbers, *self.generators]

        def step(*args: Variable) -> list[Variable]:
            inner = dict(zip([*keys, *self.windows], args, strict=True))
            return graph_replace(targets, inner, strict=False)

        n, n_steps = integer_input("n")
        vectors = [
            pt.vector(f"state_{dtype}", dtype=dtype, shape=(self._length(i),))
            for i, dtype in enumerate(self.dtypes)
        ]
        generators = [key.type() for key in self.generators]
        windows = [window.type() for window in self.windows]
        first = [self.parts[key].of(vectors) for key in self.numbers]
        traces = pytensor.scan(
            step,
            outputs_info=[*first, *generators, *([None] if self.has_loss else [])],
            non_sequences=windows,
            n_steps=n_steps,
            return_updates=False,
        )
        traces = traces if isinstance(traces, list) else [traces]
        count = len(self.numbers)
        last = {key: trace[-1] for key, trace in zip(self.numbers, traces, strict=False)}
        outputs = [self._join(i, last) for i in range(len(self.dtypes))]
        outputs += traces[count : count + len(generators)]
        outputs += traces[count + len(generators) :]
        inputs = [n, *vectors, *(pytensor.In(g, mutable=True, borrow=True) for g in generators)]
        inputs += windows
        return pytensor.function(inputs, outputs, mode=self.mode, trust_input=True)

    def _in_numpy(self, targets: list[Variable]) -> Any:
        """Return a function of the same arguments and results without a compiler."""
        loop = loop_in_numpy([*self.numbers, *self.generators], self.windows, targets)
        count, numbers = len(self.dtypes), len(self.numbers)

        def function(n: int, *args: Any) -> list[Any]:
            vectors, rest = args[:count], args[count:]
            values = [self.parts[key].of(vectors) for key in self.numbers]
            generators, windows = rest[: len(self.generators)], rest[len(self.generators) :]
            after, losses = loop(int(n), [*values, *generators], list(windows))
            last = dict(zip(self.numbers, after, strict=False))
            joined = [
                np.concatenate([v.ravel() for v in self._of_vector(i, last)]) for i in range(count)
            ]
            return [*joined, *after[numbers:], losses]

        return function

    def _of_vector(self, vector: int, values: Mapping[SharedVariable, Any]) -> list[Any]:
        """Return those values that lie in a vector of the state."""
        return [v for key, v in values.items() if self.parts[key].vector == vector]

    def _join(self, vector: int, values: Mapping[SharedVariable, TensorVariable]) -> TensorVariable:
        return pt.concatenate([v.ravel() for v in self._of_vector(vector, values)])


def lay_out(keys: Sequence[SharedVariable]) -> tuple[list[str], dict[SharedVariable, StatePart]]:
    """Return the dtypes of the state's vectors, and the part of each shared variable."""
    dtypes: list[str] = []
    ends: list[int] = []
    parts = {}
    for key in keys:
        if key.type.dtype not in dtypes:
            dtypes.append(key.type.dtype)
            ends.append(0)
        vector = dtypes.index(key.type.dtype)
        shape = key.get_value(borrow=True).shape
        start, ends[vector] = ends[vector], ends[vector] + int(np.prod(shape, dtype=int))
        parts[key] = StatePart(vector, start, ends[vector], shape)
    return dtypes, parts


def with_default_updates(graph: StepGraph) -> StepGraph:
    """Add the default updates of the shared variables in a graph, minibatch indices for one."""
    updates = dict(graph.updates)
    todo = [*updates.values(), *([] if graph.loss is None else [graph.loss])]
    while todo:
        found = {
            v: v.default_update
            for v in ancestors(todo)
            if isinstance(v, SharedVariable)
            and getattr(v, "default_update", None) is not None
            and v not in updates
        }
        updates |= found
        todo = list(found.values())
    return StepGraph(updates, graph.loss)


def windows_in(graph: StepGraph) -> list[SharedVariable]:
    """Return the windows of streamed minibatches that a step reads."""
    targets = [*graph.updates.values(), *([] if graph.loss is None else [graph.loss])]
    return [v for v in ancestors(targets) if hasattr(v.tag, "streamed")]


def next_values(graph: StepGraph, keys: Sequence[SharedVariable]) -> list[Variable]:
    """Return what shared variables are after a step, and the loss if there is one."""
    values = [as_next_value(key, graph.updates[key]) for key in keys]
    return values if graph.loss is None else [*values, graph.loss]


def as_next_value(key: SharedVariable, update: Variable) -> Variable:
    """Return an update as a variable of exactly the type that its shared variable has.

    Raises
    ------
    TypeError
        If the update has another dtype or number of axes.
    """
    if isinstance(key.type, RandomType):
        return update
    update = pt.as_tensor_variable(update)
    if update.type.dtype != key.type.dtype or update.type.ndim != key.type.ndim:
        raise TypeError(
            f"The update of {key.name or key} has type {update.type}, the variable {key.type}"
        )
    return pt.specify_shape(update, key.get_value(borrow=True).shape)


def profiled_step(
    graph: StepGraph, mode: Any, spawn_generator: Callable[[], np.random.Generator]
) -> Any:
    """Return a profiled function of one step, on copies of what the step changes."""
    copies: dict[Variable, SharedVariable] = {}
    for key in graph.updates:
        if isinstance(key.type, RandomType):
            copies[key] = pytensor.shared(spawn_generator(), name=key.name)
        else:
            value = key.get_value()
            copies[key] = pytensor.shared(value, name=key.name, shape=value.shape)
    targets = [as_next_value(key, update) for key, update in graph.updates.items()]
    targets += [] if graph.loss is None else [graph.loss]
    targets = graph_replace(targets, copies, strict=False)
    updates = dict(zip(copies.values(), targets, strict=False))
    return pytensor.function([], targets[len(updates) :], updates=updates, mode=mode, profile=True)
