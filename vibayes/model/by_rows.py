"""Which part of a log density is a sum over the rows of the data, found in the model's graph.

Rows are counted along the first axis of the observed variables. Whatever else has that length
(data, minibatches, arrays that the model was written with) goes by rows with them, and each term
that depends on any of it has to be a sum of what single rows contribute: that is tried out on a few
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import with_rows
from vibayes.backend.plain import PlainFunction
from vibayes.distributions.base import to_float
from vibayes.exceptions import ModelError
from vibayes.model.core import Model
from vibayes.model.density import logp_terms
from vibayes.model.flat import FlatLayout
from vibayes.model.observed import known_value, observed_shapes, whole_shape
from vibayes.model.whole_data import minibatches_in
from vibayes.streaming.batch import BatchVariable
from vibayes.streaming.partitions import OnDisk, Rows
from vibayes.streaming.stream import StreamedMinibatch

__all__ = ["RowModel", "check_goes_by_rows", "row_model", "some_rows"]

TRIED_ROWS = 7, 5
POINTS = 3
SPREAD = 0.3  # of points about the start at which it is tried


@dataclass(frozen=True)
class RowVariable:
    """What goes by rows.

    Attributes
    ----------
    variable : TensorVariable
        In the model's graph.
    input : TensorVariable
        What stands for it: of any number of rows.
    batch : BatchVariable, optional
        The minibatch whose rows it shows.
    """

    variable: TensorVariable
    input: TensorVariable
    batch: BatchVariable | None

    def source(self) -> np.ndarray | OnDisk:
        """Return where all rows are."""
        if isinstance(self.batch, StreamedMinibatch):
            return OnDisk(self.batch.stream.layout, self.batch.part_number)
        shared: Any = self.variable if self.batch is None else self.batch.shared
        value = known_value(shared)
        assert value is not None
        return value


@dataclass(frozen=True)
class RowModel:
    """A log density as a sum over rows, and what does not go by rows.

    Attributes
    ----------
    model : Model
        The model.
    length : int
        Number of rows.
    variables : tuple of RowVariable
        What goes by rows.
    names : tuple of str
        Names of the observed variables and potentials that are sums over rows.
    terms : tuple of TensorVariable
        The log density of each on some rows, as graphs of value variables and of the inputs of
        ``variables``.
    rest : TensorVariable
        Log density of all else, as a graph of value variables.
    """

    model: Model
    length: int
    variables: tuple[RowVariable, ...]
    names: tuple[str, ...]
    terms: tuple[TensorVariable, ...]
    rest: TensorVariable

    @property
    def inputs(self) -> list[TensorVariable]:
        """What rows are put into."""
        return [v.input for v in self.variables]

    @property
    def reads(self) -> bool:
        """Whether some rows are not in memory."""
        return any(isinstance(v.batch, StreamedMinibatch) for v in self.variables)

    def rows(self, keep_bytes: int = 0) -> Rows:
        """Return the rows, as they are now."""
        return Rows([v.source() for v in self.variables], self.length, keep_bytes)


def row_model(model: Model) -> RowModel | None:
    """Return a model's log density as a sum over rows, None if nothing in it goes by rows.

    Raises
    ------
    ModelError
        If a variable depends on rows in a way that is no sum over them. It names the variable.
    """
    return model.compiled(("row model", observed_shapes(model)), lambda: found_row_model(model))


def found_row_model(model: Model) -> RowModel | None:
    length = row_count(model)
    if length is None:
        return None
    everything = [*model.observed_RVs, *model.potentials]
    terms = logp_terms(model, everything, jacobian=True, scaled=False)
    batches = minibatches_in(terms)
    found = {
        rv: sources_in(term, length, batches) for rv, term in zip(everything, terms, strict=True)
    }
    check_batches(model, found, batches, length)
    sources = list(dict.fromkeys(v for variables in found.values() for v in variables))
    if not sources:
        return None
    of_batches = {b.minibatch: b for b in batches}
    variables = tuple(RowVariable(v, input_for(v), of_batches.get(v)) for v in sources)
    by_rows = [rv for rv in everything if found[rv]]
    chosen = [weighted(model, rv, t) for rv, t in zip(everything, terms, strict=True) if found[rv]]
    try:
        inputs = {v.variable: v.input for v in variables}
        graphs = with_rows(chosen, inputs, length, variables[0].input.shape[0])
    except (TypeError, ValueError) as error:
        raise refusal(by_rows, f"an operation is for {length} rows alone: {error}") from error
    others = [*model.free_RVs, *(rv for rv in everything if not found[rv])]
    rest = model.logp(others)
    in_memory = {b.minibatch: b.shared for b in minibatches_in([rest]) if b.in_memory}
    (rest,) = graph_replace([rest], in_memory, strict=False) if in_memory else (rest,)
    names = tuple(rv.name for rv in by_rows)
    result = RowModel(model, length, variables, names, tuple(graphs), rest)
    check_sums(result)
    return result


def row_count(model: Model) -> int | None:
    """Return the number of rows: those of the longest observed variable, if there is any."""
    lengths = [shape[0] for shape in observed_shapes(model) if shape and shape[0]]
    streamed = [b.whole_shape[0] for b in model.minibatches if not b.in_memory]
    return max(streamed or [n for n in lengths if n is not None], default=None)


def sources_in(
    term: TensorVariable, length: int, batches: Sequence[BatchVariable]
) -> list[TensorVariable]:
    """Return the data of some length on which a term depends."""
    shown = {b.minibatch: b for b in batches}
    found = []
    for v in ancestors([term], blockers=list(shown)):
        if v in shown:
            shape: tuple[int, ...] = shown[v].whole_shape
        elif isinstance(v, Constant | SharedVariable) and getattr(v.type, "ndim", False):
            value: Any = known_value(v)
            shape = np.shape(value)
        else:
            continue
        if shape[0] == length:
            found.append(v)
    return found


def check_batches(
    model: Model, found: dict[Any, list[Any]], batches: Sequence[BatchVariable], length: int
) -> None:
    """Raise if minibatches show other parts than rows, or are streams of other lengths."""
    used = {v for variables in found.values() for v in variables}
    for batch in batches:
        if batch.minibatch not in used:
            if not batch.in_memory:
                raise ModelError(
                    f"the stream {batch.name!r} has {batch.whole_shape[0]} rows, another one of "
                    f"the model {length}: a pass over the data takes the same rows of all"
                )
        elif batch.batch_shape[1:] != batch.whole_shape[1:]:
            raise ModelError(
                f"the minibatch {batch.name!r} shows a part of another axis than the first: only "
                f"rows, along the first axis, can be gone through in parts"
            )


def input_for(variable: TensorVariable) -> TensorVariable:
    """Return an input that takes any number of rows of some data."""
    value: Any = known_value(variable) if variable.owner is None else None
    shape = variable.type.shape if value is None else np.shape(value)
    static = tuple(1 if n == 1 else None for n in shape[1:])
    if variable.owner is None and not isinstance(variable, SharedVariable):
        static = tuple(shape[1:])
    return pt.tensor(variable.name or "rows", dtype=variable.dtype, shape=(None, *static))


def weighted(model: Model, rv: Variable, term: TensorVariable) -> TensorVariable:
    """Return the sum of a term, times as many as its whole data stand for."""
    total = model.rvs_to_total_sizes.get(rv)
    factor = 1.0
    if total is not None:
        shape = whole_shape(model.rvs_to_values[rv])
        for whole, length in zip(total, shape, strict=False):
            factor *= 1.0 if whole is None or not length else whole / length
    result = to_float(term.sum())
    return result if factor == 1.0 else result * pt.constant(factor, dtype=pytensor.config.floatX)


# -- whether terms are sums over rows -------------------------------------------------------------


def check_sums(rows: RowModel) -> None:
    """Raise if a term of some rows is not the sum of those of two parts of them."""
    layout = FlatLayout(rows.model.value_vars)
    flat = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
    graphs = graph_replace(list(rows.terms), layout.split(flat), strict=False)
    function = PlainFunction([flat, *rows.inputs], graphs)
    few = some_rows(rows, sum(TRIED_ROWS))
    parts = [a[: TRIED_ROWS[0]] for a in few], [a[TRIED_ROWS[0] :] for a in few]
    rng = np.random.default_rng(0)
    start = layout.join(rows.model.initial_point())
    points = [start, *(start + SPREAD * rng.standard_normal((POINTS, layout.size)))]
    for z in points:
        z = z.astype(pytensor.config.floatX)
        try:
            whole, first, second = (np.array(function(z, *part)) for part in (few, *parts))
        except Exception as error:
            names = [rv for rv in rows.model.basic_RVs if rv.name in rows.names]
            raise refusal(names, f"a part of them cannot be evaluated: {error}") from error
        tolerance = 1e-8 if z.dtype == np.float64 else 1e-3
        same = np.isclose(whole, first + second, rtol=tolerance, atol=tolerance, equal_nan=True)
        if not same.all():
            bad = [n for n, good in zip(rows.names, same, strict=True) if not good]
            known = [v for v in (*rows.model.basic_RVs, *rows.model.potentials) if v.name in bad]
            raise refusal(
                known,
                f"the log density of {len(few[0])} rows is not the sum of that of the first "
                f"{TRIED_ROWS[0]} and of the last {TRIED_ROWS[1]}",
            )


def some_rows(rows: RowModel, count: int) -> list[np.ndarray]:
    """Return a few rows of everything, the first of what is read."""
    found = []
    for v in rows.variables:
        source = v.source()
        values = source.layout.first[source.number] if isinstance(source, OnDisk) else source
        places = np.arange(min(count, len(values)))
        if not rows.reads:
            places = (places * (len(values) - 1)) // max(len(places) - 1, 1)
        found.append(np.asarray(values)[places])
    shortest = min(map(len, found))
    return [a[:shortest] for a in found]


def refusal(variables: Sequence[Any], why: str) -> ModelError:
    """Return an error that names variables whose rows are not independent."""
    names = ", ".join(repr(v.name) for v in variables)
    return ModelError(
        f"the rows of {names} are not independent of each other: {why}. Only a log likelihood that "
        f"is a sum over rows can be had from parts of the data."
    )


def check_goes_by_rows(model: Model, what: str) -> RowModel:
    """Return the row model of what can be fitted by passes alone.

    Raises
    ------
    ModelError
        If there is none, saying what it is needed for.
    """
    found: RowModel | None
    try:
        found = row_model(model)
    except ModelError as error:
        raise ModelError(f"{what}: {error}") from error
    if found is None:
        raise ModelError(f"{what}: the model has no observed variable that goes by rows")
    return found
