"""Observed data: whatever a user has, checked and turned into a tensor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.expressions import is_cast_or_copy, is_random_variable
from vibayes.distributions.base import Distribution
from vibayes.distributions.shapes import fits
from vibayes.exceptions import ImputationError, ModelError, ShapeError
from vibayes.model.inputs import inputs_in
from vibayes.model.variables import ModelVariables
from vibayes.model.whole_data import batch_lengths, minibatches_in, whole_lengths
from vibayes.numeric import as_whole_numbers, checked_tensor, missing_message, numeric_array
from vibayes.streaming.batch import BatchVariable
from vibayes.streaming.stream import data_on_disk, is_left_on_disk

__all__ = [
    "as_observed",
    "check_observed_shape",
    "is_in_memory",
    "known_shape",
    "known_value",
    "missing_values",
    "observed_shapes",
    "stand_for_all",
    "warn_of_minibatches",
    "whole_shape",
]


def as_observed(data: Any, label: str, discrete: bool) -> TensorVariable:
    """Return data as a tensor variable.

    What is not a PyTensor variable yet is kept in a shared variable, so that compiled functions
    take it as an input: other data of the same shape need no compilation. Large arrays on disk stay
    there.

    Parameters
    ----------
    data
        Numbers in any container that NumPy can read, or a PyTensor variable. One that has no value
        is given one by ``more_replacements``.
    label
        The random variable, as messages are to name it.
    discrete
        Whether the distribution lives on whole numbers.

    Raises
    ------
    TypeError
        If the data are not numbers.
    ImputationError
        If values are missing.
    ValueError
        If a discrete distribution is given numbers that are not whole.
    ModelError
        If the data are an expression of random variables, or another one at each evaluation.
    """
    subject = f"{label}: observed data"
    if is_left_on_disk(data) and not callable(data):
        return data_on_disk(data, f"{label} data", subject)
    if isinstance(data, Variable):
        checked_tensor(data, subject)
        check_is_data(data, label)
        value = known_value(data.shared if is_in_memory(data) else data)
        if value is not None:
            check_data(value, subject, discrete)
        return data
    value = numeric_array(data, subject)
    check_data(value, subject, discrete)
    if discrete:
        value = value.astype("int64")
    elif value.dtype != pytensor.config.floatX:
        value = value.astype(pytensor.config.floatX)
    return pytensor.shared(value, name=f"{label} data", shape=value.shape)


def missing_values(data: Any, label: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return data with NaN where values are missing, and where that is; None if none are.

    Parameters
    ----------
    data
        What a user observed. Of PyTensor's variables the values may change: None.
    label
        The random variable, as messages are to name it.
    """
    if data is None or isinstance(data, Variable):
        return None
    if np.ma.isMaskedArray(data) and np.ma.getmaskarray(data).any():
        hidden = np.ma.getmaskarray(data)
        data = np.where(hidden, 0, np.ma.getdata(data))
    else:
        hidden = np.zeros((), dtype=bool)
    value = numeric_array(data, f"{label}: observed data")
    missing = np.isnan(value) | hidden if value.dtype.kind == "f" else hidden
    if not missing.any():
        return None
    value = value.astype(pytensor.config.floatX)
    value[missing] = np.nan
    return value, missing


def check_is_data(data: Variable, label: str) -> None:
    """Raise if an expression is not made of data alone.

    Whole numbers that were drawn at random are fine as indices: they choose the rows of a
    minibatch.
    """
    everything = list(ancestors([data]))
    indices = {v for v in everything if v is not data and is_whole(v)}
    values = set(ancestors([data], blockers=list(indices))) - indices
    for variable in everything:
        dist = getattr(variable.tag, "distribution", None)
        if dist is not None:
            what = (
                f"the random variable {variable.name!r}" if variable.name else f"a draw of {dist}"
            )
        elif getattr(variable.tag, "is_value", False):
            what = f"{variable.name!r}, a variable that has no value"
        elif variable in values and variable.owner and is_random_variable(variable.owner.op):
            what = f"random draws, {variable.owner.op}"
        else:
            continue
        raise ModelError(
            f"{label}: observed data must be numbers, but they depend on {what}. Give the data "
            f"themselves, an array or vb.Data; a relation between variables belongs into the "
            f"parameters, or into vb.Potential."
        )


