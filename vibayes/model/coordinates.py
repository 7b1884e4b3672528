"""Coordinates of a posterior in which variables are made of standard ones.

See :mod:`vibayes.distributions.standard_forms` for the maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.distributions.base import distribution_of
from vibayes.distributions.standard_forms import (
    InMatrixProducts,
    InProducts,
    LocationScale,
    StandardForm,
)
from vibayes.model.core import Model
from vibayes.model.density import constrained_values
from vibayes.model.flat import FlatLayout
from vibayes.model.products import factor_in_products

__all__ = [
    "Coordinates",
    "Standardization",
    "VectorGraphs",
    "bent_variables",
    "forces_graphs",
    "in_numpy",
    "places_of_parameters",
    "values_graphs",
]

PROBES = 16
MOST_PARAMETERS = 16


@dataclass(frozen=True)
class Coordinates:
    """Which variables are made of standard ones, and what is known of them.

    Attributes
    ----------
    variables : tuple of TensorVariable
        Free variables with a standard form, in the order of their making.
    information, pull : tuple of numpy.ndarray
        For each, what the data say of it: a precision, and that times a mean; zeros for
        non-centred coordinates. See :class:`vibayes.distributions.standard_forms.StandardForm`.
    lines : tuple of numpy.ndarray
        For each, how its pull changes with the parameters, which are the rest of the flat vector:
        (number of elements, number of parameters). What the data say of an effect depends on the
        intercept beside it.
    slopes : numpy.ndarray
        How the logarithm of information and pull changes with the flat vector z, (number of
        variables, d): what data say depends on their noise. It is zero where there are standard
        variables.
    offsets : numpy.ndarray
        What is added to ``slopes @ z``, (number of variables,).
    """

    variables: tuple[TensorVariable, ...]
    information: tuple[np.ndarray, ...]
    pull: tuple[np.ndarray, ...]
    lines: tuple[np.ndarray, ...]
    slopes: np.ndarray
    offsets: np.ndarray

    @classmethod
    def non_centred(cls, model: Model, variables: Sequence[TensorVariable]) -> Coordinates:
        """Return the coordinates in which standard variables are so a priori."""
        shapes = [model.rvs_to_values[rv].type.shape for rv in variables]
        forms = [form_of(model, rv) for rv in variables]
        pairs = list(zip(forms, shapes, strict=True))
        information = [np.zeros(form.information_shape(shape)) for form, shape in pairs]
        pull = [np.zeros(form.met_shape(shape)) for form, shape in pairs]
        return cls.fixed(model, variables, information, pull)

    @classmethod
    def fixed(
        cls,
        model: Model,
        variables: Sequence[TensorVariable],
        information: Sequence[np.ndarray],
        pull: Sequence[np.ndarray],
    ) -> Coordinates:
        """Return coordinates in which what the data say does not depend on anything."""
        count, d = len(variables), FlatLayout(model.value_vars).size
        slopes, offsets = np.zeros((count, d)), np.zeros(count)
        k = len(places_of_parameters(model, variables))
        lines = tuple(np.zeros((p.size, k)) for p in pull)
        return cls(tuple(variables), tuple(information), tuple(pull), lines, slopes, offsets)

    def flat(self) -> np.ndarray:
        """Return what is known as one vector, as compiled functions take it."""
        known = (*self.information, *self.pull, *self.lines, self.slopes, self.offsets)
        parts = [x.ravel() for x in known]
        return np.concatenate(parts).astype(pytensor.config.floatX)


class VectorGraphs(NamedTuple):
    """Graphs of flat vectors, and of facts that are the same for many of them."""

    vectors: list[TensorVariable]
    facts: TensorVariable
    outputs: list[Variable]


class Standardization:
    """The map from a symbolic flat vector of standard variables to values of a model.

    Parameters
    ----------
    model : Model
        The model.
    layout : FlatLayout
        Its flat vector.
    flat : TensorVariable
        The vector, with standard variables in the places of ``variables``.
    variables : sequence of TensorVariable
        As of :class:`Coordinates`.
    shift : TensorVariable, optional
        A flat vector that is added to what the data meet of these variables: to their values,
        which those that are made of them follow, or to products.

    Attributes
    ----------
    facts : TensorVariable
        What is known, as :meth:`Coordinates.flat`.
    values : dict of TensorVariable to TensorVariable
        Expressions of the model's value variables.
    log_jacobian : TensorVariable
        Log determinant of the derivative of the values by the vector.
    met, shifts : dict of TensorVariable to TensorVariable
        Of each value that is made of a standard one what the data meet of it, and the shift of
        that; empty without a shift.
    """

    def __init__(
        self,
        model: Model,
        layout: FlatLayout,
        flat: TensorVariable,
        variables: Sequence[TensorVariable],
        shift: TensorVariable | None = None,
    ) -> None:
        self.values = layout.split(flat)
        shifts = {} if shift is None else layout.split(shift)
        self.met: dict[TensorVariable, TensorVariable] = {}
        self.shifts: dict[TensorVariable, TensorVariable] = {}
        self.log_jacobian = pt.zeros((), dtype=flat.dtype)
        forms = [form_of(model, rv) for rv in variables]
        places = places_of_parameters(model, variables)
        values = [model.rvs_to_values[rv] for rv in variables]
        known = symbolic_facts(forms, [v.type.shape for v in values], layout.size, len(places))
        self.facts = known.vector
        factors = pt.exp((known.slopes * flat).sum(axis=-1) + known.offsets)
        own = constrained_values(model) if variables else {}
        # in the order of their making: a scale may be standardized itself
        for i, (value, form) in enumerate(zip(values, forms, strict=True)):
            line = (known.lines[i] * flat[places]).sum(axis=-1).reshape(known.met_shapes[i])
            about, pull = factors[i] * known.information[i], factors[i] * (known.pull[i] + line)
            x, log_det = self.expressed(form.conditional, own, self.values[value], about, pull)
            x = pt.specify_shape(x, value.type.shape).astype(value.dtype)
            self.log_jacobian = self.log_jacobian + log_det
            if shifts:
                self.shifts[value] = shifts[value].reshape(known.met_shapes[i])
                (x,) = self.expressed(form.moved, own, x, self.shifts[value])
                (self.met[value],) = self.expressed(form.met, own, x)
            self.values = self.values | {value: x.astype(value.dtype)}

    def expressed(
        self,
        function: Callable[..., Any],
        own: Mapping[TensorVariable, TensorVariable],
        *given: TensorVariable,
    ) -> list[TensorVariable]:
        """Return what a function of a form makes of arguments, in terms of the flat vector.

        ``own`` maps the variables of the model to expressions of its values. These are replaced in
        the parameters of the form alone, not in the arguments.
        """
        stand_ins = [v.type() for v in given]
        results = function(*stand_ins)
        outputs = list(results) if isinstance(results, tuple) else [results]
        outputs = graph_replace(outputs, own, strict=False)
        replace = self.values | dict(zip(stand_ins, given, strict=True))
        return graph_replace(outputs, replace, strict=False)

    def joined(self, layout: FlatLayout) -> TensorVariable:
        """Return the model's own flat vector."""
        return pt.concatenate([self.values[v].ravel() for v in layout.value_vars])


