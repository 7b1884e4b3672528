"""PyTensor's settings that are other ones while something is made."""

from __future__ import annotations

import threading
from typing import Any

import pytensor

__all__ = ["EXACT_ARITHMETIC", "WITHOUT_C", "WITHOUT_TRACES"]


class Setting:
    """A setting of PyTensor that has a value of ours while any thread is in a block of it.

    Settings belong to the process. If each thread put back what it had found, one that enters while
    another is in its block would put back our value, for good.

    Parameters
    ----------
    name : str
        Name of the setting.
    value
        What it is within the block.
    """

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value
        self._before: Any = None
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = getattr(pytensor.config, self.name)
                setattr(pytensor.config, self.name, self.value)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                setattr(pytensor.config, self.name, self._before)


EXACT_ARITHMETIC = Setting("numba__fastmath", False)
# PyTensor notes for each node of a graph which lines of code have made it, which takes a tenth of
# the time of making it. Those are lines of ours.
WITHOUT_TRACES = Setting("traceback__limit", 0)
WITHOUT_C = Setting("cxx", "")  # the C compiler
