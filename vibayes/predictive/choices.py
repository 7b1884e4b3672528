"""What predictive draws keep of a posterior, what they draw anew, and what they return."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.exceptions import ImplicitFreezeWarning, ModelError
from vibayes.model.core import Model
from vibayes.predictive.trace import Trace

__all__ = ["Choices", "chosen", "named_variables"]

Names = str | Collection[str] | None


@dataclass(frozen=True)
class Choices:
    """What becomes of the variables of a model.

    Attributes
    ----------
    wanted : list of TensorVariable
        What is returned.
    given : list of TensorVariable
        Of these, the posterior has the draws that count.
    """

    wanted: list[TensorVariable]
    given: list[TensorVariable]


def chosen(
    model: Model,
    posterior: Trace,
    data: Any,
    var_names: Names,
    sample_vars: Names,
    freeze_vars: Names,
) -> Choices:
    """Return what predictive draws keep, draw and return.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its free variables. Those of which there are none are drawn, of which a warning
        tells.
    data
        The Dataset of the data when the posterior was drawn, None if that is not known.
    var_names, sample_vars, freeze_vars
        Names of variables that are wanted, to be drawn anew, and to be as in the posterior.
    """
    known = [*model.unobserved_RVs, *model.observed_RVs]
    anew, frozen = (
        [] if names is None else named_variables(model, names, known, argument)
        for argument, names in {"sample_vars": sample_vars, "freeze_vars": freeze_vars}.items()
    )
    if both := [v.name for v in anew if v in frozen]:
        raise ValueError(f"sample_vars and freeze_vars both name {both[0]!r}; name it in one")
    if absent := [v.name for v in frozen if v.name not in posterior.posterior.data_vars]:
        raise ModelError(f"freeze_vars: the posterior has no draws of {absent[0]!r} to be kept")
    if var_names is not None:
        wanted = named_variables(model, var_names, known, "var_names")
    else:
        wanted = anew or predicted(model)
    available = posterior.posterior.data_vars
    kept = [rv for rv in model.free_RVs if rv.name in available and rv not in anew]
    kept += [v for v in frozen if v not in kept]
    needed = set(ancestors(wanted, blockers=kept))
    given = [v for v in kept if v in needed]
    drawn = [rv for rv in model.free_RVs if rv in needed and rv not in given]
    warn_of_missing([rv for rv in drawn if rv not in anew and rv not in wanted], available)
    changed = [*anew, *drawn, *changed_data(model, data)]
    warn_of_frozen([v for v in given if v in model.free_RVs and v not in frozen], kept, changed)
    return Choices(wanted, given)


def predicted(model: Model) -> list[TensorVariable]:
    """Return the observed variables, and the deterministics that depend on them."""
    if not model.observed_RVs:
        raise ModelError("the model has no observed variables")
    observed = set(model.observed_RVs)
    below = [d for d in model.deterministics if observed.intersection(ancestors([d]))]
    return [*below, *model.observed_RVs]


def named_variables(
    model: Model, names: str | Collection[str], known: Sequence[TensorVariable], argument: str
) -> list[TensorVariable]:
    """Return the variables of the given names, in the order of the model.

    Raises
    ------
    KeyError
        If there is no such variable.
    ValueError
        If there are no names.
    """
    names = [names] if isinstance(names, str) else list(names)
    by_name = {v.name: v for v in known}
    found: set[str] = set()
    for name in names:
        full = name if name in by_name else model.name_for(name)
        if full not in by_name:
            raise KeyError(f"{argument}: no variable {name!r}; there are {', '.join(by_name)}")
        found.add(full)
    if not found:
        raise ValueError(f"{argument} names no variable; give at least one, or None for all")
    return [v for name, v in by_name.items() if name in found]


def changed_data(model: Model, data: Any) -> list[SharedVariable]:
    """Return the data variables whose values are known to be others now."""
    if data is None:
        return []
    return [
        v
        for v in model.data_vars
        if v.name in data.data_vars
        and not np.array_equal(v.get_value(), data[v.name].values.astype(v.dtype), equal_nan=True)
    ]


def warn_of_missing(variables: Sequence[TensorVariable], available: Iterable[Any]) -> None:
    """Warn of variables that are drawn because the posterior has no draws of them."""
    if variables:
        names = ", ".join(repr(rv.name) for rv in variables)
        has = ", ".join(map(repr, available)) or "none"
        warnings.warn(
            f"the posterior has no draws of {names} (it has {has}): they are drawn given what "
            f"comes before them in the model. Name them in sample_vars if that is meant.",
            UserWarning,
            stacklevel=5,
        )


def warn_of_frozen(
    variables: Sequence[TensorVariable],
    kept: Sequence[TensorVariable],
    changed: Sequence[Variable],
) -> None:
    """Warn of variables whose draws are kept although something above them is another."""
    for rv in variables:
        above = set(ancestors([rv], blockers=[other for other in kept if other is not rv]))
        if names := [v.name for v in changed if v in above and v is not rv]:
            warnings.warn(
                f"the draws of {rv.name!r} are those of the posterior, although "
                f"{', '.join(map(repr, names))}, on which it depends, changed since. Name it in "
                f"sample_vars to draw it anew, or in freeze_vars to keep its draws without this "
                f"warning.",
                ImplicitFreezeWarning,
                stacklevel=5,
            )
