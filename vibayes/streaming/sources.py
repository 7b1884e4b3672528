"""Where rows come from, block by block: from what finds each by its number, or from a function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from vibayes.exceptions import StreamError
from vibayes.streaming.columns import parts_of

__all__ = ["Block", "FunctionSource", "IndexedSource", "Source"]


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
