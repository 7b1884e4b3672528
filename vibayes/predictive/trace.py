"""Posterior draws of any sampler, as a model needs them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import shown
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.posterior.arviz import axis_names, label_array
from vibayes.records.stacked import sample_dims_in

if TYPE_CHECKING:
    import xarray


__all__ = ["Trace", "known_data", "posterior_of"]


@dataclass(frozen=True)
class Trace:
    """Draws of a posterior.

    Attributes
    ----------
    posterior : xarray.Dataset
        The draws.
    sample_dims : tuple of str
        The dimensions along which draws lie.
    """

    posterior: xarray.Dataset
    sample_dims: tuple[str, ...]

    @property
    def lead(self) -> tuple[int, ...]:
        """Length of each dimension along which draws lie."""
        return tuple(self.posterior.sizes[dim] for dim in self.sample_dims)

    @property
    def draws(self) -> int:
        """Number of draws in all."""
        return int(np.prod(self.lead))

    def values(self, model: Model, variables: Sequence[TensorVariable]) -> list[np.ndarray]:
        """Return draws of free variables of a model, stacked along the first axis.

        Raises
        ------
        ModelError
            If draws of a variable are missing, or are not along the model's dimensions.
        """
        missing = [rv.name for rv in variables if rv.name not in self.posterior.data_vars]
        if missing:
            known = ", ".join(map(repr, self.posterior.data_vars)) or "none"
            raise ModelError(
                f"the posterior has no draws of {', '.join(map(repr, missing))}, which the model "
                f"needs (it has {known}). Draws of another model?"
            )
        return [self._stacked(model, rv) for rv in variables]

    def _stacked(self, model: Model, rv: TensorVariable) -> np.ndarray:
        array = self.posterior[rv.name]
        for dim in self.sample_dims:
            if dim not in array.dims:
                raise ShapeError(
                    f"the draws of {rv.name!r} have dims {array.dims}, without {dim!r}"
                )
        shape = static_shape(rv)
        dims = axis_names(model, rv.name, shape)
        array = array.transpose(*self.sample_dims, *own_order(array, self.sample_dims, dims))
        own = array.dims[len(self.sample_dims) :]
        if array.shape[len(self.sample_dims) :] != shape:
            raise ShapeError(
                f"the posterior has {rv.name!r} with shape {array.shape[len(self.sample_dims) :]} "
                f"and dims {own}, the model has it with shape {shape} and dims {tuple(dims)}. "
                f"Draws of another model? A variable that is named in sample_vars is drawn anew."
            )
        for axis, (dim, wanted) in enumerate(zip(own, dims, strict=True)):
            array = in_order_of_labels(array, dim, model.coords.get(wanted), rv.name, axis)
        values = array.values.reshape(-1, *shape)
        return checked_cast(values, rv)


def posterior_of(
    trace: Any, sample_dims: Sequence[str] | None = None, name: str = "trace"
) -> Trace:
    """Return the posterior that ArviZ objects of either generation, or a Dataset, hold.

    Messages call the argument by its ``name``.

    Raises
    ------
    TypeError
        If it is something else.
    ModelError
        If there is no posterior, or none of the dimensions of draws.
    """
    posterior = posterior_dataset(trace, name)
    if sample_dims is None:
        sample_dims = sample_dims_in(posterior)
    missing = [dim for dim in sample_dims if dim not in posterior.dims]
    if missing or not sample_dims:
        wanted = ", ".join(map(repr, missing or ("chain", "draw")))
        raise ModelError(
            f"{name}: the posterior has no dimension {wanted} along which draws lie (sample_dims); "
            f"it has {', '.join(map(repr, posterior.sizes)) or 'none'}"
        )
    return Trace(posterior, tuple(sample_dims))


def posterior_dataset(trace: Any, name: str) -> xarray.Dataset:
    """Return the posterior as a Dataset."""
    from xarray import Dataset, DataTree

    if isinstance(trace, Dataset):
        return trace
    if isinstance(trace, list | tuple) and trace:
        return of_points(trace, name)
    if isinstance(trace, DataTree):
        if "posterior" in trace.children:
            return trace.children["posterior"].to_dataset()
        if len(trace.data_vars):
            return trace.to_dataset()
    elif isinstance(getattr(trace, "posterior", None), Dataset):
        return trace.posterior
    elif not hasattr(trace, "groups"):
        raise TypeError(
            f"{name}: expected an approximation, or draws as arviz.InferenceData, xarray.DataTree, "
            f"a Dataset of a posterior or a list of points, got {type(trace).__name__}"
        )
    raise ModelError(f"the {type(trace).__name__} has no group 'posterior'")


def of_points(points: Sequence[Any], name: str) -> xarray.Dataset:
    """Return points, dicts of values by variable name, as the draws of one chain."""
    from xarray import Dataset

    for point in points:
        if not isinstance(point, Mapping) or point.keys() != points[0].keys():
            raise TypeError(
                f"{name}: a list of draws must hold dicts of values by variable name, all with the "
                f"same names, got {shown(point)}"
            )
    variables = {}
    for key in points[0]:
        try:
            stacked = np.stack([np.asarray(point[key]) for point in points])[None]
        except ValueError as error:
            raise ShapeError(f"{name}: the values of {key!r} differ in shape") from error
        dims = [f"{key}_dim_{axis}" for axis in range(stacked.ndim - 2)]
        variables[key] = (("chain", "draw", *dims), stacked)
    return Dataset(variables, coords={"chain": [0], "draw": np.arange(len(points))})


def known_data(trace: Any) -> xarray.Dataset | None:
    """Return the data that go with draws, None if nothing tells."""
    from xarray import DataTree

    if isinstance(trace, DataTree):
        found = trace.children.get("constant_data")
        return None if found is None else found.to_dataset()
    return getattr(trace, "constant_data", None) if hasattr(trace, "groups") else None


def static_shape(rv: TensorVariable) -> tuple[int, ...]:
    """Return the shape of a free variable."""
    shape = rv.type.shape
    return tuple(int(n) for n in evaluate(tuple(rv.shape))) if None in shape else shape


def own_order(
    array: xarray.DataArray, sample_dims: Sequence[str], dims: Sequence[str]
) -> list[Hashable]:
    """Return the variable's own dims, in the order of the model where they have its names."""
    own = [dim for dim in array.dims if dim not in sample_dims]
    return list(dims) if set(own) == set(dims) and len(own) == len(dims) else own


