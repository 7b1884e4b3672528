"""Passes over rows, a partition at a time, from memory and from disk side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vibayes import interrupts
from vibayes.streaming.blocks import Layout
from vibayes.streaming.sources import Block

__all__ = ["OnDisk", "Rows"]

PARTITION_BYTES = 2**24
AHEAD = 2  # partitions that are read and wait
ROOMS = AHEAD + 2  # of which one is in use, and one is filled
PIECES = 256, 16  # from how many places a sample of rows is read, where these are small, or not
WAIT = 0.2  # seconds after which Ctrl-C is looked for


@dataclass(frozen=True)
class OnDisk:
    """One variable of rows that are read.

    Attributes
    ----------
    layout : Layout
        The source, and what rows of it are like.
    number : int
        Which part of each row it is.
    """

    layout: Layout
    number: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory."""
        return self.layout.parts[self.number].row_bytes

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from one to before another, of a source that can be read anywhere.

        Raises
        ------
        StreamError
            If they cannot be read.
        """
        return read_pieces(self.layout, np.array([start]), stop - start)[self.number]


class Rows:
    """The same rows of several variables, each in memory or on disk.

    Parameters
    ----------
    variables : sequence of numpy.ndarray or OnDisk
        Where the rows of each variable are.
    length : int
        Number of rows.
    keep_bytes : int
        What is on disk is kept in memory if it takes no more.

    Attributes
    ----------
    length : int
        Number of rows.
    passes : int
        How often all of them were gone through.
    """

    def __init__(
        self, variables: Sequence[np.ndarray | OnDisk], length: int, keep_bytes: int = 0
    ) -> None:
        self.variables = list(variables)
        self.length = length
        self.passes = 0
        read = [v for v in self.variables if isinstance(v, OnDisk)]
        self.layouts = list(dict.fromkeys(v.layout for v in read))
        self._is_kept = sum(layout.row_bytes for layout in self.layouts) * length <= keep_bytes
        self._kept: list[list[np.ndarray]] | None = None
        row_bytes = sum(
            v.row_bytes if isinstance(v, OnDisk) else v.nbytes // max(len(v), 1)
            for v in self.variables
        )
        self.step = int(np.clip(PARTITION_BYTES // max(row_bytes, 1), 1, max(length, 1)))

    def starts(self) -> range:
        """Return the first row of each partition."""
        return range(0, self.length, self.step)

    def partitions(self) -> Generator[list[np.ndarray], None, None]:
        """Yield the rows of each variable, a partition after the other.

        What was yielded must not be used after the next one was asked for.

        Raises
        ------
        StreamError
            If rows cannot be read, or are others than at first.
        """
        if not self.layouts or self._kept is not None:
            blocks: Iterator[list[np.ndarray]] = iter(self._kept or [[]] * len(self.starts()))
            yield from map(self._joined, self.starts(), blocks)
        else:
            kept: list[list[np.ndarray]] = []
            for start, arrays in zip(self.starts(), self._read_ahead(), strict=True):
                if self._is_kept:
                    kept.append(arrays)
                yield self._joined(start, arrays)
            if self._is_kept:
                self._kept = kept
        self.passes += 1

    def _joined(self, start: int, read: list[np.ndarray]) -> list[np.ndarray]:
        """Return the rows of a partition of each variable, given those that were read."""
        stop, places = start + self.step, self._places()
        return [
            read[places[v.layout] + v.number] if isinstance(v, OnDisk) else v[start:stop]
            for v in self.variables
        ]

    def _places(self) -> dict[Layout, int]:
        """Return where the parts of each source begin among all parts that are read."""
        places, at = {}, 0
        for layout in self.layouts:
            places[layout] = at
            at += len(layout.parts)
        return places

    def _new_room(self, count: int) -> list[list[np.ndarray]]:
        return [[part.empty(count) for part in layout.parts] for layout in self.layouts]

    def _read_ahead(self) -> Iterator[list[np.ndarray]]:
        """Yield partitions that a thread reads ahead of whoever asks for them."""
        ready: queue.Queue[Any] = queue.Queue(AHEAD)
        rooms: queue.Queue[Any] = queue.Queue()
        ended = threading.Event()
        for _ in range(0 if self._is_kept else ROOMS):
            rooms.put(self._new_room(self.step))

        def put(item: Any) -> None:
            while not ended.is_set():
                try:
                    return ready.put(item, timeout=WAIT)
                except queue.Full:
                    continue
            return None

        def read() -> None:
            try:
                for item in self._read(rooms, ended):
                    put(item)
                put(None)
            except BaseException as error:
                put(error)

        threading.Thread(target=read, name="vibayes-passes", daemon=True).start()
        try:
            while True:
                interrupts.check()
                try:
                    item = ready.get(timeout=WAIT)
                except queue.Empty:
                    continue
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                room, count = item
                yield [array[:count] for arrays in room for array in arrays]
                rooms.put(room)
        finally:
            ended.set()

    def _read(
        self, rooms: queue.Queue[Any], ended: threading.Event
    ) -> Iterator[tuple[list[list[np.ndarray]], int]]:
        """Yield filled rooms, and how many rows are in each."""
        readers = [Refilled(layout) for layout in self.layouts]
        for start in self.starts():
            count = min(self.step, self.length - start)
            room = None if not self._is_kept else self._new_room(count)
            while room is None:
                if ended.is_set():
                    return
                try:
                    room = rooms.get(timeout=WAIT)
                except queue.Empty:
                    continue
            for reader, arrays in zip(readers, room, strict=True):
                reader.fill(arrays, count)
            yield room, count
        for reader in readers:
            reader.check_end(self.length)

    def sample(self, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Return rows from all over the data, in their order; all, if there are fewer.

        Those in memory alone are drawn one in each of as many strata. From disk they come in
        pieces; where a source cannot be read at any place, in a pass over all.
        """
        count = min(count, self.length)
        if not self.layouts or self._kept is not None or count == self.length:
            edges = np.arange(count + 1) * self.length // count
            return self._at(edges[:-1] + (rng.random(count) * np.diff(edges)).astype("int64"))
        fine = all(layout.source.is_fine for layout in self.layouts)
        size = -(-count // min(count, PIECES[0] if fine else PIECES[1]))
        pieces = -(-count // size)
        width = self.length / pieces
        begins = (np.arange(pieces) * width + rng.random(pieces) * (width - size)).astype("int64")
        begins = np.clip(begins, 0, self.length - size)
        if any(layout.source.reader() is None for layout in self.layouts):
            return self._at(np.unique(begins[:, None] + np.arange(size)))
        read = [read_pieces(layout, begins, size) for layout in self.layouts]
        places = dict(zip(self.layouts, read, strict=True))
        rows = (begins[:, None] + np.arange(size)).ravel()
        return [
            places[v.layout][v.number] if isinstance(v, OnDisk) else v[rows] for v in self.variables
        ]

    def _at(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the given rows, which are sorted; in a pass over all if they are read."""
        if not self.layouts:
            return [np.asarray(v)[rows] for v in self.variables]
        found: list[list[np.ndarray]] = [[] for _ in self.variables]
        for start, arrays in zip(self.starts(), self.partitions(), strict=True):
            low, high = np.searchsorted(rows, [start, start + self.step])
            for values, array in zip(found, arrays, strict=True):
                values.append(array[rows[low:high] - start])
        return [np.concatenate(values) for values in found]


def read_pieces(layout: Layout, begins: np.ndarray, size: int) -> list[np.ndarray]:
    """Return pieces of the rows of a source that can be read anywhere."""
    read_rows: Any = layout.source.reader()
    found = [part.empty(len(begins) * size) for part in layout.parts]
    for i, begin in enumerate(begins.tolist()):
        try:
            values = read_rows(begin, begin + size)
        except Exception as error:
            what = f"reading failed: {type(error).__name__}: {error}"
            raise layout.source.failure(0, begin, what) from error
        arrays = layout.checked(Block(0, begin, values))
        for target, array in zip(found, arrays, strict=True):
            target[i * size : (i + 1) * size] = array
    return found


class Refilled:
    """The rows of a source, read once from the begin to the end in parts of any size.

    Parameters
    ----------
    layout : Layout
        The source.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._blocks = layout.source.blocks(None)
        self._left: list[np.ndarray] = []
        self._row = self._number = 0

    def fill(self, room: Sequence[np.ndarray], count: int) -> None:
        """Read the next rows into the first places of arrays."""
        filled = 0
        while filled < count:
            if not self._left or not len(self._left[0]):
                self._next()
            taken = min(count - filled, len(self._left[0]))
            for array, values in zip(room, self._left, strict=True):
                array[filled : filled + taken] = values[:taken]
            self._left = [values[taken:] for values in self._left]
            self._row += taken
            filled += taken

    def _next(self) -> None:
        block = next(self._blocks, None)
        if block is None:
            what = f"the data end after {self._row} rows"
            raise self._layout.source.failure(self._number, self._row, what)
        self._left, self._number = self._layout.checked(block), block.number + 1

    def check_end(self, length: int) -> None:
        """Raise if there are more rows."""
        if any(map(len, self._left)) or next(self._blocks, None) is not None:
            what = f"there are more than the {length} rows that were announced"
            raise self._layout.source.failure(self._number, self._row, what)
