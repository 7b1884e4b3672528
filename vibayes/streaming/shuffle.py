"""An endless sequence of rows of a source: epoch after epoch, each in a new random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vibayes.backend.seeds import new_generator
from vibayes.exceptions import StreamError
from vibayes.streaming.blocks import Layout
from vibayes.streaming.sources import Block

__all__ = ["BEGINNING", "BlockGroup", "ReadingPlace", "ShuffledEpochs"]


class ReadingPlace(NamedTuple):
    """Where a group begins.

    Attributes
    ----------
    group : int
        Its number, over all epochs.
    blocks : int
        Number of blocks of the epoch that are used up before it.
    rows : int
        Number of rows that are used up of the next one.
    """

    group: int
    blocks: int
    rows: int


BEGINNING = ReadingPlace(0, 0, 0)


class BlockGroup:
    """Rows that are shuffled together, after those that the group before has left over.

    Parameters
    ----------
    layout : Layout
        What rows are like.
    capacity : int
        Number of rows for which there is room.
    batch_size : int
        Rows are used up in batches of this size.

    Attributes
    ----------
    arrays : tuple of numpy.ndarray
        The rows of each part, as they were read.
    order : numpy.ndarray
        Numbers of the rows, in the order in which they are to be used, once all are there.
    begins_at : ReadingPlace
        Where the rows begin that are read for it.
    """

    def __init__(self, layout: Layout, capacity: int, batch_size: int) -> None:
        self.arrays = tuple(part.empty(capacity) for part in layout.parts)
        self.order = np.zeros(0, dtype=np.int64)
        self.begins_at = BEGINNING
        self._batch_size = batch_size
        self._left_over = self._size = self._filled = 0

    @property
    def batches(self) -> int:
        """Number of whole batches."""
        return len(self.order) // self._batch_size

    @property
    def batch_order(self) -> np.ndarray:
        """The part of the order that makes whole batches."""
        return self.order[: self.batches * self._batch_size]

    @property
    def is_full(self) -> bool:
        """Whether all rows are there."""
        return self._filled == self._size

    def begin(self, size: int, before: BlockGroup | None, left_over: int = 0) -> None:
        """Make room for rows, and take those that the group before has left over.

        Parameters
        ----------
        size
            How many rows are to be read.
        before
            The group before, None if there is none any more.
        left_over
            How many rows it had left over, if it is not there: they are used up already.
        """
        self._left_over = left_over
        if before is not None:
            rows = before.order[before.batches * self._batch_size :]
            for array, old in zip(self.arrays, before.arrays, strict=True):
                array[: len(rows)] = old[rows]
            self._left_over = len(rows)
        self._filled, self._size = self._left_over, self._left_over + size

    def add(self, rows: Sequence[np.ndarray]) -> int:
        """Take rows, as many as there is room for, and return how many these are."""
        count = min(len(rows[0]), self._size - self._filled)
        for array, new in zip(self.arrays, rows, strict=True):
            array[self._filled : self._filled + count] = new[:count]
        self._filled += count
        return count

    def shuffle(self, rng: np.random.Generator) -> None:
        """Draw the order in which rows are used; those that were left over come first."""
        new = rng.permutation(self._size - self._left_over) + self._left_over
        self.order = np.concatenate([np.arange(self._left_over), new])


class ShuffledEpochs:
    """An endless sequence of rows, in which each stretch of all rows has every row once.

    An epoch is divided into groups of about equal size. Blocks are read in a random order, as far
    as the source allows, and the rows of each group are shuffled. Of two groups, one is filled
    while the other is used.

    The order depends on the seed and the sizes of blocks, batches and buffer alone. What
    raises changes nothing: the next call reads the same block again.

    Attributes
    ----------
    first_step : int
        Number of the first step that uses the group with which the sequence begins.

    Parameters
    ----------
    layout : Layout
        The source, and what rows of it are like.
    length : int
        Number of rows.
    batch_size : int
        Rows are used up in batches of this size; no group is smaller.
    buffer_bytes : int
        Room for two groups together.
    seed : sequence of int
        Seed.
    begin : ReadingPlace, optional
        The group to begin with. All groups after it are what they are in the whole sequence; of
        this one the rows are missing that the group before it has left over.
    """

    def __init__(
        self,
        layout: Layout,
        length: int,
        batch_size: int,
        buffer_bytes: int,
        seed: Sequence[int],
        begin: ReadingPlace = BEGINNING,
    ) -> None:
        self._layout = layout
        self._length = length
        self._batch_size = batch_size
        self._seed = tuple(seed)
        rows = max(1, buffer_bytes // (2 * layout.row_bytes) - batch_size + 1)
        self._groups = min(-(-length // rows), length // batch_size)
        self._number = begin.group  # of the group that is filled, over all epochs
        self._before: BlockGroup | None = None
        self._has_begun = False
        self._rest: list[np.ndarray] | None = None  # of a block that two groups share
        self._blocks: Iterator[Block] | None = None
        self._blocks_read = begin.blocks  # in this epoch
        self._rows_read = self._rows_before(begin.group) % length - begin.rows
        self._block_size = 0
        self._skip = begin.rows  # of the first block
        self.first_step = self.step_after(0)

    def step_after(self, groups: int) -> int:
        """Return the number of the first step that uses none of some groups, the next ones."""
        return self._rows_before(self._number + groups) // self._batch_size

    def group(self) -> BlockGroup:
        """Return a group, with room for rows."""
        most = -(-self._length // self._groups)
        return BlockGroup(self._layout, most + self._batch_size - 1, self._batch_size)

    def work(self, group: BlockGroup) -> bool:
        """Read a block into a group, and tell whether that now is ready to be used.

        Parameters
        ----------
        group
            The same one until it is ready; then another, while this one stays as it is.

        Raises
        ------
        StreamError
            If a block cannot be read, or is not what it should be.
        """
        if not self._has_begun:
            left_over = self._rows_before(self._number) % self._batch_size
            group.begin(self._size(self._number), self._before, left_over)
            group.begins_at = self._place()
            self._has_begun = True
        self._fill(group)
        if not group.is_full:
            return False
        group.shuffle(self._rng(self._number, 1))
        self._before, self._has_begun = group, False
        self._number += 1
        if self._number % self._groups == 0:
            self._blocks, self._blocks_read, self._rows_read = None, 0, 0
        return True

    def _size(self, group: int) -> int:
        return self._rows_before(group + 1) - self._rows_before(group)

    def _rows_before(self, group: int) -> int:
        """Return how many rows all groups before one have, over all epochs."""
        epoch, i = divmod(group, self._groups)
        return self._length * epoch + self._length * i // self._groups

    def _place(self) -> ReadingPlace:
        """Return where the rows begin that are read next."""
        if self._rest is None:
            return ReadingPlace(self._number, self._blocks_read, self._skip)
        used = self._block_size - len(self._rest[0])
        return ReadingPlace(self._number, self._blocks_read - 1, used)

    def _rng(self, *where: int) -> np.random.Generator:
        """Return a generator that depends on the seed and on the place in the sequence."""
        seed = np.random.SeedSequence(self._seed, spawn_key=where)
        return new_generator(seed)

    # -- reading ------------------------------------------------------------------------------

    def _fill(self, group: BlockGroup) -> None:
        rows = self._rest
        if rows is None:
            rows = [array[self._skip :] for array in self._next_rows()]
            self._skip = 0
        taken = group.add(rows)
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
        self._block_size = len(rows[0])
        self._rows_read += self._block_size
        return rows

    def _next_block(self) -> Block:
        if self._blocks is None:
            epoch = self._number // self._groups
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
