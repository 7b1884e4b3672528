"""The model: random variables with names, the data, and the joint log density."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.compiled import Compiled
from vibayes.backend.modes import evaluate, resolve_mode
from vibayes.context import Openable, active_model, modelcontext
from vibayes.distributions.base import (
    UNSET,
    Distribution,
    distribution_of,
    to_float,
)
from vibayes.distributions.shapes import Shape, fits, known_lengths, same_shape
from vibayes.distributions.transforms import Transform
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.data import as_labels
from vibayes.model.density import constrained_values, expand_total_size, logp_terms
from vibayes.model.display import model_html, model_text
from vibayes.model.initial import initial_point
from vibayes.model.minibatch import (
    Minibatch,
    batch_lengths,
    check_same_rows,
    minibatches_in,
    sampled_data,
    whole_lengths,
)
from vibayes.model.observed import as_observed, known_value
from vibayes.streaming.stream import StreamedMinibatch

__all__ = ["Deterministic", "Model", "Potential"]

T = TypeVar("T")

BAD_CHARACTERS = "/\\\0\n\r\t"


class Model(Openable):
    """A Bayesian model, written inside its ``with`` block.

    Parameters
    ----------
    name
        Prefix of the names of all variables, as ``name::variable``.
    coords
        Coordinates by dimension: the labels along an axis, or None for a dimension whose length
        data will tell. Variables refer to a dimension by its name in ``dims=``.

    Attributes
    ----------
    free_RVs : list of TensorVariable
        Random variables to infer.
    observed_RVs : list of TensorVariable
        Random variables with data.
    deterministics : list of TensorVariable
        Expressions that are recorded.
    potentials : list of TensorVariable
        Terms that are added to the log density.
    data_vars : list of SharedVariable
        What :func:`vibayes.Data` registered.
    rvs_to_values : dict
        Value variable (unconstrained) of each free variable, data of each observed one.
    rvs_to_transforms : dict
        Transform of each free variable, or None.
    named_vars : dict of str to TensorVariable
        Everything that has a name.
    coords : dict of str to tuple or None
        Coordinates by dimension.

    Notes
    -----
    Models can be nested: what is defined in the inner one also belongs to the outer one. The
    active model is found for each thread by itself.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model(coords={"side": ["left", "right"]}) as model:
    ...     mu = vb.Normal("mu", 0, 1, dims="side")
    ...     y = vb.Normal("y", mu, 1, observed=[0.3, -0.2], dims="side")
    >>> [rv.name for rv in model.free_RVs]
    ['mu']
    """

    def __init__(self, name: str = "", coords: Mapping[str, Sequence | None] | None = None) -> None:
        self.parent = active_model()
        if name:
            self._check_name(name, "model")
        outer = self.parent.name if self.parent else ""
        self.name = "::".join(part for part in (outer, name) if part)
        self.basic_RVs: list[TensorVariable] = []
        self.free_RVs: list[TensorVariable] = []
        self.observed_RVs: list[TensorVariable] = []
        self.deterministics: list[TensorVariable] = []
        self.potentials: list[TensorVariable] = []
        self.data_vars: list[SharedVariable] = []
        self.named_vars: dict[str, TensorVariable] = {}
        self.named_vars_to_dims: dict[str, tuple[str | None, ...]] = {}
        self.rvs_to_values: dict[TensorVariable, TensorVariable] = {}
        self.rvs_to_transforms: dict[TensorVariable, Transform | None] = {}
        self.rvs_to_total_sizes: dict[TensorVariable, tuple[int | None, ...]] = {}
        self.rvs_to_initial_values: dict[TensorVariable, Any] = {}
        self._coords: dict[str, tuple | None] = self.parent._coords if self.parent else {}
        self._dim_lengths: dict[str, SharedVariable] = (
            self.parent._dim_lengths if self.parent else {}
        )
        self.functions = Compiled()
        for dim, values in (coords or {}).items():
            self.add_coord(dim, values)

    # -- dimensions ---------------------------------------------------------------------------

    @property
    def coords(self) -> dict[str, tuple | None]:
        """Coordinates by dimension."""
        return dict(self._coords)

    def add_coord(
        self, name: str, values: Sequence | None = None, *, length: int | None = None
    ) -> None:
        """Register a dimension.

        Parameters
        ----------
        name
            Name of the dimension.
        values
            Labels along the axis.
        length
            Length of the axis, where there are no labels.
        """
        self._check_name(name, "dimension")
        if name in {"chain", "draw", "sample"}:
            raise ModelError(
                f"Dimension {name!r}: that name belongs to the axes of posterior draws"
            )
        if values is not None:
            values = as_labels(values, name)
            if length is not None and len(values) != length:
                raise ShapeError(
                    f"Dimension {name!r}: {len(values)} coordinates for length {length}"
                )
            length = len(values)
        known, known_length = self._coords.get(name), self.dim_length(name)
        if known is not None and values is not None and known != values:
            raise ModelError(f"Dimension {name!r} already has other coordinates")
        if None not in (length, known_length) and length != known_length:
            raise ShapeError(f"Dimension {name!r} has length {known_length}, it cannot be {length}")
        self.set_dim(name, length, known if values is None else values)

    def add_coords(self, coords: Mapping[str, Sequence | None]) -> None:
        """Register several dimensions with their coordinates."""
        for name, values in coords.items():
            self.add_coord(name, values)

    def set_dim(self, name: str, length: int | None, values: Sequence | None = None) -> None:
        """Set the length, and the coordinates if there are any, of a dimension."""
        if length is not None:
            if name in self._dim_lengths:
                self._dim_lengths[name].set_value(np.asarray(length, dtype="int64"))
            else:
                self._dim_lengths[name] = pytensor.shared(
                    np.asarray(length, dtype="int64"), name=name, shape=()
                )
        self._coords[name] = None if values is None else as_labels(values, name)

    @property
    def dim_lengths(self) -> dict[str, SharedVariable]:
        """Length of each dimension, as a shared variable that follows ``set_data``."""
        return dict(self._dim_lengths)

    def dim_length(self, dim: str) -> int | None:
        """Return the present length of a dimension, None if no data have told it yet."""
        length = self._dim_lengths.get(dim)
        return None if length is None else int(length.get_value())

    def free_along(self, dim: str) -> list[str]:
        """Return the names of the free variables that lie along a dimension."""
        whole = self._lineage()[-1]  # dimensions belong to all models that are nested
        return [r.name for r in whole.free_RVs if dim in whole.named_vars_to_dims.get(r.name, ())]

    def normalize_dims(
        self, dims: str | Sequence[str | None] | None, ndim: int | None, label: str
    ) -> tuple[str | None, ...]:
        """Return dims as a tuple, one entry an axis."""
        if dims is None:
            return (None,) * (ndim or 0)
        dims = (dims,) if isinstance(dims, str) or not np.iterable(dims) else tuple(dims)
        for dim in dims:
            if dim is not None and not isinstance(dim, str):
                raise TypeError(f"{label}: dims must be names, got {dim!r}")
        if ndim is not None and len(dims) != ndim:
            raise ShapeError(f"{label}: dims {dims} for {ndim} axes")
        return dims

    def check_lengths(
        self, shape: Sequence[int | None], dims: Sequence[str | None], label: str
    ) -> None:
        """Raise if a length differs from that of the dimension along which it lies."""
        for length, dim in zip(shape, dims, strict=True):
            expected = None if dim is None else self.dim_length(dim)
            if None not in (length, expected) and length != expected:
                raise ShapeError(
                    f"{label}: length {length} along dimension {dim!r}, which has length {expected}"
                )

    def _known_dims(self, dims: Any, label: str) -> tuple[str | None, ...] | None:
        if dims is None:
            return None
        dims = self.normalize_dims(dims, None, label)
        for dim in dims:
            if dim is not None and dim not in self._coords:
                known = ", ".join(map(repr, self._coords)) or "none"
                raise ModelError(
                    f"{label}: unknown dimension {dim!r} (the model knows: {known}). Add it to "
                    f"Model(coords=...)."
                )
        return dims

    # -- registration -------------------------------------------------------------------------

    def name_for(self, name: str) -> str:
        """Return the full name of a variable: with the model's own name before it."""
        return (
            f"{self.name}::{name}" if self.name and not name.startswith(f"{self.name}::") else name
        )

    @staticmethod
    def _check_name(name: Any, kind: str = "variable") -> None:
        if not isinstance(name, str):
            raise TypeError(f"The name of a {kind} must be a string, got {name!r}")
        bad = next((c for c in name if c in BAD_CHARACTERS), None)
        if not name or name != name.strip() or bad is not None:
            why = f"contains {bad!r}" if bad else "is empty or begins or ends with a space"
            raise ModelError(f"The name {name!r} of a {kind} {why}")

    def add_named_variable(
        self, variable: TensorVariable, name: str, dims: Sequence[str | None] | None
    ) -> None:
        """Give a variable its name and its place among the named variables."""
        self._check_name(name)
        for model in self._lineage():
            if name in model.named_vars:
                raise ModelError(f"The model already has a variable named {name!r}")
        if dims is not None and name in dims:
            raise ModelError(
                f"The variable {name!r} has the name of its dimension; results could not tell the "
                f"two apart"
            )
        variable.name = name
        for model in self._lineage():
            model.named_vars[name] = variable
            if dims is not None and any(d is not None for d in dims):
                model.named_vars_to_dims[name] = tuple(dims)
            model.functions.clear()

    def _lineage(self) -> list[Model]:
        return [self, *(self.parent._lineage() if self.parent else ())]

    def _append(self, attribute: str, variable: TensorVariable) -> None:
        for model in self._lineage():
            getattr(model, attribute).append(variable)

    def _record(self, attribute: str, rv: TensorVariable, value: Any) -> None:
        for model in self._lineage():
            getattr(model, attribute)[rv] = value

    def register_data_var(self, variable: SharedVariable, dims: Sequence[str | None]) -> None:
        """Add a data variable, which already has its name."""
        self.add_named_variable(variable, variable.name, dims)
        self._append("data_vars", variable)

    def register_rv(
        self,
        dist: Distribution,
        name: str,
        *,
        label: str,
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
        variable in messages.
        """
        name = self.name_for(name)
        self._check_name(name)
        if name in self.named_vars:
            raise ModelError(f"The model already has a variable named {name!r}")
        if observed is not None:
            observed = as_observed(observed, label, dist.discrete)
        dims = self._known_dims(dims, label)
        if shape is None and size is None and dims is not None:
            shape = self._shape_of_dims(dims, observed, label)
        batch = dist.batch_size(shape, size, label)
        if observed is not None:
            check_observed_shape(dist, observed, label)
            if batch is None:
                full = known_lengths(observed, observed.type.ndim)
                batch = full[: len(full) - dist.ndim_supp]
                dist.set_event_shape(full[len(batch) :], label)
        rv = dist.make_rv(batch, name)
        if dims is not None:
            dims = self.normalize_dims(dims, rv.type.ndim, label)
            if observed is None:
                self.check_lengths(rv.type.shape, dims, label)
        total = None if total_size is None else expand_total_size(total_size, rv.type.ndim, label)
        if observed is not None:
            self._check_observed(rv, observed, dims, total, label)
            if total is None:
                warn_of_minibatches(observed, label)
            value = observed
        else:
            transform = dist.default_transform if transform is UNSET else transform
            value = self._value_variable(dist, rv, name, transform, label)
        if observed is not None and initval is not None:
            raise ValueError(f"{label}: an observed variable has no initval")
        check_initval(initval, label)
        self.add_named_variable(rv, name, dims)
        self._append("basic_RVs", rv)
        self._record("rvs_to_values", rv, value)
        if total is not None:
            self._record("rvs_to_total_sizes", rv, total)
        if observed is not None:
            self._append("observed_RVs", rv)
            for dim, length in zip(dims or (), whole_shape(observed), strict=False):
                if dim is not None and dim not in self._dim_lengths:
                    self.add_coord(dim, length=length)
        else:
            self._append("free_RVs", rv)
            self._record("rvs_to_transforms", rv, transform)
            self._record("rvs_to_initial_values", rv, initval)
        for part, expression in dist.derived().items():
            self.register_expression(f"{name}_{part}", expression, "deterministics")
        return rv

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
        name, var, dims
            As for :func:`vibayes.Deterministic`.
        kind
            The list that is to have it: ``"deterministics"`` or ``"potentials"``.
        label
            What stands for it in messages.
        """
        dims = self._known_dims(dims, label)
        variable = pt.tensor_copy(pt.as_tensor_variable(var))
        if dims is not None:
            dims = self.normalize_dims(dims, variable.type.ndim, label)
            self.check_lengths(variable.type.shape, dims, label)
        self.add_named_variable(variable, self.name_for(name), dims)
        self._append(kind, variable)
        return variable

    def _shape_of_dims(
        self, dims: Sequence[str | None], observed: Any, label: str
    ) -> tuple[Any, ...] | None:
        """Return the lengths of dims: plain numbers, or following ``set_data`` if observed.

        None stands for the shape of the data, where these are to tell a length: of a minibatch,
        whose dims have the lengths of the whole data.
        """
        if observed is not None and (
            any(dim not in self._dim_lengths for dim in dims) or minibatches_in([observed])
        ):
            return None
        for dim in dims:
            if dim is None:
                raise ShapeError(f"{label}: an axis without a name (None in dims) needs a shape=")
            if dim not in self._dim_lengths:
                raise ShapeError(
                    f"{label}: dimension {dim!r} has no length yet; register its data first"
                )
        if observed is not None:
            return tuple(self._dim_lengths[dim] for dim in dims)
        return tuple(self.dim_length(dim) for dim in dims)

    def _check_observed(
        self,
        rv: TensorVariable,
        observed: TensorVariable,
        dims: Sequence[str | None] | None,
        total: Sequence[int | None] | None,
        label: str,
    ) -> None:
        """Raise if data have not the shape of their variable, or exceed their total size."""
        shape = known_shape(observed)
        static = rv.type.shape
        if not same_shape(static, shape):
            raise ShapeError(
                f"{label}: the observed data have shape {tuple(shape)}, the variable has {static}"
            )
        if dims is not None:
            self.check_lengths(whole_shape(observed), dims, label)
        for axis, (whole, part) in enumerate(zip(total or (), shape, strict=False)):
            if None not in (whole, part) and whole < part:
                raise ValueError(
                    f"{label}: total_size {whole} is less than the {part} observations that axis "
                    f"{axis} of the data has"
                )

    def check_shapes(self) -> None:
        """Raise if data that were exchanged do not fit each other any more.

        Raises
        ------
        ShapeError
            If the data of an observed variable do not fit its parameters or its dimensions, or
            the data of minibatches that show the same rows have different lengths.
        """
        for rv in self.observed_RVs:
            dist, observed = distribution_of(rv), self.rvs_to_values[rv]
            label = f"{type(dist).__name__}({rv.name!r})"
            check_observed_shape(dist, observed, label)
            if dims := self.named_vars_to_dims.get(rv.name):
                self.check_lengths(whole_shape(observed), dims, label)
        check_same_rows(self.minibatches)

    def _value_variable(
        self,
        dist: Distribution,
        rv: TensorVariable,
        name: str,
        transform: Transform | None,
        label: str,
    ) -> TensorVariable:
        """Return the variable that stands for a free random variable's unconstrained value."""
        if transform is not None and not isinstance(transform, Transform):
            raise TypeError(f"{label}: transform must be a Transform or None, got {transform!r}")
        shape = rv.type.shape
        if None in shape:
            shape = tuple(int(n) for n in evaluate(tuple(rv.shape)))
        dtype = "int64" if dist.discrete else pytensor.config.floatX
        if transform is not None:
            shape = tuple(int(n) for n in transform.forward_shape(shape))
            name = f"{name}_{transform.name}__"
        return pt.TensorType(dtype, shape)(name)  # pt.tensor takes some names for a dtype

    # -- access -------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> TensorVariable:
        for key in (name, self.name_for(name)):
            if key in self.named_vars:
                return self.named_vars[key]
        raise KeyError(
            f"no variable {name!r}; the model has {', '.join(self.named_vars) or 'none'}"
        )

    def __contains__(self, name: str) -> bool:
        return name in self.named_vars or self.name_for(name) in self.named_vars

    def data_var(self, name: str) -> SharedVariable:
        """Return the data variable of a name."""
        for var in self.data_vars:
            if var.name in (name, self.name_for(name)):
                return var
        known = ", ".join(repr(v.name) for v in self.data_vars) or "none"
        raise KeyError(
            f"{name!r} is no data variable of the model (it has: {known}); "
            f"use vb.Data to make data exchangeable"
        )

    @property
    def value_vars(self) -> list[TensorVariable]:
        """Value variables of the free random variables, in the order of their making."""
        return [self.rvs_to_values[rv] for rv in self.free_RVs]

    @property
    def minibatches(self) -> list[Minibatch]:
        """Minibatches on which the log density or a deterministic depends."""

        def found() -> list[Minibatch]:
            return minibatches_in([*self.basic_RVs, *self.deterministics, *self.logp(sum=False)])

        return self.compiled("minibatches", found)

    @property
    def has_streams(self) -> bool:
        """Whether some minibatches show data that are not in memory."""
        return any(isinstance(m, StreamedMinibatch) for m in self.minibatches)

    def whole_data_replacements(self) -> dict[TensorVariable, SharedVariable]:
        """Return replacements that put the whole data in the place of each minibatch.

        They are for ``more_replacements`` of ``sample_node`` and of a fit, and for
        ``pytensor.graph.graph_replace``. In a log density they also undo the scaling by
        ``total_size``.

        Examples
        --------
        >>> import numpy as np
        >>> import vibayes as vb
        >>> from pytensor.graph import graph_replace
        >>> with vb.Model() as model:
        ...     mu = vb.Normal("mu")
        ...     x = vb.Minibatch(np.zeros(1000), batch_size=10)
        ...     likelihood = vb.Normal("likelihood", mu, 1, observed=x, total_size=1000)
        >>> logp = graph_replace(model.logp(), model.whole_data_replacements())
        """
        return {m.minibatch: m.shared for m in self.minibatches}

    def sampled_data_replacements(
        self, rows: int, random_seed: Any = None
    ) -> dict[TensorVariable, SharedVariable]:
        """Return replacements that put a random sample of the data in the place of minibatches.

        They are as those of :meth:`whole_data_replacements`, for data that are many, or not in
        memory. In a log density, the scaling by ``total_size`` then is that of the sample.

        Parameters
        ----------
        rows
            Number of rows of the data of each minibatch; all, if there are fewer.
        random_seed
            Seed of their choice.

        Raises
        ------
        ValueError
            If ``rows`` is less than one.
        StreamError
            If data cannot be read.
        """
        return sampled_data(self.minibatches, rows, random_seed)

    @property
    def values_to_rvs(self) -> dict[TensorVariable, TensorVariable]:
        """Random variable of each value variable."""
        return {value: rv for rv, value in self.rvs_to_values.items()}

    @property
    def unobserved_RVs(self) -> list[TensorVariable]:
        """Free random variables and deterministics."""
        return self.free_RVs + self.deterministics

    @property
    def continuous_value_vars(self) -> list[TensorVariable]:
        """Value variables of the continuous free variables."""
        return [v for v in self.value_vars if v.dtype.startswith("float")]

    @property
    def discrete_value_vars(self) -> list[TensorVariable]:
        """Value variables of the discrete free variables."""
        return [v for v in self.value_vars if not v.dtype.startswith("float")]

    # -- density ------------------------------------------------------------------------------

    def logp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        sum: bool = True,
    ) -> TensorVariable | list[TensorVariable]:
        """Return the log density as a graph of the value variables.

        Parameters
        ----------
        vars
            Random variables and potentials to take; all by default.
        jacobian
            Whether to add the log Jacobians of the transforms.
        sum
            Whether to sum everything into one scalar. Otherwise a list with one, not summed, log
            density a variable is returned.

        Raises
        ------
        ValueError
            If ``vars`` holds a variable that has no log density in this model.
        """
        everything = self.basic_RVs + self.potentials
        if vars is None:
            chosen = everything
        else:
            chosen = list(vars) if isinstance(vars, Sequence) else [vars]
            if unknown := [v for v in chosen if v not in everything]:
                raise ValueError(
                    f"{unknown[0]} is neither a random variable nor a potential of the model"
                )
        terms = logp_terms(self, chosen, jacobian)
        if not sum:
            return terms
        total = pt.constant(0.0, dtype=pytensor.config.floatX)
        for i, term in enumerate(terms):
            total = term.sum() if i == 0 else total + term.sum()
        total = to_float(total)
        total.name = "logp"
        return total

    @property
    def varlogp(self) -> TensorVariable:
        """Log density of the free variables, log Jacobians included: the prior."""
        return self.logp(self.free_RVs)

    @property
    def varlogp_nojac(self) -> TensorVariable:
        """Log density of the free variables on their own scale."""
        return self.logp(self.free_RVs, jacobian=False)

    @property
    def datalogp(self) -> TensorVariable:
        """Log density of the observed variables, and the potentials: the likelihood."""
        return self.logp(self.observed_RVs + self.potentials)

    @property
    def observedlogp(self) -> TensorVariable:
        """Log density of the observed variables."""
        return self.logp(self.observed_RVs)

    @property
    def potentiallogp(self) -> TensorVariable:
        """Sum of the potentials."""
        return self.logp(self.potentials)

    def dlogp(
        self, vars: Variable | Sequence[Variable] | None = None, jacobian: bool = True
    ) -> TensorVariable:
        """Return the gradient of the log density, one flat vector.

        Parameters
        ----------
        vars
            Free random variables (or their value variables) to differentiate by; all by default.
        jacobian
            Whether the log density has the log Jacobians of the transforms.
        """
        chosen = self.free_RVs if vars is None else vars
        chosen = list(chosen) if isinstance(chosen, Sequence) else [chosen]
        wrt = [self.rvs_to_values.get(v, v) for v in chosen]
        grads = pytensor.grad(self.logp(jacobian=jacobian), wrt, disconnected_inputs="ignore")
        return pt.concatenate([g.ravel() for g in grads])

    def compile_fn(
        self,
        outs: Variable | Sequence[Variable],
        *,
        inputs: Sequence[Variable] | None = None,
        mode: Any = None,
        backend: str | None = None,
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Compile expressions of the value variables.

        Parameters
        ----------
        outs
            One expression or several.
        inputs
            The inputs; by default all value variables.
        mode, backend
            How to compile; by numba unless said otherwise.

        Returns
        -------
        callable
            A function of a point: a dict of values by the names of the inputs.
        """
        inputs = self.value_vars if inputs is None else list(inputs)
        function = pytensor.function(
            inputs,
            outs,
            mode=resolve_mode(backend, mode),
            on_unused_input="ignore",
            allow_input_downcast=True,
        )
        names = [i.name for i in inputs]

        def of_point(point: Mapping[str, Any]) -> Any:
            return function(*(point[name] for name in names))

        return of_point

    def compile_logp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        sum: bool = True,
        **compile_kwargs: Any,
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Compile :meth:`logp` into a function of a point."""
        return self.compile_fn(self.logp(vars, jacobian, sum), **compile_kwargs)

    def compile_dlogp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        **compile_kwargs: Any,
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Compile :meth:`dlogp` into a function of a point."""
        return self.compile_fn(self.dlogp(vars, jacobian), **compile_kwargs)

    def point_logps(
        self, point: Mapping[str, Any] | None = None, round_vals: int | None = 2
    ) -> dict[str, float]:
        """Return the log density of each variable at a point.

        Parameters
        ----------
        point
            Values by the names of the value variables; the initial point by default.
        round_vals
            Decimals to round to; None for no rounding.
        """
        point = self.initial_point() if point is None else point
        variables = self.basic_RVs + self.potentials
        terms = [t.sum() for t in self.logp(variables, sum=False)]
        values = evaluate(terms, {v: point[v.name] for v in self.value_vars})
        return {
            var.name: float(v) if round_vals is None else round(float(v), round_vals)
            for var, v in zip(variables, values, strict=True)
        }

    def replace_rvs_by_values(self, graphs: Sequence[Variable]) -> list[Variable]:
        """Return copies of graphs in which value variables stand for the random variables."""
        values = constrained_values(self)
        return graph_replace(list(graphs), values, strict=False) if values else list(graphs)

    def initial_point(
        self, random_seed: Any = None, start: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the unconstrained values from which a fit starts, by name.

        Parameters
        ----------
        random_seed
            Seed for the variables whose ``initval`` is ``"prior"``.
        start
            Values that take precedence, by the names of random variables (on their own scale) or
            of value variables (unconstrained).
        """
        return initial_point(self, random_seed, start)

    def compiled(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return a function that is compiled once and kept until a variable is added.

        Parameters
        ----------
        key
            All on which the function depends, but for the model and ``floatX``.
        make : callable
            Compiles it, without arguments.
        """
        return self.functions.get(key, make)

    # -- display ------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return model_text(self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def known_shape(variable: TensorVariable) -> tuple[int | None, ...]:
    """Return the shape of data, None for lengths that are known only at run time."""
    value = known_value(variable)
    if value is not None:
        return value.shape
    if minibatches_in([variable]):
        return batch_lengths(lengths_of(variable))
    return variable.type.shape


def whole_shape(variable: TensorVariable) -> tuple[int | None, ...]:
    """Return the shape of data, with the whole data in the place of minibatches."""
    if minibatches_in([variable]):
        return whole_lengths(lengths_of(variable))
    return known_shape(variable)


def lengths_of(variable: TensorVariable) -> list[TensorVariable]:
    return [variable.shape[axis] for axis in range(variable.type.ndim)]


def warn_of_minibatches(observed: TensorVariable, label: str) -> None:
    """Warn that observed minibatches would count as if they were all data."""
    sampled = [m for m in minibatches_in([observed]) if m.is_sampled]
    if sampled:
        warnings.warn(
            f"{label}: the observed data are a minibatch, but total_size is not set: the "
            f"likelihood would count the {known_shape(observed)[0]} observations of a batch as if "
            f"they were all. Say of how many they are a part, such as "
            f"total_size={whole_shape(observed)}.",
            UserWarning,
            stacklevel=4,
        )


def check_observed_shape(dist: Distribution, observed: TensorVariable, label: str) -> None:
    """Raise if data cannot be draws of the distribution, as far as shapes tell."""
    shape = known_shape(observed)
    if len(shape) < dist.ndim_supp:
        raise ShapeError(
            f"{label}: one event has {dist.ndim_supp} axes, the observed data have {len(shape)}"
        )
    batch = dist.static_batch_shape
    if None in batch:
        batch = batch_lengths([pt.as_tensor_variable(n) for n in dist.batch_shape])
    if not fits(batch, shape[: len(shape) - dist.ndim_supp]):
        raise ShapeError(
            f"{label}: the observed data have shape {tuple(shape)}, but the parameters have batch "
            f"shape {batch}, to which the data do not broadcast"
        )


def check_initval(initval: Any, label: str) -> None:
    if isinstance(initval, str) and initval not in ("support_point", "prior"):
        raise ValueError(
            f"{label}: initval must be a value, 'support_point' or 'prior', got {initval!r}"
        )


def Deterministic(
    name: str,
    var: Any,
    model: Model | None = None,
    dims: str | Sequence[str | None] | None = None,
) -> TensorVariable:
    """Record an expression under a name, so that posterior draws hold it.

    Parameters
    ----------
    name
        Name of the variable.
    var
        Expression of the model's variables.
    model
        The model; by default the one of the ``with`` block.
    dims
        Names of the expression's axes.

    Returns
    -------
    TensorVariable
        The named expression, to be used in further ones.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     square = vb.Deterministic("square", x**2)
    ...     posterior = vb.MeanField().sample(10).posterior
    >>> list(posterior.data_vars)
    ['x', 'square']
    """
    model = modelcontext(model)
    return model.register_expression(name, var, "deterministics", dims, f"Deterministic({name!r})")


def Potential(
    name: str,
    var: Any,
    model: Model | None = None,
    dims: str | Sequence[str | None] | None = None,
) -> TensorVariable:
    """Add a term to the log density.

    Parameters
    ----------
    name
        Name of the term.
    var
        Expression of the model's variables; it is summed.
    model
        The model; by default the one of the ``with`` block.
    dims
        Names of the expression's axes.

    Examples
    --------
    A soft constraint, that two effects sum to about zero:

    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     effect = vb.Normal("effect", shape=2)
    ...     penalty = vb.Potential("sum", -0.5 * (effect.sum() / 0.01) ** 2)
    >>> model.potentials
    [sum]
    """
    model = modelcontext(model)
    return model.register_expression(name, var, "potentials", dims, f"Potential({name!r})")
