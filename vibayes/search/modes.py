"""Modes of a log density from several starts at once, whatever the scales of its variables.

All starts move together, and all step lengths that come into question are tried at once: a log
density costs little more at a hundred vectors than at one. So the L-BFGS here is not SciPy's, which
evaluates one vector at a time and, where scales differ by orders of magnitude, comes less close in
as many steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pytensor

from vibayes.eigenvalues import eigh
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.prior import prior_draws

__all__ = ["Screening", "SearchPath", "approach", "find_modes", "peaks_of", "screened_starts"]

STEPS = np.array([1.0, 2.0, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-5])
FIRST_STEPS = 10.0 ** -np.arange(6)
LBFGS_STEPS = np.array([1.0, 3.0, 0.3, 0.1, 0.01, 1e-3])
MEMORY = 20
LAGGARD = 10.0  # in log density: how far below the best mode a search has to be to be given up
NEAR, LEVEL = 0.5, 1.0  # in sds and in log density: searches that go on to the same mode
VISIBLE = 20.0  # in log density: how far below the best point a peak is one of the posterior


@dataclass(frozen=True)
class SearchPath:
    """A search by Newton steps from one start, as far as it has come.

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
    trail : tuple of (numpy.ndarray, numpy.ndarray)
        Where it was, with a square root of the inverse curvature there.
    failures : int
        Number of steps in a row, none of whose lengths was an improvement.
    decrement : float
        Gain in log density that the last Newton step promised.
    convex : bool
        Whether the curvature was positive definite before the last step.
    curvature : numpy.ndarray
        The negative Hessian before the last step; empty before the first one.
    iterations : int
        Number of steps before the last one.
    """

    z: np.ndarray
    logp: float
    gradient: np.ndarray
    scale: np.ndarray
    converged: bool = False
    given_up: bool = False
    trail: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    failures: int = 0
    decrement: float = np.inf
    convex: bool = False
    curvature: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    iterations: int = 0

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return not (self.converged or self.given_up)


class Screening(NamedTuple):
    """Points at which searches begin (n, d), of how many chosen, and how many of the prior."""

    starts: np.ndarray
    points: int
    prior: int


def screened_starts(
    target: Target, rng: np.random.Generator, count: int = 400, best: int = 8, peaks: int = 4
) -> Screening:
    """Return the model's own start, and random points of high log density that lie far apart.

    Half of the points are uniform in a cube of ±4 about the start, half normal about it with
    standard deviations from 0.5 to 4; a quarter as many come from the prior. Some of those chosen
    are peaks: of higher density than all points near them.
    """
    half, d = count // 2, target.ddim
    widths = np.exp(rng.uniform(np.log(0.5), np.log(4.0), (half, 1)))
    offsets = [rng.uniform(-4.0, 4.0, (half, d)), widths * rng.standard_normal((half, d))]
    points, prior = target.start + np.concatenate(offsets), np.empty((0, d))
    if not target.is_standardized:
        prior = prior_draws(target.model, count // 4, rng)
    points = np.concatenate([points, prior])
    logp = target.logp(points)
    if target.has_angles:
        target.turn_to(points[[np.argmax(logp)]])
        points = target.on_turn(points)
        logp = target.logp(points)
    ranked = points[np.argsort(-logp, kind="stable")]
    high = max(half, int((logp > logp.max() - VISIBLE).sum()))
    chosen = ranked[:2]
    for pool in (ranked[: count // 16], ranked[: count // 4]):
        for _ in range(best // 2 - 1):
            distance = ((pool[:, None] - chosen) ** 2).sum(axis=2).min(axis=1)
            chosen = np.concatenate([chosen, pool[[np.argmax(distance)]]])
    starts = np.concatenate([target.start[None], chosen, peaks_of(ranked[:high], peaks)])
    _, first = np.unique(starts, axis=0, return_index=True)  # a peak may have been chosen already
    return Screening(starts[np.sort(first)], len(points), len(prior))


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
    from scipy.spatial.distance import cdist  # takes long to import

    squares = cdist(ranked, ranked, "sqeuclidean")
    squares[np.tri(len(ranked), dtype=bool).T] = np.inf  # keep those of higher density
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
) -> list[SearchPath]:
    """Search for modes by saddle-free Newton steps (Dauphin et al. 2014) from several starts.

    A search has come to a mode when the gain in log density that the next step promises (half
    the Newton decrement squared) is below ``tolerance`` and the curvature positive definite: a
    test that does not depend on the scales of the variables.
    """
    logps, gradients = target(starts)
    paths = [
        SearchPath(z.copy(), float(logp), gradient, np.maximum(np.abs(z), 1.0) * 1e-2)
        for z, logp, gradient in zip(starts, logps, gradients, strict=True)
        if np.isfinite(logp)
    ]
    for iteration in range(iterations):
        active = [path for path in paths if path.active]
        if not active or not budget.step():
            break
        active = [decomposed(path, tolerance) for path in with_curvature(target, active)]
        trials = [newton_trials(path) for path in active]
        logps, gradients = target(np.concatenate(trials))
        shape = len(active), len(STEPS)
        stepped = iter(
            after_best(replace(path, iterations=iteration), logp, gradient, trial)
            for path, logp, gradient, trial in zip(
                active, logps.reshape(shape), gradients.reshape(*shape, -1), trials, strict=True
            )
        )
        paths = [next(stepped) if path.active else path for path in paths]
        paths = without_followers(without_laggards(paths, iteration))
    paths = [path if path.trail else stationary(path) for path in paths]
    clear = is_resolved(target, np.array([path.z for path in paths]).reshape(-1, target.ddim))
    if clear.any():
        paths = [path for path, is_clear in zip(paths, clear, strict=True) if is_clear]
    # the modes of other turns of an angle are the same ones once more
    on_turn = target.is_on_turn(np.array([path.z for path in paths]).reshape(-1, target.ddim))
    return [path for path, is_on in zip(paths, on_turn, strict=True) if is_on]


def is_resolved(target: Target, places: np.ndarray) -> np.ndarray:
    """Tell at which places (n, d) a log density is more than its rounding errors.

    Far out, where large terms cancel, rounding can exceed all that the data say, and a search
    climbs it as if it were a mode. There, values at neighbours that no data can tell apart differ
    by more than 1: at two of eight or more, since a single one may be beyond a wall.
    """
    relative = 4 * np.finfo(pytensor.config.floatX).eps
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(8, 1, places.shape[1]))
    steps = signs * np.arange(1, 9)[:, None, None] * relative
    around = places * (1 + steps)
    logp = target.logp(np.concatenate([places, around.reshape(-1, places.shape[1])]))
    at, near = logp[: len(places)], logp[len(places) :].reshape(8, -1)
    with np.errstate(invalid="ignore"):  # of two that are infinite
        return (np.abs(near - at) > 1).sum(axis=0) < 2


def stationary(path: SearchPath) -> SearchPath:
    """Return a path that had no time to begin, with a trail of one place."""
    curvature, root = np.diag(1 / path.scale**2), np.diag(path.scale)
    return replace(path, curvature=curvature, trail=((path.z, root),))


def with_curvature(target: Target, paths: list[SearchPath]) -> list[SearchPath]:
    """Return paths with the curvature at their ends, by differences of gradients."""
    relative = 1e-4 if pytensor.config.floatX == "float64" else 2e-2
    smallest = 1e-11 if pytensor.config.floatX == "float64" else 1e-5
    d = target.ddim
    rows, widths = [], []
    for path in paths:
        shifted = path.z + np.diag(np.maximum(path.scale * relative, smallest * np.abs(path.z)))
        widths.append(shifted.diagonal() - path.z)
        rows.append(shifted)
    _, gradients = target(np.concatenate(rows))
    found = []
    for path, shifted, width in zip(paths, gradients.reshape(-1, d, d), widths, strict=True):
        H = (path.gradient - shifted) / width[:, None]
        curvature = 0.5 * (H + H.T)
        if not np.isfinite(curvature).all():
            curvature = np.diag(1 / path.scale**2)
        diagonal = np.abs(curvature.diagonal())
        own = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1 / path.scale**2))
        scale = np.clip(own, path.scale * 1e-3, path.scale * 1e3)
        found.append(replace(path, curvature=curvature, scale=scale))
    return found


def curvature_at(target: Target, z: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the negative Hessian at a point, by differences over a fraction of a scale."""
    logp, gradient = target(z[None])
    (path,) = with_curvature(target, [SearchPath(z, float(logp[0]), gradient[0], scale)])
    return path.curvature


