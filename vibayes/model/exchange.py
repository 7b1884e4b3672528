"""New values of data variables, and what changes its length with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.dims import ModelDims, as_labels
from vibayes.model.values import value_variable
from vibayes.numeric import numeric_array

__all__ = ["as_data_array", "exchange"]


def exchange(
    model: ModelDims,
    new_data: Mapping[str, Any],
    coords: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Exchange the values of data variables; see :func:`vibayes.set_data`."""
    arrays = {}
    for name, value in new_data.items():
        arrays[model.data_var(name)] = check_new_value(model, name, value)
    lengths = new_lengths(model, arrays)
    coords = {dim: as_labels(values, dim) for dim, values in (coords or {}).items()}
    check_new_coords(model, lengths, coords)
    for variable, array in arrays.items():
        variable.set_value(array)
    lengths = {dim: len(labels) for dim, labels in coords.items()} | lengths
    changed = [dim for dim, length in lengths.items() if length != model.dim_length(dim)]
    for dim, length in lengths.items():
        model.set_dim(dim, length, coords.get(dim, model.coords[dim]))
    for dim in changed:
        resize_along(model, dim)


def as_data_array(value: Any, label: str) -> np.ndarray:
    """Return numbers for a data variable: whole ones as they are, others as ``floatX``."""
    array = numeric_array(value, f"{label}: value")
    return array.astype(pytensor.config.floatX) if array.dtype.kind == "f" else array


def check_new_value(model: ModelDims, name: str, value: Any) -> np.ndarray:
    """Return a new value as an array that its data variable can hold."""
    variable = model.data_var(name)
    array = as_data_array(value, f"Data({name!r})")
    if array.ndim != variable.type.ndim:
        raise ShapeError(
            f"set_data: {name!r} has {variable.type.ndim} axes, the new value {array.ndim}"
        )
    for axis, fixed in enumerate(variable.type.shape):
        if fixed is not None and array.shape[axis] != fixed:
            raise ShapeError(
                f"set_data: axis {axis} of {name!r} broadcasts (length 1, no dims), so its length "
                f"cannot become {array.shape[axis]}; give the axis a name in dims"
            )
    with np.errstate(invalid="ignore"):  # what a cast breaks is told below
        new = array.astype(variable.dtype)
    if np.dtype(variable.dtype).kind in "iu" and (new != array).any():
        raise TypeError(
            f"set_data: {name!r} holds whole numbers of dtype {variable.dtype}, which cannot hold "
            f"the new value {array[new != array][0]}"
        )
    return new


def new_lengths(model: ModelDims, arrays: Mapping[SharedVariable, np.ndarray]) -> dict[str, int]:
    """Return the new length of each dimension along which a new value lies."""
    lengths: dict[str, int] = {}
    for variable, array in arrays.items():
        dims = model.named_vars_to_dims.get(variable.name, ())
        for dim, length in zip(dims, array.shape, strict=False):
            if dim is not None and lengths.setdefault(dim, length) != length:
                raise ShapeError(
                    f"set_data: dimension {dim!r} would have length {lengths[dim]} and, by "
                    f"{variable.name!r}, {length}"
                )
    return lengths


def check_new_coords(
    model: ModelDims, lengths: Mapping[str, int], coords: Mapping[str, Sequence[Any]]
) -> None:
    """Raise if dimensions cannot get new lengths or coordinates."""
    for dim, values in coords.items():
        if dim not in model.coords:
            raise ModelError(f"set_data: the model has no dimension {dim!r}, which coords has")
        expected = lengths.get(dim, len(values))
        if len(values) != expected:
            raise ShapeError(
                f"set_data: {len(values)} coordinates for dimension {dim!r} of length {expected}"
            )
    for dim, length in lengths.items():
        has_coords = model.coords[dim] is not None
        changed = length != model.dim_length(dim)
        if changed and has_coords and dim not in coords:
            raise ShapeError(
                f"set_data: dimension {dim!r} changes its length from {model.dim_length(dim)} to "
                f"{length}; pass its new coordinates, coords={{{dim!r}: ...}}"
            )
        if changed and (fixed := model.fixed_along(dim)):
            raise ShapeError(
                f"set_data: the free variable {fixed[0]!r} lies along dimension {dim!r}, whose "
                f"length cannot change from {model.dim_length(dim)} to {length}"
            )
    for dim, values in coords.items():
        if dim not in lengths and len(values) != model.dim_length(dim):
            if fixed := model.fixed_along(dim):
                raise ShapeError(
                    f"set_data: the free variable {fixed[0]!r} lies along dimension {dim!r}, "
                    f"whose length cannot change to {len(values)}"
                )


def resize_along(model: ModelDims, dim: str) -> None:
    """Give the free variables along a dimension unconstrained values of its new length."""
    whole = model.lineage()[-1]
    for rv in whole.free_RVs:
        if dim not in whole.named_vars_to_dims.get(rv.name, ()):
            continue
        old = whole.rvs_to_values[rv]
        new = value_variable(rv, old.name, whole.rvs_to_transforms[rv], old.dtype)
        for owner in model.lineage():
            if rv in owner.rvs_to_values:
                owner.rvs_to_values[rv] = new
            owner.functions.clear()
