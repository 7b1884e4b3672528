"""A density that is given by its values at some points."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import BoundedContinuous, draw_from, to_float
from vibayes.distributions.constraints import Constraints, constant_value, finite, nonnegative
from vibayes.distributions.dist_math import log_or_minus_inf, log_share
from vibayes.distributions.transforms import Interval, Transform
from vibayes.exceptions import ParameterError, ShapeError

__all__ = ["Interpolated"]


class Interpolated(BoundedContinuous):
    r"""Density that is linear between given points.

    .. math:: f(x) = \frac1Z \left(g_i + \frac{g_{i+1} - g_i}{x_{i+1} - x_i} (x - x_i)\right), \quad
        x_i \le x \le x_{i+1}, \qquad
        Z = \sum_i \tfrac12 (g_i + g_{i+1}) (x_{i+1} - x_i)

    It takes a posterior, by a kernel density estimate of its draws, as the prior of the next model.

    Parameters
    ----------
    x_points : array_like
        Two or more increasing numbers x, not symbolic. The support lies between the first and the
        last one.
    pdf_points : array_like
        The density g at these points, at least 0. It is rescaled to a total of 1.

    Raises
    ------
    ParameterError
        If the points do not increase, or the density is zero everywhere.
    ShapeError
        If they are not two vectors of the same length.
    TypeError
        If they are symbolic.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> x = np.linspace(0, 10, 101)
    >>> with vb.Model():
    ...     rate = vb.Interpolated("rate", x, x * np.exp(-x))
    """

    constraints: ClassVar[Constraints] = {"x_points": finite, "pdf_points": nonnegative}
    closed: ClassVar[tuple[bool, bool]] = (True, True)
    x: np.ndarray
    pdf: np.ndarray
    cdf: np.ndarray

    @behind_new
    def __init__(self, x_points: Any, pdf_points: Any) -> None:
        points = [
            checked_points(name, value)
            for name, value in (("x_points", x_points), ("pdf_points", pdf_points))
        ]
        self.x, pdf = points
        if len(self.x) != len(pdf) or len(self.x) < 2:
            raise ShapeError(
                f"x_points and pdf_points must have the same length of at least 2, got "
                f"{len(self.x)} and {len(pdf)}"
            )
        widths = np.diff(self.x)
        if not (widths > 0).all():
            at = int(np.argmin(widths > 0))
            raise ParameterError(
                f"x_points must increase, got {self.x[at]} before {self.x[at + 1]}"
            )
        areas = 0.5 * (pdf[1:] + pdf[:-1]) * widths
        if not 0 < areas.sum() < np.inf:
            raise ParameterError(f"pdf_points must have a finite area above 0, got {areas.sum()}")
        self.pdf = pdf / areas.sum()
        self.cdf = np.concatenate([[0.0], np.cumsum(areas) / areas.sum()])
        self.set_params()

    @property
    def bounds(self) -> tuple[Any, Any]:
        return float(self.x[0]), float(self.x[-1])

    @cached_property
    def default_transform(self) -> Transform:
        """The interval between the first and the last point."""
        return Interval(*self.bounds)

    def _piece(self, grid: np.ndarray, value: TensorVariable) -> tuple[TensorVariable, ...]:
        """Return start, density, slope and distribution function of the piece of each value."""
        inner = pt.constant(grid[1:-1].astype(value.dtype))
        index = pt.searchsorted(inner, value, side="right") if len(grid) > 2 else None
        slope = np.diff(self.pdf) / np.diff(self.x)
        columns = (self.x[:-1], self.pdf[:-1], slope, self.cdf[:-1])
        tables = [to_float(column) for column in columns]
        return tuple(table[0 if index is None else index] for table in tables)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, share = draw_from(pt.random.uniform, 0.0, 1.0, rng=rng, size=size)
        return rng, self.quantile(share)

    def quantile(self, share: TensorVariable) -> TensorVariable:
        """Return the value below which there is a given share of the probability."""
        start, density, slope, below = self._piece(self.cdf, share)
        rest = pt.maximum(share - below, 0.0)
        root = pt.sqrt(pt.maximum(density**2 + 2 * slope * rest, 0.0))
        total = density + root
        step = pt.switch(total > 0, 2 * rest / pt.switch(total > 0, total, 1.0), 0.0)
        lower, upper = self.bounds
        return pt.clip(start + step, lower, upper)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        start, density, slope, _ = self._piece(self.x, value)
        return log_or_minus_inf(density + slope * (value - start))

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return log_share(*self._tails(value))

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return log_share(*reversed(self._tails(value)))

    def _tails(self, value: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return the CDF and its complement."""
        start, density, slope, below = self._piece(self.x, value)
        step = value - start
        share = pt.clip(below + step * (density + 0.5 * slope * step), 0.0, 1.0)
        return share, 1 - share

    def support_point(self) -> TensorVariable:
        """Return the mean, or where the density is zero there, the point of the highest density."""
        weights = np.diff(self.cdf)
        a, b = self.pdf[:-1], self.pdf[1:]
        total = np.where(a + b > 0, a + b, 1.0)
        means = self.x[:-1] + np.diff(self.x) * (a + 2 * b) / (3 * total)
        mean = float(weights @ means)
        at = mean if np.interp(mean, self.x, self.pdf) > 0 else float(self.x[self.pdf.argmax()])
        return to_float(at)


def checked_points(name: str, value: Any) -> np.ndarray:
    """Return constant numbers as a vector of floating-point numbers."""
    constant = constant_value(value)
    if constant is None:
        raise TypeError(f"{name} must be an array of numbers, not symbolic, got {value!r}")
    if constant.ndim != 1:
        raise ShapeError(f"{name} must be a vector, got shape {constant.shape}")
    return constant.astype("float64")
