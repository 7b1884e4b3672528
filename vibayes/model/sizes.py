"""Sizes of minibatches: which axes of the data they have a part of, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_seed, check_whole
from vibayes.exceptions import ShapeError
from vibayes.model.rows import RowKey, RowStream, row_stream

__all__ = [
    "SampledAxis",
    "broadcasting_axes",
    "check_fits",
    "one_per_axis",
    "sampled_axes",
    "shape_of",
]


def shape_of(shared: SharedVariable) -> tuple[int, ...]:
    """Return the present shape of a shared variable."""
    return shared.get_value(borrow=True).shape


@dataclass(frozen=True)
class SampledAxis:
    """An axis of which a minibatch has a part."""

    axis: int
    size: int
    seed: int
    occurrence: int

    def stream(self, length: int, replace: bool) -> RowStream:
        """Return where the rows of an axis of some length come from."""
        return row_stream(RowKey(self.seed, self.occurrence, length, self.size, bool(replace)))

    def rows(self, shared: SharedVariable, replace: bool) -> tuple[RowStream, TensorVariable]:
        """Return a stream of rows of the data, and those that are shown."""
        stream = self.stream(shape_of(shared)[self.axis], replace)
        return stream, stream.rows(shared.shape[self.axis])


def sampled_axes(
    batch_size: Any, random_seed: int | None, shape: Sequence[int], label: str
) -> list[SampledAxis]:
    """Return the axes of which ``batch_size`` takes a part."""
    entries = batch_size if isinstance(batch_size, list | tuple) else [batch_size]
    default = check_seed(random_seed, label)
    found: list[SampledAxis] = []
    for axis, entry in enumerate(one_per_axis(entries, len(shape), label, "batch_size")):
        if entry is None:
            continue
        size, seed = size_and_seed(entry, default, label)
        check_fits(size, axis, shape, label)
        same = [f for f in found if (shape[f.axis], f.size, f.seed) == (shape[axis], size, seed)]
        found.append(SampledAxis(axis, size, seed, len(same)))
    return found


def size_and_seed(entry: Any, default: int, label: str) -> tuple[int, int]:
    """Return the size and the seed that an entry of ``batch_size`` names."""
    if isinstance(entry, list | tuple):
        if len(entry) != 2:
            raise TypeError(f"{label}: an entry of batch_size is (size, seed), got {entry!r}")
        size, seed = entry
        return check_whole(size, f"{label}: batch_size", least=1), check_seed(seed, label)
    return check_whole(entry, f"{label}: batch_size", least=1), default


def one_per_axis(entries: Sequence[Any], ndim: int, label: str, what: str) -> list[Any]:
    """Return one entry an axis: Ellipsis, and the end, stand for axes that are to be whole."""
    entries = list(entries)
    gaps = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if len(gaps) > 1:
        raise ValueError(f"{label}: {what} can hold one Ellipsis, got {entries!r}")
    named = len(entries) - len(gaps)
    if named > ndim:
        raise ShapeError(f"{label}: {what} {entries!r} has {named} entries, the data {ndim} axes")
    at = gaps[0] if gaps else named
    return entries[:at] + [None] * (ndim - named) + entries[at + 1 :]


def check_fits(
    size: int, axis: int, shape: Sequence[int], label: str, what: str = "batch_size"
) -> None:
    """Raise if a size is more than the data have."""
    if size > shape[axis]:
        raise ShapeError(
            f"{label}: {what} {size} is more than the {shape[axis]} that axis {axis} of the data "
            f"has"
        )


def broadcasting_axes(broadcastable: Sequence[bool], shape: Sequence[int], label: str) -> list[int]:
    """Return the axes that are to broadcast."""
    if len(broadcastable) != len(shape):
        raise ShapeError(
            f"{label}: broadcastable {tuple(broadcastable)} for data with {len(shape)} axes; it "
            f"must have one entry an axis"
        )
    axes = [axis for axis, wanted in enumerate(broadcastable) if wanted]
    for axis in axes:
        if shape[axis] != 1:
            raise ShapeError(f"{label}: axis {axis} has length {shape[axis]}: it cannot broadcast")
    return axes
