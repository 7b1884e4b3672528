"""Functions that are compiled once and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import pytensor

from vibayes.backend.settings import WITHOUT_TRACES

__all__ = ["Compiled"]

T = TypeVar("T")

MOST_KEPT = 24


class Compiled:
    """Compiled functions, and whatever else takes long to make, by their keys.

    They live as long as their owner, but for those that were not asked for the longest: each may
    take megabytes, and a new learning rate makes a new one. They are not pickled with the owner: a
    copy makes its own. Iterating gives the keys.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, str], Any] = {}  # those asked for last are at the end
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what belongs to a key; it is made if there is none yet for this ``floatX``.

        Parameters
        ----------
        key
            All on which the result depends, ``pytensor.config.floatX`` excepted.
        make : callable
            Makes it, without arguments.
        """
        full = key, pytensor.config.floatX
        with self._lock:
            if full in self._made:
                self._made[full] = self._made.pop(full)
                return self._made[full]
        with WITHOUT_TRACES:
            made = make()
        with self._lock:
            result = self._made.setdefault(full, made)  # of two threads the first one's is kept
            while len(self._made) > MOST_KEPT:
                del self._made[next(iter(self._made))]
        return result

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._made.clear()

    def __iter__(self) -> Iterator[Hashable]:
        return iter([key for key, _ in self._made])

    def __len__(self) -> int:
        return len(self._made)

    def __reduce__(self) -> tuple[type[Compiled], tuple[()]]:
        return type(self), ()
