"""The same search on many data sets at once, each with its own posterior of one model.

What a log density costs at few vectors is the calls, not the numbers: so all data sets move
together, as :mod:`vibayes.search.modes` and :mod:`vibayes.search.best_normals` do for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.eigenvalues import eigh
from vibayes.importance import smoothed

__all__ = ["BatchedNormals", "fitted_normals"]

STEPS = np.array([1.0, 0.5, 0.2, 0.05, 0.01, 1e-3])
NEWTON_STEPS, NORMAL_STEPS = 60, 20
RELATIVE, SMALLEST = 1e-4, 1e-11  # of differences of gradients
DECREMENT = 1e-4
TOLERANCE = 0.02
LARGEST_FACTOR = 10.0  # by which a step may change a variance
HALVINGS = 6
SHIFT, WIDTHS = 0.1, (0.9, 1.1)  # in standard deviations, and of them
TAIL, TAIL_SHIFT = 0.05, 0.025

Evaluate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of numbers of data sets (b,) and vectors (b, k, d): log densities and their gradients."""


@dataclass(frozen=True)
class BatchedNormals:
    """A normal for each of several data sets.

    Attributes
    ----------
    mean : numpy.ndarray
        Means, (b, d).
    root : numpy.ndarray
        Lower triangular roots of the covariances, (b, d, d).
    converged : numpy.ndarray
        Whether the steps have come to an end, (b,).
    elbo, elbo_error : numpy.ndarray
        Evidence lower bounds on the draws that were weighed, and their standard errors, (b,).
    khat, ess : numpy.ndarray
        Pareto k of the weights of draws, and how many draws these are worth, (b,).
    close : numpy.ndarray
        Whether means, widths and tails of the weighted draws are those of the others, (b,).
    draws : int
        Number of these draws.
    """

    mean: np.ndarray
    root: np.ndarray
    converged: np.ndarray
    elbo: np.ndarray
    elbo_error: np.ndarray
    khat: np.ndarray
    ess: np.ndarray
    close: np.ndarray
    draws: int


def fitted_normals(
    evaluate: Evaluate, count: int, start: np.ndarray, noise: np.ndarray, drawn: np.ndarray
) -> BatchedNormals:
    """Return the best normal of each data set, begun at the mode that is closest to a start.

    Parameters
    ----------
    evaluate
        Log density and gradient.
    count
        Number of data sets.
    start
        Where all begin, (d,).
    noise
        Standard normal draws, matched, to which the normals are fitted, (k, d).
    drawn
        Further ones, at which they are weighed, (m, d).
    """
    with np.errstate(all="ignore"):
        z, root = modes(evaluate, np.repeat(start[None], count, axis=0))
        mean, root, converged = best_normals(evaluate, z, root, noise)
        everything = np.arange(count)
        logp, _ = evaluate(everything, mean[:, None] + drawn @ root.transpose(0, 2, 1))
    logdet = np.log(np.abs(np.diagonal(root, axis1=1, axis2=2))).sum(axis=1)
    logq = -0.5 * (drawn**2).sum(axis=1) - len(start) * LOG_SQRT_2PI - logdet[:, None]
    ratios = np.where(np.isfinite(logp), logp - logq, -np.inf)
    weights = [smoothed(row) for row in ratios]
    with np.errstate(all="ignore"):
        error = ratios.std(axis=1, ddof=1) / np.sqrt(len(drawn))
    ess = np.array([1 / np.exp(2 * w).sum() for w, _ in weights])
    khat = np.array([k for _, k in weights])
    elbo = ratios.mean(axis=1)
    close = np.array([is_close(drawn @ r.T, w) for r, (w, _) in zip(root, weights, strict=True)])
    return BatchedNormals(mean, root, converged, elbo, error, khat, ess, close, len(drawn))


def is_close(values: np.ndarray, log_weights: np.ndarray) -> bool:
    """Tell whether weights leave the means, widths and tails of draws (m, d) about as they are."""
    weights = np.exp(log_weights)
    mean = weights @ values
    sd = np.sqrt(weights @ (values - mean) ** 2)
    before = values.std(axis=0)
    shift = np.abs(mean - values.mean(axis=0)) / sd
    ratio = before / sd
    low, high = np.quantile(values, (TAIL, 1 - TAIL), axis=0)
    shares = np.concatenate([weights @ (values < low), weights @ (values > high)])
    near = WIDTHS[0] < ratio.min() and ratio.max() < WIDTHS[1]
    return bool(shift.max() < SHIFT and near and np.abs(shares - TAIL).max() < TAIL_SHIFT)


