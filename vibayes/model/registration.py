"""How variables become part of a model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.xtensors import dims_of, is_xtensor
from vibayes.distributions.base import UNSET, Distribution, check_transform, distribution_of
from vibayes.distributions.named_axes import in_tensor
from vibayes.distributions.partly_observed import joined, split
from vibayes.distributions.shapes import Shape, known_lengths, same_shape
from vibayes.distributions.transforms import Transform
from vibayes.exceptions import ImputationError, ImputationWarning, ShapeError
from vibayes.model.density import expand_total_size
from vibayes.model.dims import ModelDims
from vibayes.model.observed import (
    as_observed,
    check_observed_shape,
    known_shape,
    missing_values,
    stand_for_all,
    warn_of_minibatches,
    whole_shape,
)
from vibayes.model.values import value_variable
from vibayes.model.variables import check_name
from vibayes.model.whole_data import minibatches_in
from vibayes.numeric import as_tensor, numeric_value

__all__ = ["Registration"]


class Registration(ModelDims):
    """A model to which variables are added."""

    def register_data_var(self, variable: SharedVariable, dims: Sequence[str | None]) -> None:
        """Add a data variable, which already has its name."""
        self.add_named_variable(variable, variable.name, dims)
        self.append("data_vars", variable)

    def register_rv(
        self,
        dist: Distribution | TensorVariable,
        name: str,
        *,
        label: str | None = None,
        dims: str | Sequence[str | None] | None = None,
        observed: Any = None,
        total_size: Any = None,
        transform: Transform | None = UNSET,
        initval: Any = None,
        shape: Shape | None = None,
        size: Shape | None = None,
    ) -> TensorVariable:
        """Make the random variable of a distribution and add it to the model.

        The arguments are those of :class:`vibayes.Distribution`; ``label`` stands for the
        variable in messages. In place of a distribution it may be a variable of its ``dist``.
        """
        if not isinstance(dist, Distribution):
            dist = distribution_of(dist)
        label = label or f"{type(dist).__name__}({name!r})"
        name = self.name_for(name)
        check_name(name)
        self.check_new_name(name)
        check_transform(transform, "transform", label)
        holes = None if dist.discrete else missing_values(observed, label)
        if holes is not None:
            if initval is not None or total_size is not None:
                raise ValueError(
                    f"{label}: initval and total_size are not for data with missing values"
                )
            dims = self.known_dims(dims, label)
            return self._impute(dist, name, *holes, label, dims, transform, (shape, size))
        data = None if observed is None else as_observed(observed, label, dist.discrete)
        dims = self.known_dims(dims, label)
        if shape is None and size is None and dims is not None:
            shape = self._shape_of_dims(dims, data, label)
        rv = dist.make_rv(self._batch_shape(dist, shape, size, data, label), name)
        if dims is not None:
            dims = self.normalize_dims(dims, rv.type.ndim, label)
            if data is None:
                self.check_lengths(rv.type.shape, dims, label)
        if total_size is None and data is not None:
            total_size = rows_of_all(data)
        total = None if total_size is None else expand_total_size(total_size, rv.type.ndim, label)
        if data is None:
            self._add_free(dist, name, label, dims, transform, initval)
        else:
            self._check_observed(rv, data, dims, total, label)
            if total is None:
                warn_of_minibatches(data, label)
            if initval is not None:
                raise ValueError(f"{label}: an observed variable has no initval")
            self._add_observed(dist, name, data, dims)
        if total is not None:
            self.record("rvs_to_total_sizes", rv, total)
        for part, expression in dist.derived().items():
            self.register_expression(f"{name}_{part}", expression, "deterministics")
        return rv

    def _add_free(
        self,
        dist: Distribution,
        name: str,
        label: str,
        dims: Sequence[str | None] | None,
        transform: Transform | None,
        initval: Any,
    ) -> None:
        """Add the variable of a distribution to the free ones."""
        rv = dist.rv
        transform = dist.default_transform if transform is UNSET else transform
        value = self._value_variable(dist, rv, name, transform)
        check_initval(initval, label)
        self.add_named_variable(rv, name, dims)
        self.append("basic_RVs", rv)
        self.append("free_RVs", rv)
        self.record("rvs_to_values", rv, value)
        self.record("rvs_to_transforms", rv, transform)
        self.record("rvs_to_initial_values", rv, initval)

    def _add_observed(
        self,
        dist: Distribution,
        name: str,
        data: TensorVariable,
        dims: Sequence[str | None] | None,
    ) -> None:
        """Add the variable of a distribution to the observed ones."""
        self.add_named_variable(dist.rv, name, dims)
        self.append("basic_RVs", dist.rv)
        self.append("observed_RVs", dist.rv)
        self.record("rvs_to_values", dist.rv, data)
        self._add_lengths(dims or (), data)

    def _impute(
        self,
        dist: Distribution,
        name: str,
        values: np.ndarray,
        missing: np.ndarray,
        label: str,
        dims: Sequence[str | None] | None,
        transform: Transform | None,
        shape_and_size: tuple[Shape | None, Shape | None],
    ) -> TensorVariable:
        """Add a variable some of whose data are missing: what is observed, and what is not.

        Returns
        -------
        TensorVariable
            Both of them in one, a deterministic of the name that was asked for.
        """
        if dims is not None:
            dims = self.normalize_dims(dims, values.ndim, label)
            self.check_lengths(values.shape, dims, label)
        if not missing.ndim:
            raise ImputationError(
                f"{label}: observed must be a number, got none: left out, it makes a free variable"
            )
        filled = pt.constant(np.where(missing, 0, values))
        dist.make_rv(self._batch_shape(dist, *shape_and_size, filled, label))
        try:
            unknown, known = split(dist, missing)
        except NotImplementedError as error:
            raise ImputationError(f"{label}: {error}") from None
        for part in ("unobserved", "observed"):
            self.check_new_name(f"{name}_{part}")
        warnings.warn(
            f"{label}: {missing.sum()} of {missing.size} observed values are missing. They become "
            f"free variables, '{name}_unobserved'.",
            ImputationWarning,
            stacklevel=4,
        )
        self._add_free(unknown, f"{name}_unobserved", label, None, transform, None)
        data = pytensor.shared(values[~missing], name=f"{label} data", shape=((~missing).sum(),))
        self._add_observed(known, f"{name}_observed", data, None)
        whole = joined(values.shape, (known.where, known.rv), (unknown.where, unknown.rv))
        for dim, length in zip(dims or (), values.shape, strict=False):
            if dim is not None and dim not in self.dim_lengths:
                self.add_coord(dim, length=length)
        return self.register_expression(name, whole, "deterministics", dims, label)

    def _batch_shape(
        self,
        dist: Distribution,
        shape: Shape | None,
        size: Shape | None,
        data: TensorVariable | None,
        label: str,
    ) -> tuple[Any, ...] | None:
        """Return the batch shape of a variable: what is asked for, or that of its data."""
        batch = dist.batch_size(shape, size, label)
        if data is None:
            return batch
        check_observed_shape(dist, data, label)
        if batch is None:
            full = known_lengths(data, data.type.ndim)
            batch = full[: len(full) - dist.ndim_supp]
            dist.set_event_shape(full[len(batch) :], label)
        return batch

    def _add_lengths(self, dims: Sequence[str | None], data: TensorVariable) -> None:
        """Take the lengths of dimensions that have none yet from data."""
        for dim, length in zip(dims, whole_shape(data), strict=False):
            if dim is not None and dim not in self.dim_lengths:
                self.add_coord(dim, length=length)

    def register_expression(
        self,
        name: str,
        var: Any,
        kind: str,
        dims: str | Sequence[str | None] | None = None,
        label: str = "",
    ) -> TensorVariable:
        """Record an expression of the model's variables.

        Parameters
        ----------
        name
            Its name.
        var
            The expression.
        dims
            Names of its dimensions; by default those that an xtensor has.
        kind
            The list that is to have it: ``"deterministics"`` or ``"potentials"``.
        label
            What stands for it in messages.
        """
        if is_xtensor(var):
            dims = dims_of(var) if dims is None else self.normalize_dims(dims, None, label)
            check_same_dims(dims, dims_of(var), label)
        dims = self.known_dims(dims, label)
        variable = pt.tensor_copy(as_tensor(in_tensor(var, dims or ()), f"{label or name}: var"))
        if dims is not None:
            dims = self.normalize_dims(dims, variable.type.ndim, label)
            self.check_lengths(variable.type.shape, dims, label)
        self.add_named_variable(variable, self.name_for(name), dims)
        self.append(kind, variable)
        return variable

    def _shape_of_dims(
        self, dims: Sequence[str | None], observed: Any, label: str
    ) -> tuple[Any, ...] | None:
        """Return the lengths of dims, following ``set_data`` if observed or without coordinates.

        None stands for the shape of the data, where these are to tell a length: of a minibatch,
        whose dims have the lengths of the whole data.
        """
        if observed is not None and (
            any(dim not in self.dim_lengths for dim in dims) or minibatches_in([observed])
        ):
            return None
        known: list[str] = []
        for dim in dims:
            if dim is None:
                raise ShapeError(f"{label}: an axis without a name (None in dims) needs a shape=")
            if dim not in self.dim_lengths:
                raise ShapeError(
                    f"{label}: dimension {dim!r} has no length yet; register its data first"
                )
            known.append(dim)
        if observed is not None:
            return tuple(self.dim_lengths[dim] for dim in known)
        return tuple(
            self.dim_lengths[dim] if self.coords[dim] is None else self.dim_length(dim)
            for dim in known
        )

    def _check_observed(
        self,
        rv: TensorVariable,
        observed: TensorVariable,
        dims: Sequence[str | None] | None,
        total: Sequence[int | None] | None,
        label: str,
    ) -> None:
        """Raise if data have not the shape of their variable, or exceed their total size."""
        shape = whole_shape(observed) if stand_for_all([observed]) else known_shape(observed)
        static = rv.type.shape
        if not same_shape(static, shape):
            raise ShapeError(
                f"{label}: the observed data have shape {tuple(shape)}, the variable has {static}"
            )
        if dims is not None:
            self.check_lengths(whole_shape(observed), dims, label)
        for axis, (whole, part) in enumerate(zip(total or (), shape, strict=False)):
            if whole is not None and part is not None and whole < part:
                raise ValueError(
                    f"{label}: total_size {whole} is less than the {part} observations that axis "
                    f"{axis} of the data has"
                )

    def _value_variable(
        self,
        dist: Distribution,
        rv: TensorVariable,
        name: str,
        transform: Transform | None,
    ) -> TensorVariable:
        """Return the variable that stands for a free random variable's unconstrained value."""
        dtype = "int64" if dist.discrete else pytensor.config.floatX
        if transform is not None:
            name = f"{name}_{transform.name}__"
        return value_variable(rv, name, transform, dtype)


def rows_of_all(data: TensorVariable) -> int | None:
    """Return the number of rows of data that stay on disk; None of others."""
    on_disk = [m for m in minibatches_in([data]) if m.stands_for_all]
    return on_disk[0].whole_shape[0] if on_disk else None


def check_same_dims(dims: Sequence[str | None], own: Sequence[str], label: str) -> None:
    """Raise if the dims of an expression are others than the names of its axes."""
    if set(dims) != set(own) or len(dims) != len(own):
        raise ShapeError(f"{label}: dims {tuple(dims)} for an xtensor along {tuple(own)}")


def check_initval(initval: Any, label: str) -> None:
    """Raise if something is no value to start from."""
    if initval is None:
        return
    if isinstance(initval, str):
        if initval not in ("support_point", "moment", "prior"):
            raise ValueError(
                f"{label}: initval must be a value, 'support_point' or 'prior', got {initval!r}"
            )
        return
    numeric_value(initval, f"{label}: initval")
