"""Bijections between the support of a variable and the unconstrained space.

Each transform has ``forward`` (to the unconstrained space), ``backward`` (to the support) and
``log_jac_det``, the log of |det d backward / d value| at an unconstrained value, one number an
event. Formulas follow the Stan reference manual, chapter "Constraint transforms".
"""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

__all__ = ["Interval", "LogOddsTransform", "LogTransform", "Transform", "log", "logodds"]


class Transform:
    """Base of all transforms."""

    name: str = ""
    """Appears in the name of the unconstrained variable: ``sigma`` becomes ``sigma_log__``."""

    ndim_supp: int = 0
    """Number of axes that the transform mixes: 0 if it acts on each element by itself."""

    def forward(self, value: TensorVariable) -> TensorVariable:
        """Map a value of the support to the unconstrained space."""
        raise NotImplementedError

    def backward(self, value: TensorVariable) -> TensorVariable:
        """Map an unconstrained value to the support."""
        raise NotImplementedError

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        """Return the log absolute determinant of ``backward``'s Jacobian at ``value``."""
        raise NotImplementedError

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the unconstrained value of a variable of the given shape."""
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LogTransform(Transform):
    """Positive numbers: ``backward(v) = exp(v)``."""

    name = "log"

    def forward(self, value: TensorVariable) -> TensorVariable:
        return pt.log(value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.exp(value)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return value


class LogOddsTransform(Transform):
    """Numbers between 0 and 1: ``backward(v) = 1 / (1 + exp(-v))``."""

    name = "logodds"

    def forward(self, value: TensorVariable) -> TensorVariable:
        return pt.log(value) - pt.log1p(-value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.sigmoid(value)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return -pt.softplus(value) - pt.softplus(-value)


class Interval(Transform):
    """Numbers between two bounds, or on one side of a bound.

    Parameters
    ----------
    lower, upper : array_like or TensorVariable, optional
        The bounds; None for an open side. They may be expressions of other random variables.
    """

    name = "interval"

    def __init__(self, lower: Any = None, upper: Any = None) -> None:
        if lower is None and upper is None:
            raise ValueError("Interval: give at least one bound")
        self.lower = None if lower is None else pt.as_tensor_variable(lower)
        self.upper = None if upper is None else pt.as_tensor_variable(upper)

    def forward(self, value: TensorVariable) -> TensorVariable:
        if self.upper is None:
            return pt.log(value - self.lower)
        if self.lower is None:
            return pt.log(self.upper - value)
        return pt.log(value - self.lower) - pt.log(self.upper - value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        if self.upper is None:
            return self.lower + pt.exp(value)
        if self.lower is None:
            return self.upper - pt.exp(value)
        share = pt.sigmoid(value)
        return share * self.upper + (1 - share) * self.lower

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        if self.upper is None or self.lower is None:
            return value
        return pt.log(self.upper - self.lower) - pt.softplus(value) - pt.softplus(-value)


log = LogTransform()
logodds = LogOddsTransform()