def modes(evaluate: Evaluate, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a mode of each data set (b, d), and a root of the inverse curvature there."""
    count, d = z.shape
    z, root = z.copy(), np.repeat(np.eye(d)[None], count, axis=0)
    scale = np.maximum(np.abs(z), 1.0) * 1e-2
    active = np.arange(count)
    logp, gradient = (part[:, 0] for part in evaluate(active, z[:, None]))
    for _ in range(NEWTON_STEPS):
        here = z[active]
        width = np.maximum(scale[active] * RELATIVE, SMALLEST * np.abs(here))
        shifted = here[:, None] + width[:, :, None] * np.eye(d)
        _, gradients = evaluate(active, shifted)
        H = (gradient[active][:, None] - gradients) / width[:, :, None]
        H = np.nan_to_num(0.5 * (H + H.transpose(0, 2, 1)))
        diagonal = np.abs(np.diagonal(H, axis1=1, axis2=2))
        own = 1 / np.sqrt(np.where(diagonal > 0, diagonal, scale[active] ** -2))
        scale[active] = np.clip(own, scale[active] * 1e-3, scale[active] * 1e3)
        s = scale[active]
        values, vectors = eigh(H * s[:, :, None] * s[:, None])
        largest = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-300)
        stretched = vectors / np.sqrt(np.maximum(np.abs(values), 1e-8 * largest))[:, None]
        root[active] = s[:, :, None] * stretched
        slope = np.einsum("bij,bi->bj", root[active], gradient[active])
        step = np.einsum("bij,bj->bi", root[active], slope)
        trials = here[:, None] + STEPS[:, None] * step[:, None]
        logps, gradients = evaluate(active, trials)
        best = np.argmax(np.where(np.isnan(logps), -np.inf, logps), axis=1)
        rows = np.arange(len(active))
        better = logps[rows, best] > logp[active]
        moved = active[better]
        z[moved] = trials[rows, best][better]
        logp[moved] = logps[rows, best][better]
        gradient[moved] = gradients[rows, best][better]
        ended = 0.5 * (slope**2).sum(axis=1) < DECREMENT
        active = active[better & ~ended]
        if not len(active):
            break
    return z, root


def best_normals(
    evaluate: Evaluate, mean: np.ndarray, root: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and roots after natural-gradient steps, and which have come to an end."""
    mean, root = mean.copy(), triangular(root)
    count, d = mean.shape
    converged = np.zeros(count, dtype=bool)

    def scored(rows: np.ndarray, m: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logp, gradients = evaluate(rows, m[:, None] + noise @ r.transpose(0, 2, 1))
        logdet = np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))).sum(axis=1)
        elbo = logp.mean(axis=1) + logdet
        return np.where(np.isfinite(elbo), elbo, -np.inf), gradients

    elbo, gradients = scored(np.arange(count), mean, root)
    active = np.flatnonzero(np.isfinite(elbo))
    for _ in range(NORMAL_STEPS):
        if not len(active):
            break
        m, r, g = mean[active], root[active], gradients[active]
        step = np.einsum("bij,bi->bj", r, g.mean(axis=1))
        B = -np.einsum("bji,bkj,kl->bil", r, g, noise) / len(noise)
        B = 0.5 * (B + B.transpose(0, 2, 1))
        values, vectors = eigh(np.nan_to_num(B))
        change = np.maximum(np.abs(step).max(axis=1), 0.5 * np.abs(B - np.eye(d)).max(axis=(1, 2)))
        done = change < TOLERANCE
        converged[active[done]] = True
        left, rate = ~done, np.ones(len(active))
        for _ in range(HALVINGS):
            rows = np.flatnonzero(left)
            if not len(rows):
                break
            precision = (1 - rate[rows, None]) + rate[rows, None] * values[rows]
            spread = (
                vectors[rows]
                / np.sqrt(np.clip(precision, 1 / LARGEST_FACTOR, LARGEST_FACTOR))[:, None]
            )
            along = np.einsum("bij,bi->bj", vectors[rows], step[rows]) / np.maximum(precision, 0.3)
            shift = np.einsum("bij,bj->bi", vectors[rows], along) * rate[rows, None]
            new_mean = m[rows] + np.einsum("bij,bj->bi", r[rows], shift)
            new_root = r[rows] @ triangular(spread)
            trial, trial_gradients = scored(active[rows], new_mean, new_root)
            good = trial >= elbo[active[rows]] - 1e-9 * np.abs(elbo[active[rows]])
            taken = active[rows[good]]
            mean[taken], root[taken] = new_mean[good], new_root[good]
            elbo[taken], gradients[taken] = trial[good], trial_gradients[good]
            left[rows[good]] = False
            rate[rows] *= 0.5
        active = active[~done & ~left]
    return mean, root, converged


def triangular(root: np.ndarray) -> np.ndarray:
    """Return lower triangular roots of the same products, (b, d, d)."""
    return np.linalg.cholesky(root @ root.transpose(0, 2, 1))
