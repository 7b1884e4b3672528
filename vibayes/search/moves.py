"""Hamiltonian moves of many draws at once.

Draws of the posterior stay draws of it; others drift towards it. So they tell whether draws are
to be trusted, and repair what is not too far off (Neal 2011; Hoffman & Sountsov 2022 on many short
chains in place of few long ones).
"""

from __future__ import annotations

import numpy as np

from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.mixtures import WeightedDraws

__all__ = ["move", "settle"]

LEAPS = 6
SIZES = 0.15, 2.0  # range of step lengths: what is narrow in one place is wide in another
WANTED_ACCEPTANCE = 0.7
MOST_CORRELATED = 0.2


def move(
    target: Target,
    Z: np.ndarray,
    root: np.ndarray,
    rng: np.random.Generator,
    rounds: int = 10,
    leaps: int = LEAPS,
    size: float = 0.3,
) -> tuple[np.ndarray, float]:
    """Return moved draws (n, d), and the share of moves that were accepted.

    Parameters
    ----------
    target
        What to sample.
    Z
        Where to begin, (n, d).
    root
        Cholesky factor of about the covariance: the inverse of its square is the mass matrix.
    rng
        Where randomness comes from.
    rounds
        Number of moves, each ended by acceptance or rejection.
    leaps
        Leapfrog steps of a move.
    size
        Length of a step, in posterior standard deviations times d^(-1/4).
    """
    n, d = Z.shape
    logp, gradient = target(Z)
    accepted = 0.0
    low, high = np.log(SIZES)
    for _ in range(rounds):
        length = np.exp(rng.uniform(low, high, (n, 1))) * size * d**-0.25
        momentum = rng.standard_normal((n, d))
        energy = logp - 0.5 * (momentum**2).sum(axis=1)
        x, x_logp, x_gradient = Z, logp, gradient
        for _ in range(leaps):
            momentum = momentum + 0.5 * length * (x_gradient @ root)
            x = x + length * (momentum @ root.T)
            x_logp, x_gradient = target(x)
            momentum = momentum + 0.5 * length * (x_gradient @ root)
        with np.errstate(all="ignore"):
            gain = x_logp - 0.5 * (momentum**2).sum(axis=1) - energy
            taken = (np.log(rng.random(n)) < gain) & np.isfinite(x_logp)
        Z = np.where(taken[:, None], x, Z)
        gradient = np.where(taken[:, None], x_gradient, gradient)
        logp = np.where(taken, x_logp, logp)
        accepted += taken.mean() / rounds
    return Z, float(accepted)


def settle(
    target: Target,
    Z: np.ndarray,
    rng: np.random.Generator,
    budget: Budget,
    rounds: int = 10,
    blocks: int = 40,
    leaps: int = 8,
    size: float = 0.5,
    root: np.ndarray | None = None,
) -> tuple[WeightedDraws, bool]:
    """Move draws until they have forgotten where they began, and their moments stand still.

    The step length is tuned to the acceptance rate, and the mass matrix to the covariance of all
    draws unless ``root`` fixes it, both between blocks of moves only. After each block the draws
    are compared with those of half as many blocks: twice in a row, no coordinate and no square
    may be correlated with its former value, and no mean and standard deviation differ, by more
    than a little.

    Returns
    -------
    WeightedDraws
        The draws after each block of the second half, all of equal weight.
    bool
        Whether they have settled.
    """
    snapshots, streak = [Z], 0
    for block in range(1, blocks + 1):
        if not budget.step(rounds):
            break
        metric = evenly_weighted(Z).root if root is None else root
        Z, accepted = move(target, Z, metric, rng, rounds, leaps, size)
        size *= np.exp(accepted - WANTED_ACCEPTANCE)
        snapshots.append(Z)
        fine = block >= 4 and has_settled(snapshots[block // 2], Z)
        streak = streak + 1 if fine else 0
        if streak == 2:
            break
    values = np.concatenate(snapshots[-max(len(snapshots) // 2, 1) :])
    return evenly_weighted(values), streak == 2


def evenly_weighted(values: np.ndarray) -> WeightedDraws:
    """Return draws that all have the same weight."""
    return WeightedDraws(values, np.full(len(values), -np.log(len(values))), np.nan)


def has_settled(early: np.ndarray, late: np.ndarray) -> bool:
    """Tell whether moments agree within their noise, and values do not remember earlier ones."""
    n, d = late.shape
    noise = np.sqrt(2 * np.log(2 * d) / n)  # about the largest of d averages of n
    sd = late.std(axis=0)
    shift = np.abs(late.mean(axis=0) - early.mean(axis=0)) / sd
    ratio = np.abs(np.log(sd / early.std(axis=0)))
    return bool(
        shift.max() < 0.12 + np.sqrt(2) * noise
        and ratio.max() < 0.1 + noise
        and correlation(early, late) < MOST_CORRELATED + noise
    )


def correlation(early: np.ndarray, late: np.ndarray) -> float:
    """Return the largest correlation of coordinates, and of their squares, at two times."""
    early, late = early - early.mean(axis=0), late - late.mean(axis=0)
    worst = 0.0
    for a, b in ((early, late), (early**2, late**2)):
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)) + 1e-300
        worst = max(worst, float(((a * b).sum(axis=0) / norm).max()))
    return worst
