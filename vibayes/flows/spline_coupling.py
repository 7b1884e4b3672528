"""Rational-quadratic spline coupling.

Durkan, Bekasov, Murray and Papamakarios (2019), Neural Spline Flows,
https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import set_whole, soft_clip
from vibayes.flows.coupling import CouplingFlow

__all__ = ["SplineCouplingFlow"]

SMALLEST_BIN = 1e-3  # as a part of the whole interval
LARGEST_LOG = 5.0  # of slopes, and of bins relative to each other


class Bin(NamedTuple):
    """The piece of the spline that each element falls into; each entry has shape (m, 1)."""

    x: TensorVariable
    width: TensorVariable
    y: TensorVariable
    height: TensorVariable
    left: TensorVariable
    right: TensorVariable


@dataclass(frozen=True, eq=False)
class SplineCouplingFlow(CouplingFlow):
    r"""Transform each half of the dimensions by splines that the other half chooses.

    Between the knots :math:`(x_k, y_k)` and :math:`(x_{k+1}, y_{k+1})`, where the slopes are
    :math:`\delta_k` and :math:`\delta_{k+1}`, with :math:`\xi = (z - x_k) / (x_{k+1} - x_k)` and
    :math:`s = (y_{k+1} - y_k) / (x_{k+1} - x_k)`,

    .. math:: z' = y_k + (y_{k+1} - y_k) \frac{s \xi^2 + \delta_k \xi (1 - \xi)}
        {s + (\delta_{k+1} + \delta_k - 2 s) \xi (1 - \xi)}

    .. math:: \log \frac{\partial z'}{\partial z} = \log \frac{s^2 (\delta_{k+1} \xi^2
        + 2 s \xi (1 - \xi) + \delta_k (1 - \xi)^2)}
        {(s + (\delta_{k+1} + \delta_k - 2 s) \xi (1 - \xi))^2}

    Outside of [-bound, bound] it is the identity. Widths, heights and slopes are made of the
    networks' outputs by :math:`\exp(5 \tanh(\cdot / 5))`, which is bounded on both sides, in the
    place of the paper's softmax and softplus; zeros make the identity.

    Parameters
    ----------
    hidden : int, default 16
        Units of the networks' hidden layer.
    bins : int, default 8
        Number of pieces.
    bound : float, default 5
        Where the spline ends on both sides, in standard deviations if noise comes in.
    """

    bins: int = 8
    bound: float = 5.0

    short_name: ClassVar[str] = "spline_coupling"
    aliases: ClassVar[tuple[str, ...]] = ("spline", "nsf")

    def __post_init__(self) -> None:
        super().__post_init__()
        set_whole(self, "bins", least=2)
        if not self.bound > 0:
            raise ValueError(f"a spline needs a positive bound, got {self}")

    @property
    def numbers(self) -> int:
        return 3 * self.bins - 1

    def bend(
        self, z: TensorVariable, theta: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        column = z.reshape((-1, 1))
        inside = self.clip(column)
        piece = self.bin_of(inside, theta, by_height=False)
        s = piece.height / piece.width
        xi = (inside - piece.x) / piece.width
        eta = 1.0 - xi
        below = s + (piece.right + piece.left - 2.0 * s) * xi * eta
        bent = piece.y + piece.height * (s * xi**2 + piece.left * xi * eta) / below
        above = piece.right * xi**2 + 2.0 * s * xi * eta + piece.left * eta**2
        log_slope = pt.log(s**2 * above / below**2)
        # at both ends the slope is 1, so that what lies outside needs no case of its own
        return (bent + (column - inside)).reshape(z.shape), log_slope.reshape(z.shape)

    def unbend(self, z: TensorVariable, theta: TensorVariable) -> TensorVariable:
        column = z.reshape((-1, 1))
        inside = self.clip(column)
        piece = self.bin_of(inside, theta, by_height=True)
        s = piece.height / piece.width
        rise = inside - piece.y
        curve = piece.right + piece.left - 2.0 * s
        a = piece.height * (s - piece.left) + rise * curve
        b = piece.height * piece.left - rise * curve
        c = -s * rise
        # the root of a xi^2 + b xi + c in [0, 1], in the form that loses no digits
        xi = -2.0 * c / (b + pt.sqrt(pt.maximum(b**2 - 4.0 * a * c, 0.0)))
        return (piece.x + xi * piece.width + (column - inside)).reshape(z.shape)

    def bin_of(self, column: TensorVariable, theta: TensorVariable, by_height: bool) -> Bin:
        """Return the bin of each element, found among the knots on one of the two axes.

        What is picked from a row or summed along it is a product with a small constant matrix:
        that is quick, and quick to compile.
        """
        K, dtype = self.bins, theta.dtype
        rows = theta.reshape((-1, self.numbers))
        widths = self.sizes(rows[:, :K])
        heights = self.sizes(rows[:, K : 2 * K])
        slopes = pt.exp(soft_clip(rows[:, 2 * K :], LARGEST_LOG))
        before = np.triu(np.ones((K, K)), 1).astype(dtype)
        x = pt.dot(widths, before) - self.bound
        y = pt.dot(heights, before) - self.bound
        # left[j] = slopes[j - 1] and right[j] = slopes[j]; at both ends the slope is 1
        shift, stay = np.eye(K - 1, K, 1).astype(dtype), np.eye(K - 1, K).astype(dtype)
        ends = np.eye(K)[[0, -1]].astype(dtype)
        left = pt.dot(slopes, shift) + ends[0]
        right = pt.dot(slopes, stay) + ends[1]
        ones = np.ones((K, 1), dtype)
        knots = (y if by_height else x)[:, 1:]
        passed = pt.switch(pt.ge(column, knots), ones[0], np.zeros(1, dtype))
        chosen = pt.dot(passed, shift - stay) + ends[0]
        return Bin(*(pt.dot(chosen * v, ones) for v in (x, widths, y, heights, left, right)))

    def clip(self, x: TensorVariable) -> TensorVariable:
        return pt.minimum(pt.maximum(x, -self.bound), self.bound)

    def sizes(self, raw: TensorVariable) -> TensorVariable:
        """Return positive sizes of bins, which add up to the whole interval."""
        K = self.bins
        size = pt.exp(soft_clip(raw, LARGEST_LOG))
        part = size / pt.dot(size, np.ones((K, K), dtype=raw.dtype))
        return 2.0 * self.bound * (SMALLEST_BIN + (1.0 - K * SMALLEST_BIN) * part)
