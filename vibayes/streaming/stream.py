"""Minibatches of data that are not in memory, as tensors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_seed, check_whole
from vibayes.backend.fingerprints import fingerprint
from vibayes.backend.graphs import view_as
from vibayes.backend.seeds import as_seed_sequence
from vibayes.exceptions import ModelError, ShapeError
from vibayes.streaming.batch import BatchVariable, ShownRows
from vibayes.streaming.blocks import Layout
from vibayes.streaming.kinds import as_source, is_streamed
from vibayes.streaming.shuffle import ShuffledEpochs

__all__ = ["Stream", "StreamedMinibatch", "data_on_disk", "is_left_on_disk", "streamed_minibatch"]

BUFFER_BYTES = 2**27
LOADED_BYTES = 2**28  # of an array on disk, which is loaded where data are asked for
SHOWN_ROWS = 128  # of data on disk, outside of a fit
SEED_WORDS = 4
FINE_BUFFER_BYTES = 2**26  # half of it holds 32 blocks, from all over the data


class Stream:
    """Rows of data that are not in memory, from which minibatches are taken.

    Parameters
    ----------
    layout : Layout
        The source, and what rows of it are like.
    batch_size : int
        Rows a step.
    total_size : int
        Rows in all.
    buffer_bytes : int
        Memory in which rows are shuffled.
    random_seed : int
        Seed of the order of the rows, beside that of the fit.
    name : str
        Name of the minibatch.

    Attributes
    ----------
    total_size : int
        Number of rows.
    batch_size : int
        Number of rows in a batch.
    """

    def __init__(
        self,
        layout: Layout,
        batch_size: int,
        total_size: int,
        buffer_bytes: int,
        random_seed: int,
        name: str,
    ) -> None:
        self.layout = layout
        self.batch_size = batch_size
        self.total_size = total_size
        self.buffer_bytes = buffer_bytes
        self.random_seed = random_seed
        self.name = name

    @property
    def key(self) -> tuple[int, int, int]:
        """Length, batch size and seed: equal for minibatches that look as if of the same rows."""
        return self.total_size, self.batch_size, self.random_seed

    def tensors(self) -> Any:
        """Return a minibatch of each part: one, a tuple or a dict, as the blocks are."""
        layout = self.layout
        count = max(self.batch_size, len(layout.first[0]))
        rows = self._rows(count)
        single = len(layout.parts) == 1
        tensors = []
        for i, (part, first) in enumerate(zip(layout.parts, layout.first, strict=True)):
            window = self._window(np.resize(first, (count, *part.row_shape)), i)
            minibatch = window[rows]
            name = self.name if single else f"{self.name}_{layout.keys[i] if layout.keys else i}"
            tensors.append(StreamedMinibatch(self, i, minibatch, name))
        if layout.keys is not None:
            return dict(zip(layout.keys, tensors, strict=True))
        return tensors[0] if layout.is_single else tuple(tensors)

    def _rows(self, count: int) -> TensorVariable:
        """Return the rows of the windows that a step shows, other ones at each step."""
        whole = count // self.batch_size * self.batch_size
        order = self._window(np.arange(whole), len(self.layout.parts))
        position = pytensor.shared(np.asarray(0, dtype="int64"), name="position_minibatch")
        count = order.shape[0] // self.batch_size
        position.default_update = (position + 1) % count
        start = position % count * self.batch_size  # whatever a file has said of the position
        return order[start : start + self.batch_size]

    def _window(self, values: np.ndarray, number: int) -> SharedVariable:
        """Return what holds values, and in a fit is exchanged for those that a feed provides."""
        window = pytensor.shared(
            values, name="window_minibatch", shape=(None,) * values.ndim, borrow=True
        )
        window.tag.streamed = (self, number)
        return window

    def sample(self, rows: int, random_seed: Any = None) -> tuple[np.ndarray, ...]:
        """Return random rows, none of them twice.

        They are the first that a fit would see: of blocks from all over the data, if its blocks
        can be read in any order, else of its first blocks.

        Parameters
        ----------
        rows : int
            How many; all, if there are fewer.
        random_seed : int, sequence of int, SeedSequence, Generator or None
            Seed.

        Returns
        -------
        tuple of numpy.ndarray
            For each part of a row an array, the rows along its first axis.

        Raises
        ------
        StreamError
            If the rows cannot be read.
        """
        seed = as_seed_sequence(random_seed).generate_state(SEED_WORDS).tolist()
        seed.append(self.random_seed)
        epochs = ShuffledEpochs(self.layout, self.total_size, 1, self.buffer_bytes, seed)
        length = min(rows, self.total_size)
        found = tuple(part.empty(length) for part in self.layout.parts)
        group, filled = epochs.group(), 0
        while filled < length:
            if not epochs.work(group):
                continue
            taken = group.order[: length - filled]
            for array, values in zip(found, group.arrays, strict=True):
                array[filled : filled + len(taken)] = values[taken]
            filled += len(taken)
        return found

    def description(self) -> list[list[str]]:
        """Return what tells the rows from others, as far as a few of them do, by name."""
        source = self.layout.source
        settings = [self.total_size, self.batch_size, self.buffer_bytes, self.random_seed]
        found = [["source", source.name], ["length", str(source.length)]]
        found += [["sizes and seed", str(settings)]]
        found += [["rows", fingerprint(block.values)] for block in source.sample_of_blocks()]
        return found

    def __str__(self) -> str:
        return f"Minibatch({self.name!r}) of {self.layout.source.name}"


class StreamedMinibatch(BatchVariable):
    """Rows of data that are not in memory, the next ones at each step of a fit.

    Outside of a fit it shows rows of the first block.

    Parameters
    ----------
    stream : Stream
        Where the rows come from.
    part_number : int
        Which part of each row it shows.
    minibatch : TensorVariable
        The rows.
    name : str
        Name of the tensor.

    Attributes
    ----------
    stream : Stream
        Where the rows come from; ``stream.total_size`` is their number.
    minibatch : TensorVariable
        The rows: to have other data in an expression, replace this.
    """

    in_memory = False

    def __init__(
        self, stream: Stream, part_number: int, minibatch: TensorVariable, name: str
    ) -> None:
        self.stream = stream
        self.part_number = part_number
        self.minibatch = minibatch
        minibatch.name = name
        super().__init__(minibatch.type, None, None, name=name)
        view_as(minibatch, self)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of a minibatch."""
        return (self.stream.batch_size, *self._row_shape)

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of the whole data."""
        return (self.stream.total_size, *self._row_shape)

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return self.stream.layout.parts[self.part_number].row_shape

    @property
    def is_sampled(self) -> bool:
        """Whether it shows a part of the data, rather than all of them."""
        return True

    @property
    def shared(self) -> Any:
        """Not to be had: the whole data are not in memory.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError(
            f"{self.stream}: the whole data, {self.stream.total_size} rows, are not in memory. "
            f"Take a sample of them, model.sampled_data_replacements(rows), or other data: "
            f"more_replacements={{{self.name}.minibatch: array}}."
        )

    def shown_rows(self) -> list[ShownRows]:
        stream = self.stream
        return [ShownRows(stream, stream.total_size, stream.key)]

    def sampled(
        self, count: int, chosen: dict[Hashable, Any], seed: np.random.SeedSequence
    ) -> np.ndarray:
        if self.stream not in chosen:
            chosen[self.stream] = self.stream.sample(count, seed)
        return chosen[self.stream][self.part_number]