def is_whole(variable: Variable) -> bool:
    return getattr(variable.type, "dtype", "").startswith(("int", "uint"))


def is_in_memory(data: Any) -> bool:
    """Tell whether data are a minibatch of which all are in memory."""
    return isinstance(data, BatchVariable) and data.in_memory


def check_data(value: np.ndarray, subject: str, discrete: bool) -> None:
    """Raise if values are missing, or not whole where they have to be."""
    if value.dtype.kind == "f":
        missing = np.isnan(value)
        if missing.any():
            raise ImputationError(missing_message(subject, missing, "NaN"))
    if discrete:
        as_whole_numbers(value, subject)


def known_value(variable: Any) -> np.ndarray | None:
    """Return the value of a constant or of a shared variable (cast or not), else None."""
    if isinstance(variable, Constant):
        return np.asarray(variable.data)
    if isinstance(variable, SharedVariable):
        return np.asarray(variable.get_value(borrow=True))
    owner = getattr(variable, "owner", None)
    if owner is not None and len(owner.inputs) == 1 and is_cast_or_copy(owner.op):
        return known_value(owner.inputs[0])
    return None


def known_shape(variable: TensorVariable) -> tuple[int | None, ...]:
    """Return the shape of data, None for lengths that are known only at run time."""
    value = known_value(variable)
    if value is not None:
        return value.shape
    if minibatches_in([variable]):
        return batch_lengths(lengths_of(variable))
    return variable.type.shape


def whole_shape(variable: TensorVariable) -> tuple[int | None, ...]:
    """Return the shape of data, with the whole data in the place of minibatches."""
    if minibatches_in([variable]):
        return whole_lengths(lengths_of(variable))
    return known_shape(variable)


def stand_for_all(graphs: Sequence[Variable]) -> bool:
    """Tell whether graphs depend on data that stay on disk, of which a part is shown at most."""
    return any(minibatch.stands_for_all for minibatch in minibatches_in(graphs))


def observed_shapes(model: ModelVariables) -> tuple[tuple[int | None, ...], ...]:
    """Return the shapes of all observed variables, with the whole data in them."""
    return tuple(whole_shape(model.rvs_to_values[rv]) for rv in model.observed_RVs)


def lengths_of(variable: TensorVariable) -> list[TensorVariable]:
    return [variable.shape[axis] for axis in range(variable.type.ndim)]


def warn_of_minibatches(observed: TensorVariable, label: str) -> None:
    """Warn that observed minibatches would count as if they were all data."""
    sampled = [m for m in minibatches_in([observed]) if m.is_sampled]
    if sampled:
        warnings.warn(
            f"{label}: the observed data are a minibatch, but total_size is not set: the "
            f"likelihood would count the {known_shape(observed)[0]} observations of a batch as if "
            f"they were all. Say of how many they are a part, such as "
            f"total_size={whole_shape(observed)}.",
            UserWarning,
            stacklevel=4,
        )


def check_observed_shape(dist: Distribution, observed: TensorVariable, label: str) -> None:
    """Raise if data cannot be draws of the distribution, as far as shapes tell."""
    lengths = [pt.as_tensor_variable(n) for n in dist.batch_shape]
    whole = stand_for_all([observed, *lengths])
    shape = whole_shape(observed) if whole else known_shape(observed)
    if len(shape) < dist.ndim_supp:
        raise ShapeError(
            f"{label}: one event has {dist.ndim_supp} axes, the observed data have {len(shape)}"
        )
    batch = dist.static_batch_shape
    if None in batch and not inputs_in(lengths):
        batch = whole_lengths(lengths) if whole else batch_lengths(lengths)
    if not fits(batch, shape[: len(shape) - dist.ndim_supp]):
        raise ShapeError(
            f"{label}: the observed data have shape {tuple(shape)}, but the parameters have batch "
            f"shape {batch}, to which the data do not broadcast"
        )