def in_order_of_labels(
    array: xarray.DataArray, dim: str, labels: Sequence[Any] | None, name: str, axis: int
) -> xarray.DataArray:
    """Return draws in the order of the model's coordinates.

    Draws without labels, or with plain numbers for them, are taken as they are.
    """
    if labels is None or dim not in array.coords:
        return array
    own, wanted = array.coords[dim].values, label_array(labels)
    if np.array_equal(own, wanted) or np.array_equal(own, np.arange(len(own))):
        return array
    if len(set(own.tolist())) == len(own) and set(own.tolist()) == set(wanted.tolist()):
        return array.sel({dim: wanted})
    differs = int(np.argmax(own != wanted)) if own.dtype.kind == wanted.dtype.kind else 0
    raise ModelError(
        f"the coordinates of {name!r} along {dim!r} (axis {axis}) are others in the posterior than "
        f"in the model: at {differs} there is {own[differs]!r} instead of {wanted[differs]!r}. A "
        f"variable that is named in sample_vars is drawn anew."
    )


def checked_cast(values: np.ndarray, rv: TensorVariable) -> np.ndarray:
    """Return draws in the dtype of their variable."""
    if values.dtype.kind not in "biuf":
        raise TypeError(f"the draws of {rv.name!r} are no numbers, their dtype is {values.dtype}")
    cast = np.ascontiguousarray(values, dtype=rv.dtype)
    if np.dtype(rv.dtype).kind in "iu" and (cast != values).any():
        raise ModelError(f"the draws of {rv.name!r} must be whole numbers, as the variable is")
    return cast
