"""Groups of results: made of draws, and added to the ArviZ object that the draws came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vibayes.model.core import Model
from vibayes.posterior.arviz import dataset, inference_data, label_array
from vibayes.predictive.trace import Trace

if TYPE_CHECKING:
    import xarray


__all__ = ["draws_dataset", "in_place_or_new", "relabelled"]


def draws_dataset(
    model: Model,
    values: Mapping[str, np.ndarray],
    trace: Trace,
    event_ndims: Mapping[str, int] | None = None,
) -> xarray.Dataset:
    """Return values at each draw as a Dataset with the coordinates of the draws.

    Parameters
    ----------
    model
        Knows dims and coordinates of each name.
    values
        Arrays by name, the first axis being the draws.
    trace
        The draws.
    event_ndims
        Number of axes of an event, by name: the values lack these last axes of the variable.
    """
    shaped = {name: v.reshape(*trace.lead, *v.shape[1:]) for name, v in values.items()}
    result = dataset(model, shaped, trace.sample_dims)
    for name, ndim in (event_ndims or {}).items():
        if ndim:
            result = with_batch_dims(model, result, name, ndim)
    return result.drop_vars(trace.sample_dims).assign_coords(coords_of_draws(trace))


def relabelled(dataset: xarray.Dataset, options: Mapping[str, Any] | None) -> xarray.Dataset:
    """Return results with other names and labels of their dimensions.

    Parameters
    ----------
    dataset
        Results.
    options
        ``dims``: names of the last axes by variable name. ``coords``: labels by dimension.

    Raises
    ------
    TypeError
        If there is anything else in the options.
    """
    options = dict(options or {})
    dims, coords = options.pop("dims", None) or {}, options.pop("coords", None) or {}
    if options:
        raise TypeError(f"idata_kwargs takes 'dims' and 'coords', got {next(iter(options))!r}")
    for name, own in dims.items():
        if name in dataset:
            own = [own] if isinstance(own, str) else list(own)
            old = dataset[name].dims[dataset[name].ndim - len(own) :]
            renamed = dataset[name].rename(dict(zip(old, own, strict=True)))
            dataset = dataset.drop_vars([name, *(d for d in old if d in dataset.coords)])
            dataset = dataset.assign({name: renamed.drop_vars(own, errors="ignore")})
    return dataset.assign_coords({dim: v for dim, v in coords.items() if dim in dataset.dims})


def coords_of_draws(trace: Trace) -> Any:
    """Return the coordinates along the dimensions of draws, indexes of several levels too."""
    coords = trace.posterior.coords.to_dataset()
    others = [n for n, c in coords.coords.items() if not set(c.dims) <= set(trace.sample_dims)]
    return coords.drop_vars(others).coords


def with_batch_dims(
    model: Model, result: xarray.Dataset, name: str, event_ndim: int
) -> xarray.Dataset:
    """Return a Dataset in which values, one an event, have the dims of the events."""
    dims = model.named_vars_to_dims.get(name, ())
    dims = dims[: len(dims) - event_ndim]
    for axis, dim in enumerate(dims):
        if dim is not None:
            result = result.rename({f"{name}_dim_{axis}": dim})
            labels = model.coords.get(dim)
            if labels is not None and len(labels) == result.sizes[dim]:
                result = result.assign_coords({dim: label_array(labels)})
    return result


def holds_groups(trace: Any) -> bool:
    """Tell whether groups can be added to an object: whether it is more than a posterior."""
    from xarray import DataTree

    if isinstance(trace, DataTree):
        return "posterior" in trace.children
    return hasattr(trace, "add_groups")


def with_groups(trace: Any, groups: Mapping[str, xarray.Dataset]) -> Any:
    """Add groups to an ArviZ object, in place of those that have the same name.

    Parameters
    ----------
    trace
        ``arviz.InferenceData`` or ``xarray.DataTree``, which is changed.
    groups
        Datasets by name.
    """
    from xarray import DataTree

    for name, group in groups.items():
        if not len(group.data_vars):
            continue
        if isinstance(trace, DataTree):
            trace[name] = DataTree(dataset=group)
        else:
            if name in trace.groups():
                delattr(trace, name)
            trace.add_groups({name: group})
    return trace


def in_place_or_new(
    trace: Any,
    posterior: xarray.Dataset,
    groups: Mapping[str, xarray.Dataset],
    data: Mapping[str, xarray.Dataset],
    extend: bool,
) -> Any:
    """Return results: the object with the draws, extended, or a new one.

    Parameters
    ----------
    trace
        What was given.
    posterior
        The posterior in it.
    groups
        Groups to add, in place of those that have the same name.
    data
        Groups to add if there are none of their name yet.
    extend
        Whether to extend what was given. A Dataset cannot be extended: the new object then holds
        the posterior too.
    """
    if not extend:
        return inference_data({**groups, **data})
    if not holds_groups(trace):
        return inference_data({"posterior": posterior, **groups, **data})
    missing = {name: group for name, group in data.items() if not has_group(trace, name)}
    return with_groups(trace, {**groups, **missing})


def has_group(trace: Any, name: str) -> bool:
    from xarray import DataTree

    return name in (trace.children if isinstance(trace, DataTree) else trace.groups())
