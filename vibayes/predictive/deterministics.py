"""Expressions of a model at draws of its variables: computed, or as graphs of the draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors

from vibayes.arguments import check_arguments
from vibayes.backend.modes import mode_of_many
from vibayes.backend.seeds import random_generators
from vibayes.context import modelcontext
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.predictive.choices import named_variables
from vibayes.predictive.predictive import drawn_values
from vibayes.predictive.results import draws_dataset, relabelled
from vibayes.predictive.trace import posterior_of
from vibayes.predictive.whole import groups_of_data

__all__ = ["compute_deterministics", "to_inference_data", "vectorize_over_posterior"]


@check_arguments
def compute_deterministics(
    dataset: Any,
    *,
    var_names: str | Collection[str] | None = None,
    model: Model | None = None,
    sample_dims: Sequence[str] | None = None,
    merge_dataset: bool = False,
    progressbar: bool = True,
    backend: str | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Compute deterministics at draws of the free variables.

    Rows that are not in memory are gone through in parts; more than a gibibyte of results are
    arrays of Dask, whose parts are computed when they are asked for.

    Parameters
    ----------
    dataset : xarray.Dataset, arviz.InferenceData, xarray.DataTree or MultiTrace
        Draws of the free variables.
    var_names
        Names of deterministics; all by default.
    model
        The model; by default the one of the ``with`` block.
    sample_dims
        The dimensions along which draws lie; by default those of ``chain``, ``draw`` and ``sample``
        that there are.
    merge_dataset
        Whether to return the draws that were given, too.
    progressbar
        Taken so that scripts run: there is none.
    backend, compile_kwargs
        What they are computed by, as for :meth:`vibayes.Inference.fit`; NumPy by default.

    Returns
    -------
    xarray.Dataset
        The deterministics at each draw.

    Raises
    ------
    ModelError
        If the model has no deterministics, draws of a variable are missing, or one is drawn at
        random, as those are that depend on observed variables.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     draws = vb.MeanField().sample(100).posterior
    ...     vb.Deterministic("square", x**2)
    ...     squares = vb.compute_deterministics(draws)
    square
    >>> bool((squares["square"] == draws["x"] ** 2).all())
    True
    """
    label = "compute_deterministics"
    model = modelcontext(model)
    mode = mode_of_many(backend, compile_kwargs)
    known = model.deterministics
    if not known:
        raise ModelError(f"{label}: the model has no deterministics")
    wanted = known if var_names is None else named_variables(model, var_names, known, "var_names")
    trace = posterior_of(dataset, sample_dims, "dataset")
    parts = set(ancestors(wanted, blockers=model.free_RVs))
    given = [rv for rv in model.free_RVs if rv in parts]
    if drawn := [rv.name for rv in model.observed_RVs if rv in parts]:
        raise ModelError(
            f"{label}: the deterministics depend on draws of {drawn[0]!r}, which is observed: see "
            f"sample_posterior_predictive"
        )
    values = trace.values(model, given)
    named = drawn_values(model, wanted, given, trace.draws, values, 0, label, mode)
    result = draws_dataset(model, named, trace)
    if not merge_dataset:
        return result
    return trace.posterior.drop_vars([n for n in named if n in trace.posterior]).merge(result)


@check_arguments
def to_inference_data(
    trace: Any = None,
    *,
    prior: Mapping[str, Any] | None = None,
    posterior_predictive: Mapping[str, Any] | None = None,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Any] | None = None,
    model: Model | None = None,
) -> Any:
    """Return draws as an object of ArviZ's kind, with the data of the model.

    Parameters
    ----------
    trace : MultiTrace, xarray.Dataset or list of dict, optional
        Draws of the posterior.
    prior, posterior_predictive
        Arrays of draws by name, the first axis being the draws.
    coords, dims
        Labels by dimension, and names of axes by variable, where they are to be others than the
        model's.
    model
        The model; by default the one of the ``with`` block.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        With the groups that there are draws for, ``observed_data`` and ``constant_data``.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     trace = vb.MeanField().sample(100, return_inferencedata=False)
    ...     results = vb.to_inference_data(trace)
    >>> results.posterior["x"].shape
    (1, 100)
    """
    model = modelcontext(model)
    options = {"coords": coords, "dims": dims}
    groups = {}
    if trace is not None:
        found = posterior_of(trace, None)
        values = {
            str(name): array.transpose(*found.sample_dims, ...).values
            for name, array in found.posterior.data_vars.items()
        }
        if tuple(found.sample_dims) != ("chain", "draw"):
            values = {
                name: v.reshape(1, found.draws, *v.shape[len(found.lead) :])
                for name, v in values.items()
            }
        groups["posterior"] = dataset(model, values, ("chain", "draw"))
    for name, draws in (("prior", prior), ("posterior_predictive", posterior_predictive)):
        if draws is not None:
            arrays = drawn_arrays(draws, f"to_inference_data: {name}")
            groups[name] = dataset(model, arrays, ("chain", "draw"))
    groups = {name: relabelled(group, options) for name, group in groups.items()}
    return inference_data({**groups, **groups_of_data(model, "to_inference_data")})


def drawn_arrays(draws: Mapping[str, Any], label: str) -> dict[str, np.ndarray]:
    """Return arrays of draws with an axis of chains, of which there is one."""
    arrays = {str(key): np.asarray(value)[None] for key, value in draws.items()}
    lengths = {key: value.shape[1] if value.ndim > 1 else None for key, value in arrays.items()}
    if None in lengths.values() or len(set(lengths.values())) > 1:
        raise ShapeError(
            f"{label} must be arrays whose first axis are the draws, as many of each variable, got "
            f"{', '.join(f'{key!r} of {n} draws' for key, n in lengths.items())}"
        )
    return arrays


@check_arguments
def vectorize_over_posterior(
    outputs: Sequence[Variable],
    posterior: Any,
    input_rvs: Sequence[Variable],
    allow_rvs_in_graph: bool = True,
    sample_dims: Sequence[str] = ("chain", "draw"),
) -> list[Variable]:
    """Return expressions in which all draws of a posterior stand for variables.

    Parameters
    ----------
    outputs
        Expressions of the variables.
    posterior : xarray.Dataset, arviz.InferenceData or xarray.DataTree
        Draws of the variables.
    input_rvs
        The variables that the draws stand for.
    allow_rvs_in_graph
        Whether expressions may depend on other random variables, which are drawn as the expressions
        are evaluated: anew for each draw of what they depend on.
    sample_dims
        The dimensions along which draws lie: they become the first axes.

    Raises
    ------
    KeyError
        If there are no draws of a variable.
    ModelError
        If expressions depend on other random variables, but are not allowed to.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     draws = vb.MeanField().sample(100).posterior
    >>> (square,) = vb.vectorize_over_posterior([x**2], draws, [x])
    >>> square.type.shape
    (1, 100)
    """
    found = posterior_of(posterior, list(sample_dims), "posterior").posterior
    stacked = {}
    for rv in input_rvs:
        if rv.name not in found:
            known = ", ".join(map(str, found))
            raise KeyError(f"the posterior has no draws of {rv.name!r}; it has {known}")
        values = found[rv.name].transpose(*sample_dims, ...).values
        stacked[rv] = pt.constant(values.astype(rv.dtype))
    blockers = list(stacked)
    if not allow_rvs_in_graph and random_generators(list(outputs), blockers=blockers):
        raise ModelError("the expressions depend on random variables that are not in input_rvs")
    result: list[Variable] = vectorize_graph(list(outputs), stacked)
    return result
