"""Functions that are compiled once and kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import pytensor

__all__ = ["Compiled"]

T = TypeVar("T")


class Compiled:
    """Compiled functions, and whatever else takes long to make, by their keys.

    They are as long-lived as their owner, and are not pickled with it: a copy makes its own.
    Iterating gives the keys.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, str], Any] = {}

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
        if full not in self._made:
            self._made.setdefault(full, make())  # of two threads the first one's is kept
        return self._made[full]

    def clear(self) -> None:
        """Forget everything."""
        self._made.clear()

    def __iter__(self) -> Iterator[Hashable]:
        return iter([key for key, _ in self._made])

    def __len__(self) -> int:
        return len(self._made)

    def __reduce__(self) -> tuple[type[Compiled], tuple[()]]:
        return type(self), ()
