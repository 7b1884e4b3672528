"""Draws of data: what the prior, and what a posterior, says of them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.modes import EVALUATE_MODE, mode_of_many
from vibayes.backend.seeds import as_seed_sequence
from vibayes.context import modelcontext
from vibayes.exceptions import ModelError
from vibayes.families.joint import Joint
from vibayes.model.by_rows import RowModel
from vibayes.model.core import Model
from vibayes.ops.random import ImproperRV, NumPyRandom
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.predictive.by_rows import (
    by_rows,
    compile_by_rows,
    depend_on_rows,
    redrawn_by_rows,
    results_by_rows,
)
from vibayes.predictive.choices import chosen, named_variables
from vibayes.predictive.compiled import OverDraws, compile_over_draws, mode_key
from vibayes.predictive.results import draws_dataset, in_place_or_new, relabelled
from vibayes.predictive.samples import samples_of
from vibayes.predictive.trace import known_data, posterior_of
from vibayes.predictive.whole import groups_of_data, resized_variables, whole_data_in

__all__ = [
    "drawing_function",
    "drawn_values",
    "sample_posterior_predictive",
    "sample_prior_predictive",
]


@check_arguments
def sample_prior_predictive(
    draws: int = 500,
    model: Model | None = None,
    var_names: str | Collection[str] | None = None,
    random_seed: Any = None,
    return_inferencedata: bool = True,
    idata_kwargs: Mapping[str, Any] | None = None,
    backend: str | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
    *,
    samples: int | None = None,
) -> Any:
    """Draw from the prior, and data from what it says of them.

    Minibatches stand for the whole data. Potentials are left out, of which a warning tells. Rows
    that are not in memory are gone through in parts; more than a gibibyte of draws are arrays of
    Dask, whose parts are drawn when they are asked for, with the same numbers each time.

    Parameters
    ----------
    draws
        Number of draws.
    model
        The model; by default the one of the ``with`` block.
    var_names
        Names of what to keep; by default all variables and deterministics.
    random_seed
        Seed of the draws.
    return_inferencedata
        Whether to return an object of ArviZ's kind, rather than a dict of arrays by name.
    idata_kwargs
        ``dims`` and ``coords`` of the results, where they are to be others than the model's.
    backend, compile_kwargs
        What the draws are computed by, as for :meth:`vibayes.Inference.fit`; NumPy by default.
    samples
        Another name of ``draws``: that of PyMC3 to 5.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        As the installed ArviZ has it: groups ``prior`` (free variables and deterministics),
        ``prior_predictive`` (observed variables), both with dims ``chain`` (of length 1), ``draw``
        and those of the variables; ``observed_data`` and ``constant_data``.

    Raises
    ------
    NotImplementedError
        If a variable has an improper prior, such as :class:`vibayes.Flat`, or no way to be drawn.
    KeyError
        If the model has no variable of a name.
    ModelError
        If rows that are not in memory depend on each other.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
    ...     prior = vb.sample_prior_predictive(draws=100, random_seed=1)
    >>> dict(prior.prior_predictive["y"].sizes)
    {'chain': 1, 'draw': 100, 'y_dim_0': 3}
    """
    draws = check_whole(draws if samples is None else samples, "draws", least=1)
    as_seed_sequence(random_seed)
    model = modelcontext(model)
    known = [*model.unobserved_RVs, *model.observed_RVs]
    wanted = known if var_names is None else named_variables(model, var_names, known, "var_names")
    mode = mode_of_many(backend, compile_kwargs)
    warn_of_potentials(model, "draws of the prior")
    named = prior_values(model, wanted, draws, random_seed, mode)
    if not return_inferencedata:
        return named
    chain = {name: x[None] for name, x in named.items()}
    observed = {rv.name for rv in model.observed_RVs}
    groups = {
        "prior": {name: v for name, v in chain.items() if name not in observed},
        "prior_predictive": {name: v for name, v in chain.items() if name in observed},
    }
    sets = {
        name: relabelled(dataset(model, v, ("chain", "draw")), idata_kwargs)
        for name, v in groups.items()
    }
    return inference_data({**sets, **groups_of_data(model, "sample_prior_predictive")})


@check_arguments
def sample_posterior_predictive(
    trace: Any,
    model: Model | None = None,
    var_names: str | Collection[str] | None = None,
    predictions: bool = False,
    extend_inferencedata: bool = False,
    random_seed: Any = None,
    sample_dims: Sequence[str] | None = None,
    draws: int = 1000,
    *,
    sample_vars: str | Collection[str] | None = None,
    freeze_vars: str | Collection[str] | None = None,
    progressbar: bool = True,
    return_inferencedata: bool = True,
    idata_kwargs: Mapping[str, Any] | None = None,
    backend: str | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Draw data from what a posterior says of them, once for each of its draws.

    Minibatches stand for the whole data. After :func:`vibayes.set_data` the draws are of the new
    rows. Potentials are left out, of which a warning tells. Rows that are not in memory are gone
    through in parts; more than a gibibyte of draws are arrays of Dask, whose parts are drawn when
    they are asked for, with the same numbers each time.

    Parameters
    ----------
    trace : Approximation, arviz.InferenceData, xarray.DataTree, xarray.Dataset or list of dict
        Draws of the posterior, of any sampler, or points, dicts of values by variable name; or an
        approximation, from which ``draws`` are taken. Free variables of which there are no draws
        are drawn given what comes before them, with a warning unless they are asked for.
    model
        The model; by default that of the approximation, else the one of the ``with`` block. It may
        be another one than that which was fitted, as long as its free variables have the names
        and shapes of that.
    var_names
        Names of what to return; by default ``sample_vars`` if there are any, else the observed
        variables and the deterministics that depend on them. Of a free variable these are the
        draws of the posterior. Deterministics are computed.
    predictions
        Whether the draws are of other data than those of the fit. They then go into the groups
        ``predictions`` and ``predictions_constant_data``.
    extend_inferencedata
        Whether to add the groups to the object that is given, in place of those that it has. By
        default a new object holds the new groups only.
    random_seed
        Seed of the draws.
    sample_dims
        The dimensions along which draws lie; by default those of ``chain``, ``draw`` and ``sample``
        that there are.
    draws
        Number of draws of an approximation.
    sample_vars
        Names of free variables that are not taken from the posterior, but drawn anew given all that
        comes before them in the model. Those that depend on them are not, unless they are named.
    freeze_vars
        Names of what keeps the draws of the posterior without a warning: free variables, and
        deterministics, which are then not computed from the data as they are now.
    progressbar
        Taken so that scripts run: there is none.
    return_inferencedata
        Whether to return an object of ArviZ's kind, rather than a dict of arrays by name.
    idata_kwargs
        ``dims`` and ``coords`` of the results, where they are to be others than the model's.
    backend, compile_kwargs
        What the draws are computed by, as for :meth:`vibayes.Inference.fit`; NumPy by default.

    Warns
    -----
    ImplicitFreezeWarning
        If a free variable keeps its draws although data, or variables that are drawn anew, come
        before it in the model. Whether data changed is known by the group ``constant_data``.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        A new object with the groups ``posterior_predictive``, ``observed_data`` and
        ``constant_data``, and ``posterior`` if an approximation was given. With
        ``extend_inferencedata`` the object that was given, with the first, and the others if it had
        none.

    Raises
    ------
    ModelError
        If draws of a variable do not fit the model, if there are none of one that is to be frozen,
        or if rows that are not in memory depend on each other.
    KeyError
        If the model has no variable of a name.
    ValueError
        If ``sample_vars`` and ``freeze_vars`` name the same variable.
    NotImplementedError
        If a variable has no way to be drawn.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
    ...     samples = vb.MeanField().sample(100)
    ...     predicted = vb.sample_posterior_predictive(samples, random_seed=1)
    >>> dict(predicted.posterior_predictive["y"].sizes)
    {'chain': 1, 'draw': 100, 'y_dim_0': 3}
    """
    label = "sample_posterior_predictive"
    seed = as_seed_sequence(random_seed)
    mode = mode_of_many(backend, compile_kwargs)
    extends = extend_inferencedata or isinstance(trace, Joint)
    trace, model, seed = drawn_trace(trace, model, draws, seed, label)
    posterior = posterior_of(trace, sample_dims)
    choices = chosen(model, posterior, known_data(trace), var_names, sample_vars, freeze_vars)
    values = posterior.values(model, choices.given)
    warn_of_potentials(model, "predictive draws")
    wanted, given = choices.wanted, choices.given
    named = drawn_values(model, wanted, given, posterior.draws, values, seed, label, mode)
    if not return_inferencedata:
        return {name: x.reshape(*posterior.lead, *x.shape[1:]) for name, x in named.items()}
    group = relabelled(draws_dataset(model, named, posterior), idata_kwargs)
    data = groups_of_data(model, label)
    if predictions:
        groups = {"predictions": group, "predictions_constant_data": data["constant_data"]}
        return in_place_or_new(trace, posterior.posterior, groups, {}, extends)
    groups = {"posterior_predictive": group}
    return in_place_or_new(trace, posterior.posterior, groups, data, extends)


