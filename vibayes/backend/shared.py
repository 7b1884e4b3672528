"""Values of shared variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

__all__ = ["assign", "flat_values", "put", "set_flat_values"]


def assign(shared: SharedVariable, value: Any) -> None:
    """Set the value of a shared variable, in the variable's own dtype."""
    shared.set_value(np.asarray(value, dtype=shared.type.dtype))


def put(shared: SharedVariable, value: Any) -> Any:
    """Let a shared variable hold an array of its own dtype and number of axes, not a copy.

    What it holds then is returned. PyTensor's check of an array of NumPy takes longer than a step,
    and is left out.
    """
    if type(value) is np.ndarray:
        shared.container.storage[0] = value
        return value
    shared.set_value(value, borrow=True)
    return shared.get_value(borrow=True)


def flat_values(variables: Sequence[SharedVariable]) -> np.ndarray:
    """Return the values of shared variables as one vector."""
    return np.concatenate([shared.get_value(borrow=True).ravel() for shared in variables])


def set_flat_values(variables: Sequence[SharedVariable], flat: np.ndarray) -> None:
    """Set the values of shared variables from one vector."""
    at = 0
    for shared in variables:
        shape = shared.get_value(borrow=True).shape
        size = int(np.prod(shape, dtype=int))
        assign(shared, flat[at : at + size].reshape(shape))
        at += size