class SymbolicFacts(NamedTuple):
    """A symbolic vector of what is known, and its parts: see :class:`Coordinates`."""

    vector: TensorVariable
    met_shapes: list[tuple[int, ...]]
    information: list[TensorVariable]
    pull: list[TensorVariable]
    lines: list[TensorVariable]
    slopes: TensorVariable
    offsets: TensorVariable


def symbolic_facts(
    forms: Sequence[StandardForm], shapes: Sequence[tuple[int, ...]], size: int, parameters: int
) -> SymbolicFacts:
    """Return a vector like :meth:`Coordinates.flat`, in parts.

    Parameters
    ----------
    forms, shapes
        Of the variables that are made of standard ones.
    size
        Length of the flat vector.
    parameters
        How many of its numbers are parameters that pulls may follow.
    """
    count = len(forms)
    pairs = list(zip(forms, shapes, strict=True))
    met = [form.met_shape(shape) for form, shape in pairs]
    information = [form.information_shape(shape) for form, shape in pairs]
    lines = [(int(np.prod(shape, dtype=int)), parameters) for shape in met]
    vector, parts = split_vector([*information, *met, *lines, (count, size), (count,)])
    *parts, slopes, offsets = parts
    about, pull, line = (parts[i * count : (i + 1) * count] for i in range(3))
    return SymbolicFacts(vector, met, about, pull, line, slopes, offsets)


