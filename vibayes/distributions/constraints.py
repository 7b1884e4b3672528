"""What a parameter may be, checked as soon as it is a known constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from pytensor.graph.basic import Constant

from vibayes.exceptions import ParameterError


@dataclass(frozen=True)
class Constraint:
    """A condition on the elements of a parameter, with the words to name it."""

    description: str
    holds: Callable[[np.ndarray], np.ndarray]

    def check(self, owner: str, name: str, value: Any) -> None:
        """Raise if ``value`` is a constant that breaks the constraint.

        Parameters
        ----------
        owner
            The distribution, as the message is to name it.
        name
            The parameter.
        value
            Anything that a distribution takes as a parameter. What is known only at run time
            (random variables, shared variables, expressions of them) passes.

        Raises
        ------
        ParameterError
            If an element breaks the constraint, or is NaN.
        """
        constant = constant_value(value)
        if constant is None:
            return
        bad = ~np.asarray(self.holds(constant), dtype=bool)
        if bad.any():
            shown = constant[bad].ravel()[0] if constant.ndim else constant[()]
            where = f" ({bad.sum()} of {bad.size} elements)" if bad.size > 1 else ""
            raise ParameterError(f"{owner}: {name} must be {self.description}, got {shown}{where}")


Constraints: TypeAlias = Mapping[str, Constraint]
"""Conditions by the name of the parameter."""


def constant_value(value: Any) -> np.ndarray | None:
    """Return the numeric value of a constant, or None for what is known only at run time."""
    if isinstance(value, Constant):
        value = value.data
    if hasattr(value, "owner"):
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "biuf" else None


finite = Constraint("finite", np.isfinite)
number = Constraint("a number", lambda x: ~np.isnan(x))
positive = Constraint("positive", lambda x: x > 0)
nonnegative = Constraint("zero or more", lambda x: x >= 0)
probability = Constraint("between 0 and 1", lambda x: (x >= 0) & (x <= 1))
open_unit = Constraint("strictly between 0 and 1", lambda x: (x > 0) & (x < 1))
count = Constraint("a whole number of at least 0", lambda x: (x >= 0) & (x == np.floor(x)))
whole = Constraint("a whole number", lambda x: x == np.floor(x))
positive_probability = Constraint("above 0 and at most 1", lambda x: (x > 0) & (x <= 1))
simplex = Constraint(
    "weights of zero or more that sum to 1 along the last axis",
    lambda w: (w >= 0) & (abs(w.sum(axis=-1 if w.ndim else None, keepdims=True) - 1) < 1e-5),
)