def prior_values(
    model: Model, wanted: Sequence[TensorVariable], draws: int, random_seed: Any, mode: Any
) -> dict[str, Any]:
    """Return draws of the prior, by name.

    Where rows are gone through in parts, free variables are drawn before, once for all of them.
    """
    label = "sample_prior_predictive"
    if by_rows(model, wanted, draws, label) is None:
        values = drawing_function(model, wanted, (), label, mode)(draws, (), random_seed)
        return {v.name: x for v, x in zip(wanted, values, strict=True)}
    first, second = as_seed_sequence(random_seed).spawn(2)
    needed = set(ancestors(wanted))
    given = [rv for rv in model.free_RVs if rv in needed]
    values = drawing_function(model, given, (), label, mode)(draws, (), first)
    return drawn_values(model, wanted, given, draws, values, second, label, mode)


def drawn_values(
    model: Model,
    wanted: Sequence[TensorVariable],
    given: Sequence[TensorVariable],
    draws: int,
    values: Sequence[np.ndarray],
    seed: Any,
    label: str,
    mode: Any,
) -> dict[str, Any]:
    """Return what is wanted at each draw of what is given, by name.

    Rows that are not in memory, or too many for it, are gone through in parts.
    """
    rows = by_rows(model, wanted, draws, label)
    parted = [] if rows is None else depend_on_rows(rows, wanted, given)
    others = [v for v in wanted if v not in parted]
    found: dict[str, Any] = {}
    if others:
        function = drawing_function(model, others, given, label, mode)
        results = function(draws, values, seed)
        found = {v.name: x for v, x in zip(others, results, strict=True)}
    if rows is not None and parted:
        check_drawable(model, parted, given)
        check_given(model, parted, given, label)
        function = drawing_by_rows(rows, parted, given, mode)
        results = results_by_rows(function, rows, draws, values, seed)
        found |= {v.name: x for v, x in zip(parted, results, strict=True)}
    return {v.name: found[v.name] for v in wanted}