def split_vector(
    shapes: Sequence[tuple[int, ...]],
) -> tuple[TensorVariable, list[TensorVariable]]:
    """Return a symbolic vector, and its parts of some shapes, one after the other."""
    sizes = [int(np.prod(shape, dtype=int)) for shape in shapes]
    vector = pt.vector("facts", dtype=pytensor.config.floatX, shape=(sum(sizes),))
    ends = np.cumsum(sizes, dtype=int)
    parts = [
        vector[int(end) - size : int(end)].reshape(shape)
        for end, size, shape in zip(ends, sizes, shapes, strict=True)
    ]
    return vector, parts


def places_of_parameters(model: Model, variables: Sequence[TensorVariable]) -> np.ndarray:
    """Return where in the flat vector those numbers are that are not made of standard ones.

    There are none if they are too many for a line in them to be told from few draws.
    """
    slots = zip(model.free_RVs, FlatLayout(model.value_vars).slots, strict=True)
    found = [np.arange(slot.start, slot.stop) for rv, slot in slots if rv not in variables]
    places = np.concatenate([*found, np.zeros(0, dtype=int)])
    return places if len(places) <= MOST_PARAMETERS else places[:0]


def form_of(model: Model, rv: TensorVariable) -> StandardForm:
    """Return the standard form of a variable that has one."""
    form = cast(StandardForm, distribution_of(rv).standard_form())
    factor = None if depends_on_others(model, rv) else factor_in_products(model, rv)
    if factor is None:
        return form
    elements = cast(LocationScale, form)
    if factor.axis is None:
        return InProducts(elements, factor.value)
    return InMatrixProducts(elements, factor.value, factor.axis)


def has_form(model: Model, rv: TensorVariable) -> bool:
    """Tell whether a free variable has a standard form, which depends on other free variables."""
    dist = distribution_of(rv)
    if rv in model.rvs_to_total_sizes or model.rvs_to_values[rv].type.shape.count(0):
        return False
    if model.rvs_to_transforms[rv] is not dist.default_transform or dist.standard_form() is None:
        return False
    return depends_on_others(model, rv) or meets_data_in_products(model, rv)


def depends_on_others(model: Model, rv: TensorVariable) -> bool:
    """Tell whether the distribution of a free variable depends on other free variables."""
    dist = distribution_of(rv)
    parameters = [*dist.params.values(), *(p for part in dist.parts for p in part.params.values())]
    return bool(set(model.free_RVs).intersection(ancestors(parameters)))


def meets_data_in_products(model: Model, rv: TensorVariable) -> bool:
    """Tell whether a vector of independent elements is multiplied by a factor wherever it is used.

    The factor must have no standard form itself. Of a number alone the chains make do.
    """
    form = distribution_of(rv).standard_form()
    if not isinstance(form, LocationScale) or model.rvs_to_transforms[rv] is not None:
        return False
    factor = factor_in_products(model, rv) if model.rvs_to_values[rv].type.ndim else None
    if factor is None:
        return False
    parents = set(model.free_RVs).intersection(ancestors([factor.value]))
    return not any(has_form(model, parent) for parent in parents)


