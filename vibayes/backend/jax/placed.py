"""Data on devices: moved there once, and again when they are exchanged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.backend.jax.devices import JaxDevices

__all__ = ["PlacedData", "held"]


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
        self._placed: dict[SharedVariable, tuple[np.ndarray, Any]] = {}

    def __call__(self, variable: SharedVariable) -> Any:
        """Return the value of a shared variable on the devices; :meth:`whole` is what it was."""
        value = held(variable)
        if variable not in self._placed or self._placed[variable][0] is not value:
            self._placed[variable] = value, self.devices.place(value, self.rows)
        return self._placed[variable][1]

    def shape(self, variable: SharedVariable) -> tuple[int, ...]:
        """Return the shape of a value, without the padding."""
        return held(variable).shape

    def whole(self, value: Any, shape: tuple[int, ...]) -> Any:
        """Return, in a function that JAX compiles, a placed value without the padding."""
        return self.devices.whole(value, shape, self.rows)


def held(variable: SharedVariable) -> np.ndarray:
    """Return the array that a shared variable holds."""
    return np.asarray(variable.get_value(borrow=True))
