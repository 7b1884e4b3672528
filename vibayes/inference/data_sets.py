"""Data sets that take turns in one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.model.data import set_data
from vibayes.model.exchange import as_data_array

__all__ = ["checked", "known_data", "put"]


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
