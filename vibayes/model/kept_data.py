"""How the data of a minibatch are kept: cast, checked, and maybe only a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable

from vibayes.arguments import check_whole, shown
from vibayes.exceptions import ShapeError
from vibayes.model.sizes import check_fits, one_per_axis, shape_of
from vibayes.numeric import numeric_array

__all__ = ["KeptData", "check_axes", "static_slices"]


@dataclass(frozen=True)
class KeptData:
    """How data are kept.

    Attributes
    ----------
    label : str
        The minibatch, as messages are to name it.
    dtype : str or None
        What to cast to.
    in_memory_size : int, slice, list or None
        Which part to keep.
    """

    label: str
    dtype: Any
    in_memory_size: Any

    def __post_init__(self) -> None:
        if self.dtype is not None:
            check_dtype(self.dtype, self.label)

    def shared(self, data: Any) -> SharedVariable:
        """Return data as a shared variable: as it is if it is one, else a copy."""
        if isinstance(data, Constant):
            data = data.data
        if isinstance(data, SharedVariable) and isinstance(data.type, pt.TensorType):
            self._check_shared(data)
        elif isinstance(data, Variable):
            raise TypeError(
                f"{self.label}: data must be numbers or a shared variable, got the expression "
                f"{data}"
            )
        else:
            array = self.array(data)
            data = pytensor.shared(array, name="data", shape=(None,) * array.ndim, borrow=True)
        shape = shape_of(data)
        if not shape:
            raise ShapeError(f"{self.label}: data must have at least one axis, got a number")
        if 0 in shape:
            raise ValueError(f"{self.label}: there are no data, their shape is {shape}")
        return data

    def _check_shared(self, data: SharedVariable) -> None:
        if self.in_memory_size is not None:
            raise ValueError(
                f"{self.label}: in_memory_size is for data that are copied, but {data} is a shared "
                f"variable, which is used as it is"
            )
        if self.dtype is not None and np.dtype(self.dtype) != data.dtype:
            raise TypeError(
                f"{self.label}: the shared variable {data} has dtype {data.dtype} and is used as "
                f"it is, so dtype cannot be {self.dtype!r}"
            )

    def array(self, data: Any, dtype: Any = None) -> np.ndarray:
        """Return the part of the data that is kept, as a new array whose rows are contiguous.

        Parameters
        ----------
        data
            Numbers.
        dtype
            The dtype that earlier data have.
        """
        array = numeric_array(data, f"{self.label}: data", copy=None, objects=False)
        array = array[kept_part(self.in_memory_size, array.shape, self.label)]
        wanted = self.dtype or dtype or default_dtype(array)
        with np.errstate(invalid="ignore"):  # what the cast breaks is told below
            result = np.array(array, dtype=wanted, order="C")
        unasked = self.dtype is None and result.dtype != array.dtype
        if unasked and result.dtype.kind in "iu" and (result != array).any():
            raise TypeError(
                f"{self.label}: it holds whole numbers of dtype {result.dtype}, which cannot hold "
                f"the new value {array[result != array][0]}"
            )
        return result


def check_dtype(dtype: Any, label: str) -> None:
    """Raise if something is no dtype of real numbers."""
    try:
        of_numbers = np.dtype(dtype).kind in "iuf"
    except Exception:  # NumPy raises errors of many kinds
        of_numbers = False
    if not of_numbers:
        raise TypeError(f"{label}: dtype must be one of numbers, got {shown(dtype)}")


def default_dtype(array: np.ndarray) -> Any:
    """Return the dtype of whole numbers, of truth values a small one, of others ``floatX``."""
    if array.dtype.kind == "b":
        return "int8"
    return array.dtype if array.dtype.kind in "iu" else pytensor.config.floatX


def kept_part(in_memory_size: Any, shape: Sequence[int], label: str) -> tuple[Any, ...]:
    """Return the slice of each axis that ``in_memory_size`` keeps."""
    slices = static_slices(in_memory_size, label)
    for axis, part in enumerate(one_per_axis(slices, len(shape), label, "in_memory_size")):
        if part is not None and part.start is None and part.stop is not None:
            check_fits(part.stop, axis, shape, label, "in_memory_size")
    return tuple(slices)


def static_slices(in_memory_size: Any, label: str) -> list[Any]:
    """Return the slices, and Ellipsis, that ``in_memory_size`` stands for."""
    if in_memory_size is None:
        return [Ellipsis]
    entries = in_memory_size if isinstance(in_memory_size, list | tuple) else [in_memory_size]
    slices = []
    for entry in entries:
        if entry is None:
            entry = slice(None)
        elif entry is not Ellipsis and not isinstance(entry, slice):
            entry = slice(check_whole(entry, f"{label}: in_memory_size", least=1))
        slices.append(entry)
    return slices


def check_axes(array: np.ndarray, shared: SharedVariable, label: str) -> None:
    """Raise if new data have other axes than the ones before."""
    fixed = shared.type.shape
    if array.ndim != len(fixed):
        raise ShapeError(f"{label}: the data have {len(fixed)} axes, the new ones {array.ndim}")
    for axis, (length, known) in enumerate(zip(array.shape, fixed, strict=True)):
        if known is not None and length != known:
            raise ShapeError(f"{label}: axis {axis} has length {known}, it cannot be {length}")
