"""The best normal approximation, by natural-gradient steps on draws that stay the same.

With fixed draws the objective is deterministic: steps can be compared, and the end be recognized
(sample average approximation; Burroni et al. 2024, Giordano et al. 2024). The draws' first two
moments are exact, so that a normal posterior is found without any error from their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vibayes import progress
from vibayes.eigenvalues import eigh
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.normals import FittedNormal, independent

__all__ = ["LARGE", "fit_diagonal", "fit_full_rank", "fit_large", "fit_mean_field"]

LARGE = 100
"""Dimensions from which a covariance is no longer fitted, but taken from the curvature."""
LARGEST_FACTOR = 10.0  # by which a step may change a variance
LARGEST_LOG = 3.0  # by which a round of L-BFGS may change a log standard deviation

Observer = Callable[[FittedNormal], None]


def fit_full_rank(
    target: Target,
    begin: FittedNormal,
    noise: np.ndarray,
    budget: Budget,
    iterations: int = 30,
    tolerance: float = 0.02,
    observe: Observer | None = None,
) -> FittedNormal:
    r"""Return the normal whose mean and precision are a fixed point of natural-gradient steps.

    .. math:: m \leftarrow m + r\, \Sigma\, E[g], \qquad
        \Sigma^{-1} \leftarrow (1 - r) \Sigma^{-1} + r B, \qquad
        B = -E[\nabla g] = -E[\Sigma^{-1} (z - m) g']

    with g the gradient of log p at a draw z (Khan & Rue 2023, the Bayesian learning rule; the
    last equation is Stein's). The rate r is halved until the ELBO does not fall.
    """
    q, gradients = shrunk_until_finite(target, begin, noise)
    if not np.isfinite(q.elbo):
        return q

    def direction(q: FittedNormal, gradients: np.ndarray) -> Direction:
        step, B = whitened_step(q, gradients, noise)
        eigenvalues, vectors = eigh(B)
        change = max(np.abs(step).max(), 0.5 * np.abs(B - np.eye(len(B))).max())
        return Direction(change, lambda rate: moved(q, step, eigenvalues, vectors, rate))

    rules = Rules(iterations, tries=6, tolerance=tolerance, gain=1e-4)
    return ascended(target, q, gradients, noise, budget, direction, rules, observe)


@dataclass(frozen=True)
class Direction:
    """Where a step leads.

    Attributes
    ----------
    change : float
        The largest change that it makes, in units of the normal.
    at : callable
        Returns the normal after a step of some rate.
    """

    change: float
    at: Callable[[float], FittedNormal]


@dataclass(frozen=True)
class Rules:
    """When steps are shortened, and when they have come to an end.

    Attributes
    ----------
    iterations : int
        Largest number of steps.
    tries : int
        How often a step is halved.
    tolerance : float
        A step that changes less is the end.
    gain : float
        So is one that gains less in ELBO and changes less than ``near`` tolerances.
    near : float
        See ``gain``.
    dead_end : float
        If no rate is any good: the number of tolerances below which the change is no more than
        the end's own noise.
    slack : float
        Relative fall of the ELBO that is taken for rounding.
    recovers : bool
        Whether the rate grows again after a step that was good.
    """

    iterations: int
    tries: int
    tolerance: float
    gain: float
    near: float = 5.0
    dead_end: float = 0.0
    slack: float = 1e-9
    recovers: bool = True


def ascended(
    target: Target,
    q: FittedNormal,
    gradients: np.ndarray,
    noise: np.ndarray,
    budget: Budget,
    direction: Callable[[FittedNormal, np.ndarray], Direction],
    rules: Rules,
    observe: Observer | None,
) -> FittedNormal:
    """Return a normal after steps that do not lower its ELBO, halved where they would."""
    progress.found(q.elbo)
    rate = 1.0
    for iteration in range(rules.iterations):
        if observe is not None:
            observe(q)
        step = direction(q, gradients)
        if step.change < rules.tolerance:
            return replace(q, converged=True, iterations=iteration)
        for _ in range(rules.tries):
            if not budget.step():
                return replace(q, iterations=iteration)
            trial, trial_gradients = step.at(rate).scored(target, noise)
            # an ELBO of minus infinity has no relative fall
            if trial.elbo >= (q.elbo - rules.slack * abs(q.elbo) if rules.slack else q.elbo):
                break
            rate *= 0.5
        else:
            is_end = step.change < rules.dead_end * rules.tolerance
            return replace(q, converged=is_end, iterations=iteration)
        gain, q, gradients = trial.elbo - q.elbo, trial, trial_gradients
        progress.found(q.elbo)
        if rules.recovers:
            rate = min(1.0, 2 * rate)
        if gain < rules.gain and step.change < rules.near * rules.tolerance:
            return replace(q, converged=True, iterations=iteration)
    return replace(q, iterations=rules.iterations)


def shrunk_until_finite(
    target: Target, q: FittedNormal, noise: np.ndarray
) -> tuple[FittedNormal, np.ndarray]:
    """Return a normal narrow enough for log p to be finite at all of its draws."""
    for _ in range(7):
        scored, gradients = q.scored(target, noise)
        if np.isfinite(scored.elbo):
            break
        q = FittedNormal(q.mean, 0.5 * q.root)
    return scored, gradients


def whitened_step(
    q: FittedNormal, gradients: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step of the mean and the new precision, in units in which q is N(0, I)."""
    B = q.root.T @ (gradients.T @ noise) / -len(noise)
    return q.root.T @ gradients.mean(axis=0), 0.5 * (B + B.T)


def moved(
    q: FittedNormal, step: np.ndarray, eigenvalues: np.ndarray, vectors: np.ndarray, rate: float
) -> FittedNormal:
    """Return the normal after a step of some rate, no variance changed by more than a factor."""
    precision = (1 - rate) + rate * eigenvalues
    root = vectors / np.sqrt(np.clip(precision, 1 / LARGEST_FACTOR, LARGEST_FACTOR))
    # where the precision is to fall, the step that it suggests is too long to be trusted
    shift = vectors @ ((vectors.T @ step) / np.maximum(precision, 0.3))
    return FittedNormal(
        q.mean + q.root @ (rate * shift), q.root @ np.linalg.cholesky(root @ root.T)
    )


def fit_diagonal(
    target: Target,
    noise: np.ndarray,
    budget: Budget,
    rounds: int = 20,
    iterations: int = 40,
    tolerance: float = 0.1,
    observe: Observer | None = None,
    start: np.ndarray | None = None,
) -> FittedNormal:
    """Return the best independent normals, found by L-BFGS from where the target starts.

    Its cost grows linearly with the number of dimensions (deterministic ADVI, Giordano et al.
    2024). After each round the units become those of the normals found so far, so that scales do
    not matter; it ends when a round gains less than ``tolerance`` in ELBO.
    """
    d = target.ddim
    q = FittedNormal(target.start if start is None else start, np.full(d, 0.1))
    q, _ = shrunk_until_finite(target, q, noise)
    for round_ in range(rounds):
        if observe is not None:
            observe(q)
        x = lbfgs_round(target, q, noise, budget, iterations)
        trial = FittedNormal(q.mean + q.root * x[:d], q.root * np.exp(x[d:]))
        trial, _ = trial.scored(target, noise)
        if not trial.elbo > q.elbo:
            return replace(q, converged=not budget.exhausted, iterations=round_)
        gain, q = trial.elbo - q.elbo, trial
        progress.found(q.elbo)
        if gain < tolerance or budget.exhausted:
            return replace(q, converged=gain < tolerance, iterations=round_)
    return replace(q, iterations=rounds)


def lbfgs_round(
    target: Target, q: FittedNormal, noise: np.ndarray, budget: Budget, iterations: int
) -> np.ndarray:
    """Return the change of means, in units of the sds, and of log sds that L-BFGS comes to."""
    from scipy import optimize  # takes long to import

    d = len(q.mean)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        shift, log_factor = x[:d], x[d:]
        spread = q.root * np.exp(log_factor)
        logp, gradients = target(q.mean + q.root * shift + spread * noise)
        if not np.isfinite(logp).all():
            return np.inf, np.zeros_like(x)
        by_log = (gradients * noise).mean(axis=0) * spread + 1
        gradient = np.concatenate([gradients.mean(axis=0) * q.root, by_log])
        return float(-logp.mean() - log_factor.sum()), -gradient

    def look(_: np.ndarray) -> None:
        if not budget.step():
            raise StopIteration

    options = {"maxiter": iterations, "maxls": 40}
    bounds = [(None, None)] * d + [(-LARGEST_LOG, LARGEST_LOG)] * d
    result = optimize.minimize(
        loss,
        np.zeros(2 * d),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options=options,
        callback=look,
    )
    return np.asarray(result.x)


def fit_large(
    target: Target,
    begin: FittedNormal,
    noise: np.ndarray,
    budget: Budget,
    iterations: int = 8,
    tolerance: float = 0.05,
    observe: Observer | None = None,
) -> FittedNormal:
    """Return the best normal whose whitened dimensions may be moved and scaled, but not mixed.

    For dimensions so many that the draws could not tell a covariance: correlations stay those of
    the curvature at a mode. What a normal posterior would contribute cancels in the estimates.
    """
    q, gradients = shrunk_until_finite(target, begin, noise)

    def direction(q: FittedNormal, gradients: np.ndarray) -> Direction:
        residual = gradients @ q.full_root + noise  # zero if q is the posterior
        step, change = residual.mean(axis=0), -(residual * noise).mean(axis=0)

        def at(rate: float) -> FittedNormal:
            precision = np.clip(1 + rate * change, 0.2, 5.0)
            return FittedNormal(q.mean + q.full_root @ (rate * step), q.root / np.sqrt(precision))

        return Direction(max(np.abs(step).max(), 0.5 * np.abs(change).max()), at)

    rules = Rules(
        iterations,
        tries=5,
        tolerance=tolerance,
        gain=tolerance,
        near=np.inf,
        dead_end=np.inf,
        slack=0.0,
        recovers=False,
    )
    return ascended(target, q, gradients, noise, budget, direction, rules, observe)


def fit_mean_field(
    target: Target,
    full: FittedNormal,
    noise: np.ndarray,
    budget: Budget,
    iterations: int = 40,
    tolerance: float = 0.01,
    observe: Observer | None = None,
) -> FittedNormal:
    """Return the best independent normals, beginning at the best normal ``full``.

    The mean moves by Cov g with the covariance of ``full``, a Newton step: steps of each variable
    alone would hardly ever cross a strong correlation. Variances go to 1 / E[-Hessian_ii].
    """
    q, gradients = shrunk_until_finite(target, independent(full), noise)
    if not np.isfinite(q.elbo):
        return q

    def direction(q: FittedNormal, gradients: np.ndarray) -> Direction:
        # what a normal with these variances contributes is exactly 1, whatever the draws
        precision = 1 - ((gradients * q.root + noise) * noise).mean(axis=0)
        step = full.full_root @ (full.full_root.T @ gradients.mean(axis=0))

        def at(rate: float) -> FittedNormal:
            factor = np.clip((1 - rate) + rate * precision, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
            return FittedNormal(q.mean + rate * step, q.root / np.sqrt(factor))

        return Direction(max(np.abs(step / full.sd).max(), 0.5 * np.abs(precision - 1).max()), at)

    rules = Rules(iterations, tries=8, tolerance=tolerance, gain=1e-5, dead_end=10.0)
    return ascended(target, q, gradients, noise, budget, direction, rules, observe)
