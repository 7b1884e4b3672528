"""Results at many draws of rows that are not in memory, or too many for it: a part at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import with_rows
from vibayes.backend.seeds import as_seed_sequence
from vibayes.distributions.base import distribution_of
from vibayes.exceptions import ModelError
from vibayes.installing import missing
from vibayes.model.by_rows import RowModel, check_goes_by_rows, row_model, some_rows
from vibayes.model.cluster import can_be_read_anywhere
from vibayes.model.core import Model
from vibayes.model.data_size import data_size
from vibayes.model.observed import whole_shape
from vibayes.model.passes import DEFAULT_MEMORY
from vibayes.model.whole_data import minibatches_in
from vibayes.predictive.compiled import OverDraws, compile_over_draws
from vibayes.predictive.whole import redrawn
from vibayes.streaming.partitions import OnDisk, Rows

__all__ = ["by_rows", "compile_by_rows", "depend_on_rows", "redrawn_by_rows", "results_by_rows"]

MOST_NUMBERS = DEFAULT_MEMORY // 8  # of results that are computed at once
PART_NUMBERS = 8_000_000  # of results of a part of the rows


def by_rows(
    model: Model, variables: Sequence[TensorVariable], draws: int, label: str
) -> RowModel | None:
    """Return the rows that results are made of part by part, None if all are to go together.

    Parameters
    ----------
    model
        The model.
    variables
        Of these, numbers for each row are wanted at each draw.
    draws
        Number of draws.
    label
        The function that wants them, as messages are to name it.

    Raises
    ------
    ModelError
        If rows that are not in memory depend on each other.
    """
    data = [model.rvs_to_values[rv] for rv in variables if rv in model.observed_RVs]
    if not all(batch.in_memory for batch in minibatches_in([*variables, *data])):
        return check_goes_by_rows(model, label)
    if not data or data_size(model) * draws <= MOST_NUMBERS or find_spec("dask") is None:
        return None
    try:
        return row_model(model)
    except ModelError:  # they are in memory, so that they can be tried all at once
        return None


def depend_on_rows(
    rows: RowModel, variables: Sequence[TensorVariable], given: Sequence[TensorVariable]
) -> list[TensorVariable]:
    """Return those variables of which there is a number for each row."""
    observed = [rv for rv in rows.model.observed_RVs if rv.name in rows.names]
    sources = {v.variable for v in rows.variables}.union(observed)
    return [v for v in variables if sources.intersection(ancestors([v], blockers=given))]


def redrawn_by_rows(rows: RowModel) -> dict[Variable, Variable]:
    """Return the observed variables that go by rows as drawn for the rows that are there."""
    count = rows.inputs[0].shape[0]
    found: dict[Variable, Variable] = {}
    for rv in rows.model.observed_RVs:
        if rv.name in rows.names:
            dist = distribution_of(rv)
            shape = whole_shape(rows.model.rvs_to_values[rv])
            others = tuple(int(n or 1) for n in shape[1 : len(shape) - dist.ndim_supp])
            found[rv] = redrawn(dist, (count, *others))
    return found


def compile_by_rows(
    rows: RowModel,
    outputs: Sequence[Variable],
    given: Sequence[TensorVariable],
    others: Mapping[Variable, Variable],
    mode: Any,
) -> OverDraws:
    """Compile expressions into a function of many draws and of any number of rows.

    Parameters
    ----------
    rows
        The rows.
    outputs
        Expressions of the model.
    given
        The variables whose draws the function takes.
    others
        Expressions in the place of parts of them, those made first being first.
    mode
        A PyTensor mode.
    """
    count = rows.inputs[0].shape[0]
    known: dict[Variable, Variable] = {v: v for v in given}
    known.update({v.variable: v.input for v in rows.variables})
    for old, new in others.items():
        (known[old],) = with_rows([new], known, rows.length, count)
    graphs = with_rows(outputs, known, rows.length, count)
    return compile_over_draws(graphs, given, {}, mode=mode, fixed=rows.inputs)


def results_by_rows(
    function: OverDraws,
    rows: RowModel,
    draws: int,
    values: Sequence[np.ndarray],
    random_seed: Any = None,
) -> list[Any]:
    """Return what a function makes of all rows: the first axis is the draws, the second the rows.

    Up to a gibibyte of them is computed here. More are arrays of Dask, whose parts are computed
    when they are asked for. Random draws are the same either way.

    Parameters
    ----------
    function
        What :func:`compile_by_rows` returns.
    rows
        The rows.
    draws, values
        Number of draws, and the draws.
    random_seed
        Seed of what is drawn at random.

    Raises
    ------
    ModelError
        If there are too many for memory, and the source cannot be read from any row on.
    ImportError
        If there are too many for memory, and Dask is missing.
    """
    source = rows.rows()
    first = function(1, [v[:1] for v in values], 0, some_rows(rows, 1))
    shapes = [(draws, rows.length, *part.shape[2:]) for part in first]
    total = sum(map(np.prod, shapes))
    source.step = int(np.clip(PART_NUMBERS * rows.length // total, 1, source.step))
    parts = Parts(function, source, draws, list(values), as_seed_sequence(random_seed))
    dtypes = [part.dtype for part in first]
    return (parts.now if total <= MOST_NUMBERS else parts.later)(shapes, dtypes)


@dataclass(frozen=True)
class Parts:
    """Results of parts of the rows.

    Attributes
    ----------
    function : OverDraws
        Of draws and rows.
    source : Rows
        The rows.
    draws : int
        Number of draws.
    values : list of numpy.ndarray
        The draws.
    seed : numpy.random.SeedSequence
        Each part has a seed of its own.
    """

    function: OverDraws
    source: Rows
    draws: int
    values: list[np.ndarray]
    seed: np.random.SeedSequence

    def of(self, start: int, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the results of the rows from ``start`` on."""
        number = start // self.source.step
        seed = np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, number))
        return self.function(self.draws, self.values, seed, arrays)

    def read(self, start: int) -> list[np.ndarray]:
        """Return the results of the rows from ``start`` on, which are read."""
        stop = min(start + self.source.step, self.source.length)
        arrays = [
            v.read(start, stop) if isinstance(v, OnDisk) else v[start:stop]
            for v in self.source.variables
        ]
        return self.of(start, arrays)

    def now(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]) -> list[Any]:
        """Return the results of all rows, read from the first to the last."""
        results = [np.empty(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
        for start, arrays in zip(self.source.starts(), self.source.partitions(), strict=True):
            for result, part in zip(results, self.of(start, arrays), strict=True):
                result[:, start : start + self.source.step] = part
        return results

    def later(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]) -> list[Any]:
        """Return the results of all rows as arrays of Dask, a chunk a part."""
        size = sum(map(np.prod, shapes)) * 8 / 2**30
        if not can_be_read_anywhere(self.source):
            raise ModelError(
                f"the results are {size:.0f} GiB, and their rows can be read in their order alone, "
                f"so that no part of them can be had later. Take fewer draws."
            )
        try:
            import dask.array as da
            from dask.delayed import delayed
        except ImportError as error:
            raise missing(f"a result of {size:.0f} GiB", "dask[array]", "streaming") from error
        starts = self.source.starts()
        parts = [delayed(self.read, pure=False)(start) for start in starts]
        lengths = [min(self.source.step, self.source.length - start) for start in starts]
        return [
            da.concatenate(
                [
                    da.from_delayed(part[i], (shape[0], length, *shape[2:]), dtype)
                    for part, length in zip(parts, lengths, strict=True)
                ],
                axis=1,
            )
            for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))
        ]
