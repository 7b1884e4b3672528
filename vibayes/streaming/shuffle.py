"""An endless sequence of rows of a source: epoch after epoch, each in a new random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vibayes.exceptions import StreamError
from vibayes.streaming.blocks import Layout
from vibayes.streaming.sources import Block

__all__ = ["ShuffledEpochs"]


class Group:
    """Rows that are shuffled together.

    Parameters
    ----------
    layout : Layout
        What rows are like.
    capacity : int
        Number of rows for which there is room.

    Attributes
    ----------
    size : int
        Number of rows that it is to hold.
    filled : int
        Number of rows that it holds.
    shown : int
        Number of rows that have been handed on.
    """

    def __init__(self, layout: Layout, capacity: int) -> None:
        self._arrays = [part.empty(capacity) for part in layout.parts]
        self._order = np.zeros(0, dtype=np.intp)
        self.size = self.filled = self.shown = 0

    def clear(self, size: int) -> None:
        """Make room for rows."""
        self.size, self.filled, self.shown = size, 0, 0

    @property
    def is_full(self) -> bool:
        """Whether all rows are there."""
        return self.filled == self.size

    @property
    def is_used_up(self) -> bool:
        """Whether all rows have been handed on."""
        return self.shown == self.size

    def add(self, rows: Sequence[np.ndarray]) -> int:
        """Take rows, as many as there is room for, and return how many these are."""
        count = min(len(rows[0]), self.size - self.filled)
        for array, new in zip(self._arrays, rows, strict=True):
            array[self.filled : self.filled + count] = new[:count]
        self.filled += count
        return count

    def shuffle(self, rng: np.random.Generator) -> None:
        """Draw the order in which rows are handed on."""
        self._order = rng.permutation(self.size)

    def show(self, window: Sequence[np.ndarray], start: int) -> int:
        """Put rows into a window, from a row of it on, and return how many these are."""
        count = min(len(window[0]) - start, self.size - self.shown)
        rows = self._order[self.shown : self.shown + count]
        for array, room in zip(self._arrays, window, strict=True):
            # rows are never out of range; to check that, NumPy would go by way of a copy
            np.take(array, rows, axis=0, out=room[start : start + count], mode="clip")
        self.shown += count
        return count


class ShuffledEpochs:
    """An endless sequence of rows, in which each stretch of all rows has every row once.

    An epoch is divided into groups of about equal size. Blocks are read in a random order, as far
    as the source allows, and the rows of each group are shuffled. Of two groups, one is filled
    while the other is handed on, at the same pace.

    The order depends on the seed, the sizes of the blocks and the size of the buffer alone. What
    raises changes nothing: the next call reads the same block again.

    Parameters
    ----------
    layout : Layout
        The source, and what rows of it are like.
    length : int
        Number of rows.
    buffer_bytes : int
        Room for both groups together.
    seed : sequence of int
        Seed.
    """

    def __init__(self, layout: Layout, length: int, buffer_bytes: int, seed: Sequence[int]) -> None:
        self._layout = layout
        self._length = length
        self._seed = tuple(seed)
        rows = max(1, buffer_bytes // (2 * layout.row_bytes))
        self._groups = -(-length // rows)
        capacity = -(-length // self._groups)
        self._filling, self._showing = Group(layout, capacity), Group(layout, capacity)
        self._group = 0  # number of the one that is filled, over all epochs
        self._rest: list[np.ndarray] | None = None  # of a block that two groups share
        self._blocks: Iterator[Block] | None = None
        self._blocks_read = self._rows_read = 0  # in this epoch
        self._is_stuck = False
        self._filling.clear(self._size(0))

    def work(self, window: Sequence[np.ndarray], start: int) -> int:
        """Do one piece of work: read a block, or put rows into a window.

        Parameters
        ----------
        window
            An array for each part.
        start
            The row from which on there is room.

        Returns
        -------
        int
            How many rows were put there.

        Raises
        ------
        StreamError
            If a block cannot be read, or is not what it should be.
        """
        if self._showing.is_used_up and self._filling.is_full:
            self._exchange()
        if not self._is_behind():
            return self._showing.show(window, start)
        try:
            self._fill()
        except StreamError:
            if self._showing.is_used_up:
                raise
            self._is_stuck = True  # there is no need to raise before all that is there was shown
        return 0

    def _is_behind(self) -> bool:
        filling, showing = self._filling, self._showing
        if filling.is_full:
            return False
        if showing.is_used_up:
            return True
        return not self._is_stuck and filling.filled * showing.size <= showing.shown * filling.size

    def _exchange(self) -> None:
        self._filling, self._showing = self._showing, self._filling
        self._showing.shuffle(self._rng(self._group, 1))
        self._group += 1
        self._is_stuck = False
        self._filling.clear(self._size(self._group))
        if self._group % self._groups == 0:
            self._blocks, self._blocks_read, self._rows_read = None, 0, 0

    def _size(self, group: int) -> int:
        i = group % self._groups
        return self._length * (i + 1) // self._groups - self._length * i // self._groups

    def _rng(self, *where: int) -> np.random.Generator:
        """Return a generator that depends on the seed and on the place in the sequence."""
        seed = np.random.SeedSequence(self._seed, spawn_key=where)
        return np.random.Generator(np.random.PCG64(seed))

    # -- reading ------------------------------------------------------------------------------

    def _fill(self) -> None:
        rows = self._rest if self._rest is not None else self._next_rows()
        taken = self._filling.add(rows)
        left = [array[taken:] for array in rows]
        self._rest = left if len(left[0]) else None

    def _next_rows(self) -> list[np.ndarray]:
        try:
            block = self._next_block()
            rows = self._layout.checked(block)
            self._check_place(block, len(rows[0]))
        except BaseException:
            self._blocks = None  # whatever raised cannot go on: start anew, and skip what is done
            raise
        self._blocks_read += 1
        self._rows_read += len(rows[0])
        return rows

    def _next_block(self) -> Block:
        if self._blocks is None:
            epoch = self._group // self._groups
            self._blocks = self._layout.source.blocks(self._rng(epoch, 0), self._blocks_read)
        block = next(self._blocks, None)
        if block is None:
            raise self._ended()
        return block

    def _ended(self) -> StreamError:
        if self._rows_read == 0:  # there was a block when the layout was found out
            what = "no blocks when it was started again; it must return a new iterator at each call"
        else:
            what = f"the data end after {self._rows_read} rows, total_size is {self._length}"
        return self._layout.source.failure(self._blocks_read, self._rows_read, what)

    def _check_place(self, block: Block, count: int) -> None:
        """Raise if rows are missing before a block, or are left over after the last."""
        source = self._layout.source
        if source.length is not None:
            return
        if block.first_row != self._rows_read:
            raise source.failure(
                block.number,
                block.first_row,
                f"the blocks before it have changed: they had {self._rows_read} rows",
            )
        if self._rows_read + count == self._length:
            more = any(len(self._layout.checked(b)[0]) for b in self._blocks or ())
        else:
            more = self._rows_read + count > self._length
        if more:
            raise source.failure(
                block.number,
                self._length,
                f"there are more rows than total_size={self._length}",
            )
