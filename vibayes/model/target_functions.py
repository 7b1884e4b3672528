"""What evaluates a log density at a stack of flat vectors: NumPy, machine code, or JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.evaluation import devices_of_densities
from vibayes.backend.graphs import Work, compiled_graph, with_known_lengths, work_of
from vibayes.backend.jax import JaxDevices, PlacedData, StackFunction
from vibayes.backend.machine_code import StackInMachineCode
from vibayes.backend.modes import AS_IT_IS
from vibayes.backend.numpy_stack import StackInNumpy
from vibayes.backend.plain import PlainFunction
from vibayes.model.by_rows import RowModel
from vibayes.model.coordinates import (
    Standardization,
    VectorGraphs,
    forces_graphs,
    in_numpy,
    values_graphs,
)
from vibayes.model.core import Model
from vibayes.model.data_size import has_many_data, observed_lengths
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of
from vibayes.model.observed import observed_shapes

__all__ = ["DENSITIES", "Functions", "RowFunctions", "compiled", "compiled_by_rows"]

DENSITIES = "logp and gradient", "logp"
"""Functions of the log density."""


def compiled(
    model: Model,
    layout: FlatLayout,
    replacements: Mapping[Variable, Variable] | None,
    variables: tuple[TensorVariable, ...],
) -> Functions:
    """Return functions of a stack of flat vectors; those of the whole data are kept."""
    devices = devices_of_densities()
    make = Functions if devices is None else partial(JaxFunctions, devices)
    if replacements is not None:
        return make(model, layout, replacements, variables, many=False)

    def of_whole_data() -> Functions:
        whole = model.whole_data_replacements()
        return make(model, layout, whole, variables, has_many_data(model))

    return model.compiled(("target", variables, devices), of_whole_data)


def compiled_by_rows(
    rows: RowModel, layout: FlatLayout, variables: tuple[TensorVariable, ...]
) -> RowFunctions:
    """Return functions of a stack of flat vectors, and of rows, which are kept with the model."""
    key = "target by rows", variables, observed_shapes(rows.model)
    return rows.model.compiled(key, lambda: RowFunctions(rows, layout, variables))


class Functions(dict[str, Any]):
    """Functions of a stack of flat vectors, and of facts if variables are made of standard ones.

    Densities are NumPy's, and machine code where that is asked for: of many data, from the start.
    What not every target needs is made when it is first asked for.
    """

    def __init__(
        self,
        model: Model,
        layout: FlatLayout,
        replacements: Mapping[Variable, Variable],
        variables: tuple[TensorVariable, ...],
        many: bool,
    ) -> None:
        flat = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
        made = Standardization(model, layout, flat, variables)
        (logp,) = graph_replace([model.logp()], made.values, strict=False)
        (logp,) = graph_replace([logp + made.log_jacobian], replacements, strict=False)
        self._flat, self._logp = flat, logp
        self._gradient = partial(gradient_of, logp, flat, model)
        self._others = [made.facts] if variables else []
        self._many = many
        self._made_graphs = {
            "values": partial(values_graphs, model, layout, replacements, variables),
            "forces": partial(forces_graphs, model, layout, replacements, variables),
        }
        self._compiled: dict[str, Any] = {}

    def __missing__(self, name: str) -> Any:
        made = self._made_graphs.get(name)
        self[name] = self._density(name) if made is None else self._function_of(made())
        return self[name]

    @cached_property
    def _both(self) -> list[Variable]:
        return [self._logp, self._gradient()]

    def _graphs(self, name: str) -> list[Variable]:
        return [self._logp] if name == "logp" else self._both

    def _density(self, name: str) -> Any:
        return self._compile(name) if self._many else self._in_numpy(name)

    def _in_numpy(self, name: str) -> StackInNumpy:
        return over_a_stack(self._graphs(name), self._flat, self._flat.type.shape[0], self._others)

    def _function_of(self, graphs: VectorGraphs) -> Any:
        return in_numpy(graphs)

    def in_machine_code(self, name: str, example: Sequence[np.ndarray]) -> Any:
        """Return a density in machine code, None if it cannot be compiled.

        Parameters
        ----------
        name
            Which one.
        example
            What to try it with.
        """
        if name not in self._compiled:
            self._compiled[name] = None if self._many else self._tried(name, example)
        return self._compiled[name]

    def _tried(self, name: str, example: Sequence[np.ndarray]) -> Any:
        try:
            code = self._compile(name)
            code(*example)
        except Exception:  # of PyTensor or Numba: NumPy evaluates whatever it can be asked to
            return None
        return partial(with_second, code, self[name])

    def _compile(self, name: str) -> StackInMachineCode:
        graphs = self._graphs(name)
        return StackInMachineCode(self._flat, self._others, graphs, self.work.numbers)

    @property
    def work(self) -> Work:
        """What an evaluation takes in NumPy, of data as long as they are now."""
        return work_of(with_known_lengths(self._both)) if self._many else self._in_stacks.work

    @cached_property
    def _in_stacks(self) -> StackInNumpy:
        return self["logp and gradient"]

    rows: Mapping[str, PlainFunction] = {}


class JaxFunctions(Functions):
    """The same on devices of JAX, in arrays that lie there."""

    def __init__(self, devices: JaxDevices, model: Model, *args: Any, **kwargs: Any) -> None:
        self._data = PlacedData(devices, observed_lengths(model))
        super().__init__(model, *args, **kwargs)

    def in_machine_code(self, name: str, example: Sequence[np.ndarray]) -> None:
        """Return None: JAX has compiled it."""

    def _density(self, name: str) -> Any:
        return StackFunction([self._flat], self._others, self._graphs(name), self._data)

    def _function_of(self, graphs: VectorGraphs) -> Any:
        return StackFunction(graphs.vectors, [graphs.facts], graphs.outputs, self._data)

    @cached_property
    def _in_stacks(self) -> StackInNumpy:
        return self._in_numpy("logp and gradient")


class RowFunctions(dict[str, Any]):
    """Functions of a stack of flat vectors for what does not go by rows, and for rows.

    Parameters
    ----------
    rows : RowModel
        The log density as a sum over rows.
    layout : FlatLayout
        The flat vector.
    variables : tuple of TensorVariable
        Those that are made of standard ones.

    Attributes
    ----------
    rows : dict of str to PlainFunction
        What is to be added for each part of the rows, by the name of the function: the same
        function for every part.
    work : Work
        What an evaluation takes.
    """

    def __init__(
        self, rows: RowModel, layout: FlatLayout, variables: tuple[TensorVariable, ...]
    ) -> None:
        model = rows.model
        flat = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
        made = Standardization(model, layout, flat, variables)
        rest, *terms = graph_replace([rows.rest, *rows.terms], made.values, strict=False)
        others = [made.facts] if variables else []
        outputs = [rest + made.log_jacobian]
        outputs.append(gradient_of(outputs[0], flat, model))
        both = over_a_stack(outputs, flat, layout.size, others).function
        self |= {"logp and gradient": both, "logp": first_output(both, 1 + len(others))}
        total = pt.add(*terms) if len(terms) > 1 else terms[0]
        stack = pt.matrix("stack", dtype=flat.dtype, shape=(None, layout.size))
        graphs = [total, gradient_of(total, flat, model)]
        graphs = vectorize_graph(graphs, {flat: stack})
        graphs[0] = graphs[0] + pt.zeros_like(stack[:, 0])  # also where no parameter matters
        inputs = [stack, *others, *rows.inputs]
        self.rows = {
            "logp and gradient": PlainFunction(inputs, graphs),
            "logp": PlainFunction(inputs, graphs[:1]),
        }
        own = work_of(with_known_lengths(compiled_graph(both)[1]))
        each = work_of(graphs)
        self.work = Work(
            own.operations + each.operations, own.numbers + rows.length * each.operations
        )
        if variables:
            self["values"] = in_numpy(values_graphs(model, layout, {}, variables))

    def in_machine_code(self, name: str, example: Sequence[np.ndarray]) -> None:
        """Return None: of many rows NumPy evaluates as many at once as a cache holds."""


def over_a_stack(
    graphs: Sequence[Variable], flat: TensorVariable, size: int, others: Sequence[Variable] = ()
) -> StackInNumpy:
    """Return a function of the rows of a matrix, in the place of a flat vector, and of others."""
    stack = pt.matrix("stack", dtype=flat.dtype, shape=(None, size))
    return StackInNumpy([stack, *others], vectorize_graph(list(graphs), {flat: stack}))


def with_second(code: Any, second: Any, *args: Any) -> Any:
    """Return what code makes of arguments, or another function if it raises an error."""
    try:
        return code(*args)
    except Exception:  # such as of a matrix of which NumPy's version makes NaN
        return second(*args)


def first_output(function: Any, count: int = 1) -> Any:
    """Return a function of the first output alone, without rewriting the graph once more.

    Its inputs are the first ``count``; those after them are shared variables.
    """
    inputs, outputs = compiled_graph(function)
    return pytensor.function(
        inputs[:count], outputs[:1], mode=AS_IT_IS, trust_input=True, on_unused_input="ignore"
    )
