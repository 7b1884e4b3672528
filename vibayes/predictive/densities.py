"""Log densities of variables at each draw of a posterior."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.distributions.base import as_value, distribution_of
from vibayes.exceptions import ShapeError
from vibayes.model.by_rows import RowModel
from vibayes.model.core import Model
from vibayes.model.data_size import data_size
from vibayes.predictive.by_rows import by_rows, compile_by_rows, results_by_rows
from vibayes.predictive.compiled import OverDraws, compile_over_draws, mode_key
from vibayes.predictive.results import draws_dataset
from vibayes.predictive.trace import Trace, posterior_of
from vibayes.predictive.whole import whole_data_in, whole_observed

if TYPE_CHECKING:
    import xarray

__all__ = ["density_group", "small_log_likelihood"]

FEW_NUMBERS = 1_000_000  # 8 MB


def small_log_likelihood(model: Model, posterior: xarray.Dataset) -> dict[str, xarray.Dataset]:
    """Return the group ``log_likelihood`` where it costs next to nothing, otherwise no group.

    Up to a million numbers are few. Models for which they are not the likelihood of the whole
    data, or not all of it, are left out: with streams, variables of a minibatch, or potentials.
    """
    trace = posterior_of(posterior)
    few = data_size(model) * trace.draws <= FEW_NUMBERS
    if not few or not model.observed_RVs or model.potentials or model.minibatches:
        return {}
    try:
        model.check_shapes()
    except ShapeError:  # predictors were exchanged for others, of which there are no outcomes
        return {}
    group = density_group(model, model.observed_RVs, trace, "log_likelihood")
    return {"log_likelihood": group}


def density_group(
    model: Model,
    variables: Sequence[TensorVariable],
    posterior: Trace,
    label: str,
    mode: Any = EVALUATE_MODE,
) -> xarray.Dataset:
    """Return the log density of variables at each draw of a posterior.

    Rows that are not in memory, or too many for it, are gone through in parts.
    """
    rows = by_rows(model, variables, posterior.draws, label)
    parted = [] if rows is None else [rv for rv in variables if rv.name in rows.names]
    others = [rv for rv in variables if rv not in parted]
    named = densities(model, others, posterior, label, mode) if others else {}
    if rows is not None and parted:
        named |= densities_by_rows(model, rows, parted, posterior, mode)
    named = {rv.name: named[rv.name] for rv in variables}
    events = {rv.name: distribution_of(rv).ndim_supp for rv in variables}
    return draws_dataset(model, named, posterior, events)


def densities(
    model: Model, variables: Sequence[TensorVariable], posterior: Trace, label: str, mode: Any
) -> dict[str, Any]:
    """Return the log densities of variables, all at once."""
    terms = [distribution_of(rv).logp(rv) for rv in variables]
    observed = observed_in(model, terms, label)
    given = given_in(model, terms, observed)
    values = posterior.values(model, given)
    names = tuple(v.name for v in variables)

    def make() -> OverDraws:
        whole = whole_data_in(terms, label, model, [*given, *observed])
        return compile_over_draws(terms, given, observed | whole, mode=mode)

    function = model.compiled(("log density", names, mode_key(mode)), make)
    return dict(zip(names, function(posterior.draws, values), strict=True))


def densities_by_rows(
    model: Model,
    rows: RowModel,
    variables: Sequence[TensorVariable],
    posterior: Trace,
    mode: Any,
) -> dict[str, Any]:
    """Return the log densities of variables that go by rows, in parts of these."""
    terms = [distribution_of(rv).logp(rv) for rv in variables]
    observed = {
        rv: as_value(distribution_of(rv), model.rvs_to_values[rv]) for rv in model.observed_RVs
    }
    given = given_in(model, terms, observed)
    names = tuple(v.name for v in variables)
    function = model.compiled(
        ("log density by rows", rows.length, names, mode_key(mode)),
        lambda: compile_by_rows(rows, terms, given, observed, mode),
    )
    values = posterior.values(model, given)
    return dict(zip(names, results_by_rows(function, rows, posterior.draws, values), strict=True))


def given_in(
    model: Model, terms: Sequence[TensorVariable], observed: Collection[TensorVariable]
) -> list[TensorVariable]:
    """Return the free variables on which terms depend, given the observed ones."""
    needed = set(ancestors(terms, blockers=[*model.free_RVs, *observed]))
    return [rv for rv in model.free_RVs if rv in needed]


def observed_in(
    model: Model, terms: Sequence[TensorVariable], label: str
) -> dict[TensorVariable, TensorVariable]:
    """Return the whole data of the observed variables on which terms depend."""
    above = set(ancestors(terms, blockers=model.basic_RVs))
    return {
        rv: as_value(distribution_of(rv), whole_observed(model, rv, label))
        for rv in model.observed_RVs
        if rv in above
    }
