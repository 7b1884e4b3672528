"""Pareto-smoothed importance sampling (Vehtari et al. 2024, JMLR 25(72); Yao et al. 2018)."""

from __future__ import annotations

import numpy as np

__all__ = [
    "FINITE_VARIANCE",
    "GOOD_KHAT",
    "NEARLY_EVEN",
    "effective_size",
    "has_good_tail",
    "normalized",
    "powers_about",
    "resampled",
    "smoothed",
    "tempered",
]

GOOD_KHAT = 0.7
"""Largest Pareto k at which importance sampling is reliable (Vehtari et al. 2024)."""
FINITE_VARIANCE = 0.5
"""Largest Pareto k of weights that have a variance: beyond, rare draws decide about the tails."""
NEARLY_EVEN = 0.95
"""Share of effective draws at which the tail of the weights does not matter."""
LOWEST = -700.0  # log of a weight that is nothing, but a number
FEW = 225  # draws, of which a fifth is the tail


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
    ratios = np.maximum(ratios, LOWEST)
    length = tail_length(len(ratios))
    order = np.argsort(ratios, kind="stable")
    tail, cutoff = order[-length:], ratios[order[-length - 1]]
    khat, scale = pareto_fit(np.exp(ratios[tail]) - np.exp(cutoff))
    if np.isfinite(khat):
        p = (np.arange(length) + 0.5) / length
        quantiles = np.exp(cutoff) + scale * pareto_quantiles(p, khat)
        ratios[tail] = np.log(np.minimum(quantiles, np.exp(ratios[tail[-1]])))
    return ratios - np.logaddexp.reduce(ratios), khat


def tail_length(count: int) -> int:
    """Return how many of the largest weights a Pareto distribution is fitted to."""
    return int(3 * np.sqrt(count)) if count > FEW else count // 5


def largest(ratios: np.ndarray) -> np.ndarray:
    """Return the ratios to which a Pareto distribution is fitted, and the one below."""
    return np.sort(ratios)[-tail_length(len(ratios)) - 1 :]


def pareto_fit(excesses: np.ndarray) -> tuple[float, float]:
    """Return shape and scale of a generalized Pareto distribution, fitted to sorted excesses.

    The mean of the likelihood over a grid of ratios of the two (Zhang and Stephens 2009,
    Technometrics 51), with a prior for the shape that is worth ten draws about a half (Vehtari et
    al. 2024, appendix G). The shape is NaN where the excesses are far from Pareto's distribution,
    and infinite where the likelihood is no number.
    """
    count = len(excesses)
    size = 30 + int(np.sqrt(count))
    quartile = excesses[int(count / 4 + 0.5) - 1]
    if quartile <= excesses[0]:
        return np.nan, np.nan
    grid = 1 - np.sqrt(size / (np.arange(size) + 0.5))
    grid = grid / (3 * quartile) + 1 / excesses[-1]
    shapes = np.log1p(-grid[:, None] * excesses).mean(axis=1)
    logs = count * (np.log(-grid / shapes) - shapes - 1)
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    kept = weights >= 10 * np.finfo("float64").eps
    ratio = float(grid[kept] @ weights[kept] / weights[kept].sum())
    shape = float(np.log1p(-ratio * excesses).mean())
    if np.isnan(shape):
        return np.inf, np.nan
    prior = 10
    return (count * shape + 0.5 * prior) / (count + prior), -shape / ratio


def pareto_quantiles(p: np.ndarray, shape: float) -> np.ndarray:
    """Return quantiles of a generalized Pareto distribution of scale one."""
    if abs(shape) < np.finfo("float64").eps:
        return -np.log1p(-p)
    with np.errstate(over="ignore"):  # of a tail so heavy that there is no largest number
        return np.expm1(-shape * np.log1p(-p)) / shape


def effective_size(log_weights: np.ndarray) -> float:
    """Return how many independent draws normalized log weights are worth."""
    return float(np.exp(-np.logaddexp.reduce(2 * log_weights)))


def has_good_tail(khat: float, size: float, count: int, limit: float = GOOD_KHAT) -> bool:
    """Tell whether weights of ``count`` draws, worth ``size``, have no tail that matters."""
    return khat < limit or size > NEARLY_EVEN * count


def resampled(log_weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of ``count`` draws by systematic resampling, in random order."""
    ticks = (rng.random() + np.arange(count)) / count
    rows = np.searchsorted(np.cumsum(np.exp(log_weights)), ticks)
    return rng.permutation(np.minimum(rows, len(log_weights) - 1))


def tempered(log_weights: np.ndarray, size: float) -> np.ndarray:
    """Return log weights times the largest number up to 1 that leaves an effective size."""
    return normalized(powers_about(log_weights, size)[0] * log_weights)


def powers_about(log_weights: np.ndarray, size: float) -> tuple[float, float]:
    """Return the largest number up to 1 by which log weights leave an effective size.

    From below and from above, close together; both are 1 if that leaves it.
    """
    low, high = 0.0, 1.0
    if effective_size(normalized(high * log_weights)) >= size:
        return high, high
    for _ in range(30):
        middle = 0.5 * (low + high)
        enough = effective_size(normalized(middle * log_weights)) >= size
        low, high = (middle, high) if enough else (low, middle)
    return low, high


def normalized(log_weights: np.ndarray) -> np.ndarray:
    """Return log weights whose weights sum to one."""
    return log_weights - np.logaddexp.reduce(log_weights)
