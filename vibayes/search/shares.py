"""How much of the posterior each of several places holds, by bridge sampling.

Chains tell what a place looks like, but not how much of the mass is there, if they do not go from
one place to another. Draws of a normal that was fitted there, and whose density is known, tell the
rest (Meng & Wong 1996). Importance sampling from the normal alone would do, if it covered the
place; with both kinds of draws, an overlap is enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

__all__ = ["Evidence", "bridged"]

ITERATIONS = 200


class Evidence(NamedTuple):
    """Logarithm of the mass of an unnormalized density, and about its standard error."""

    log_mass: float
    error: float


def bridged(moved: np.ndarray, size: float, drawn: np.ndarray) -> Evidence:
    """Return the mass of an unnormalized density p.

    Parameters
    ----------
    moved
        log p - log q at draws of p, (n,), with q a normalized density.
    size
        How many independent draws these are worth.
    drawn
        log p - log q at independent draws of q, (m,): minus infinity where p is nothing.

    References
    ----------
    Meng and Wong (1996), Simulating ratios of normalizing constants via a simple identity,
    Statistica Sinica 6, eq. 4.1; Frühwirth-Schnatter (2004), Estimating marginal likelihoods for
    mixture and Markov switching models using bridge sampling techniques, Econometrics Journal 7,
    on the error.
    """
    log_p, log_q = np.log([size / (size + len(drawn)), len(drawn) / (size + len(drawn))])
    if not np.isfinite(drawn).any() or not np.isfinite(moved).all():
        return Evidence(-np.inf, np.inf)
    mass = float(np.median(moved))
    for _ in range(ITERATIONS):
        of_drawn = drawn - np.logaddexp(log_p + drawn, log_q + mass)
        of_moved = -np.logaddexp(log_p + moved, log_q + mass)
        before, mass = mass, float(log_mean(of_drawn) - log_mean(of_moved))
        if abs(mass - before) < 1e-8:
            break
    variance = relative_variance(of_drawn) / len(drawn) + relative_variance(of_moved) / size
    return Evidence(mass, float(np.sqrt(variance)))


def log_mean(logs: np.ndarray) -> float:
    """Return the logarithm of a mean of exponentials."""
    return float(logsumexp(logs) - np.log(len(logs)))


def relative_variance(logs: np.ndarray) -> float:
    """Return the variance of exponentials over their squared mean."""
    values = np.exp(logs - logs.max())
    return float(values.var() / values.mean() ** 2)
