"""Coordinates in which heavy tails are short: each variable as the hyperbolic sine of another.

A trajectory crosses the bulk of a Cauchy distribution in a moment, and needs thousands of steps to
come back from its tails. Of u, with x = m + s sinh(t u) / t, the tails are exponential at most
(Johnson 1949, the unbounded system; Jones & Pewsey 2009), so that one length of steps suits all of
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from vibayes.model.target import Target

__all__ = ["Stretch", "StretchedTarget"]

MIDDLE, FAR = 0.25, 0.02  # probabilities at which quantiles of x and u agree
SMALLEST, LARGEST = 1e-3, 10.0  # weights of tails: none, and those of half a moment or fewer
HEAVY = 0.7  # those of a Student t distribution of four degrees of freedom
HALVINGS = 60


@dataclass(frozen=True)
class Stretch:
    """A map from u to x of each variable by itself.

    Attributes
    ----------
    center, scale : numpy.ndarray
        Location and slope in the middle, (d,).
    tail : numpy.ndarray
        How heavy the tails are, (d,): next to zero where they are those of a normal or lighter.
    """

    center: np.ndarray
    scale: np.ndarray
    tail: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray) -> Stretch:
        """Return the map by which u has about the quartiles and the tails of a standard normal.

        Parameters
        ----------
        X
            Draws, (n, d).
        """
        center = np.median(X, axis=0)
        spread, reach = (np.subtract(*np.quantile(X, [1 - p, p], axis=0)) for p in (MIDDLE, FAR))
        spread = np.maximum(spread, np.finfo("float64").tiny)
        tail = tail_of(reach / spread)
        return cls(center, 0.5 * spread * tail / np.sinh(-ndtri(MIDDLE) * tail), tail)

    @property
    def is_heavy(self) -> bool:
        """Whether any variable has tails that are worth it."""
        return bool((self.tail > HEAVY).any())

    def forward(self, U: np.ndarray) -> np.ndarray:
        """Return x, (..., d)."""
        with np.errstate(over="ignore"):
            return self.center + self.scale * np.sinh(self.tail * U) / self.tail

    def backward(self, X: np.ndarray) -> np.ndarray:
        """Return u, (..., d)."""
        return np.arcsinh((X - self.center) / self.scale * self.tail) / self.tail

    def log_slope(self, U: np.ndarray) -> np.ndarray:
        """Return the log determinant of the derivative of x by u, (...)."""
        log_cosh = np.logaddexp(self.tail * U, -self.tail * U) - np.log(2)
        return (np.log(self.scale) + log_cosh).sum(axis=-1)


def tail_of(ratios: np.ndarray) -> np.ndarray:
    """Return the weights of tails by the distance of far quantiles over that of the quartiles."""
    far, middle = -ndtri(FAR), -ndtri(MIDDLE)
    low, high = np.full(len(ratios), SMALLEST), np.full(len(ratios), LARGEST)
    for _ in range(HALVINGS):
        tail = 0.5 * (low + high)
        heavier = np.sinh(far * tail) / np.sinh(middle * tail) < ratios
        low, high = np.where(heavier, tail, low), np.where(heavier, high, tail)
    return low


class StretchedTarget:
    """Log density, and its gradient, of the variables u that a target's own are made of.

    Parameters
    ----------
    target : Target
        Of x.
    stretch : Stretch
        From u to x.
    """

    def __init__(self, target: Target, stretch: Stretch) -> None:
        self.target, self.stretch, self.ddim = target, stretch, target.ddim

    def __call__(self, U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density (n,) and its gradient (n, d) at the rows of a matrix."""
        stretch = self.stretch
        logp, gradient = self.target(stretch.forward(U))
        with np.errstate(all="ignore"):
            logp = logp + stretch.log_slope(U)
            slope = stretch.scale * np.cosh(stretch.tail * U)
            gradient = gradient * slope + stretch.tail * np.tanh(stretch.tail * U)
        bad = ~(np.isfinite(logp) & np.isfinite(gradient).all(axis=1))
        return np.where(bad, -np.inf, logp), np.where(bad[:, None], 0.0, gradient)
