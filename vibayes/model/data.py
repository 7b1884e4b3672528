"""Data that can be exchanged after a model is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.model.dims import as_labels
from vibayes.model.variables import check_name
from vibayes.numeric import numeric_array

__all__ = ["Data", "set_data"]


@check_arguments
def Data(
    name: str,
    value: Any,
    *,
    dims: str | Sequence[str | None] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    model: Model | None = None,
    local: bool = False,
) -> SharedVariable:
    """Register data with the model, to be exchanged later by :func:`set_data`.

    Parameters
    ----------
    name
        Name of the data in the model, and in ``constant_data`` of the results.
    value : array_like
        Numbers: NumPy, pandas, xarray, a list. Whole numbers stay whole numbers, so that the
        data can index; other numbers become ``floatX``.
    dims
        Names of the axes. A name that the model does not know yet becomes a dimension of the
        data's length.
    coords
        Coordinates of the dimensions, if the model does not have them yet.
    model
        The model; by default the one of the ``with`` block.
    local
        Whether each process of a fit on several machines has rows of its own, the data being
        those of all; see the page on devices. In a single process it changes nothing.

    Returns
    -------
    SharedVariable
        A tensor for use in any expression.

    Raises
    ------
    TypeError
        If the data are not numbers.
    ShapeError
        If a length differs from that of its dimension.

    Notes
    -----
    Axes that have a name may change their length. An axis of length 1 without a name broadcasts,
    and keeps its length.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model(coords={"row": ["a", "b", "c"]}) as model:
    ...     x = vb.Data("x", [1.0, 2.0, 3.0], dims="row")
    ...     slope = vb.Normal("slope")
    ...     mu = vb.Deterministic("mu", slope * x, dims="row")
    >>> x.get_value()
    array([1., 2., 3.])
    """
    model = modelcontext(model)
    check_name(name)
    label = f"Data({name!r})"
    array = as_data_array(value, label)
    dims = model.normalize_dims(dims, array.ndim, label)
    if coords:
        model.add_coords(coords)
    model.check_lengths(array.shape, dims, label)
    for dim, length in zip(dims, array.shape, strict=True):
        if dim is not None:
            model.add_coord(dim, length=length)
    static = tuple(
        1 if length == 1 and dim is None and not (local and axis == 0) else None
        for axis, (length, dim) in enumerate(zip(array.shape, dims, strict=True))
    )
    variable = pytensor.shared(array, name=model.name_for(name), shape=static)
    if local:
        if array.ndim == 0:
            raise ShapeError(f"{label}: local data have rows, this is a single number")
        variable.tag.local_rows = True
    model.register_data_var(variable, dims)
    return variable


@check_arguments
def set_data(
    new_data: Mapping[str, Any],
    model: Model | None = None,
    *,
    coords: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Exchange the values of data variables.

    Everything is checked before anything is changed.

    Parameters
    ----------
    new_data
        New values by the names of the data.
    model
        The model; by default the one of the ``with`` block.
    coords
        New coordinates of dimensions that change their length.

    Raises
    ------
    KeyError
        If the model has no such data.
    ShapeError
        If the number of axes changes, if the new lengths of one dimension differ, or if a
        dimension changes its length without new coordinates.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model(coords={"row": ["a", "b", "c"]}) as model:
    ...     x = vb.Data("x", [1.0, 2.0, 3.0], dims="row")
    >>> vb.set_data({"x": [4.0, 5.0]}, model=model, coords={"row": ["d", "e"]})
    >>> x.get_value()
    array([4., 5.])
    """
    model = modelcontext(model)
    arrays = {}
    for name, value in new_data.items():
        arrays[model.data_var(name)] = check_new_value(model, name, value)
    lengths = new_lengths(model, arrays)
    coords = {dim: as_labels(values, dim) for dim, values in (coords or {}).items()}
    check_new_coords(model, lengths, coords)
    for variable, array in arrays.items():
        variable.set_value(array)
    lengths = {dim: len(labels) for dim, labels in coords.items()} | lengths
    for dim, length in lengths.items():
        model.set_dim(dim, length, coords.get(dim, model.coords[dim]))


def as_data_array(value: Any, label: str) -> np.ndarray:
    array = numeric_array(value, f"{label}: value")
    return array.astype(pytensor.config.floatX) if array.dtype.kind == "f" else array


def check_new_value(model: Model, name: str, value: Any) -> np.ndarray:
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


def new_lengths(model: Model, arrays: Mapping[SharedVariable, np.ndarray]) -> dict[str, int]:
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
    model: Model, lengths: Mapping[str, int], coords: Mapping[str, Sequence[Any]]
) -> None:
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
        if changed and (fixed := model.free_along(dim)):
            raise ShapeError(
                f"set_data: the free variable {fixed[0]!r} lies along dimension {dim!r}, whose "
                f"length cannot change from {model.dim_length(dim)} to {length}"
            )
    for dim, values in coords.items():
        if dim not in lengths and len(values) != model.dim_length(dim):
            if fixed := model.free_along(dim):
                raise ShapeError(
                    f"set_data: the free variable {fixed[0]!r} lies along dimension {dim!r}, "
                    f"whose length cannot change to {len(values)}"
                )
