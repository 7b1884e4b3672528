"""Normal distributions, as searches find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular

from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.eigenvalues import eigh
from vibayes.model.target import Target

__all__ = ["FittedNormal", "apart", "from_curvature", "from_root", "independent"]

APART = 3.0  # how far places lie from each other, in standard deviations


@dataclass(frozen=True)
class FittedNormal:
    """A normal distribution N(mean, root root'), and how it was found.

    Attributes
    ----------
    mean : numpy.ndarray
        Mean, (d,).
    root : numpy.ndarray
        Square root of the covariance: lower triangular (d, d), or standard deviations (d,).
    elbo : float
        Evidence lower bound, on the draws that it was fitted to.
    converged : bool
        Whether the steps have come to an end.
    iterations : int
        Number of steps.
    """

    mean: np.ndarray
    root: np.ndarray
    elbo: float = -np.inf
    converged: bool = False
    iterations: int = 0

    @property
    def is_diagonal(self) -> bool:
        """Whether the dimensions are independent."""
        return self.root.ndim == 1

    @property
    def full_root(self) -> np.ndarray:
        """The root as a matrix."""
        return np.diag(self.root) if self.is_diagonal else self.root

    @property
    def sd(self) -> np.ndarray:
        """Standard deviations."""
        return self.root if self.is_diagonal else np.sqrt((self.root**2).sum(axis=1))

    @property
    def log_det_root(self) -> float:
        """Log determinant of the root."""
        diagonal = self.root if self.is_diagonal else self.root.diagonal()
        return float(np.log(np.abs(diagonal)).sum())

    @property
    def entropy(self) -> float:
        """Differential entropy."""
        return self.log_det_root + len(self.mean) * (0.5 + LOG_SQRT_2PI)

    def at(self, noise: np.ndarray) -> np.ndarray:
        """Map standard normal draws (n, d) to draws of this distribution."""
        return self.mean + (noise * self.root if self.is_diagonal else noise @ self.root.T)

    def whitened(self, Z: np.ndarray) -> np.ndarray:
        """Map draws (n, d) to standard normal ones."""
        if self.is_diagonal:
            return (Z - self.mean) / self.root
        return solve_triangular(self.root, (Z - self.mean).T, lower=True, check_finite=False).T

    def logq(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density (n,) at the rows of a matrix."""
        squares = (self.whitened(Z) ** 2).sum(axis=1)
        return -0.5 * squares - self.log_det_root - len(self.mean) * LOG_SQRT_2PI

    def scored(self, target: Target, noise: np.ndarray) -> tuple[FittedNormal, np.ndarray]:
        """Return this with its ELBO on some draws, and the gradients of log p there."""
        logp, gradients = target(self.at(noise))
        elbo = float(logp.mean()) + self.entropy if np.isfinite(logp).all() else -np.inf
        return replace(self, elbo=elbo), gradients


def apart(normals: Sequence[FittedNormal]) -> list[FittedNormal]:
    """Return those normals that lie apart, as seen from either of two.

    Several normals may have been fitted along the bends of one mode.
    """
    kept: list[FittedNormal] = []
    for q in normals:
        if all(min(distance(q, o), distance(o, q)) > APART for o in kept):
            kept.append(q)
    return kept


def distance(q: FittedNormal, other: FittedNormal) -> float:
    """Return how far the mean of another normal is, in standard deviations."""
    return float(np.abs(q.whitened(other.mean[None])).max())


def independent(q: FittedNormal) -> FittedNormal:
    """Return the independent normals that are closest to a normal, in the sense of the ELBO."""
    if q.is_diagonal:
        return FittedNormal(q.mean, q.root)
    inverse = np.linalg.inv(q.full_root)
    return FittedNormal(q.mean, 1 / np.sqrt((inverse**2).sum(axis=0)))


def from_curvature(mean: np.ndarray, curvature: np.ndarray) -> FittedNormal:
    """Return the normal of a mean and a precision matrix, made positive definite if it is not."""
    diagonal = np.abs(curvature.diagonal())
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = curvature * np.outer(scale, scale)
    try:
        # the precision is R R' with R upper triangular, so that the root R'^-1 is lower
        upper = np.linalg.cholesky(scaled[::-1, ::-1])[::-1, ::-1]
    except np.linalg.LinAlgError:
        eigenvalues, vectors = eigh(scaled)
        largest = np.abs(eigenvalues).max() or 1.0
        eigenvalues = np.maximum(np.abs(eigenvalues), 1e-6 * largest)
        scaled = (vectors * eigenvalues) @ vectors.T
        upper = np.linalg.cholesky(scaled[::-1, ::-1])[::-1, ::-1]
    root = solve_triangular(upper, np.eye(len(mean)), lower=False).T
    return FittedNormal(mean, scale[:, None] * root)


def from_root(mean: np.ndarray, root: np.ndarray) -> FittedNormal:
    """Return the normal of a mean and any square root of the covariance."""
    inverse = np.linalg.inv(root)
    return from_curvature(mean, inverse.T @ inverse)
