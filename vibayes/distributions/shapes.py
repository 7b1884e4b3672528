"""Shapes of which some lengths are known only at run time: symbolic, or None."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.exceptions import ShapeError

__all__ = ["Shape", "as_shape", "broadcast_static", "fits", "known_lengths", "same_shape"]

Shape = int | Sequence[Any] | TensorVariable


def as_shape(shape: Any, label: str, name: str = "shape") -> tuple[Any, ...]:
    """Return a shape as a tuple of ints and symbolic lengths; the argument has a ``name``."""
    if isinstance(shape, TensorVariable):
        if shape.type.ndim == 0:
            return (shape,)
        if shape.type.ndim > 1 or None in shape.type.shape:
            raise ShapeError(
                f"{label}: {name} must have one axis of a known length, got {shape} ({shape.type})"
            )
        return tuple(shape)
    several = isinstance(shape, Sequence | np.ndarray) and not isinstance(shape, str | bytes)
    entries = tuple(shape) if several and getattr(shape, "ndim", True) else (shape,)
    return tuple(
        e if isinstance(e, TensorVariable) else check_whole(e, f"{label}: {name}", least=0)
        for e in entries
    )


def known_lengths(value: TensorVariable, ndim: int) -> tuple[Any, ...]:
    """Return the lengths of the first ``ndim`` axes: ints where known, else symbolic."""
    static = value.type.shape[:ndim]
    return tuple(value.shape[axis] if n is None else n for axis, n in enumerate(static))


def broadcast_static(
    *shapes: tuple[int | None, ...], names: Sequence[str] = ()
) -> tuple[int | None, ...]:
    """Return the broadcast of static shapes, in which None stands for an unknown length.

    Parameters
    ----------
    *shapes
        The shapes.
    names
        Whose shapes these are, for the message.

    Raises
    ------
    ShapeError
        If two known lengths differ and neither is one.
    """
    ndim = max((len(shape) for shape in shapes), default=0)
    result: list[int | None] = []
    for axis in range(-ndim, 0):
        lengths = {shape[axis] for shape in shapes if len(shape) >= -axis}
        known = lengths - {1, None}
        if len(known) > 1:
            parts = zip_longest(names[: len(shapes)], shapes, fillvalue="")
            each = ", ".join(f"{name} {shape}".strip() for name, shape in parts)
            raise ShapeError(f"the parameters' shapes do not broadcast: {each}")
        result.append(known.pop() if known else (None if None in lengths else 1))
    return tuple(result)


def fits(inner: Sequence[int | None], outer: Sequence[int | None]) -> bool:
    """Tell whether ``inner`` broadcasts to ``outer`` without changing it, as far as is known."""
    if len(inner) > len(outer):
        return False
    pairs = zip(reversed(inner), reversed(outer), strict=False)
    return all(i is None or i == 1 or o is None or i == o for i, o in pairs)


def same_shape(shape: Sequence[int | None], wanted: Sequence[int | None]) -> bool:
    """Tell whether two shapes agree where both are known."""
    return len(shape) == len(wanted) and all(
        None in (a, b) or a == b for a, b in zip(shape, wanted, strict=True)
    )
