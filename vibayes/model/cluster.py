"""Sums over rows by the workers of a Dask cluster.

Rows that the workers can read are loaded by them, once, and stay there; vectors go out, sums come
back. Everything is a task of which the scheduler knows how it came about: of a worker that is lost
its parts are loaded once more by others, and its share of a pass is computed once more.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from vibayes import interrupts, progress
from vibayes.arguments import shown
from vibayes.backend.plain import PlainFunction
from vibayes.model.passes import added, sum_of_partition
from vibayes.streaming.partitions import OnDisk, Rows

__all__ = ["ClusterSums", "check_client"]

TASKS_EACH = 4  # of a pass, for each thread of the cluster
WAIT = 0.2  # seconds after which Ctrl-C is looked for
MOST_READ_AT_ONCE = 64  # partitions of a task
TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD of malloc.h
KEPT_BYTES = 2**24  # of freed memory, that a worker does not give back


def check_client(client: Any) -> None:
    """Raise if something is no client of a Dask cluster."""
    if client is None or client is False:
        return
    if not all(hasattr(client, name) for name in ("submit", "gather")):
        raise TypeError(f"client must be a dask.distributed.Client, or False, got {shown(client)}")


class ClusterSums:
    """Sums over rows that are kept on the workers of a cluster.

    Parameters
    ----------
    rows : Rows
        The rows.
    client : distributed.Client
        The cluster.

    Attributes
    ----------
    passes : int
        How often all rows were gone through.
    """

    def __init__(self, rows: Rows, client: Any) -> None:
        check_client(client)
        self.passes = 0
        self._client = client
        self._functions: dict[int, tuple[PlainFunction, Any]] = {}
        starts = list(rows.starts())
        threads = max(1, sum(client.nthreads().values()))
        each = int(np.clip(-(-len(starts) // (TASKS_EACH * threads)), 1, MOST_READ_AT_ONCE))
        made = read_by_workers if can_be_read_anywhere(rows) else sent_from_here
        self._parts = made(client, rows, each)

    def __call__(
        self, function: PlainFunction, stack: np.ndarray, facts: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the sum of each output of a function, (n,) or (n, d)."""
        client = self._client
        sent = self._sent(function)
        progress.passing(self.passes + 1)
        values = client.submit(as_it_is, (stack, list(facts)), pure=False)
        futures = [
            client.submit(sum_of_parts, sent, values, part, pure=False) for part in self._parts
        ]
        wait_for(futures)
        total: list[np.ndarray] = []
        for result in client.gather(futures):
            total = added(total, result)
        self.passes += 1
        return total

    def _sent(self, function: PlainFunction) -> Any:
        """Return a function on the workers, where it goes once."""
        known = self._functions.get(id(function))
        if known is None:
            known = function, self._client.submit(as_it_is, function, pure=False)
            self._functions[id(function)] = known
        return known[1]


def can_be_read_anywhere(rows: Rows) -> bool:
    """Tell whether workers can read any rows of all sources."""
    return all(layout.source.reader() is not None for layout in rows.layouts)


def read_by_workers(client: Any, rows: Rows, each: int) -> list[Any]:
    """Return the partitions, some of them a task, as workers read them; what is here is sent."""
    found = []
    for first in rows.starts()[::each]:
        last = min(first + each * rows.step, rows.length)
        variables = [v if isinstance(v, OnDisk) else v[first:last] for v in rows.variables]
        found.append(client.submit(partitions_of, variables, first, last, rows.step, pure=False))
    return found


def sent_from_here(client: Any, rows: Rows, each: int) -> list[Any]:
    """Return the partitions, some of them a task, as this process reads them in one pass."""
    found: list[Any] = []
    part: list[list[np.ndarray]] = []
    for start, arrays in zip(rows.starts(), rows.partitions(), strict=True):
        part.append([np.array(a) for a in arrays])
        if len(part) == each or start == rows.starts()[-1]:
            found.append(client.submit(as_it_is, part, pure=False))
            part = []
    rows.passes = 0
    return found


def partitions_of(
    variables: Sequence[np.ndarray | OnDisk], first: int, last: int, step: int
) -> list[list[np.ndarray]]:
    """Return partitions of rows in memory, those on disk read."""
    whole = [v.read(first, last) if isinstance(v, OnDisk) else v for v in variables]
    return [[a[at : at + step] for a in whole] for at in range(0, last - first, step)]


def sum_of_parts(
    function: PlainFunction,
    values: tuple[np.ndarray, list[np.ndarray]],
    part: Sequence[Sequence[np.ndarray]],
) -> list[np.ndarray]:
    """Return the sum of each output over partitions, by one thread."""
    keep_freed_pages()
    stack, facts = values
    total: list[np.ndarray] = []
    for arrays in part:
        total = added(total, sum_of_partition(function, stack, facts, arrays, None))
    return total


@cache
def keep_freed_pages() -> None:
    """Let the C library of a worker keep some of the memory that is freed, for what comes next.

    Dask's nannies tell it to give back each page at once (``MALLOC_TRIM_THRESHOLD_``), so that each
    intermediate result of a block is of new pages: a pass takes half as long again.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not a C library that has it
        return
    set_option(TRIM_THRESHOLD, KEPT_BYTES)


def as_it_is(value: Any) -> Any:
    """Return what was given: as a task it can be had again when a worker is lost."""
    return value


def wait_for(futures: Sequence[Any]) -> None:
    """Wait for tasks, so that Ctrl-C is seen."""
    from distributed import wait

    while True:
        interrupts.check()
        try:
            wait(futures, timeout=WAIT)
            return
        except TimeoutError:
            continue
