"""What a block has to be like, and how its columns become variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor

from vibayes.exceptions import ShapeError
from vibayes.streaming.columns import has_names, parts_of
from vibayes.streaming.sources import Block, Source

__all__ = ["Layout", "Part"]


@dataclass(frozen=True)
class Part:
    """What one variable gets of each block.

    Attributes
    ----------
    name : str
        As messages are to name it.
    dtype : numpy.dtype
        Dtype that the variable has.
    read_dtype : numpy.dtype
        Dtype that the source had at first.
    row_shape : tuple of int
        Shape of a row.
    """

    name: str
    dtype: np.dtype
    read_dtype: np.dtype
    row_shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory."""
        return int(np.prod(self.row_shape, dtype=int)) * self.dtype.itemsize

    def empty(self, rows: int) -> np.ndarray:
        """Return room for rows."""
        return np.empty((rows, *self.row_shape), self.dtype)


class Layout:
    """How blocks are divided into parts, learned from the first block.

    Parameters
    ----------
    source : Source
        The source.
    columns : sequence, optional
        One entry a part: a column, by name or number, or several.
    dtype : str, sequence of str or None
        Dtype of the parts, or of each.
    allow_nan : bool
        Whether a NaN is nothing to stop at.

    Attributes
    ----------
    parts : list of Part
        The parts.
    keys : list of str, or None
        Their names, if blocks are dicts.
    is_single : bool
        Whether blocks are plain arrays.
    first : tuple of numpy.ndarray
        Values of the first block, for each part.
    """

    def __init__(
        self, source: Source, columns: Sequence[Any] | None, dtype: Any, allow_nan: bool
    ) -> None:
        self.source = source
        self._columns = columns
        self._allow_nan = allow_nan
        block = self._first_block()
        arrays = self._arrays(block)
        values = block.values
        self.keys = list(map(str, values)) if columns is None and has_names(values) else None
        self.is_single = columns is None and isinstance(arrays, list) and is_one_array(values)
        names = self._names(len(arrays))
        dtypes = one_per_part(dtype, len(arrays))
        self.parts = [
            Part(name, part_dtype(array, wanted), array.dtype, array.shape[1:])
            for name, array, wanted in zip(names, arrays, dtypes, strict=True)
        ]
        self.first = tuple(
            array.astype(part.dtype)
            for array, part in zip(self.checked(block), self.parts, strict=True)
        )

    def _first_block(self) -> Block:
        blocks = self.source.blocks(None)
        try:
            for block in blocks:
                if any(len(array) for array in self._arrays(block)):
                    return block
        finally:
            blocks.close()
        raise ValueError(f"{self.source.name}: there are no data")

    def _names(self, count: int) -> list[str]:
        if self.keys is not None:
            return [f" of {key!r}" for key in self.keys]
        if self._columns is not None:
            return [f" of column {column!r}" for column in self._columns]
        return [""] if count == 1 else [f" of part {i}" for i in range(count)]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory, all parts together."""
        return max(1, sum(part.row_bytes for part in self.parts))

    # -- one block ----------------------------------------------------------------------------

    def checked(self, block: Block) -> list[np.ndarray]:
        """Return an array for each part.

        Raises
        ------
        StreamError
            If the block is not like the first.
        """
        arrays = self._arrays(block)
        if len(arrays) != len(self.parts):
            raise self._failure(block, f"it has {len(arrays)} parts, not {len(self.parts)}")
        for array, part in zip(arrays, self.parts, strict=True):
            self._check(block, array, part)
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise self._failure(block, f"its parts have different numbers of rows, {lengths}")
        return arrays

    def _check(self, block: Block, array: np.ndarray, part: Part) -> None:
        if array.shape[1:] != part.row_shape:
            raise self._failure(
                block,
                f"rows{part.name} have shape {array.shape[1:]}, those before {part.row_shape}",
            )
        if array.dtype.kind == "f" and not self._allow_nan and has_nan(array):
            at = tuple(np.argwhere(np.isnan(array))[0].tolist())
            raise self._failure(
                block,
                f"the value{part.name} is NaN"
                + (f", at {at[1:]} in the row" if at[1:] else "")
                + "; leave out such rows, or let them through by allow_nan=True",
                at[0],
            )
        if not np.can_cast(array.dtype, part.read_dtype, "same_kind"):
            raise self._failure(
                block, f"the dtype{part.name} is {array.dtype}, before it was {part.read_dtype}"
            )

    def _arrays(self, block: Block) -> list[np.ndarray]:
        """Return the parts of a block as they were read."""
        try:
            arrays = [np.asarray(a) for a in parts_of(block.values, self._columns)]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._failure(
                block, f"its columns cannot be had: {type(error).__name__}: {error}"
            ) from error
        for array in arrays:
            if array.ndim == 0 or array.dtype.kind not in "biuf":
                raise self._failure(
                    block,
                    f"it must be an array of numbers with an axis of rows, but its dtype is "
                    f"{array.dtype}, its shape {array.shape}",
                )
        return arrays

    def _failure(self, block: Block, what: str, offset: int = 0) -> Exception:
        return self.source.failure(block.number, block.first_row + offset, what)


def is_one_array(values: Any) -> bool:
    return not isinstance(values, list | tuple) and not has_names(values)


def has_nan(array: np.ndarray) -> bool:
    """Tell whether there is a NaN; the largest number, which is quicker to have, is one then."""
    return array.size > 0 and bool(np.isnan(np.max(array)))


def one_per_part(dtype: Any, count: int) -> list[Any]:
    """Return a dtype, or None, for each part."""
    if dtype is None or isinstance(dtype, str | type | np.dtype):
        return [dtype] * count
    if len(dtype) != count:
        raise ShapeError(f"dtype {list(dtype)!r} has {len(dtype)} entries for {count} variables")
    return list(dtype)


def part_dtype(array: np.ndarray, wanted: Any) -> np.dtype:
    """Return the dtype of a part: whole numbers stay whole numbers, others become ``floatX``."""
    if wanted is not None:
        if np.dtype(wanted).kind not in "iuf":
            raise TypeError(f"dtype must be one of numbers, got {wanted!r}")
        return np.dtype(wanted)
    if array.dtype.kind == "b":
        return np.dtype("int8")
    return array.dtype if array.dtype.kind in "iu" else np.dtype(pytensor.config.floatX)