def decomposed(path: SearchPath, tolerance: float) -> SearchPath:
    """Add the root of the inverse curvature, its eigenvalues made positive, and test the end."""
    eigenvalues, vectors = eigh(path.curvature * np.outer(path.scale, path.scale))
    largest = max(np.abs(eigenvalues).max(), 1e-300)
    root = path.scale[:, None] * vectors / np.sqrt(np.maximum(np.abs(eigenvalues), 1e-8 * largest))
    decrement = 0.5 * float(((root.T @ path.gradient) ** 2).sum())
    convex = bool(eigenvalues.min() > 1e-7 * eigenvalues.max())
    return replace(
        path,
        decrement=decrement,
        convex=convex,
        trail=(*path.trail, (path.z, root)),
        converged=decrement < tolerance and convex,
    )


def newton_trials(path: SearchPath) -> np.ndarray:
    """Return where steps of all lengths along the Newton direction lead.

    Where the density falls without any curvature, that direction is too long by orders of
    magnitude: steps that have all failed are followed by shorter ones.
    """
    root = path.trail[-1][1]
    lengths = STEPS * STEPS[-1] ** path.failures
    return path.z + lengths[:, None] * (root @ (root.T @ path.gradient))


def after_best(
    path: SearchPath, logps: np.ndarray, gradients: np.ndarray, trials: np.ndarray
) -> SearchPath:
    """Return a path that has moved to the best of the trials, if it is an improvement."""
    best = int(np.argmax(logps))
    if logps[best] > path.logp:
        return replace(
            path, z=trials[best], logp=float(logps[best]), gradient=gradients[best], failures=0
        )
    # at a mode within rounding, or the differences were taken too far apart
    failures, scale, converged = path.failures + 1, path.scale * 0.1, path.converged
    if path.decrement < 1e-2 + rounding(path.logp):
        scaled = path.curvature * np.outer(scale, scale)
        converged = bool(np.linalg.eigvalsh(scaled)[0] > 0)
    given_up = failures > 3 and not converged
    return replace(path, failures=failures, scale=scale, converged=converged, given_up=given_up)


