"""Where a fit starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import check_random_seed, random_generators, reseeded
from vibayes.distributions.base import distribution_of
from vibayes.distributions.constraints import constant_value
from vibayes.exceptions import SamplingError, ShapeError
from vibayes.model.density import point_logps, replaced_by_values
from vibayes.model.inputs import with_inputs
from vibayes.model.observed import is_in_memory, known_value
from vibayes.model.variables import ModelVariables
from vibayes.numeric import checked_tensor, numeric_array


def initial_point(
    model: ModelVariables, random_seed: Any = None, start: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Return the unconstrained start values by the names of the value variables."""
    check_random_seed(random_seed)
    start = dict(start or {})
    values = {rv: model.rvs_to_values[rv] for rv in model.free_RVs}
    known = {rv.name for rv in values} | {v.name for v in values.values()}
    if unknown := sorted(start.keys() - known, key=str):
        raise KeyError(
            f"start: the model has no free variable {unknown[0]!r} (it has: "
            f"{', '.join(rv.name for rv in values)})"
        )
    own_scale: dict[TensorVariable, TensorVariable] = {}
    unconstrained = []
    for rv in model.basic_RVs:
        if rv not in values:
            own_scale[rv] = model.rvs_to_values[rv]
            continue
        value_var, transform = values[rv], model.rvs_to_transforms[rv]
        if value_var.name in start and (transform is not None or rv.name not in start):
            z = constant_start(start[value_var.name], value_var.type, start_of(value_var.name))
            x = z if transform is None else transform.backward(z)
            x = graph_replace(x, own_scale, strict=False)
        else:
            initval = start.get(rv.name, model.rvs_to_initial_values[rv])
            x = graph_replace(start_expression(rv, initval), own_scale, strict=False)
            z = x if transform is None else transform.forward(x)
            z = graph_replace(z, own_scale, strict=False)
        own_scale[rv] = x
        unconstrained.append(z)
    unconstrained = with_inputs(unconstrained, model, "where a fit starts")
    if random_generators(unconstrained):
        unconstrained, _ = reseeded(unconstrained, random_seed)
    numbers = evaluate(unconstrained)
    for rv, number in zip(values, numbers, strict=True):
        check_finite(number, rv, model.rvs_to_transforms[rv])
    return {
        v.name: np.asarray(x, dtype=v.dtype).reshape(v.type.shape)
        for v, x in zip(values.values(), numbers, strict=True)
    }


def check_finite(number: np.ndarray, rv: TensorVariable, transform: Any) -> None:
    """Raise if a start value lies outside of the support, or at its very end."""
    bad = ~np.isfinite(number)
    if bad.any():
        through = "" if transform is None else f" after its transform {transform!r}"
        raise SamplingError(
            f"The start value of {rv.name!r} is {number[bad].flat[0]}{through} "
            f"({bad.sum()} of {bad.size} elements). Give it an initval inside its support, "
            f"or another start."
        )


def start_expression(rv: TensorVariable, initval: Any) -> TensorVariable:
    """Return a start value on the variable's own scale, in terms of other random variables."""
    dist = distribution_of(rv)
    if initval is None:
        initval = "support_point"
    if isinstance(initval, str) and initval == "prior":
        return rv
    if isinstance(initval, str) and initval in ("support_point", "moment"):  # of PyMC 4
        return full_shape(pt.cast(dist.support_point(), rv.dtype), rv)
    return full_shape(constant_start(initval, rv.type, start_of(rv.name)), rv)


def start_of(name: str) -> str:
    return f"the start value of {name!r}"


def full_shape(value: TensorVariable, rv: TensorVariable) -> TensorVariable:
    """Return ``value`` broadcast to the shape of ``rv``."""
    static = rv.type.shape
    if value.type.shape == static and None not in static:
        return value
    shape = rv.shape if None in static else static
    return pt.broadcast_to(value, shape)


def constant_start(value: Any, of_type: Any, subject: str) -> TensorVariable:
    """Return a start value that a user gave, as a tensor of the right type and shape."""
    if isinstance(value, Variable):
        value = checked_tensor(value, subject)
        return pt.broadcast_to(value, of_type.shape) if None not in of_type.shape else value
    array = numeric_array(value, subject, copy=None)
    if np.isnan(array).any():
        raise ValueError(f"{subject} holds NaN, it must be numbers")
    shape = of_type.shape
    if None not in shape:
        try:
            array = np.broadcast_to(array, shape)
        except ValueError:
            raise ShapeError(f"{subject} has shape {array.shape}, the variable {shape}") from None
    dtype = of_type.dtype if np.dtype(of_type.dtype).kind != "f" else pytensor.config.floatX
    return pt.constant(array.astype(dtype))


def check_point(model: ModelVariables, point: Mapping[str, np.ndarray]) -> None:
    """Raise if the log density of a variable is not finite at a point where a fit starts.

    Raises
    ------
    SamplingError
        Names the variables, with their values.
    """
    logps = point_logps(model, point)
    bad = {name: value for name, value in logps.items() if not np.isfinite(value)}
    if not bad:
        return
    where = replaced_by_values(model, [v for v in model.basic_RVs if v.name in bad])
    where = with_inputs(where, model, "where a fit starts")
    found = evaluate(where, {v: point[v.name] for v in model.value_vars})
    values = dict(zip(bad, found, strict=False))
    lines = [
        f"  {name}: log density {logp} at {describe_value(values.get(name))}"
        for name, logp in bad.items()
    ]
    raise SamplingError(
        "The log density is not finite where the fit starts:\n"
        + "\n".join(lines)
        + "\nCheck those variables' parameters and data, or start elsewhere: initval=, or start=."
    )


def check_support(model: ModelVariables) -> None:
    """Raise if data lie where no parameters allow them, as far as that is seen at a glance.

    Raises
    ------
    SamplingError
        Names the variables, as :func:`check_point` does.
    """
    if any(lies_outside(rv, model.rvs_to_values[rv]) for rv in model.observed_RVs):
        check_point(model, initial_point(model))


def lies_outside(rv: TensorVariable, observed: TensorVariable) -> bool:
    """Tell whether data are beyond constant bounds of their distribution."""
    bounds = getattr(distribution_of(rv), "bounds", (None, None))
    value = known_value(observed.shared if is_in_memory(observed) else observed)
    lower, upper = (None if b is None else constant_value(b) for b in bounds)
    if value is None or not value.size:
        return False
    try:
        below = lower is not None and (value < lower).any()
        above = upper is not None and (value > upper).any()
    except ValueError:  # they do not broadcast, of which others tell
        return False
    return bool(below or above)


def describe_value(value: Any) -> str:
    if value is None:
        return "the start"
    value = np.asarray(value)
    if value.size <= 5:
        return str(value.tolist())
    return f"{value.size} values between {value.min():.4g} and {value.max():.4g}"
