"""Graphs that depend on minibatches, with whole data or a sample of them in their place."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import as_seed_sequence
from vibayes.exceptions import ShapeError
from vibayes.streaming.batch import BatchVariable

__all__ = [
    "batch_lengths",
    "check_same_rows",
    "minibatches_in",
    "sampled_data",
    "whole_lengths",
]


def minibatches_in(graphs: Iterable[Variable]) -> list[BatchVariable]:
    """Return the minibatches on which graphs depend."""
    return [v for v in ancestors(list(graphs)) if isinstance(v, BatchVariable)]


def batch_lengths(lengths: Sequence[TensorVariable]) -> tuple[int, ...]:
    """Return the values of lengths that may depend on the size of minibatches."""
    parts = {m.minibatch: pt.zeros(m.batch_shape, m.dtype) for m in minibatches_in(lengths)}
    return lengths_with(parts, lengths)


def whole_lengths(lengths: Sequence[TensorVariable]) -> tuple[int, ...]:
    """Return the values of lengths on the whole data, in place of minibatches."""
    return lengths_with({m.minibatch: whole_of(m) for m in minibatches_in(lengths)}, lengths)


def whole_of(minibatch: BatchVariable) -> TensorVariable:
    """Return the whole data, or something of their shape if they are not in memory."""
    if minibatch.in_memory:
        return minibatch.shared
    return pt.zeros(minibatch.whole_shape, minibatch.dtype)  # only its shape is computed


def lengths_with(
    data: Mapping[Variable, Variable], lengths: Sequence[TensorVariable]
) -> tuple[int, ...]:
    """Return the values of lengths after a replacement that leaves no rows to be drawn."""
    replaced = graph_replace(list(lengths), data) if data else lengths
    return tuple(int(length) for length in evaluate(replaced))


def sampled_data(
    minibatches: Iterable[BatchVariable], rows: int, random_seed: Any
) -> dict[TensorVariable, SharedVariable]:
    """Return a sample of the data for each minibatch: the same rows where they show the same."""
    count = check_whole(rows, "sampled_data_replacements: rows", least=1)
    seed = as_seed_sequence(random_seed)
    chosen: dict[Hashable, Any] = {}
    return {
        m.minibatch: pytensor.shared(m.sampled(count, chosen, seed), name=m.name, borrow=True)
        for m in minibatches
    }


def check_same_rows(minibatches: Sequence[BatchVariable]) -> None:
    """Raise if data that show the same rows have got different lengths."""
    seen: dict[int, tuple[BatchVariable, int]] = {}
    streamed = {rows.key: m for m in minibatches if not m.in_memory for rows in m.shown_rows()}
    for minibatch in (m for m in minibatches if m.in_memory):
        for rows in minibatch.shown_rows():
            other, length = seen.setdefault(id(rows.source), (minibatch, rows.length))
            if length != rows.length:
                raise ShapeError(
                    f"the minibatches {other.name!r} and {minibatch.name!r} show the same rows, "
                    f"but their data now have {length} and {rows.length}. Set the data of both, or "
                    f"give them different seeds."
                )
            if rows.key in streamed:
                raise ShapeError(
                    f"the minibatches {streamed[rows.key].name!r} and {minibatch.name!r} have the "
                    f"same length, batch size and seed, but would show different rows: the data of "
                    f"one are not in memory. For the same rows make them together, X, y = "
                    f"vb.Minibatch(...); for different ones give them different seeds."
                )
