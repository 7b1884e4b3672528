"""What goes wrong at a point of a model, variable by variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import distribution_of
from vibayes.model.density import logp_terms
from vibayes.model.variables import ModelVariables

__all__ = ["report"]

Problem = tuple[TensorVariable, str]


def report(
    model: ModelVariables, point: Mapping[str, np.ndarray], fn: str, verbose: bool
) -> list[str]:
    """Return lines that say which variables are at fault at a point; see :meth:`Model.debug`."""
    lines = [f"point={ {name: np.asarray(v).tolist() for name, v in point.items()} }"]
    given = {v: point[v.name] for v in model.value_vars}
    check = {"logp": density_problem, "dlogp": slope_problem, "random": draw_problem}[fn]
    problems = []
    for rv in model.basic_RVs:
        try:
            what = check(model, rv, given)
        except Exception as error:  # whatever an operation raises is what is looked for
            what = f"raises {type(error).__name__}: {error}"
        if what:
            problems.append((rv, what))
    if not problems:
        return [*lines, "No problems found"]
    for rv, what in problems:
        lines += ["", f"The variable {rv.name!r} {what}"]
        lines += [f"  {name}: {text}" for name, text in parameter_values(model, rv, given)]
        if verbose:
            lines.append(f"  {distribution_of(rv)!r}")
    return lines


def density_problem(
    model: ModelVariables, rv: TensorVariable, given: Mapping[TensorVariable, Any]
) -> str:
    """Return what is wrong with the log density of a variable, nothing if nothing is."""
    (value,) = evaluate(logp_terms(model, [rv], jacobian=True), given)
    bad = ~np.isfinite(value)
    if not bad.any():
        return ""
    return f"has log density {value[bad].flat[0]} ({bad.sum()} of {bad.size} elements):"


def slope_problem(
    model: ModelVariables, rv: TensorVariable, given: Mapping[TensorVariable, Any]
) -> str:
    """Return by which variables a log density has a gradient that is not finite."""
    (term,) = logp_terms(model, [rv], jacobian=True)
    wrt = [v for v in model.value_vars if v.dtype.startswith("float")]
    slopes = evaluate(pytensor.grad(term.sum(), wrt, disconnected_inputs="ignore"), given)
    bad = [v.name for v, slope in zip(wrt, slopes, strict=True) if not np.isfinite(slope).all()]
    return f"has a gradient that is not finite, by {', '.join(map(repr, bad))}:" if bad else ""


def draw_problem(
    model: ModelVariables, rv: TensorVariable, given: Mapping[TensorVariable, Any]
) -> str:
    """Return whether a variable can be drawn."""
    (value,) = evaluate([rv])
    return "" if np.isfinite(value).all() else "has a draw that is not finite:"


def parameter_values(
    model: ModelVariables, rv: TensorVariable, given: Mapping[TensorVariable, Any]
) -> list[tuple[str, str]]:
    """Return the parameters of a variable at a point, and its value, in a few characters each."""
    own = [rv, *distribution_of(rv).params.values()]
    names = ["value", *distribution_of(rv).params]
    found = []
    for name, graph in zip(names, model.replace_rvs_by_values(own), strict=True):
        try:
            (value,) = evaluate([graph], given)
        except Exception as error:  # the one that is at fault
            found.append((name, f"{type(error).__name__}: {error}"))
        else:
            found.append((name, few_numbers(value)))
    return found


def few_numbers(value: np.ndarray) -> str:
    """Return an array of few elements, of others their number and range."""
    value = np.asarray(value)
    if value.size <= 5:
        return str(value.tolist())
    return f"{value.size} values between {value.min():.4g} and {value.max():.4g}"
