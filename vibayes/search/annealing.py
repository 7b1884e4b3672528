"""A population that cools from a wide distribution to the posterior, where there are several modes.

An ascent goes to the mode in whose basin it begins, and some basins are narrow though their modes
hold mass. While all is warm, points go from one to the other; as it cools, each mode keeps about as
many of them as it has mass (sequential Monte Carlo, Del Moral, Doucet & Jasra 2006). They show
where else to look, and how much each mode holds. How far two of them differ tells how far to trust
that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from vibayes import progress
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.importance import normalized, powers_about, resampled
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.chains import Ensemble, excess_of
from vibayes.search.mixtures import FittedMixture
from vibayes.search.normals import FittedNormal
from vibayes.search.prior import prior_draws
from vibayes.search.scan import EXCESS, places

__all__ = ["MOST_NUMBERS", "POPULATION", "Population", "annealed", "unexplained_points"]

SIZE = 2048  # of each of two populations
POPULATION = 2 * SIZE
"""Number of points of two populations."""
PRIOR = 200  # draws of the prior that tell how wide it is
KEPT = 0.5  # share of effective points that a lower temperature leaves
MOST_TEMPERATURES = 60
MOVES, LEAPS = 2, 6  # trajectories at each temperature, and steps of each
MOST_NUMBERS = 4 * 10**9  # that all evaluations together make: seconds
EVERYWHERE = np.zeros(SIZE, dtype="int64")  # they all belong together
WIDENING = 3.0  # of what was found, where the prior cannot be drawn from


@dataclass(frozen=True)
class Population:
    """Points of a posterior, and at how many temperatures they have been before.

    Attributes
    ----------
    values : numpy.ndarray
        The points, (n, d), of which each half has cooled by itself; none if there was no time.
    logp : numpy.ndarray
        Log density there, (n,).
    temperatures : int
        Number of temperatures.
    """

    values: np.ndarray
    logp: np.ndarray
    temperatures: int = 0


@dataclass
class Tempered:
    """A density between a wide one of independent normals and that of a target.

    Attributes
    ----------
    target : Target
        What it becomes.
    center, sd : numpy.ndarray
        Mean and standard deviation of the wide one, (d,).
    share : float
        Power of the target; the wide one has the rest.
    """

    target: Target
    center: np.ndarray
    sd: np.ndarray
    share: float = 1.0

    def __call__(self, Z: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """Return log density (n,) and gradient (n, d) at the rows of a matrix."""
        logp, gradient = self.target(Z)
        rest = 1 - self.share
        wide = (self.center - Z) / self.sd**2
        return self.share * logp + rest * self.wide(Z), self.share * gradient + rest * wide

    def wide(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density of the wide one, (n,)."""
        e = (Z - self.center) / self.sd
        return -0.5 * (e**2).sum(axis=1) - np.log(self.sd).sum() - Z.shape[1] * LOG_SQRT_2PI


def annealed(
    target: Target,
    normals: Sequence[FittedNormal],
    rng: np.random.Generator,
    budget: Budget,
    most: float = MOST_NUMBERS,
) -> Population:
    """Return two populations that have cooled to a posterior; none where that is dear.

    Parameters
    ----------
    target
        The posterior.
    normals
        What was found of it: they begin at least as wide.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    most
        Numbers that all evaluations together may make.
    """
    evaluations = POPULATION * MOST_TEMPERATURES / 2 * MOVES * LEAPS
    none = Population(np.empty((0, target.ddim)), np.empty(0))
    if target.work.numbers * evaluations > most or budget.is_late:
        return none
    density = Tempered(target, *wide_normal(target, normals, rng))
    halves = [cooled(density, rng, budget) for _ in range(2)]
    if not all(half.temperatures for half in halves):
        return none
    return Population(
        np.concatenate([half.values for half in halves]),
        np.concatenate([half.logp for half in halves]),
        max(half.temperatures for half in halves),
    )


def cooled(density: Tempered, rng: np.random.Generator, budget: Budget) -> Population:
    """Return a population that has cooled to the target of a density."""
    target = density.target
    none = Population(np.empty((0, target.ddim)), np.empty(0))
    Z = density.center + density.sd * rng.standard_normal((SIZE, target.ddim))
    logp, share, step = target.logp(Z), 0.0, target.ddim**-0.25
    for number in range(1, MOST_TEMPERATURES + 1):
        progress.say(f"cooling a population: temperature {number}")
        ratios = np.where(np.isfinite(logp), logp - density.wide(Z), -np.inf)
        if np.isneginf(ratios).all():
            return none
        change = next_change(ratios, 1 - share)
        share += change
        Z = Z[resampled(normalized(change * ratios), SIZE, rng)]
        ensemble = Ensemble(replace(density, share=share), Z, root_of(Z), rng, EVERYWHERE, jumps=1)
        ensemble.step = step
        for _ in range(MOVES):
            ensemble.length = LEAPS * ensemble.step
            if not budget.step() or (done := ensemble.move(budget)) is None:
                return none
            ensemble.step *= np.exp(excess_of(done.acceptance, careful=False))
        Z, step = ensemble.Z, ensemble.step
        logp = target.logp(Z)
        if share >= 1:
            return Population(Z, logp, number)
    return none


def next_change(ratios: np.ndarray, left: float) -> float:
    """Return by how much the target's share may grow, so that enough points still count.

    Parameters
    ----------
    ratios
        Log density of the target minus that of the wide distribution, at the points.
    left
        The most.
    """
    return left * powers_about(left * ratios, KEPT * len(ratios))[1]


def root_of(Z: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of the covariance of points, as far as they determine it."""
    n, d = Z.shape
    cov = np.cov(Z.T).reshape(d, d)
    variances = np.diag(np.maximum(cov.diagonal(), 1e-300))
    return np.linalg.cholesky((n * cov + d * variances) / (n + d) + 1e-10 * variances)


def unexplained_points(
    population: Population, normals: Sequence[FittedNormal], rng: np.random.Generator
) -> np.ndarray:
    """Return points (n, d) of a population that may be near a mode that normals leave out.

    At them the log density is more than ``EXCESS`` above that of the normals, each multiplied by
    its estimate of the evidence, as in :func:`vibayes.search.scan.unexplained`.
    """
    Z, logp = population.values, population.logp
    if not len(Z):
        return Z
    explained = FittedMixture.of_normals(normals).logq(Z) + logsumexp([q.elbo for q in normals])
    odd = logp > explained + EXCESS
    return places(Z[odd], logp[odd] - explained[odd], rng) if odd.any() else Z[:0]


def wide_normal(
    target: Target, normals: Sequence[FittedNormal], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of independent normals as wide as prior and modes.

    The width of the prior is that between its quartiles, whatever its tails.
    """
    means = np.array([q.mean for q in normals])
    low, high = (np.array([q.mean + s * q.sd for q in normals]) for s in (-1, 1))
    low, high = low.min(axis=0), high.max(axis=0)
    prior = np.empty((0, target.ddim))
    if not target.is_standardized:
        prior = prior_draws(target.model, PRIOR, rng)
    if len(prior):
        quartiles = np.quantile(prior, [0.25, 0.75], axis=0)
        low, high = np.minimum(low, quartiles[0]), np.maximum(high, quartiles[1])
        return (low + high) / 2, (high - low) / 1.35
    return means.mean(axis=0), WIDENING * (high - low) / 2
