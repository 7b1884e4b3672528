"""Modes of a log density from several starts at once, whatever the scales of its variables.

All starts move together, and all step lengths that come into question are tried at once: a log
density costs little more at a hundred vectors than at one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytensor

from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.prior import prior_draws

__all__ = ["Path", "approach", "find_modes", "screened_starts"]

STEPS = np.array([1.0, 2.0, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-5])
FIRST_STEPS = 10.0 ** -np.arange(6)
LBFGS_STEPS = np.array([1.0, 3.0, 0.3, 0.1, 0.01, 1e-3])
MEMORY = 20
LAGGARD = 10.0  # in log density: how far below the best mode a search has to be to be given up
VISIBLE = 20.0  # in log density: how far below the best point a peak is one of the posterior


@dataclass
class Path:
    """A search from one start.

    Attributes
    ----------
    z : numpy.ndarray
        Where it is.
    logp : float
        Log density there.
    gradient : numpy.ndarray
        Gradient there.
    scale : numpy.ndarray
        About the posterior's standard deviation of each variable, given all others.
    converged : bool
        Whether it has come to a mode.
    given_up : bool
        Whether it has stopped elsewhere.
    trail : list of (numpy.ndarray, numpy.ndarray)
        Where it was, with a square root of the inverse curvature there.
    """

    z: np.ndarray
    logp: float
    gradient: np.ndarray
    scale: np.ndarray
    converged: bool = False
    given_up: bool = False
    trail: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    failures: int = 0
    decrement: float = np.inf
    curvature: np.ndarray | None = None
    iterations: int = 0

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return not (self.converged or self.given_up)


def screened_starts(
    target: Target, rng: np.random.Generator, count: int = 400, best: int = 8, peaks: int = 4
) -> np.ndarray:
    """Return the model's own start, and random points of high log density that lie far apart.

    Half of the points are uniform in a cube of ±4 about the start, half normal about it with
    standard deviations from 0.5 to 4; a quarter as many come from the prior. Some of those chosen
    are peaks: of higher density than all points near them.
    """
    half, d = count // 2, target.ddim
    widths = np.exp(rng.uniform(np.log(0.5), np.log(4.0), (half, 1)))
    offsets = [rng.uniform(-4.0, 4.0, (half, d)), widths * rng.standard_normal((half, d))]
    points = target.start + np.concatenate(offsets)
    if not target.is_standardized:
        points = np.concatenate([points, prior_draws(target.model, count // 4, rng)])
    logp = target.logp(points)
    ranked = points[np.argsort(-logp, kind="stable")]
    high = max(half, int((logp > logp.max() - VISIBLE).sum()))
    chosen = ranked[:2]
    for pool in (ranked[: count // 16], ranked[: count // 4]):
        for _ in range(best // 2 - 1):
            distance = ((pool[:, None] - chosen) ** 2).sum(axis=2).min(axis=1)
            chosen = np.concatenate([chosen, pool[[np.argmax(distance)]]])
    return np.concatenate([target.start[None], chosen, peaks_of(ranked[:high], peaks)])


def peaks_of(ranked: np.ndarray, count: int) -> np.ndarray:
    """Return the points that are farthest from all points of higher density.

    Parameters
    ----------
    ranked
        Points (n, d), that of highest density first.
    count
        How many to return.

    References
    ----------
    Rodriguez and Laio (2014), Clustering by fast search and find of density peaks, Science 344.
    """
    squares = ((ranked[:, None] - ranked) ** 2).sum(axis=2)
    squares[np.triu_indices(len(ranked))] = np.inf  # keep those of higher density
    distance = squares.min(axis=1)
    distance[0] = -np.inf  # it has been chosen
    return ranked[np.argsort(-distance, kind="stable")[:count]]


# -- Newton's method ------------------------------------------------------------------------------


def find_modes(
    target: Target,
    starts: np.ndarray,
    budget: Budget,
    iterations: int = 60,
    tolerance: float = 1e-4,
) -> list[Path]:
    """Search for modes by saddle-free Newton steps (Dauphin et al. 2014) from several starts.

    A search has come to a mode when the gain in log density that the next step promises (half
    the Newton decrement squared) is below ``tolerance`` and the curvature positive definite: a
    test that does not depend on the scales of the variables.
    """
    logps, gradients = target(starts)
    paths = [
        Path(z.copy(), float(logp), gradient, np.maximum(np.abs(z), 1.0) * 1e-2)
        for z, logp, gradient in zip(starts, logps, gradients, strict=True)
        if np.isfinite(logp)
    ]
    for iteration in range(iterations):
        active = [path for path in paths if path.active]
        if not active or not budget.step():
            break
        find_curvature(target, active)
        for path in active:
            decompose(path, tolerance)
        trials = [newton_trials(path) for path in active]
        logps, gradients = target(np.concatenate(trials))
        shape = len(active), len(STEPS)
        for path, logp, gradient, trial in zip(
            active, logps.reshape(shape), gradients.reshape(*shape, -1), trials, strict=True
        ):
            path.iterations = iteration
            take_best(path, logp, gradient, trial)
        give_up_laggards(paths, iteration)
    for path in paths:
        if not path.trail:  # there was no time to begin
            path.curvature = np.diag(1 / path.scale**2)
            path.trail.append((path.z, np.diag(path.scale)))
    return paths


def find_curvature(target: Target, paths: list[Path]) -> None:
    """Find the curvature at the ends of paths by differences of gradients."""
    relative = 1e-4 if pytensor.config.floatX == "float64" else 2e-2
    smallest = 1e-11 if pytensor.config.floatX == "float64" else 1e-5
    d = target.ddim
    rows, widths = [], []
    for path in paths:
        shifted = path.z + np.diag(np.maximum(path.scale * relative, smallest * np.abs(path.z)))
        widths.append(shifted.diagonal() - path.z)
        rows.append(shifted)
    _, gradients = target(np.concatenate(rows))
    for path, shifted, width in zip(paths, gradients.reshape(-1, d, d), widths, strict=True):
        H = (path.gradient - shifted) / width[:, None]
        path.curvature = 0.5 * (H + H.T)
        if not np.isfinite(path.curvature).all():
            path.curvature = np.diag(1 / path.scale**2)
        diagonal = np.abs(path.curvature.diagonal())
        own = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1 / path.scale**2))
        path.scale = np.clip(own, path.scale * 1e-3, path.scale * 1e3)


def curvature_at(target: Target, z: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the negative Hessian at a point, by differences over a fraction of a scale."""
    logp, gradient = target(z[None])
    path = Path(z, float(logp[0]), gradient[0], scale)
    find_curvature(target, [path])
    return path.curvature


