"""Between points, dicts of values by name, and the flat vector of a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vibayes.model.flat import FlatLayout

__all__ = ["Raveling"]


@dataclass(frozen=True)
class Raveling:
    """The bijection between points and flat vectors, as PyMC names its parts.

    Attributes
    ----------
    layout : FlatLayout
        Where each value lies in the flat vector.
    """

    layout: FlatLayout

    @property
    def ordering(self) -> dict[str, tuple[str, slice, tuple[int, ...], str]]:
        """Name, place, shape and dtype of each value variable."""
        return {
            slot.name: (slot.name, slice(slot.start, slot.stop), slot.shape, var.dtype)
            for slot, var in zip(self.layout.slots, self.layout.value_vars, strict=True)
        }

    def map(self, point: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the flat vector of a point."""
        return self.layout.join(point)

    def rmap(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return the point of a flat vector."""
        return self.layout.point(np.asarray(flat))
