"""Results in the form that ArviZ works with.

Groups are built as xarray Datasets. What holds them depends on the ArviZ generation: up to 0.x an
``arviz.InferenceData``, from 1.0 on an ``xarray.DataTree``. Reading ``result.posterior["x"]`` is
the same in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pytensor.graph.replace import graph_replace

from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import random_generators
from vibayes.model.core import Model
from vibayes.model.inputs import inputs_in
from vibayes.model.observed import known_value
from vibayes.posterior.generation import arviz_generation
from vibayes.posterior.results import results_class
from vibayes.version import __version__

if TYPE_CHECKING:
    import xarray


__all__ = ["data_groups", "dataset", "inference_data"]


def inference_data(groups: Mapping[str, xarray.Dataset]) -> Any:
    """Return groups as what the installed ArviZ takes.

    Parameters
    ----------
    groups
        Datasets by group name, such as ``posterior``.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        It also gives the draws of a variable by its name: see
        :class:`~vibayes.posterior.results.DrawsByName`.
    """
    groups = {name: ds for name, ds in groups.items() if len(ds.data_vars)}
    made = results_class()
    return made(**groups) if arviz_generation() == 0 else made.from_dict(groups)


def dataset(
    model: Model,
    values: Mapping[str, np.ndarray],
    sample_dims: Sequence[str] = (),
    attrs: Mapping[str, Any] | None = None,
) -> xarray.Dataset:
    """Return named arrays as a Dataset with the model's dims and coords.

    Parameters
    ----------
    model
        Knows the dims of each name.
    values
        Arrays by name.
    sample_dims
        Names of the leading axes that all arrays have in common.
    attrs
        Attributes of the dataset.
    """
    from xarray import Dataset

    variables, coords = {}, {}
    n_lead = len(sample_dims)
    names = names_along(model, {name: v.shape[n_lead:] for name, v in values.items()})
    for name, value in values.items():
        lead, shape, dims = value.shape[:n_lead], value.shape[n_lead:], names[name]
        variables[name] = ((*sample_dims, *dims), value)
        for dim, length in zip((*sample_dims, *dims), (*lead, *shape), strict=True):
            labels = model.coords.get(dim)
            known = labels is not None and len(labels) == length
            coords[dim] = label_array(labels or ()) if known else np.arange(length)
    stamp = {
        "created_at": datetime.now(UTC).isoformat(),
        "inference_library": "vibayes",
        "inference_library_version": __version__,
    }
    return Dataset(variables, coords=coords, attrs=stamp | dict(attrs or {}))


def names_along(model: Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
    """Return the names of the axes of variables of one Dataset, in which a name has one length.

    Where lengths differ, as after ``set_data`` of the predictors alone, those along the present
    length of a dimension have its name, or if none has that, those of the first; the others get
    numbers.
    """
    names = {name: axis_names(model, name, shape) for name, shape in shapes.items()}
    found: dict[str, list[int]] = {}
    for name, dims in names.items():
        for dim, length in zip(dims, shapes[name], strict=True):
            found.setdefault(dim, []).append(length)
    lengths = {}
    for dim, own in found.items():
        present = model.dim_length(dim)
        lengths[dim] = present if present in own else own[0]
    return {
        name: [
            dim if lengths[dim] == length else f"{name}_dim_{axis}"
            for axis, (dim, length) in enumerate(zip(dims, shapes[name], strict=True))
        ]
        for name, dims in names.items()
    }


def label_array(labels: Sequence[Any]) -> np.ndarray:
    """Return the coordinates of a dimension as an array with one axis, tuples as they are."""
    if not any(isinstance(label, tuple) for label in labels):
        return np.asarray(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def axis_names(model: Model, name: str, shape: Sequence[int]) -> list[str]:
    """Return the name of each axis of a variable; those without one get a number."""
    dims = model.named_vars_to_dims.get(name, ())
    named = dict(enumerate(dims)) if len(dims) == len(shape) else {}
    return [named.get(i) or f"{name}_dim_{i}" for i in range(len(shape))]


def data_groups(model: Model) -> dict[str, xarray.Dataset]:
    """Return the model's data: the groups ``observed_data`` and ``constant_data``.

    Observed variables whose data are drawn at random (minibatches), or have no value, are left out.
    """
    observed = {}
    for rv in model.observed_RVs:
        data = model.rvs_to_values[rv]
        value = known_value(data)
        inputs = inputs_in([data])
        known = all(v in model.input_values for v in inputs)
        if value is None and known and not random_generators([data]):
            if inputs:
                (data,) = graph_replace([data], {v: model.input_values[v] for v in inputs})
            value = evaluate([data])[0]
        if value is not None:
            observed[rv.name] = np.array(value)
    constant = {v.name: np.array(v.get_value()) for v in model.data_vars}
    return {
        "observed_data": dataset(model, observed),
        "constant_data": dataset(model, constant),
    }
