"""Mean functions of Gaussian processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.gp.cov import as_inputs, as_number

__all__ = ["Constant", "Linear", "Mean", "Zero"]


class Mean:
    """Base of all mean functions. They can be added and multiplied."""

    def __call__(self, X: Any) -> TensorVariable:
        """Return the mean at each input."""
        raise NotImplementedError

    def __add__(self, other: Mean) -> Mean:
        return Combined(lambda X: self(X) + other(X))

    def __mul__(self, other: Mean) -> Mean:
        return Combined(lambda X: self(X) * other(X))


class Combined(Mean):
    """A mean function that is made of others."""

    def __init__(self, function: Callable[[Any], TensorVariable]) -> None:
        self.function = function

    def __call__(self, X: Any) -> TensorVariable:
        return self.function(X)


class Zero(Mean):
    """Zero everywhere."""

    def __call__(self, X: Any) -> TensorVariable:
        return pt.zeros((as_inputs(X, "Zero").shape[0],), dtype=pytensor.config.floatX)


class Constant(Mean):
    """The same everywhere.

    Parameters
    ----------
    c
        The mean.
    """

    def __init__(self, c: Any = 0.0) -> None:
        self.c = as_number(c, "Constant: c")

    def __call__(self, X: Any) -> TensorVariable:
        return pt.full((as_inputs(X, "Constant").shape[0],), self.c)


class Linear(Mean):
    """A linear function of the inputs.

    Parameters
    ----------
    coeffs
        A slope for each column.
    intercept
        The mean at zero.
    """

    def __init__(self, coeffs: Any, intercept: Any = 0.0) -> None:
        self.coeffs = pt.atleast_1d(as_number(coeffs, "Linear: coeffs"))
        self.intercept = as_number(intercept, "Linear: intercept")

    def __call__(self, X: Any) -> TensorVariable:
        return pt.dot(as_inputs(X, "Linear"), self.coeffs) + self.intercept
