"""Work in a process of its own, whose memory does not count for this one."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["done_apart"]


def done_apart(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module in a new process, and wait; exit if it fails."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("the data could not be written")