def bent_variables(model: Model) -> tuple[TensorVariable, ...]:
    """Return the variables whose standard form is no affine function of the flat vector.

    Where it is one, a posterior is as close to a normal distribution in the one coordinates as in
    the other. What the data say of a variable in products bends its form, whatever that is a
    priori.
    """
    variables = [rv for rv in model.free_RVs if has_form(model, rv)]
    if not variables:
        return ()
    layout = FlatLayout(model.value_vars)
    facts = Coordinates.non_centred(model, variables).flat()
    function = in_numpy(values_graphs(model, layout, model.whole_data_replacements(), variables))
    rng = np.random.default_rng(0)
    start = layout.join(model.initial_point())
    with np.errstate(all="ignore"):
        z = start + 0.5 * rng.standard_normal((2, PROBES, layout.size))
        first, second, middle = (
            function(p.astype(pytensor.config.floatX), facts)[0] for p in (*z, z.mean(axis=0))
        )
        size = np.abs(first) + np.abs(second)
        error = np.abs(first + second - 2 * middle)
    bent = ~(error <= np.sqrt(np.finfo(first.dtype).eps) * (1 + size)).all(axis=0)
    places = dict(zip(layout.value_vars, layout.slots, strict=True))
    slots = [places[model.rvs_to_values[rv]] for rv in variables]
    return tuple(
        rv
        for rv, slot in zip(variables, slots, strict=True)
        if not depends_on_others(model, rv) or bent[slot.start : slot.stop].any()
    )


def values_graphs(
    model: Model,
    layout: FlatLayout,
    replacements: Mapping[Variable, Variable],
    variables: Sequence[TensorVariable],
) -> VectorGraphs:
    """Return graphs from a flat vector, and from facts, to the model's own vector."""
    flat = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
    made = Standardization(model, layout, flat, variables)
    own = graph_replace([made.joined(layout)], replacements, strict=False)
    return VectorGraphs([flat], made.facts, own)


def in_numpy(graphs: VectorGraphs) -> Any:
    """Return graphs of vectors as a function of stacks of them, and of facts."""
    stacks = [pt.matrix(v.name, dtype=v.dtype, shape=(None, *v.type.shape)) for v in graphs.vectors]
    outputs = vectorize_graph(graphs.outputs, dict(zip(graphs.vectors, stacks, strict=True)))
    return pytensor.function(
        [*stacks, graphs.facts],
        outputs,
        mode=EVALUATE_MODE,
        trust_input=True,
        on_unused_input="ignore",
    )


def forces_graphs(
    model: Model,
    layout: FlatLayout,
    replacements: Mapping[Variable, Variable],
    variables: Sequence[TensorVariable],
) -> VectorGraphs:
    """Return graphs that tell how all but its own prior pulls at each variable.

    Of a flat vector, of shifts of the values there, and of facts. Their results have the length
    of the flat vector, and are zero elsewhere: the gradients by the values of the log density
    without the variables' own priors, and the values. Variables that are made of others follow
    these. For values that the data meet in products, all of these are of the products.
    """
    flat, shift = (
        pt.vector(name, dtype=pytensor.config.floatX, shape=(layout.size,))
        for name in ("flat", "shift")
    )
    made = Standardization(model, layout, flat, variables, shift)
    priors = model.logp(list(variables), sum=False)
    values = [model.rvs_to_values[rv] for rv in variables]
    own = [pytensor.grad(prior.sum(), v) for prior, v in zip(priors, values, strict=True)]
    total, *own = graph_replace([model.logp(), *own], made.values, strict=False)
    gradient = pytensor.grad(total + made.log_jacobian, shift, disconnected_inputs="ignore")
    by_value = {
        value: pytensor.grad(None, made.shifts[value], known_grads={made.values[value]: prior})
        for value, prior in zip(values, own, strict=True)
    }
    met = [made.met.get(v, made.values[v]) for v in layout.value_vars]
    # vectorized, parts are joined at once only if all of them have the axes of draws
    parts = [
        by_value.get(v, 0.0) + pt.zeros_like(x) for v, x in zip(layout.value_vars, met, strict=True)
    ]
    prior_gradient = pt.concatenate([part.ravel() for part in parts])
    is_made = np.concatenate(
        [np.full(v.type.shape, v in by_value).ravel() for v in layout.value_vars]
    )
    outputs = [
        pt.switch(is_made, gradient - prior_gradient, 0.0),
        pt.concatenate([x.ravel() for x in met]),
    ]
    outputs = graph_replace(outputs, replacements, strict=False)
    return VectorGraphs([flat, shift], made.facts, outputs)
