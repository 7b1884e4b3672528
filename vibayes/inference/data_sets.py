"""Data sets that take turns in one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.exceptions import ModelError, SamplingError, ShapeError
from vibayes.model.core import Model
from vibayes.model.data import set_data
from vibayes.model.exchange import as_data_array
from vibayes.model.target import Target

__all__ = ["check_start", "checked", "known_data", "own_data_afterwards", "put", "without_density"]


def known_data(model: Model, name: str) -> SharedVariable:
    """Return the shared variable that holds some data of a model.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    for variable in model.data_vars:
        if variable.name == name:
            return variable
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        if rv.name == name and isinstance(value, SharedVariable):
            return value
    known = [v.name for v in (*model.data_vars, *model.observed_RVs)]
    raise ModelError(
        f"fit_many: the model has no data named {name!r} that can be exchanged, only {known}"
    )


def checked(model: Model, values: Mapping[str, Any], number: int) -> dict[str, np.ndarray]:
    """Return the arrays of a data set, of the dtypes of the model's data."""
    found = {}
    for name, value in values.items():
        variable, label = known_data(model, name), f"fit_many: {name!r} of data set {number}"
        array = as_data_array(value, label)
        fixed = [n for n in variable.type.shape if n is not None]
        if array.ndim != variable.type.ndim or (fixed and array.shape != variable.type.shape):
            raise ShapeError(
                f"{label} has shape {array.shape}, the model's data {variable.type.shape} (None "
                f"is any length; write data of other lengths as vb.Data with dims)"
            )
        new = array.astype(variable.dtype)
        if new.dtype.kind in "iu" and (new != array).any():
            raise TypeError(f"{label} must be whole numbers, got {array[new != array][0]}")
        if new.dtype.kind == "f" and np.isnan(new).any():
            raise ValueError(f"{label} has missing values")
        found[name] = new
    return found


def put(model: Model, values: Mapping[str, np.ndarray]) -> None:
    """Put a data set into a model."""
    names = {v.name for v in model.data_vars}
    of_data = {name: value for name, value in values.items() if name in names}
    if of_data:
        set_data(of_data, model)
    for name, value in values.items():
        if name not in names:
            known_data(model, name).set_value(value)


@contextmanager
def own_data_afterwards(model: Model, names: Sequence[str]) -> Iterator[None]:
    """Let data sets take turns in the block; after it the model has its own data again."""
    before = {name: known_data(model, name).get_value() for name in names}
    try:
        yield
    finally:
        put(model, before)


def without_density(model: Model, arrays: Sequence[Mapping[str, np.ndarray]]) -> list[int]:
    """Return the numbers of checked data sets whose log density is not finite at the start."""
    target, found = Target(model), []
    for i, values in enumerate(arrays):
        put(model, values)
        if not np.isfinite(target.logp(target.start[None])[0]):
            found.append(i)
    return found


def check_start(model: Model, arrays: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Raise if a fit cannot start, before any of them does.

    Raises
    ------
    SamplingError
        If the log density of a data set is not finite there. Names the data set and its values.
    """
    for i in without_density(model, arrays)[:1]:
        put(model, arrays[i])
        try:
            Target(model).check_start()
        except SamplingError as error:
            raise SamplingError(f"fit_many: data set {i}: {error}") from None
