"""From a sample of rows to all of them, in few passes over the data.

Of many rows a sample tells where the posterior is to within its noise: some posterior standard
deviations, and some hundredths of the widths. What is left is a short way, on which the log density
is close to quadratic: Newton steps by the sample's curvature cost a vector or three each, and the
best normal then takes draws that are as few as tell a covariance.
"""

from __future__ import annotations

import numpy as np

from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.modes import curvature_at
from vibayes.search.normals import FittedNormal, from_curvature

__all__ = ["NormalTarget", "begins_on_sample", "moved_to_mode", "sampled"]

FEWEST_NUMBERS = 20_000  # observed values of a sample
ROWS_EACH = 50  # of a sample, for each dimension
LENGTHS = np.array([1.0, 0.5, 0.1])
SHORTER = 0.3  # of a root, where no length is an improvement
ARRIVED = 0.1  # in posterior standard deviations: how long a Newton step is the last
MOST_STEPS = 12
PATIENCE = 3  # steps after which a curvature is computed that is not the sample's


def rows_of_sample(target: Target) -> int:
    """Return how many rows are enough to search on."""
    return max(FEWEST_NUMBERS, ROWS_EACH * target.ddim)


def begins_on_sample(target: Target) -> bool:
    """Tell whether a search is to begin on a sample of the rows, as these are many."""
    return target.can_be_sampled(rows_of_sample(target))


def sampled(target: Target, rng: np.random.Generator) -> Target:
    """Return a target on a sample of rows that is large enough to search on."""
    return target.on_sample(rows_of_sample(target), rng)


def moved_to_mode(
    target: Target, q: FittedNormal, budget: Budget, most_curvatures: int
) -> FittedNormal:
    """Return a normal of about the same covariance at the mode that is closest.

    Each Newton step is one pass, in which three lengths are tried. Where the covariance leads
    nowhere it is replaced by that of the curvature, if the dimensions are not too many.

    Parameters
    ----------
    target
        The posterior of all rows.
    q
        Found on a sample.
    budget
        Time and steps.
    most_curvatures
        Dimensions up to which a curvature is computed.
    """
    logp, gradient = (part[0] for part in target(q.mean[None]))
    for step in range(MOST_STEPS):
        slope = q.full_root.T @ gradient
        if np.abs(slope).max() < ARRIVED or not budget.step():
            break
        if step and step % PATIENCE == 0 and target.ddim <= most_curvatures:
            q = from_curvature(q.mean, curvature_at(target, q.mean, q.sd))
            slope = q.full_root.T @ gradient
        trials = q.mean + LENGTHS[:, None] * (q.full_root @ slope)
        logps, gradients = target(trials)
        best = int(np.argmax(logps))
        if not logps[best] > logp:
            q = FittedNormal(q.mean, SHORTER * q.root)
            continue
        q = FittedNormal(trials[best], q.root)
        logp, gradient = logps[best], gradients[best]
    return q


class NormalTarget:
    """A normal in the place of a target that it stands for.

    Parameters
    ----------
    q : FittedNormal
        The normal.
    """

    def __init__(self, q: FittedNormal) -> None:
        self.q = q
        self.ddim = len(q.mean)

    def __call__(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density (n,) and its gradient (n, d) at the rows of a matrix."""
        inverse = np.linalg.inv(self.q.full_root)
        return self.logp(Z), (self.q.mean - Z) @ (inverse.T @ inverse)

    def logp(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density (n,), with that of the target in place of its constant."""
        return self.q.logq(Z) + self.q.elbo
