"""Data that can be exchanged after a model is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytensor
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.exceptions import ShapeError
from vibayes.model.core import Model
from vibayes.model.exchange import as_data_array, exchange
from vibayes.model.inferred import inferred_coords
from vibayes.model.variables import check_name
from vibayes.streaming.stream import data_on_disk, is_left_on_disk

__all__ = ["Data", "set_data"]


@check_arguments
def Data(
    name: str,
    value: Any,
    *,
    dims: str | Sequence[str | None] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    infer_dims_and_coords: bool = False,
    model: Model | None = None,
    in_memory: bool | None = None,
    columns: Any = None,
    local: bool = False,
    **kwargs: Any,
) -> SharedVariable:
    """Register data with the model, to be exchanged later by :func:`set_data`.

    Parameters
    ----------
    name
        Name of the data in the model, and in ``constant_data`` of the results.
    value : array_like
        Numbers: NumPy, pandas, xarray, a list. Whole numbers stay whole numbers, so that the
        data can index; other numbers become ``floatX``. Or a source of rows: a memory-mapped file,
        an array of zarr, h5py or dask, a path to Parquet files.
    dims
        Names of the axes. A name that the model does not know yet becomes a dimension of the
        data's length.
    coords
        Coordinates of the dimensions, if the model does not have them yet.
    infer_dims_and_coords
        Whether to take from a table of pandas, polars or xarray what ``dims`` and ``coords`` do not
        say: the names of its axes, and its labels. What has no name is ``NAME_dim_0`` and so on.
    model
        The model; by default the one of the ``with`` block.
    in_memory
        Whether to load a source. By default it is, if that takes at most 256 MB; else its rows
        stay where they are, and each pass of a fit over the data reads them: see
        ``docs/large_data.md``.
    columns
        Of a table, a column for a vector, or a list of columns for a matrix.
    local
        Whether each process of a fit on several machines has rows of its own, the data being
        those of all; see the page on devices. In a single process it changes nothing.
    **kwargs
        Further arguments of ``pytensor.shared``, such as ``borrow``. ``mutable``, of PyMC 4, has no
        effect: all data can be exchanged.

    Returns
    -------
    SharedVariable
        A tensor for use in any expression; of data that stay on disk one that shows the first rows
        outside of a fit, and that :func:`set_data` does not know.

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
    kwargs.pop("mutable", None)
    if is_left_on_disk(value, in_memory):
        return registered_on_disk(model, name, value, dims, coords, columns)
    if columns is not None:
        raise TypeError(
            f"{label}: columns must be left out: they are for tables on disk, such as Parquet files"
        )
    array = as_data_array(value, label)
    if infer_dims_and_coords:
        dims, coords = inferred_coords(value, name, array.ndim, dims, coords, label)
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
    variable = shared_array(array, {"name": model.name_for(name), "shape": static, **kwargs}, label)
    if local:
        if array.ndim == 0:
            raise ShapeError(f"{label}: local data have rows, this is a single number")
        variable.tag.local_rows = True
    model.register_data_var(variable, dims)
    return variable


def shared_array(array: Any, options: Mapping[str, Any], label: str) -> SharedVariable:
    """Return a shared variable of an array."""
    try:
        return pytensor.shared(array, **options)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument ('\w+')", str(error))
        if unknown is None:
            raise
        raise TypeError(f"{label}: got an unexpected keyword argument {unknown[1]}") from None


def registered_on_disk(
    model: Model, name: str, value: Any, dims: Any, coords: Any, columns: Any
) -> Any:
    """Return data that stay on disk, which the model knows by their name and dims."""
    label = f"Data({name!r})"
    model.check_new_name(model.name_for(name))
    variable = data_on_disk(value, model.name_for(name), label, columns)
    shape = variable.whole_shape
    dims = model.normalize_dims(dims, len(shape), label)
    if coords:
        model.add_coords(coords)
    model.check_lengths(shape, dims, label)
    for dim, length in zip(dims, shape, strict=True):
        if dim is not None:
            model.add_coord(dim, length=length)
    model.add_named_variable(variable, variable.name, dims)
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
    exchange(modelcontext(model), new_data, coords)
