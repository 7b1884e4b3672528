"""Threads that evaluate parts of one thing side by side."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

__all__ = ["cores", "even_parts", "threads"]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def even_parts(length: int, count: int) -> list[slice]:
    """Return slices of about the same length that together are all of something."""
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


@cache
def threads() -> ThreadPoolExecutor | None:
    """Return a thread for each core that this process may use; None if that is one."""
    count = cores()
    return ThreadPoolExecutor(count, "vibayes-parts") if count > 1 else None


if hasattr(os, "register_at_fork"):  # the threads of a pool are not there in a child
    os.register_at_fork(after_in_child=threads.cache_clear)