def streamed_minibatch(
    *data: Any,
    batch_size: int = 128,
    total_size: int | None = None,
    columns: Sequence[Any] | None = None,
    dtype: Any = None,
    name: str = "Minibatch",
    random_seed: int | None = 42,
    replace: bool = False,
    buffer_bytes: int | None = None,
    allow_nan: bool = False,
    **unsupported: Any,
) -> Any:
    """Return minibatches of data that are not in memory; see :class:`vibayes.Minibatch`.

    Parameters
    ----------
    *data
        One source, or several arrays of the same length.
    batch_size
        Number of rows.
    total_size
        Number of rows in all, where the source does not know it: a function.
    columns
        Columns of a table, one entry a variable: a name or number for a vector, a list of such
        for a matrix.
    dtype
        Dtype to cast to, or one for each variable.
    name
        Name of the tensor.
    random_seed
        Seed of the order, beside that of the fit.
    replace
        False: every row comes once an epoch.
    buffer_bytes
        Memory for rows, half of it in use while the other is filled; by default 64 MB where rows
        are read in small pieces from all over the data (mapped files, plain arrays), else 128 MB.
    allow_nan
        Whether a NaN is nothing to stop at.

    Returns
    -------
    StreamedMinibatch, or a tuple or dict of such
        A tensor for an array, a tuple for several arrays, for ``columns``, and for a function
        whose blocks are tuples, a dict where blocks are dicts or tables.

    Raises
    ------
    TypeError
        If an argument is of the wrong type, or serves only for data in memory.
    ValueError
        If there are no data, or ``total_size`` is missing or wrong.
    ShapeError
        If a batch is more than the data have, or data have different lengths.
    StreamError
        If the first block cannot be read.
    """
    label = f"Minibatch({name!r})"
    if given := [key for key, value in unsupported.items() if value is not None]:
        raise TypeError(f"{label}: {given[0]} is for data in memory, these are read from a source")
    if replace:
        raise ValueError(
            f"{label}: rows of data that are not in memory come once an epoch; replace=True is for "
            f"data in memory"
        )
    columns = checked_columns(columns, data, label)
    size = check_whole(batch_size, f"{label}: batch_size", least=1)
    source = as_source(data, columns, label)
    total = checked_total(total_size, source.length, label, source.name)
    if size > total:
        raise ShapeError(f"{label}: batch_size {size} is more than the {total} rows of the data")
    layout = Layout(source, columns, dtype, allow_nan)
    if buffer_bytes is None:
        buffer_bytes = FINE_BUFFER_BYTES if source.is_fine else BUFFER_BYTES
    room = check_whole(buffer_bytes, f"{label}: buffer_bytes", least=1)
    return Stream(layout, size, total, room, check_seed(random_seed, label), name).tensors()


