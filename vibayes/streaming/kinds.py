"""Which data are read block by block, and by what source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytensor.graph.basic import Variable

from vibayes.streaming.arrays_on_disk import array_source, is_array_on_disk
from vibayes.streaming.parquet import parquet_source
from vibayes.streaming.sources import FunctionSource, Source

__all__ = ["as_source", "is_streamed"]


def is_streamed(data: Any) -> bool:
    """Tell whether data are to be read block by block: whatever is not in memory.

    These are memory-mapped files, xarray data that are not loaded, arrays that know their shape
    but do not hold their numbers (dask, zarr, h5py), paths, and functions.
    """
    if isinstance(data, str | Path):
        return data != ""
    if isinstance(data, Variable | type):
        return False
    return callable(data) or is_array_on_disk(data)


def as_source(data: Sequence[Any], columns: Sequence[Any] | None, label: str) -> Source:
    """Return a source of rows.

    Parameters
    ----------
    data
        Arrays of one length, or a path, or a function.
    columns
        Columns of a table that will be used; all by default.
    label
        The minibatch, as messages are to name it.
    """
    if len(data) > 1 or (not isinstance(data[0], str | Path) and not is_function(data[0])):
        return array_source(data, label)
    if is_function(data[0]):
        return FunctionSource(data[0], columns)
    return parquet_source(Path(data[0]), columns, label)


def is_function(data: Any) -> bool:
    return callable(data) and not is_array_on_disk(data)
