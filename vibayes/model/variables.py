"""What a model consists of: its variables, by kind and by name."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import shown
from vibayes.backend.compiled import Compiled
from vibayes.context import Openable, active_model
from vibayes.distributions.transforms import Transform
from vibayes.elsewhere import OF_MODELS, OF_OLDER_MODELS, told
from vibayes.exceptions import ModelError, UnknownDataError

__all__ = ["ModelVariables", "check_name"]

T = TypeVar("T")

BAD_CHARACTERS = "/\\\0\n\r\t"
OF_DRAWS = frozenset({"chain", "draw"})
"""Names of the axes along which draws lie, in all results."""


class ModelVariables(Openable):
    """The variables of a model, and of the models that are nested in it.

    Parameters
    ----------
    name
        Prefix of the names of all variables.

    Attributes
    ----------
    parent : ModelVariables or None
        The model inside of which this one was made. What is defined here also belongs to it.
    functions : Compiled
        What :meth:`compiled` keeps.
    check_bounds : bool
        Whether the log density of data is minus infinity where they are outside of its support.
    """

    def __init__(self, name: str = "") -> None:
        self.parent: ModelVariables | None = active_model()
        if name:
            check_name(name, "model")
        outer = self.parent.name if self.parent else ""
        self.name: str = "::".join(part for part in (outer, name) if part)
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
        self.input_values: dict[Variable, Variable] = {}
        self.functions: Compiled = Compiled()
        self.check_bounds: bool = True if self.parent is None else self.parent.check_bounds

    # -- names --------------------------------------------------------------------------------

    def name_for(self, name: str) -> str:
        """Return the full name of a variable: with the model's own name before it."""
        return (
            f"{self.name}::{name}" if self.name and not name.startswith(f"{self.name}::") else name
        )

    def add_named_variable(
        self, variable: TensorVariable, name: str, dims: Sequence[str | None] | None
    ) -> None:
        """Give a variable its name and its place among the named variables."""
        check_name(name)
        self.check_new_name(name, dims)
        variable.name = name
        for model in self.lineage():
            model.named_vars[name] = variable
            if dims is not None and any(d is not None for d in dims):
                model.named_vars_to_dims[name] = tuple(dims)
            model.functions.clear()

    def check_new_name(self, name: str, dims: Sequence[str | None] | None = None) -> None:
        """Raise if results could not tell a new variable from others, or from an axis."""
        if name in OF_DRAWS:
            raise ModelError(
                f"The variable cannot be named {name!r}: that name belongs to the axes of "
                f"posterior draws"
            )
        used = set(dims or ())
        for model in self.lineage():
            if name in model.named_vars:
                raise ModelError(f"The model already has a variable named {name!r}")
            used.update(*model.named_vars_to_dims.values())
        clash = name if name in used else next((d for d in used if d in model.named_vars), None)
        if clash is not None:
            whose = "its dimension" if name in (dims or ()) else "a dimension of another variable"
            raise ModelError(
                f"The variable {clash!r} has the name of {whose}; results could not tell the two "
                f"apart"
            )

    def lineage(self) -> list[ModelVariables]:
        """Return the model and those that it is nested in, the outermost last."""
        return [self, *(self.parent.lineage() if self.parent else ())]

    @property
    def isroot(self) -> bool:
        """Whether the model is part of no other one."""
        return self.parent is None

    @property
    def root(self) -> ModelVariables:
        """The outermost of the models that this one is part of."""
        return self.lineage()[-1]

    def append(self, kind: str, variable: TensorVariable) -> None:
        """Append a variable to a list, such as ``"free_RVs"``, here and in all outer models."""
        for model in self.lineage():
            getattr(model, kind).append(variable)

    def record(self, kind: str, rv: TensorVariable, value: Any) -> None:
        """Record something of a random variable in a dict, here and in all outer models."""
        for model in self.lineage():
            getattr(model, kind)[rv] = value

    def __getitem__(self, name: str) -> TensorVariable:
        for key in (name, self.name_for(name)):
            if key in self.named_vars:
                return self.named_vars[key]
        raise KeyError(
            f"no variable {name!r}; the model has {', '.join(self.named_vars) or 'none'}"
        )

    def __getattr__(self, name: str) -> Any:
        for key in (name, self.name_for(name)) if "named_vars" in vars(self) else ():
            if key in self.named_vars:
                return self.named_vars[key]
        told(f"{type(self).__name__!r} object", name, OF_MODELS | OF_OLDER_MODELS)

    def __contains__(self, name: str) -> bool:
        return name in self.named_vars or self.name_for(name) in self.named_vars

    # -- variables by kind --------------------------------------------------------------------

    def data_var(self, name: str) -> SharedVariable:
        """Return the data variable of a name."""
        for var in self.data_vars:
            if var.name in (name, self.name_for(name)):
                return var
        known = ", ".join(repr(v.name) for v in self.data_vars) or "none"
        raise UnknownDataError(
            f"{name!r} is no data variable of the model (it has: {known}); "
            f"use vb.Data to make data exchangeable"
        )

    @property
    def value_vars(self) -> list[TensorVariable]:
        """Value variables of the free random variables, in the order of their making."""
        return [self.rvs_to_values[rv] for rv in self.free_RVs]

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

    # -- what is kept -------------------------------------------------------------------------

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

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def check_name(name: Any, kind: str = "variable") -> None:
    """Raise if something is no name that results could be told by."""
    if not isinstance(name, str):
        raise TypeError(f"The name of a {kind} must be a string, got {shown(name)}")
    bad = next((c for c in name if c in BAD_CHARACTERS), None)
    if not name or name != name.strip() or bad is not None:
        why = f"contains {bad!r}" if bad else "is empty or begins or ends with a space"
        raise ModelError(f"The name {name!r} of a {kind} {why}")
