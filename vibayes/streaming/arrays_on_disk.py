"""Rows of arrays that are not in memory: mapped files, and arrays in chunks."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vibayes.exceptions import ShapeError
from vibayes.streaming.sources import IndexedSource

__all__ = ["array_source", "is_array_on_disk"]

BLOCK_BYTES = 2**20  # enough that the reading takes longer than the Python around it
CHUNKED_BLOCK_BYTES = 2**23  # dask and zarr take a millisecond to find out what to read


def is_array_on_disk(data: Any) -> bool:
    """Tell whether data are an array whose numbers are read when they are asked for."""
    if isinstance(data, np.ndarray):
        return isinstance(data, np.memmap) and data.filename is not None
    if hasattr(data, "variable") and hasattr(data, "isel"):  # xarray
        return data.chunks is not None or not getattr(data.variable, "_in_memory", True)
    in_memory = ("__array_interface__", "__dlpack__", "to_numpy")
    return all(hasattr(data, name) for name in ("shape", "dtype", "__getitem__")) and not any(
        hasattr(data, name) for name in in_memory
    )


def array_source(arrays: Sequence[Any], label: str) -> IndexedSource:
    """Return a source of the rows of arrays of one length."""
    for array in arrays:
        if isinstance(array, str | Path) or not hasattr(array, "shape"):
            raise TypeError(
                f"{label}: several sources of one minibatch must be arrays, got {array!r}; a "
                f"function may return blocks of several arrays"
            )
        if not array.shape:
            raise ShapeError(f"{label}: data must have at least one axis, got a number")
    lengths = [int(array.shape[0]) for array in arrays]
    if len(set(lengths)) > 1:
        raise ShapeError(f"{label}: the data have different lengths, {lengths}")
    name = " and ".join(dict.fromkeys(name_of(array) for array in arrays))
    is_fine = all(chunk_ends(array) is None for array in arrays)
    ends = block_ends(arrays, lengths[0])
    return IndexedSource(name, ends, ArrayRows(arrays), is_fine, any_rows=True)


class ArrayRows:
    """Reads the same rows of several arrays.

    Parameters
    ----------
    arrays
        Arrays of one length.
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._openers = [opener(array) for array in arrays]

    def __call__(self) -> Callable[[int, int, int], Any]:
        """Return what reads the rows of a block: an array, or a tuple of those of several."""
        return partial(rows_of_each, [start() for start in self._openers])


def rows_of_each(
    readers: Sequence[Callable[[int, int], np.ndarray]], number: int, start: int, stop: int
) -> Any:
    """Return rows: an array, or a tuple of the rows of several."""
    parts = tuple(read_rows(start, stop) for read_rows in readers)
    for part in parts:
        if len(part) != stop - start:
            raise ValueError(f"it has {len(part)} rows in place of {stop - start}")
    return parts[0] if len(parts) == 1 else parts


def name_of(array: Any) -> str:
    if isinstance(array, np.memmap):
        return f"file {array.filename}"
    kind = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
    name = getattr(array, "name", None)
    return f"{kind} {name!r}" if name else kind


def block_ends(arrays: Sequence[Any], length: int) -> np.ndarray:
    """Return the row behind the last of each block: what lies together is read together."""
    chunked = [ends for array in arrays if (ends := chunk_ends(array)) is not None]
    row_bytes = sum(bytes_of_row(array) for array in arrays)
    if not chunked:
        step = max(1, BLOCK_BYTES // row_bytes)
        return np.append(np.arange(step, length, step), length) if length else np.zeros(0, int)
    ends = min(chunked, key=len)
    least = CHUNKED_BLOCK_BYTES / row_bytes
    chosen, start = [], 0
    for end in ends.tolist():
        if end - start >= least or end == length:
            chosen.append(end)
            start = end
    return np.array(chosen, dtype=int)


def bytes_of_row(array: Any) -> int:
    return max(1, int(np.prod(array.shape[1:], dtype=int)) * np.dtype(array.dtype).itemsize)


def chunk_ends(array: Any) -> np.ndarray | None:
    """Return the row behind the last of each chunk of dask, xarray, zarr or h5py."""
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not chunks:
        return None
    if not isinstance(chunks[0], int):  # dask tells the length of each, others that of all
        return np.cumsum(chunks[0])
    length = int(array.shape[0])
    return np.append(np.arange(chunks[0], length, chunks[0]), length)


def opener(array: Any) -> Callable[[], Callable[[int, int], np.ndarray]]:
    """Return what returns, anew for each reading, what reads the rows from one to before another.

    Of these nothing is shared by threads.
    """
    if isinstance(array, np.memmap) and array.mode in ("r", "r+") and has_whole_rows(array):
        return MappedFile(array)
    return partial(partial, labelled_rows if hasattr(array, "isel") else plain_rows, array)


def labelled_rows(array: Any, start: int, stop: int) -> np.ndarray:
    """Return rows of an xarray array."""
    return array.isel({array.dims[0]: slice(start, stop)}).to_numpy()


def plain_rows(array: Any, start: int, stop: int) -> np.ndarray:
    """Return rows of an array."""
    return np.asarray(array[start:stop])


def has_whole_rows(array: np.memmap) -> bool:
    """Tell whether the rows of a mapped array follow each other in the file without gaps."""
    in_file = isinstance(array.filename, str | Path) and isinstance(mapping(array).base, mmap.mmap)
    return in_file and bool(array.flags.c_contiguous)


def mapping(array: np.memmap) -> np.memmap:
    """Return the array that was mapped, of which this may be a part."""
    while isinstance(array.base, np.memmap):
        array = array.base
    return array


def file_offset(array: np.memmap) -> int:
    """Return where in its file a mapped array begins."""
    whole = mapping(array)
    return whole.offset + array.ctypes.data - whole.ctypes.data


class MappedFile:
    """A memory-mapped file of rows, to be read without the mapping.

    What was read by a mapping would count as memory of the process for as long as the mapping
    lasts, and a file that has become shorter would end the process.

    Parameters
    ----------
    array : numpy.memmap
        The rows.
    """

    def __init__(self, array: np.memmap) -> None:
        self.path = str(array.filename)
        self.offset = file_offset(array)
        self.dtype, self.row_shape = array.dtype, array.shape[1:]
        self.row_bytes = bytes_of_row(array)

    def __call__(self) -> FileRows:
        """Open the file."""
        return FileRows(self)


class FileRows:
    """Reads rows of a file, of which each call overwrites what the one before returned.

    Parameters
    ----------
    source : MappedFile
        What the file holds.
    """

    def __init__(self, source: MappedFile) -> None:
        self._file = open(source.path, "rb", buffering=0)  # noqa: SIM115
        self._source = source
        self._room = np.empty(0, "uint8")

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from one to before another."""
        source = self._source
        size = (stop - start) * source.row_bytes
        if size > len(self._room):
            self._room = np.empty(size, "uint8")  # new memory costs more than to read into it
        room = self._room[:size]
        self._file.seek(source.offset + start * source.row_bytes)
        if missing := size - read_into(self._file, memoryview(room)):
            raise ValueError(f"the file has become shorter: {missing} bytes are missing")
        return room.view(source.dtype).reshape(-1, *source.row_shape)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def read_into(file: Any, room: memoryview) -> int:
    """Read bytes until there is no more room, or there are no more, and return how many."""
    done = 0
    while got := file.readinto(room[done:]):
        done += got
    return done
