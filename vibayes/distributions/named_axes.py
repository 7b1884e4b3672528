"""Parameters whose axes have names, PyTensor's xtensors, along the dims of a variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytensor.graph.basic import Variable

from vibayes.backend.xtensors import along, dims_of, has_xtensors, in_tensors, is_xtensor

__all__ = ["Named", "along_dims", "in_tensor"]

Named = tuple[tuple[Any, ...], dict[str, Any], Any, Any]
"""Arguments by position and by name, dims, and data."""


def along_dims(args: tuple[Any, ...], kwargs: Mapping[str, Any], dims: Any, observed: Any) -> Named:
    """Return the arguments of a distribution with tensors in the place of xtensors.

    Each lies along the dims of the variable. Without ``dims`` these are all that the parameters and
    the data have, in the order in which they come.
    """
    given = (*args, *kwargs.values(), observed)
    named = [value for value in given if is_xtensor(value)]
    if named and dims is None:
        dims = tuple(dict.fromkeys(dim for value in named for dim in dims_of(value)))
    order = () if not named else (dims,) if isinstance(dims, str) else tuple(dims)
    placed = tuple(in_tensor(value, order) for value in args)
    by_name = {name: in_tensor(value, order) for name, value in kwargs.items()}
    return placed, by_name, dims, in_tensor(observed, order)


def in_tensor(value: Any, dims: Sequence[str | None]) -> Any:
    """Return a tensor in the place of an xtensor; whatever else as it is."""
    if not isinstance(value, Variable) or not has_xtensors([value]):
        return value
    return in_tensors([along(value, dims) if is_xtensor(value) else value])[0]