def rounding(logp: float) -> float:
    """Return how much of a log density is rounding error."""
    return 100 * float(np.finfo(pytensor.config.floatX).eps) * abs(logp)


def without_laggards(paths: list[SearchPath], iteration: int) -> list[SearchPath]:
    """Give up what still wanders far below the best mode: it is not worth the wait."""
    done = [path for path in paths if path.converged]
    if not done:
        return paths
    best = max(path.logp for path in done)
    if iteration <= 10 + 2 * max(path.iterations for path in done):
        return paths
    return [
        replace(path, given_up=True) if path.active and path.logp < best - LAGGARD else path
        for path in paths
    ]


def without_followers(paths: list[SearchPath]) -> list[SearchPath]:
    """Leave out what is about to come to the same mode as a search that is ahead of it."""
    leaders: list[SearchPath] = []
    followers = set()
    for path in sorted(paths, key=lambda p: -p.logp):
        if path.active and any(is_follower(path, leader) for leader in leaders):
            followers.add(id(path))
        elif path.convex and path.decrement < LEVEL and not path.given_up:
            leaders.append(path)
    return [path for path in paths if id(path) not in followers]


def is_follower(path: SearchPath, leader: SearchPath) -> bool:
    """Tell whether a search is close to another one, by the curvature there."""
    if leader.logp - path.logp > LEVEL:
        return False
    away = np.linalg.solve(leader.trail[-1][1], path.z - leader.z)
    return bool(np.abs(away).max() < NEAR)


# -- L-BFGS ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descent:
    """A search by L-BFGS, as far as it has come.

    Attributes
    ----------
    z : numpy.ndarray
        Where it is.
    logp : float
        Log density there.
    gradient : numpy.ndarray
        Gradient there.
    steps, changes : tuple of numpy.ndarray
        Its last steps, and the changes of the gradient that they made.
    gains : tuple of float
        Gain in log density of each step.
    ended : bool
        Whether it goes no further.
    """

    z: np.ndarray
    logp: float
    gradient: np.ndarray
    steps: tuple[np.ndarray, ...] = ()
    changes: tuple[np.ndarray, ...] = ()
    gains: tuple[float, ...] = ()
    ended: bool = False

    @property
    def trials(self) -> np.ndarray:
        """Where steps of all lengths lead."""
        lengths = LBFGS_STEPS if self.steps else FIRST_STEPS
        return self.z + lengths[:, None] * self.direction()

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

    def after_best(self, logps: np.ndarray, gradients: np.ndarray, trials: np.ndarray) -> Descent:
        """Return the search at the best of the trials.

        Without an improvement it forgets its past, and ends if it has none.
        """
        best = int(np.argmax(logps))
        if not logps[best] > self.logp:
            return replace(self, steps=(), changes=(), ended=not self.steps)
        steps, changes = self.steps, self.changes
        step, change = trials[best] - self.z, self.gradient - gradients[best]
        if step @ change > 1e-10 * np.sqrt((step @ step) * (change @ change)):
            steps, changes = (*steps, step)[-MEMORY:], (*changes, change)[-MEMORY:]
        gains = (*self.gains, float(logps[best]) - self.logp)
        return Descent(trials[best], float(logps[best]), gradients[best], steps, changes, gains)

    def ended_if_slow(self, tolerance: float) -> Descent:
        """Return the search, ended if ten steps gained less than a tolerance."""
        recent = self.gains[-10:]
        slow = len(recent) == 10 and sum(recent) < tolerance
        return replace(self, ended=self.ended or slow)


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
        trials = [search.trials for search in active]
        logps, gradients = target(np.concatenate(trials))
        shape = len(active), len(LBFGS_STEPS)
        stepped = iter(
            search.after_best(logp, gradient, trial).ended_if_slow(tolerance)
            for search, logp, gradient, trial in zip(
                active, logps.reshape(shape), gradients.reshape(*shape, -1), trials, strict=True
            )
        )
        searches = [search if search.ended else next(stepped) for search in searches]
    return searches
