"""Sums over all rows of the data at a stack of vectors, in passes of a partition at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vibayes import interrupts, progress
from vibayes.backend.plain import PlainFunction
from vibayes.backend.threads import threads
from vibayes.streaming.partitions import Rows

__all__ = [
    "DEFAULT_MEMORY",
    "HERE",
    "Computing",
    "LocalSums",
    "Sums",
    "added",
    "computing",
    "computing_now",
    "sum_of_partition",
]

DEFAULT_MEMORY = 2**30
"""Bytes that passes may take by default."""
KEPT_SHARE = 0.5  # of that memory, for rows that are read once and kept
BLOCK_NUMBERS = 2**14  # of one intermediate result: several stay in the cache of a core
ROWS_EACH = 4  # rows of a block for each dimension, whose gradients are made anew for each block


@dataclass(frozen=True)
class Computing:
    """By what, and within what, passes over the data are computed.

    Attributes
    ----------
    client : distributed.Client, optional
        A Dask cluster on whose workers the rows are; this process by default.
    is_asked : bool
        Whether it was asked for, so that rows go there however few they are.
    memory : int
        Bytes that rows and intermediate results may take in this process.
    kept : dict
        What goes through the rows of each model, by the identity of its rows: all that a fit does
        shares it.
    """

    client: Any = None
    is_asked: bool = False
    memory: int = DEFAULT_MEMORY
    kept: dict[int, tuple[Any, Sums]] = field(default_factory=dict)

    @property
    def keep_bytes(self) -> int:
        """Bytes up to which rows that were read are kept in memory."""
        return int(KEPT_SHARE * self.memory)


HERE = Computing()
"""This process, for what does not belong to a fit."""
CURRENT: ContextVar[Computing] = ContextVar("computing")


def computing_now() -> Computing:
    """Return by what passes are computed."""
    return CURRENT.get(HERE)


@contextmanager
def computing(client: Any = None, memory: int | None = None) -> Iterator[None]:
    """Compute passes in the block by a cluster, or within some memory.

    Parameters
    ----------
    client
        The cluster; by default the current one of Dask, if there is one, and if what is computed
        needs passes over data that are large or not in memory. False is this process.
    memory
        Bytes that passes may take.
    """
    if client is None and memory is None and CURRENT.get(None) is not None:
        yield
        return
    memory = DEFAULT_MEMORY if memory is None else memory
    found = current_client() if client is None else client or None
    token = CURRENT.set(Computing(found, bool(client), memory))
    try:
        yield
    finally:
        CURRENT.reset(token)


def current_client() -> Any:
    """Return Dask's current client: the last one that was made, or that of a ``with`` block."""
    if (distributed := sys.modules.get("distributed")) is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


class Sums(Protocol):
    """What evaluates a function of rows at a stack of vectors, and adds up over all rows."""

    @property
    def passes(self) -> int:
        """How often all rows were gone through."""
        ...

    def __call__(
        self, function: PlainFunction, stack: np.ndarray, facts: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the sum of each output of a function, (n,) or (n, d)."""
        ...


class LocalSums:
    """Sums over rows by the threads of this process.

    Where blocks of rows begin does not depend on the number of threads, and their results are
    added in the order of the rows: so the same stack gives the same bits.

    Parameters
    ----------
    rows : Rows
        The rows.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @property
    def passes(self) -> int:
        """How often all rows were gone through."""
        return self.rows.passes

    def __call__(
        self, function: PlainFunction, stack: np.ndarray, facts: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the sum of each output of a function, (n,) or (n, d)."""
        total: list[np.ndarray] = []
        number, count = self.passes + 1, len(self.rows.starts())
        for i, arrays in enumerate(self.rows.partitions()):
            interrupts.check()
            progress.passing(number, i / count)
            total = added(total, sum_of_partition(function, stack, facts, arrays, threads()))
        return total


def sum_of_partition(
    function: PlainFunction,
    stack: np.ndarray,
    facts: Sequence[np.ndarray],
    arrays: Sequence[np.ndarray],
    pool: ThreadPoolExecutor | None,
) -> list[np.ndarray]:
    """Return the sum of each output over the rows of a partition, evaluated block by block."""
    length, step = len(arrays[0]), block_rows(*stack.shape)

    def of_block(start: int) -> tuple[np.ndarray, ...]:
        return function(stack, *facts, *(a[start : start + step] for a in arrays))

    starts = range(0, length, step)
    results = map(of_block, starts) if pool is None else pool.map(of_block, starts)
    total: list[np.ndarray] = []
    for result in results:
        total = added(total, [r.astype("float64") for r in result])
    return total


def added(total: list[np.ndarray], more: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return sums to which others were added; the first of them, if there is nothing yet."""
    return [a + b for a, b in zip(total, more, strict=True)] if total else list(more)


def block_rows(vectors: int, d: int) -> int:
    """Return how many rows are evaluated at once at some vectors of d dimensions."""
    return max(BLOCK_NUMBERS // max(vectors, 1), ROWS_EACH * d, 1)