def decompose(path: Path, tolerance: float) -> None:
    """Find the root of the inverse curvature, its eigenvalues made positive, and test the end."""
    eigenvalues, vectors = np.linalg.eigh(path.curvature * np.outer(path.scale, path.scale))
    largest = max(np.abs(eigenvalues).max(), 1e-300)
    root = path.scale[:, None] * vectors / np.sqrt(np.maximum(np.abs(eigenvalues), 1e-8 * largest))
    path.decrement = 0.5 * float(((root.T @ path.gradient) ** 2).sum())
    path.trail.append((path.z, root))
    path.converged = path.decrement < tolerance and eigenvalues.min() > 1e-7 * eigenvalues.max()


def newton_trials(path: Path) -> np.ndarray:
    """Return where steps of all lengths along the Newton direction lead.

    Where the density falls without any curvature, that direction is too long by orders of
    magnitude: steps that have all failed are followed by shorter ones.
    """
    root = path.trail[-1][1]
    lengths = STEPS * STEPS[-1] ** path.failures
    return path.z + lengths[:, None] * (root @ (root.T @ path.gradient))


def take_best(path: Path, logps: np.ndarray, gradients: np.ndarray, trials: np.ndarray) -> None:
    """Move to the best of the trials, if it is an improvement."""
    best = int(np.argmax(logps))
    if logps[best] > path.logp:
        path.z, path.logp, path.gradient = trials[best], float(logps[best]), gradients[best]
        path.failures = 0
        return
    # at a mode within rounding, or the differences were taken too far apart
    path.failures += 1
    path.scale = path.scale * 0.1
    if path.decrement < 1e-2 + rounding(path.logp):
        scaled = path.curvature * np.outer(path.scale, path.scale)
        path.converged = bool(np.linalg.eigvalsh(scaled)[0] > 0)
    path.given_up = path.failures > 3 and not path.converged


