"""Names of axes, and labels along them, as tables have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vibayes.exceptions import ShapeError

__all__ = ["inferred_coords"]


def inferred_coords(
    value: Any,
    name: str,
    ndim: int,
    dims: str | Sequence[str | None] | None,
    coords: Mapping[str, Sequence[Any]] | None,
    label: str,
) -> tuple[tuple[str, ...], dict[str, Sequence[Any]]]:
    """Return the names of the axes of data and their coordinates.

    Parameters
    ----------
    value
        A table of pandas or polars, an array of xarray; of others nothing can be told.
    name
        Name of the data, for axes that have none.
    ndim
        Number of axes.
    dims, coords
        What is known already, and stands.
    label
        What stands for the data in messages.
    """
    found = axes_of(value) or [(None, None)] * ndim
    given = (dims,) if isinstance(dims, str) else dims or (None,) * ndim
    if len(given) != ndim or len(found) != ndim:
        raise ShapeError(f"{label}: dims {tuple(given)} for {ndim} axes; give one name an axis")
    names = tuple(
        own or inferred or f"{name}_dim_{axis}"
        for axis, (own, (inferred, _)) in enumerate(zip(given, found, strict=True))
    )
    labels = {n: own for n, (_, own) in zip(names, found, strict=True) if own is not None}
    return names, {**labels, **(coords or {})}


def axes_of(value: Any) -> list[tuple[str | None, Any]] | None:
    """Return name and labels of each axis of a table, None for what is none."""
    if hasattr(value, "coords") and hasattr(value, "dims"):  # of xarray
        return [
            (str(dim), value.coords[dim].values if dim in value.coords else None)
            for dim in value.dims
        ]
    if hasattr(value, "index") and hasattr(value, "iloc"):  # of pandas
        axes = [value.index, *([value.columns] if value.ndim == 2 else [])]
        return [(None if a.name is None else str(a.name), a) for a in axes]
    if hasattr(value, "get_columns") and hasattr(value, "columns"):  # of polars
        return [(None, None), (None, list(value.columns))]
    return None
