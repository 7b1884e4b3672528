"""Rows of tables in Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vibayes.installing import missing
from vibayes.streaming.columns import column_names
from vibayes.streaming.sources import IndexedSource

__all__ = ["parquet_source"]


def parquet_source(path: Path, columns: Sequence[Any] | None, label: str) -> IndexedSource:
    """Return a source of the rows of a Parquet file, or of all in a folder.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If pyarrow is not installed.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{label} must be numbers or a source of rows: there is no file or folder {path}"
        )
    if path.is_file() and path.suffix not in (".parquet", ".pq"):
        raise TypeError(
            f"{label}: a path must lead to Parquet files, got {path}; open others first, such as "
            f"by np.load(path, mmap_mode='r') or zarr.open_array(path)"
        )
    try:
        from pyarrow import dataset, parquet
    except ImportError as error:
        raise missing(f"{label}: Parquet", "pyarrow", "streaming") from error
    files = [path] if path.is_file() else [Path(f) for f in dataset.dataset(path).files]
    groups: list[tuple[Path, int]] = []
    ends: list[int] = []
    for file in sorted(files):
        metadata = parquet.read_metadata(file)
        for i in range(metadata.num_row_groups):
            groups.append((file, i))
            ends.append((ends[-1] if ends else 0) + metadata.row_group(i).num_rows)
    names = parquet.read_schema(files[0]).names if columns is None else column_names(columns)
    return IndexedSource(f"Parquet {path}", ends, partial(ParquetRows, groups, names))


class ParquetRows:
    """Reads row groups of Parquet files.

    Parameters
    ----------
    groups : sequence of tuple
        File and number of each row group.
    names : sequence of str
        Columns to read.
    """

    def __init__(self, groups: Sequence[tuple[Path, int]], names: Sequence[str]) -> None:
        self._groups = groups
        self._names = names

    def __call__(self, number: int, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return the columns of a row group."""
        from pyarrow import parquet

        file, group = self._groups[number]
        with parquet.ParquetFile(file) as opened:
            table = opened.read_row_group(group, columns=self._names)
        if table.num_rows != stop - start:
            raise ValueError(f"it has {table.num_rows} rows in place of {stop - start}")
        return {name: table[name].to_numpy() for name in self._names}