def rounding(logp: float) -> float:
    """Return how much of a log density is rounding error."""
    return 100 * float(np.finfo(pytensor.config.floatX).eps) * abs(logp)


def give_up_laggards(paths: list[Path], iteration: int) -> None:
    """Stop what still wanders far below the best mode: it is not worth the wait."""
    done = [path for path in paths if path.converged]
    if not done:
        return
    best = max(path.logp for path in done)
    patience = 10 + 2 * max(path.iterations for path in done)
    for path in paths:
        if path.active and iteration > patience and path.logp < best - LAGGARD:
            path.given_up = True


# -- L-BFGS ---------------------------------------------------------------------------------------


@dataclass
class Descent:
    """A search by L-BFGS: where it is, and its last steps with the changes of the gradient."""

    z: np.ndarray
    logp: float
    gradient: np.ndarray
    steps: list[np.ndarray] = field(default_factory=list)
    changes: list[np.ndarray] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    ended: bool = False

    def direction(self) -> np.ndarray:
        """Return the direction of the next step (Nocedal & Wright 2006, algorithm 7.4)."""
        pairs = list(zip(self.steps, self.changes, strict=True))
        direction, coefficients = self.gradient.copy(), []
        for step, change in reversed(pairs):
            coefficients.append((step @ direction) / (step @ change))
            direction = direction - coefficients[-1] * change
        if pairs:
            step, change = pairs[-1]
            direction = direction * ((step @ change) / (change @ change))
        else:
            direction = direction / max(np.abs(direction).max(), 1e-300)
        for step, change in pairs:
            coefficient = coefficients.pop()
            direction = direction + (coefficient - (change @ direction) / (step @ change)) * step
        return direction

    def take_best(self, logps: np.ndarray, gradients: np.ndarray, trials: np.ndarray) -> None:
        """Move to the best of the trials; without an improvement, forget the past, then end."""
        best = int(np.argmax(logps))
        if logps[best] > self.logp:
            step, change = trials[best] - self.z, self.gradient - gradients[best]
            if step @ change > 1e-10 * np.sqrt((step @ step) * (change @ change)):
                self.steps = [*self.steps, step][-MEMORY:]
                self.changes = [*self.changes, change][-MEMORY:]
            self.gains.append(float(logps[best]) - self.logp)
            self.z, self.logp, self.gradient = trials[best], float(logps[best]), gradients[best]
        elif self.steps:
            self.steps, self.changes = [], []
        else:
            self.ended = True


def approach(
    target: Target,
    starts: np.ndarray,
    budget: Budget,
    iterations: int = 300,
    tolerance: float = 0.1,
) -> list[Descent]:
    """Approach modes by L-BFGS, where a matrix of all curvatures is dear.

    Ends when ten iterations gained less than ``tolerance`` in log density.
    """
    logps, gradients = target(starts)
    searches = [
        Descent(z.copy(), float(logp), gradient)
        for z, logp, gradient in zip(starts, logps, gradients, strict=True)
        if np.isfinite(logp)
    ]
    for _ in range(iterations):
        active = [search for search in searches if not search.ended]
        if not active or not budget.step():
            break
        trials = [
            s.z + (LBFGS_STEPS if s.steps else FIRST_STEPS)[:, None] * s.direction() for s in active
        ]
        logps, gradients = target(np.concatenate(trials))
        shape = len(active), len(LBFGS_STEPS)
        for search, logp, gradient, trial in zip(
            active, logps.reshape(shape), gradients.reshape(*shape, -1), trials, strict=True
        ):
            search.take_best(logp, gradient, trial)
            recent = search.gains[-10:]
            search.ended |= len(recent) == 10 and sum(recent) < tolerance
    return searches