def drawing_by_rows(
    rows: RowModel,
    wanted: Sequence[TensorVariable],
    given: Sequence[TensorVariable],
    mode: Any,
) -> OverDraws:
    """Return a function that draws what goes by rows, compiled once a model."""
    names = tuple(tuple(v.name for v in group) for group in (wanted, given))
    return rows.model.compiled(
        ("predictive by rows", rows.length, *names, mode_key(mode)),
        lambda: compile_by_rows(rows, wanted, given, redrawn_by_rows(rows), mode),
    )


def check_given(
    model: Model,
    wanted: Sequence[TensorVariable],
    given: Sequence[TensorVariable],
    label: str,
) -> None:
    """Raise if a free variable would be drawn for each part of the rows once more."""
    needed = set(ancestors(wanted, blockers=given))
    drawn = [repr(rv.name) for rv in model.free_RVs if rv in needed and rv not in given]
    if drawn:
        raise ModelError(
            f"{label}: {', '.join(drawn)} would have to be drawn anew, which is not possible where "
            f"rows are gone through in parts. Give its draws."
        )


def drawn_trace(
    trace: Any, model: Model | None, draws: int, seed: Any, label: str
) -> tuple[Any, Model, Any]:
    """Return draws of an approximation in its place, the model, and the seed of what follows."""
    draws = check_whole(draws, "draws", least=1)
    if not isinstance(trace, Joint):
        return trace, modelcontext(model), seed
    local = [rv.name for group in trace.groups if group.local for rv in group.variables]
    if local:
        raise NotImplementedError(
            f"{label}: of {', '.join(map(repr, local))} there are draws for one minibatch at a "
            f"time only, not for the whole data"
        )
    first, second = seed.spawn(2)
    model = trace.model if model is None else model
    return samples_of(trace, draws, first), model, second


def drawing_function(
    model: Model,
    wanted: Sequence[TensorVariable],
    given: Sequence[TensorVariable],
    label: str,
    mode: Any = EVALUATE_MODE,
) -> OverDraws:
    """Return a function that draws variables given draws of others, compiled once a model."""
    parts = list(ancestors(wanted, blockers=given))
    replacements = whole_data_in(parts, label, model, given)
    check_drawable(model, wanted, given)
    resized = resized_variables(model, [rv for rv in model.observed_RVs if rv in parts], label)
    lengths_from_params = tuple(rv.name for rv in resized)
    names = tuple(tuple(v.name for v in group) for group in (wanted, given))
    return model.compiled(
        ("predictive", *names, lengths_from_params, mode_key(mode)),
        lambda: compile_over_draws(wanted, given, replacements, resized, mode),
    )


def check_drawable(
    model: Model, wanted: Sequence[TensorVariable], given: Sequence[TensorVariable]
) -> None:
    """Raise if a variable that is to be drawn has no way to be."""
    needed = set(ancestors(wanted, blockers=given))
    drawn = [rv for rv in model.basic_RVs if rv in needed and rv not in given]
    for rv in drawn:
        others = {other for other in model.basic_RVs if other is not rv}
        for v in ancestors([rv], blockers=others):
            if v in others:
                continue
            op = getattr(v.owner, "op", None)
            if isinstance(op, ImproperRV):
                raise NotImplementedError(
                    f"{rv.name!r} has an improper prior, from which there are no draws. Give it a "
                    f"proper one, or leave out what depends on it by var_names."
                )
            if isinstance(op, NumPyRandom) and op.function is None:
                raise NotImplementedError(
                    f"{rv.name!r} is a {op.name} with neither a random nor a dist function, it "
                    f"cannot be drawn. Give it one of them, or leave it out by var_names."
                )


def warn_of_potentials(model: Model, what: str) -> None:
    """Warn that potentials have no part in what is computed."""
    if model.potentials:
        names = ", ".join(repr(p.name) for p in model.potentials)
        warnings.warn(
            f"the model has potentials ({names}): {what} leave them out",
            UserWarning,
            stacklevel=4,
        )
