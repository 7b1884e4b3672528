"""The flat unconstrained vector: all values of a model, one after the other.

There are two orders. In *model order* the values are as ``model.value_vars``: whatever looks at the
posterior itself has it, such as ``Target``, fitted normals, ``flat_draws`` and ``element_names``.
In *group order* they are as the groups of an approximation, and within each as its variables:
whatever a family makes has it, such as ``Draws.flat``, ``approx.inputs``, and the ``mean``, ``std``
and ``cov`` of a group. ``Joint.in_model_order`` converts, by way of ``Joint.places``. An
approximation of one group that was made without variables has both orders in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.variable import TensorVariable

__all__ = ["FlatLayout", "Slot"]


@dataclass(frozen=True)
class Slot:
    """Where one variable lies in the flat vector."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]

    def element(self, position: int) -> str:
        """Return the name of an element, such as ``beta[0, 2]``."""
        if not self.shape:
            return self.name
        index = np.unravel_index(position - self.start, self.shape)
        return f"{self.name}[{', '.join(str(int(i)) for i in index)}]"


class FlatLayout:
    """The order in which value variables make up a flat vector.

    Parameters
    ----------
    value_vars
        Value variables of static shape.

    Attributes
    ----------
    size : int
        Length of the flat vector.
    slots : list of Slot
        Place of each variable.
    """

    def __init__(self, value_vars: Sequence[TensorVariable]) -> None:
        self.value_vars: list[TensorVariable] = list(value_vars)
        self.slots: list[Slot] = []
        self.size: int = 0
        for var in self.value_vars:
            length = int(np.prod(var.type.shape, dtype=int))
            self.slots.append(Slot(var.name, self.size, self.size + length, var.type.shape))
            self.size += length

    def split(self, vector: TensorVariable) -> dict[TensorVariable, TensorVariable]:
        """Map each value variable to its part of a symbolic flat vector."""
        return {
            var: vector[slot.start : slot.stop].reshape(slot.shape)
            if len(slot.shape) != 1
            else vector[slot.start : slot.stop]
            for var, slot in zip(self.value_vars, self.slots, strict=True)
        }

    def split_draws(self, flat: TensorVariable, size: Any) -> dict[TensorVariable, TensorVariable]:
        """Map each value variable to its part of a symbolic stack of flat vectors.

        Parameters
        ----------
        flat
            One vector (d,), or a stack of them (n, d).
        size
            Number n of vectors, or None for a single one without an axis.
        """
        if size is None:
            return self.split(flat)
        vector = pt.vector("z", dtype=flat.dtype, shape=(self.size,))
        parts = self.split(vector)
        batched = vectorize_graph(list(parts.values()), {vector: flat})
        return dict(zip(parts, batched, strict=True))

    def join(self, point: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the flat vector of the values in ``point``."""
        parts = [np.broadcast_to(point[s.name], s.shape).ravel() for s in self.slots]
        dtype = pytensor.config.floatX
        return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)

    def point(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values that a numeric flat vector (or a stack of them) holds, by name."""
        lead = vector.shape[:-1]
        return {s.name: vector[..., s.start : s.stop].reshape(lead + s.shape) for s in self.slots}

    def element(self, position: int) -> str:
        """Return the name of the element at a position of the flat vector."""
        return next(s for s in self.slots if position < s.stop).element(position)