def is_left_on_disk(data: Any, in_memory: bool | None = None) -> bool:
    """Tell whether data are read in each pass anew, rather than loaded.

    By default these are arrays on disk of more than 256 MB, and Parquet files.

    Parameters
    ----------
    data
        What a user has given as data.
    in_memory
        Whether to load them, if the user has said so.
    """
    if in_memory or not is_streamed(data):
        return False
    if in_memory is False or not hasattr(data, "shape"):
        return True
    size = int(np.prod(data.shape, dtype=int)) * np.dtype(data.dtype).itemsize
    return size > LOADED_BYTES


def data_on_disk(
    data: Any, name: str, label: str, columns: Any = None, total_size: int | None = None
) -> StreamedMinibatch:
    """Return data that stay on disk as a tensor, which stands for all of their rows.

    Parameters
    ----------
    data
        An array on disk, a path to Parquet files, or a function as for :class:`vibayes.Minibatch`.
    name
        Name of the tensor.
    label
        What messages are to call the data.
    columns
        A column of a table, for a vector, or a list of columns, for a matrix.
    total_size
        Number of rows of a function's blocks.

    Raises
    ------
    TypeError
        If a table is given without ``columns``.
    StreamError
        If the first block cannot be read.
    """
    chosen = None if columns is None else [columns]
    source = as_source([data], chosen, label)
    total = checked_total(total_size, source.length, label, source.name)
    layout = Layout(source, chosen, None, False)
    if len(layout.parts) != 1 or layout.keys is not None:
        raise TypeError(
            f"{label}: {source.name} has several columns; say which ones by columns=: a name for a "
            f"vector, a list of names for a matrix"
        )
    stream = Stream(layout, min(SHOWN_ROWS, total), total, BUFFER_BYTES, 42, name)
    found = stream.tensors()
    tensor = found if isinstance(found, StreamedMinibatch) else found[0]
    tensor.stands_for_all = True
    return tensor


def checked_columns(columns: Any, data: Sequence[Any], label: str) -> list[Any] | None:
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise TypeError(
            f"{label}: columns must be a list with one entry a variable, such as "
            f"[['a', 'b'], 'y'], got {columns!r}"
        )
    if len(data) > 1:
        raise TypeError(f"{label}: columns are those of one source, but there are {len(data)}")
    return list(columns)


def checked_total(total_size: Any, length: int | None, label: str, source: str) -> int:
    """Return the number of rows: what the source knows, or else what is given."""
    if total_size is None:
        if length is None:
            raise ValueError(
                f"{label}: {source} does not tell how many rows there are; give total_size=..."
            )
        if length == 0:
            raise ValueError(f"{label}: there are no data in {source}")
        return length
    total = check_whole(total_size, f"{label}: total_size", least=1)
    if length is not None and length != total:
        raise ValueError(f"{label}: total_size is {total}, but {source} has {length} rows")
    return total
