"""The joint log density of a model, as a graph of its unconstrained values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.backend.modes import evaluate
from vibayes.distributions.base import as_value, distribution_of
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.variables import ModelVariables


def constrained_values(model: ModelVariables) -> dict[TensorVariable, TensorVariable]:
    """Map each random variable to its value on its own scale, in terms of value variables.

    A transform may depend on other random variables (the bounds of an interval, say), which were
    all made before it: so going through the variables in the order of their making suffices.
    """
    values: dict[TensorVariable, TensorVariable] = {}
    for rv in model.basic_RVs:
        value = model.rvs_to_values[rv]
        transform = model.rvs_to_transforms.get(rv)
        if transform is not None:
            value = graph_replace(transform.backward(value), values, strict=False)
        values[rv] = as_value(distribution_of(rv), value)
    return values


def logp_terms(
    model: ModelVariables, variables: Sequence[Variable], jacobian: bool, scaled: bool = True
) -> list[TensorVariable]:
    """Return the log density of each variable, not summed, in terms of value variables.

    It is ``scaled`` to the size of the whole data, unless the data that are there are to count as
    they are.
    """
    values = constrained_values(model)
    terms = []
    for variable in variables:
        if variable not in values:
            terms.append(variable)  # a potential is its own log density
            continue
        dist, transform = distribution_of(variable), model.rvs_to_transforms.get(variable)
        inside = transform is not None and transform is dist.default_transform
        inside |= not model.check_bounds and variable in model.observed_RVs
        term = (dist.interior_logp if inside else dist.logp)(values[variable])
        if transform is not None and jacobian:
            term = add_jacobian(term, transform.log_jac_det(model.rvs_to_values[variable]))
        total_size = model.rvs_to_total_sizes.get(variable)
        if total_size is not None and scaled:
            term = term * total_scale(total_size, values[variable])
        terms.append(term)
    replaced = graph_replace(terms, values, strict=False) if values else terms
    check_no_random_draws(replaced, variables)
    return replaced


def point_logps(model: ModelVariables, point: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the log density of each variable and each potential at a point, by name."""
    variables = model.basic_RVs + model.potentials
    terms = [term.sum() for term in logp_terms(model, variables, jacobian=True)]
    if terms and model.input_values:
        terms = graph_replace(terms, model.input_values, strict=False)
    values = evaluate(terms, {v: point[v.name] for v in model.value_vars})
    return {var.name: float(value) for var, value in zip(variables, values, strict=True)}


def replaced_by_values(model: ModelVariables, graphs: Sequence[Variable]) -> list[Variable]:
    """Return copies of graphs in which value variables stand for the random variables."""
    values = constrained_values(model)
    return graph_replace(list(graphs), values, strict=False) if values else list(graphs)


def add_jacobian(term: TensorVariable, jacobian: TensorVariable) -> TensorVariable:
    """Add a log Jacobian to a log density; the axes that only one of the two has are summed."""
    ndim = min(term.type.ndim, jacobian.type.ndim)
    return sum_events(term, ndim) + sum_events(jacobian, ndim)


def sum_events(term: TensorVariable, ndim: int) -> TensorVariable:
    return term.sum(axis=tuple(range(ndim, term.type.ndim))) if term.type.ndim > ndim else term


def total_scale(total_size: Sequence[int | None], value: TensorVariable) -> TensorVariable:
    """Return the factor by which the log density of a part stands for that of the whole."""
    scale = pt.constant(1.0, dtype=pytensor.config.floatX)
    for axis, total in enumerate(total_size):
        if total is not None:
            scale = scale * (total / value.shape[axis])
    return scale.astype(pytensor.config.floatX)


def expand_total_size(total_size: Any, ndim: int, label: str) -> tuple[int | None, ...]:
    """Return one entry an axis of an int, or of a sequence with None and at most one Ellipsis."""
    several = isinstance(total_size, Sequence | np.ndarray) and not isinstance(total_size, str)
    entries = list(total_size) if several and getattr(total_size, "ndim", True) else [total_size]
    gaps = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if len(gaps) > 1:
        raise ValueError(f"{label}: total_size can hold one Ellipsis, got {total_size!r}")
    for at in gaps:
        gap = ndim - (len(entries) - 1)
        entries[at : at + 1] = [None] * max(gap, 0)
    name = f"{label}: total_size"
    entries = [None if e is None else check_whole(e, name, least=1) for e in entries]
    if len(entries) > ndim:
        raise ShapeError(
            f"{label}: total_size {total_size!r} has {len(entries)} entries, the observed data "
            f"have {ndim} axes"
        )
    return tuple(entries) + (None,) * (ndim - len(entries))


def check_no_random_draws(terms: Sequence[Variable], variables: Sequence[Variable]) -> None:
    """Raise if a log density would be drawn at random.

    That happens where a model uses a variable made by ``dist``, which belongs to no model and so
    has no value. Random indices (minibatches) are made of other operations and are fine.
    """
    for term, variable in zip(terms, variables, strict=True):
        for node in ancestors([term]):
            stray = getattr(node.tag, "distribution", None)
            if stray is not None:
                raise ModelError(
                    f"The log density of {variable.name!r} depends on a draw of {stray!r}, which "
                    f"is no variable of this model. Inside the model write "
                    f"{type(stray).__name__}('name', ...)."
                )
