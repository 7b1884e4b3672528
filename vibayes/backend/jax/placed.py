"""Data on devices: moved there once, and again when they are exchanged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.backend.jax.blocks import in_blocks
from vibayes.backend.jax.devices import JaxDevices, import_jax

__all__ = ["PlacedData", "held", "is_local"]


class PlacedData:
    """The values of shared variables on devices.

    They stay there as long as their variables hold the same arrays.

    Parameters
    ----------
    devices : JaxDevices
        Where they lie.
    rows : collection of int
        Lengths of the arrays whose rows several devices share.
    """

    def __init__(self, devices: JaxDevices, rows: Collection[int] = ()) -> None:
        self.devices = devices
        self.rows = frozenset(rows)
        self._placed: dict[SharedVariable, tuple[np.ndarray, Any, tuple[int, ...]]] = {}
        self._blocks: dict[SharedVariable, tuple[np.ndarray, Any, int]] = {}

    def __call__(self, variable: SharedVariable) -> Any:
        """Return the value of a shared variable on the devices; :meth:`whole` is what it was."""
        value = held(variable)
        if variable not in self._placed or self._placed[variable][0] is not value:
            self._placed[variable] = value, *self._place(variable, value)
        return self._placed[variable][1]

    def _place(self, variable: SharedVariable, value: np.ndarray) -> tuple[Any, tuple[int, ...]]:
        if self._in_parts(variable):
            return self.devices.place_parts(value)
        return self.devices.place(value, self.rows), value.shape

    def shape(self, variable: SharedVariable) -> tuple[int, ...]:
        """Return the shape of a value that was placed, of all processes, without the padding."""
        return self._placed[variable][2]

    def whole(self, variable: SharedVariable, value: Any, shape: tuple[int, ...]) -> Any:
        """Return, in a function that JAX compiles, a placed value without the padding."""
        rows = {*self.rows, shape[0]} if self._in_parts(variable) else self.rows
        return self.devices.whole(value, shape, rows)

    def blocks(self, variable: SharedVariable) -> tuple[Any, int]:
        """Return the rows of a value as blocks, one on each device, and how many rows they are."""
        value = held(variable)
        if variable not in self._blocks or self._blocks[variable][0] is not value:
            self._blocks[variable] = value, *self._as_blocks(variable, value)
        return self._blocks[variable][1:]

    def _as_blocks(self, variable: SharedVariable, value: np.ndarray) -> tuple[Any, int]:
        count, rows = self.devices.count, len(value)
        if not self._in_parts(variable):
            return self.devices.place(in_blocks(value, rows, count), {count}), rows
        jax = import_jax()
        placed, (rows, *_) = self.devices.place_parts(value)
        cut = jax.jit(
            lambda data: in_blocks(data, rows, count, jax.numpy),
            out_shardings=self.devices.sharding("rows"),
        )
        return cut(placed), rows

    def _in_parts(self, variable: SharedVariable) -> bool:
        return self.devices.span_processes and is_local(variable)


def is_local(variable: SharedVariable) -> bool:
    """Tell whether each process has rows of its own of some data."""
    return getattr(variable.tag, "local_rows", False)


def held(variable: SharedVariable) -> np.ndarray:
    """Return the array that a shared variable holds."""
    return np.asarray(variable.get_value(borrow=True))
