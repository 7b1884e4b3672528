"""Models made of others: some variables set to values, others observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, shown
from vibayes.context import modelcontext
from vibayes.distributions.base import distribution_of
from vibayes.distributions.shapes import same_shape
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.model.observed import as_observed
from vibayes.model.rebuild import Rebuilding
from vibayes.numeric import numeric_array

__all__ = ["do", "observe"]


@check_arguments
def do(
    model: Model,
    vars_to_interventions: Mapping[Any, Any],
    *,
    make_interventions_shared: bool = True,
    prune_vars: bool = False,
) -> Model:
    """Return a model in which variables are set to values, whatever would have caused them.

    The do-operator of Pearl (2009, Causality): what depends on such a variable depends on the
    value; what it depends on itself has no effect on it any more.

    Parameters
    ----------
    model
        The model, which is not changed.
    vars_to_interventions
        Values by variable, or by its name: numbers that broadcast to the variable's shape, or
        expressions of other variables of the model.
    make_interventions_shared
        Whether numbers become data variables, to be exchanged by :func:`vibayes.set_data`; else
        deterministics.
    prune_vars
        Whether to leave out the variables that no observed one depends on any more.

    Returns
    -------
    Model
        A copy, in which these variables are data, or deterministics if they are expressions.

    Raises
    ------
    KeyError
        If the model has no such variable.
    ShapeError
        If a value does not broadcast to the shape of its variable.
    ModelError
        If an expression depends on the variable that it is to set.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     x = vb.Normal("x", 0, 1)
    ...     y = vb.Normal("y", 2 * x, 0.1)
    >>> with vb.do(model, {"x": 3.0}):
    ...     prior = vb.sample_prior_predictive(100, random_seed=1)
    >>> abs(prior.prior["y"].mean().item() - 6) < 0.1
    True
    """
    model = modelcontext(model)
    if not vars_to_interventions:
        raise ValueError("do: vars_to_interventions names no variable")
    values = {
        named(model, v, "do: vars_to_interventions"): value
        for v, value in vars_to_interventions.items()
    }
    rebuilding = Rebuilding(model, without=values)
    numbers: dict[Variable, SharedVariable] = {}
    for variable, value in values.items():
        if not isinstance(value, Variable):
            numbers[variable] = intervention(model, variable, value)
    rebuilding.copies.update(numbers)
    for variable, value in values.items():
        if isinstance(value, Variable):
            if variable in ancestors([value]):
                raise ModelError(f"do: the value of {variable.name!r} depends on that variable")
            rebuilding.replace({variable: pt.as_tensor_variable(value)})
    result = rebuilding.run()
    for variable in values:
        dims = model.named_vars_to_dims.get(variable.name)
        if variable in numbers and make_interventions_shared:
            result.register_data_var(numbers[variable], dims or (None,) * variable.type.ndim)
        else:
            result.register_expression(
                variable.name, rebuilding.copies[variable], "deterministics", dims
            )
    return pruned(result) if prune_vars else result


@check_arguments
def observe(model: Model, vars_to_observations: Mapping[Any, Any]) -> Model:
    """Return a model in which free variables are observed.

    Parameters
    ----------
    model
        The model, which is not changed.
    vars_to_observations
        Data by free variable, or by its name.

    Raises
    ------
    KeyError
        If the model has no such variable.
    ModelError
        If it is not a free one.
    ShapeError
        If data do not have the shape of their variable.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     x = vb.Normal("x", 0, 1)
    ...     y = vb.Normal("y", 2 * x, 0.1)
    >>> [rv.name for rv in vb.observe(model, {"y": 1.0}).observed_RVs]
    ['y']
    """
    model = modelcontext(model)
    if not vars_to_observations:
        raise ValueError("observe: vars_to_observations names no variable")
    values = {
        named(model, v, "observe: vars_to_observations"): value
        for v, value in vars_to_observations.items()
    }
    if wrong := [v.name for v in values if v not in model.free_RVs]:
        raise ModelError(f"observe: {wrong[0]!r} is not a free variable of the model")
    rebuilding = Rebuilding(model)
    result = rebuilding.run()
    for variable, value in values.items():
        rv = rebuilding.copies[variable]
        label = f"observe: {variable.name!r}"
        data = as_observed(value, label, distribution_of(rv).discrete)
        if not same_shape(rv.type.shape, data.type.shape):
            raise ShapeError(
                f"{label} has shape {rv.type.shape}, the observed data {data.type.shape}"
            )
        result.free_RVs.remove(rv)
        result.observed_RVs.append(rv)
        result.rvs_to_values[rv] = data
        del result.rvs_to_transforms[rv], result.rvs_to_initial_values[rv]
    return result


def named(model: Model, variable: Any, label: str) -> TensorVariable:
    """Return a variable of a model that is given by name, or as it is."""
    if isinstance(variable, str) and variable in model:
        return model[variable]
    if isinstance(variable, Variable) and variable in model.named_vars.values():
        return variable
    raise KeyError(
        f"{label}: no variable {shown(variable)} of the model; it has {', '.join(model.named_vars)}"
    )


def intervention(model: Model, variable: TensorVariable, value: Any) -> SharedVariable:
    """Return a value as a data variable of the shape of the variable that it is to set."""
    array = numeric_array(value, f"do: the value of {variable.name!r}")
    shape = variable.type.shape
    lengths = [
        array.shape[axis - len(shape)] if n is None and array.ndim >= len(shape) - axis else n or 1
        for axis, n in enumerate(shape)
    ]
    try:
        array = np.broadcast_to(array, lengths)
    except ValueError:
        raise ShapeError(
            f"do: {variable.name!r} has shape {shape}, its value {array.shape}"
        ) from None
    array = array.astype(variable.dtype)
    return pytensor.shared(array.copy(), name=variable.name, shape=shape)


def pruned(model: Model) -> Model:
    """Return a model without the variables that no observed one depends on."""
    if not model.observed_RVs:
        raise ModelError("do: prune_vars needs a model with observed variables")
    values = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    needed = set(ancestors([*model.observed_RVs, *model.potentials, *values]))
    unneeded = [v for v in model.named_vars.values() if v not in needed]
    return Rebuilding(model, without=unneeded).run()
