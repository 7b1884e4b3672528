"""The best normal approximation, by natural-gradient steps on draws that stay the same.

With fixed draws the objective is deterministic: steps can be compared, and the end be recognized
(sample average approximation; Burroni et al. 2024, Giordano et al. 2024). The draws' first two
moments are exact, so that a normal posterior is found without any error from their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize
from scipy.linalg import solve_triangular
from scipy.special import ndtri

from vibayes import progress
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.model.target import Target
from vibayes.search.budget import Budget

__all__ = [
    "FittedNormal",
    "apart",
    "fit_diagonal",
    "fit_full_rank",
    "fit_large",
    "fit_mean_field",
    "from_curvature",
    "independent",
    "matched_normals",
    "mirrored_normals",
    "stratified_normals",
]

MOST_SOBOL = 64  # dimensions up to which a Sobol sequence is better than random numbers
LARGEST_FACTOR = 10.0  # by which a step may change a variance
APART = 3.0  # how far places lie from each other, in standard deviations
LARGEST_LOG = 3.0  # by which a round of L-BFGS may change a log standard deviation

Observer = Callable[["FittedNormal"], None]


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


def matched_normals(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return at least ``count`` standard normal draws whose mean is 0 and covariance I exactly."""
    half = max((count + 1) // 2, d + 1)
    if d <= MOST_SOBOL:
        from scipy.stats import qmc  # takes as long to import as all else

        seed = {"rng": rng} if "rng" in qmc.Sobol.__init__.__code__.co_varnames else {"seed": rng}
        uniform = qmc.Sobol(d, scramble=True, **seed).random_base2(int(np.ceil(np.log2(half))))
        noise = ndtri(np.clip(uniform[:half], 1e-12, 1 - 1e-12))
    else:
        noise = rng.standard_normal((half, d))
    noise = np.concatenate([noise, -noise])
    root = np.linalg.cholesky(noise.T @ noise / len(noise))
    return solve_triangular(root, noise.T, lower=True).T


def mirrored_normals(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` standard normal draws, the second half the negative of the first."""
    half = rng.standard_normal((count // 2, d))
    return np.concatenate([half, -half])


def stratified_normals(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` mirrored draws that are the same numbers in each dimension, in some order.

    A Latin hypercube (McKay et al. 1979): the means of the normal in strata of equal probability,
    with variance 1 exactly. What a dimension contributes by itself is as good as quadrature then.
    With random draws, few enough for many dimensions, the best standard deviations would be off by
    as much as those of the draws: by half and more in thousands of dimensions.
    """
    half = count // 2
    bounds = ndtri(np.linspace(0.5, 1.0, half + 1))
    heights = np.exp(-0.5 * bounds**2 - LOG_SQRT_2PI)
    means = 2 * half * (heights[:-1] - heights[1:])
    means /= np.sqrt((means**2).mean())
    columns = np.repeat(means[:, None], d, axis=1)
    first = rng.permuted(columns, axis=0) * rng.choice([-1.0, 1.0], (half, d))
    return np.concatenate([first, -first])


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
        eigenvalues, vectors = np.linalg.eigh(scaled)
        largest = np.abs(eigenvalues).max() or 1.0
        eigenvalues = np.maximum(np.abs(eigenvalues), 1e-6 * largest)
        scaled = (vectors * eigenvalues) @ vectors.T
        upper = np.linalg.cholesky(scaled[::-1, ::-1])[::-1, ::-1]
    root = solve_triangular(upper, np.eye(len(mean)), lower=False).T
    return FittedNormal(mean, scale[:, None] * root)


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
        eigenvalues, vectors = np.linalg.eigh(B)
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
