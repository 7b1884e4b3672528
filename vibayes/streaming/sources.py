"""Where rows come from: arrays on disk, tables, and functions, all read block by block."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pytensor.graph.basic import Variable

from vibayes.exceptions import ShapeError, StreamError
from vibayes.installing import missing
from vibayes.streaming.columns import column_names, parts_of

__all__ = ["Block", "Source", "as_source", "is_streamed"]

BLOCK_BYTES = 2**20  # enough that the reading takes longer than the Python around it
CHUNKED_BLOCK_BYTES = 2**23  # dask and zarr take a millisecond to find out what to read


@dataclass(frozen=True)
class Block:
    """Rows that were read together.

    Attributes
    ----------
    number : int
        Number of the block in its source.
    first_row : int
        Row of the source with which it begins.
    values
        An array, or a tuple or dict of arrays.
    """

    number: int
    first_row: int
    values: Any


Blocks: TypeAlias = Generator[Block, None, None]


class Source:
    """Rows in blocks.

    Attributes
    ----------
    name : str
        The source, as messages are to name it.
    length : int or None
        Number of rows, if known.
    is_fine : bool
        Whether blocks are small and can be read in any order, so that a small buffer suffices.
    """

    name: str
    length: int | None
    is_fine = False

    def reader(self) -> Callable[[int, int], Any] | None:
        """Return what reads the rows from one to before another; None if it reads blocks alone."""
        return None

    def blocks(self, order: np.random.Generator | None, skip: int = 0) -> Blocks:
        """Read each block once.

        Parameters
        ----------
        order
            Draws the order of the blocks, if that is free; None for the order in which they lie.
        skip
            How many blocks to leave out at the begin.

        Raises
        ------
        StreamError
            If a block cannot be read.
        """
        raise NotImplementedError

    def sample_of_blocks(self) -> Blocks:
        """Read a few blocks, where any can be read alone."""
        yield from ()

    def failure(self, number: int, row: int, what: str) -> StreamError:
        """Return an error that names the source, the block and the row."""
        return StreamError(self.name, number, row, what)


class IndexedSource(Source):
    """Rows of which any block can be read alone.

    Parameters
    ----------
    name
        The source, as messages are to name it.
    ends : sequence of int
        For each block the row behind its last.
    opened : callable
        Called at the begin of each pass; returns what reads: given the number of a block, its
        first row and the row behind its last, that returns its values, which need not outlast
        the next call.
    is_fine : bool
        Whether blocks are small.
    any_rows : bool
        Whether what reads takes any first and last row, whatever the block.
    """

    def __init__(
        self,
        name: str,
        ends: Sequence[int] | np.ndarray,
        opened: Callable[[], Callable[[int, int, int], Any]],
        is_fine: bool = False,
        any_rows: bool = False,
    ) -> None:
        self.name = name
        self.length = int(ends[-1]) if len(ends) else 0
        self.is_fine = is_fine
        self._any_rows = any_rows
        self._ends = ends
        self._opened = opened

    def blocks(self, order: np.random.Generator | None, skip: int = 0) -> Blocks:
        """Read each block once."""
        count = len(self._ends)
        numbers = np.arange(count) if order is None else order.permutation(count)
        read = None
        for number in numbers[skip:].tolist():
            start = int(self._ends[number - 1]) if number else 0
            try:
                read = read or self._opened()
                values = read(number, start, int(self._ends[number]))
            except Exception as error:
                raise self.failure(number, start, f"reading failed: {error_text(error)}") from error
            yield Block(number, start, values)

    def reader(self) -> Callable[[int, int], Any] | None:
        """Return what reads the rows from one to before another; None if it reads blocks alone."""
        return partial(self._opened(), 0) if self._any_rows else None

    def sample_of_blocks(self) -> Blocks:
        """Read the first block, one in the middle, and the last."""
        count = len(self._ends)
        for number in sorted({0, count // 2, count - 1} & set(range(count))):
            yield next(self.blocks(None, number))


class FunctionSource(Source):
    """Blocks from a function that returns a new iterator at each call.

    Parameters
    ----------
    function : callable
        Takes no arguments.
    columns : sequence, optional
        Columns that will be used; all by default.
    """

    length = None

    def __init__(self, function: Callable[[], Any], columns: Sequence[Any] | None) -> None:
        self.name = f"function {getattr(function, '__qualname__', repr(function))}"
        self._function = function
        self._columns = columns

    def blocks(self, order: np.random.Generator | None, skip: int = 0) -> Blocks:
        """Read each block once, in the order of the function."""
        number = row = 0
        try:
            iterator = iter(self._function())
        except Exception as error:
            raise self.failure(0, 0, f"it could not be started: {error_text(error)}") from error
        while True:
            try:
                values = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                raise self.failure(number, row, f"reading failed: {error_text(error)}") from error
            if number >= skip:
                yield Block(number, row, values)
            row += rows_in(values, self._columns)
            number += 1


def error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def rows_in(values: Any, columns: Sequence[Any] | None) -> int:
    """Return the number of rows of a block, 0 for one that is not as it should be."""
    try:
        return len(parts_of(values, columns)[0])
    except (KeyError, IndexError, TypeError, ValueError):
        return 0


# -- which data are streamed --------------------------------------------------------------------


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


def is_array_on_disk(data: Any) -> bool:
    if isinstance(data, np.ndarray):
        return isinstance(data, np.memmap) and data.filename is not None
    if hasattr(data, "variable") and hasattr(data, "isel"):  # xarray
        return data.chunks is not None or not getattr(data.variable, "_in_memory", True)
    in_memory = ("__array_interface__", "__dlpack__", "to_numpy")
    return all(hasattr(data, name) for name in ("shape", "dtype", "__getitem__")) and not any(
        hasattr(data, name) for name in in_memory
    )


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


# -- arrays -------------------------------------------------------------------------------------


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


# -- tables -------------------------------------------------------------------------------------


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
