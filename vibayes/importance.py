"""Pareto-smoothed importance sampling (Vehtari et al. 2024, JMLR 25(72); Yao et al. 2018)."""

from __future__ import annotations

import numpy as np

__all__ = [
    "GOOD_KHAT",
    "NEARLY_EVEN",
    "effective_size",
    "has_good_tail",
    "resampled",
    "smoothed",
    "tempered",
]

GOOD_KHAT = 0.7
"""Largest Pareto k at which importance sampling is reliable (Vehtari et al. 2024)."""
NEARLY_EVEN = 0.95
"""Share of effective draws at which the tail of the weights does not matter."""


def smoothed(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Return normalized log weights, the largest of them smoothed, and Pareto k-hat.

    Parameters
    ----------
    log_ratios
        Log density of the target minus that of the proposal, at draws of the proposal.
    """
    ratios = np.asarray(log_ratios, dtype="float64")
    if np.isneginf(ratios).all():  # no draw is where the target is
        return np.full(len(ratios), -np.log(len(ratios))), np.inf
    ratios = ratios - ratios.max()
    if np.ptp(largest(ratios)) < 1e-9:  # the proposal is the target: there is no tail to fit
        return ratios - np.logaddexp.reduce(ratios), -np.inf
    log_weights, khat = psislw(np.maximum(ratios, -700.0))  # ArviZ wants finite numbers
    log_weights = np.asarray(log_weights)
    return log_weights - np.logaddexp.reduce(log_weights), float(khat)


def largest(ratios: np.ndarray) -> np.ndarray:
    """Return the ratios to which a Pareto distribution is fitted, and the one below."""
    count = int(np.ceil(min(0.2 * len(ratios), 3 * np.sqrt(len(ratios))))) + 1
    return np.sort(ratios)[-count:]


def psislw(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Call ArviZ's function, wherever its version has it."""
    try:
        from arviz_stats.base import array_stats
    except ImportError:
        from arviz import psislw as function

        return function(log_ratios)
    return array_stats.psislw(-log_ratios)  # it is made for log likelihoods


def effective_size(log_weights: np.ndarray) -> float:
    """Return how many independent draws normalized log weights are worth."""
    return float(np.exp(-np.logaddexp.reduce(2 * log_weights)))


def has_good_tail(khat: float, size: float, count: int) -> bool:
    """Tell whether weights of ``count`` draws, worth ``size``, have no tail that matters."""
    return khat < GOOD_KHAT or size > NEARLY_EVEN * count


def resampled(log_weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of ``count`` draws by systematic resampling, in random order."""
    ticks = (rng.random() + np.arange(count)) / count
    rows = np.searchsorted(np.cumsum(np.exp(log_weights)), ticks)
    return rng.permutation(np.minimum(rows, len(log_weights) - 1))


def tempered(log_weights: np.ndarray, size: float) -> np.ndarray:
    """Return log weights times the largest number up to 1 that leaves an effective size."""

    def power(beta: float) -> np.ndarray:
        return beta * log_weights - np.logaddexp.reduce(beta * log_weights)

    low, high = 0.0, 1.0
    if effective_size(power(high)) >= size:
        return power(high)
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective_size(power(middle)) >= size else (low, middle)
    return power(low)
