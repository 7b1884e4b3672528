"""Dimensions of a model: their names, lengths and coordinates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import Any, Self

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.variables import ModelVariables, check_name

__all__ = ["ModelDims", "as_labels"]


class ModelDims(ModelVariables):
    """The dimensions along which the variables of a model lie, shared by nested models.

    Parameters
    ----------
    name
        Prefix of the names of all variables.
    coords
        Coordinates by dimension, None for a dimension whose length data will tell.
    check_bounds
        See :class:`vibayes.Model`.
    """

    parent: ModelDims | None

    @check_arguments
    def __init__(
        self,
        name: str = "",
        coords: Mapping[str, Sequence[Any] | None] | None = None,
        check_bounds: bool = True,
    ) -> None:
        super().__init__(name)
        self.check_bounds = self.check_bounds and bool(check_bounds)
        self._coords: dict[str, tuple[Any, ...] | None] = self.parent._coords if self.parent else {}
        self._dim_lengths: dict[str, SharedVariable] = (
            self.parent._dim_lengths if self.parent else {}
        )
        for dim, values in (coords or {}).items():
            self.add_coord(dim, values)

    @classmethod
    def independent(cls) -> Self:
        """Return an empty model that belongs to none, also inside of a ``with`` block."""
        model = cls()
        model.name, model.parent, model._coords, model._dim_lengths = "", None, {}, {}
        return model

    @property
    def coords(self) -> dict[str, tuple[Any, ...] | None]:
        """Coordinates by dimension."""
        return dict(self._coords)

    def add_coord(
        self, name: str, values: Sequence[Any] | None = None, *, length: int | None = None
    ) -> None:
        """Register a dimension.

        Parameters
        ----------
        name
            Name of the dimension.
        values
            Labels along the axis.
        length
            Length of the axis, where there are no labels.
        """
        check_name(name, "dimension")
        if name in {"chain", "draw", "sample"}:
            raise ModelError(
                f"Dimension {name!r}: that name belongs to the axes of posterior draws"
            )
        if length is not None:
            length = check_whole(length, f"Dimension {name!r}: length", least=0)
        if values is not None:
            values = as_labels(values, name)
            if length is not None and len(values) != length:
                raise ShapeError(
                    f"Dimension {name!r}: {len(values)} coordinates for length {length}"
                )
            length = len(values)
        known, known_length = self._coords.get(name), self.dim_length(name)
        if known is not None and values is not None and known != values:
            raise ModelError(f"Dimension {name!r} already has other coordinates")
        if None not in (length, known_length) and length != known_length:
            raise ShapeError(f"Dimension {name!r} has length {known_length}, it cannot be {length}")
        self.set_dim(name, length, known if values is None else values)

    def add_coords(self, coords: Mapping[str, Sequence[Any] | None]) -> None:
        """Register several dimensions with their coordinates."""
        if not isinstance(coords, Mapping):
            raise TypeError(f"coords must be a dict of coordinates by name, got {shown(coords)}")
        for name, values in coords.items():
            self.add_coord(name, values)

    def set_dim(self, name: str, length: int | None, values: Sequence[Any] | None = None) -> None:
        """Set the length, and the coordinates if there are any, of a dimension."""
        if length is not None:
            length = check_whole(length, f"Dimension {name!r}: length", least=0)
            if name in self._dim_lengths:
                self._dim_lengths[name].set_value(np.asarray(length, dtype="int64"))
            else:
                self._dim_lengths[name] = pytensor.shared(
                    np.asarray(length, dtype="int64"), name=name, shape=()
                )
        self._coords[name] = None if values is None else as_labels(values, name)

    @property
    def dim_lengths(self) -> dict[str, SharedVariable]:
        """Length of each dimension, as a shared variable that follows ``set_data``."""
        return dict(self._dim_lengths)

    def dim_length(self, dim: str) -> int | None:
        """Return the present length of a dimension, None if no data have told it yet."""
        length = self._dim_lengths.get(dim)
        return None if length is None else int(length.get_value())

    def fixed_along(self, dim: str) -> list[str]:
        """Return the names of the free variables along a dimension that keep its length.

        Those do that were made when the dimension had coordinates.
        """
        whole = self.lineage()[-1]  # dimensions belong to all models that are nested
        fixed = []
        for rv in whole.free_RVs:
            axes = zip(whole.named_vars_to_dims.get(rv.name, ()), rv.type.shape, strict=False)
            if any(name == dim and length is not None for name, length in axes):
                fixed.append(rv.name)
        return fixed

    def normalize_dims(
        self, dims: str | Sequence[str | None] | None, ndim: int | None, label: str
    ) -> tuple[str | None, ...]:
        """Return dims as a tuple, one entry an axis."""
        if dims is None:
            return (None,) * (ndim or 0)
        try:
            dims = (dims,) if isinstance(dims, str) or not np.iterable(dims) else tuple(dims)
        except Exception:  # whatever objects of the user's raise
            raise TypeError(f"{label}: dims must be names, got {shown(dims)}") from None
        for dim in dims:
            if dim is not None and not isinstance(dim, str):
                raise TypeError(f"{label}: dims must be names, got {shown(dim)}")
        if ndim is not None and len(dims) != ndim:
            raise ShapeError(f"{label}: dims {dims} for {ndim} axes; give one name an axis")
        return dims

    def check_lengths(
        self, shape: Sequence[int | None], dims: Sequence[str | None], label: str
    ) -> None:
        """Raise if a length differs from that of the dimension along which it lies."""
        for length, dim in zip(shape, dims, strict=True):
            expected = None if dim is None else self.dim_length(dim)
            if None not in (length, expected) and length != expected:
                raise ShapeError(
                    f"{label}: length {length} along dimension {dim!r}, which has length {expected}"
                )

    def known_dims(self, dims: Any, label: str) -> tuple[str | None, ...] | None:
        """Return dims as a tuple, None for None; raise if the model does not know one of them."""
        if dims is None:
            return None
        dims = self.normalize_dims(dims, None, label)
        for dim in dims:
            if dim is not None and dim not in self._coords:
                known = ", ".join(map(repr, self._coords)) or "none"
                raise ModelError(
                    f"{label}: unknown dimension {dim!r} (the model knows: {known}). Add it to "
                    f"Model(coords=...)."
                )
        return dims


def as_labels(values: Sequence[Any], dim: str) -> tuple[Any, ...]:
    """Return the coordinates of a dimension as a tuple of Python objects, dates as they are."""
    given = values
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind not in "mM":
        values = values.tolist()
    if isinstance(values, bytes | Mapping | Set) or not np.iterable(values):
        raise TypeError(f"Dimension {dim!r}: coordinates must be a sequence, got {shown(given)}")
    labels = tuple(values)
    for label in labels:
        if not isinstance(label, Hashable):
            raise ModelError(
                f"Dimension {dim!r}: each coordinate must be one label, such as a text, a number "
                f"or a tuple, got {shown(label)}"
            )
    return labels
