"""The whole data in the place of minibatches, and predictions as long as the data are now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import copied_with
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import random_generators
from vibayes.distributions.base import Distribution, distribution_of
from vibayes.distributions.shapes import fits, known_lengths
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.model.inputs import check_inputs, inputs_in
from vibayes.model.whole_data import minibatches_in, whole_data
from vibayes.posterior.arviz import data_groups, dataset

if TYPE_CHECKING:
    import xarray


__all__ = ["groups_of_data", "redrawn", "resized_variables", "whole_data_in", "whole_observed"]


def whole_data_in(
    graphs: Sequence[Variable], label: str, model: Model, given: Collection[Variable] = ()
) -> dict[Variable, Variable]:
    """Return replacements that put the whole data in the place of each minibatch in graphs.

    And in the place of what the model was written with that has no value, those that the last fit
    was given.

    Parameters
    ----------
    graphs
        Expressions of the model's variables.
    label
        The function that evaluates them, as messages are to name it.
    model
        The model.
    given
        Variables that have values: what they are made of does not count.

    Raises
    ------
    ModelError
        If data are not in memory, or have no value.
    """
    inputs = inputs_in(graphs, given) if model.inputs else []
    check_inputs([v for v in inputs if v not in model.input_values], label)
    minibatches = minibatches_in(graphs)
    for minibatch in minibatches:
        if not minibatch.in_memory:
            raise ModelError(
                f"{label}: the {minibatch.whole_shape[0]} rows of {minibatch.name!r} are read from "
                f"a stream, they are not in memory. Write the model once more with an array of the "
                f"rows that you want in the place of the minibatch, and pass it with the draws "
                f"of this one: {label}(approx.sample(), model=...)"
            )
    return {**whole_data(minibatches), **{v: model.input_values[v] for v in inputs}}


def whole_observed(model: Model, rv: TensorVariable, label: str) -> TensorVariable:
    """Return the data of an observed variable, all of them where it has a minibatch."""
    data = model.rvs_to_values[rv]
    whole = whole_data_in([data], label, model)
    return graph_replace([data], whole)[0] if whole else data


def resized_variables(
    model: Model, variables: Sequence[TensorVariable], label: str
) -> dict[TensorVariable, TensorVariable]:
    """Return observed variables of another length than they were made with.

    A variable with a minibatch gets the length of the whole data. One whose length was that of its
    data, while its parameters follow data that were exchanged since, gets the length of these.
    """
    observed = [rv for rv in variables if rv in model.observed_RVs]
    resized = {}
    for rv in observed:
        dist, data = distribution_of(rv), model.rvs_to_values[rv]
        if minibatches_in([data]):
            whole = whole_observed(model, rv, label)
            size = tuple(whole.shape[axis] for axis in range(whole.type.ndim - dist.ndim_supp))
            resized[rv] = redrawn(dist, size)
        elif not parameters_fit(dist, rv, model):
            if rv.name in model.named_vars_to_dims:
                raise ShapeError(
                    f"{label}: the parameters of {rv.name!r} do not broadcast to the lengths of "
                    f"its dims {model.named_vars_to_dims[rv.name]}. Give the data that were "
                    f"exchanged the same dims, so that their lengths change together."
                )
            resized[rv] = redrawn(dist, None)
    return resized


def redrawn(dist: Distribution, size: tuple[Any, ...] | None) -> TensorVariable:
    """Return a random variable of a distribution, with a generator of its own."""
    rng = pytensor.shared(np.random.default_rng(0), name=f"rng_{dist.rv.name}")
    return dist.random(rng, size)[1]


def parameters_fit(dist: Distribution, rv: TensorVariable, model: Model) -> bool:
    """Tell whether the parameters, with the data as they are now, broadcast to a variable."""
    if None not in (*dist.static_batch_shape, *rv.type.shape):
        return True
    ndim = rv.type.ndim - dist.ndim_supp
    lengths = [pt.as_tensor_variable(n) for n in (*dist.batch_shape, *known_lengths(rv, ndim))]
    whole = whole_data_in(lengths, "", model)
    if whole:  # by generators of their own: what advances the others depends on what is replaced
        own = {rng: pytensor.shared(np.random.default_rng(0)) for rng in random_generators(lengths)}
        lengths = copied_with(whole | own, lengths)
    values = [int(n) for n in evaluate(lengths)]
    return fits(values[: len(values) - ndim], values[len(values) - ndim :])


def groups_of_data(model: Model, label: str) -> dict[str, xarray.Dataset]:
    """Return the groups ``observed_data`` and ``constant_data``, minibatches being whole."""
    groups = data_groups(model)
    sampled = {}
    for rv in model.observed_RVs:
        minibatches = minibatches_in([model.rvs_to_values[rv]])
        if minibatches and all(m.in_memory for m in minibatches):
            sampled[rv.name] = np.array(evaluate([whole_observed(model, rv, label)])[0])
    groups["observed_data"] = groups["observed_data"].merge(dataset(model, sampled))
    return groups
