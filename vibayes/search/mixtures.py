"""Mixtures of normals, fitted to weighted draws: adaptive importance sampling.

Draws of all proposals so far are weighted by the mixture of those proposals (Veach & Guibas 1995;
Owen & Zhou 2000), a mixture is fitted to them (population Monte Carlo, Cappé et al. 2008), and gets
a component where it has missed most (incremental mixture importance sampling, Raftery & Bao 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln, logsumexp

from vibayes import progress
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.importance import (
    FINITE_VARIANCE,
    effective_size,
    has_good_tail,
    smoothed,
    tempered,
)
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.normals import FittedNormal

__all__ = ["FittedMixture", "ImportanceSampler", "WeightedDraws", "adapt", "fitted_mixture"]

MOST_COMPONENTS = 10
FEWEST_ROUNDS = 2  # after which it may be told that a mixture leads nowhere
KEPT_PROPOSALS = 4
WIDENING, WIDE_SHARE, WIDE_DF = 1.2, 0.25, 4.0
SMALLEST_SHARE = 1e-4
RELIABLE_SHARE = 0.5  # of effective draws


@dataclass(frozen=True)
class FittedMixture:
    """A mixture of normals, or of Student t distributions.

    Attributes
    ----------
    log_weights : numpy.ndarray
        Logarithms of the components' weights, (K,).
    means : numpy.ndarray
        (K, d).
    roots : numpy.ndarray
        Cholesky factors of the scale matrices, (K, d, d).
    df : numpy.ndarray
        Degrees of freedom, (K,); infinite for a normal.
    """

    log_weights: np.ndarray
    means: np.ndarray
    roots: np.ndarray
    df: np.ndarray

    @classmethod
    def make(
        cls,
        log_weights: Sequence[float] | np.ndarray,
        means: Sequence[np.ndarray] | np.ndarray,
        roots: Sequence[np.ndarray],
    ) -> FittedMixture:
        """Return a mixture of normals, with weights in any unit; all the same if none is finite."""
        weights = np.asarray(log_weights, dtype="float64")
        weights = weights if np.isfinite(weights).any() else np.zeros_like(weights)
        weights = weights - logsumexp(weights)
        return cls(weights, np.array(means), np.array(roots), np.full(len(weights), np.inf))

    @classmethod
    def of_normals(cls, normals: Sequence[FittedNormal]) -> FittedMixture:
        """Return the mixture of normals with weights in proportion to exp(ELBO)."""
        return cls.make(
            [q.elbo for q in normals], [q.mean for q in normals], [q.full_root for q in normals]
        )

    def __len__(self) -> int:
        """Return the number of components."""
        return len(self.means)

    def is_of(self, normals: Sequence[FittedNormal]) -> bool:
        """Tell whether the components are these normals, and nothing else."""
        pairs = zip(self.means, normals, strict=False)
        return len(self) == len(normals) and all(np.array_equal(m, q.mean) for m, q in pairs)

    def component_logq(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density of each component (n, K) at the rows of a matrix."""
        d, result = Z.shape[1], np.empty((len(Z), len(self)))
        for k, (mean, root, df) in enumerate(zip(self.means, self.roots, self.df, strict=True)):
            e = solve_triangular(root, (Z - mean).T, lower=True, check_finite=False)
            squares = (e**2).sum(axis=0)
            log_det = np.log(root.diagonal()).sum()
            if np.isinf(df):
                result[:, k] = -0.5 * squares - log_det - d * LOG_SQRT_2PI
            else:
                constant = gammaln((df + d) / 2) - gammaln(df / 2) - 0.5 * d * np.log(df * np.pi)
                result[:, k] = constant - log_det - 0.5 * (df + d) * np.log1p(squares / df)
        return result

    def logq(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density (n,) at the rows of a matrix."""
        if len(self) == 1:  # as in most searches, and of very many points
            return self.component_logq(Z)[:, 0]
        return logsumexp(self.component_logq(Z) + self.log_weights, axis=1)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws (count, d), stratified over the components."""
        expected = np.exp(self.log_weights) * count
        counts = np.floor(expected).astype("int64")
        if rest := count - int(counts.sum()):
            left = np.maximum(expected - counts, 1e-300)
            counts += rng.multinomial(rest, left / left.sum())
        parts = []
        for n, mean, root, df in zip(counts, self.means, self.roots, self.df, strict=True):
            e = rng.standard_normal((n, len(mean)))
            if np.isfinite(df):
                e = e * np.sqrt(df / rng.chisquare(df, (n, 1)))
            parts.append(mean + e @ root.T)
        return np.concatenate(parts)

    def widened(self) -> FittedMixture:
        """Return this mixture with wide Student t copies of its components."""
        share = np.log(WIDE_SHARE)
        return FittedMixture(
            np.concatenate([self.log_weights + np.log1p(-WIDE_SHARE), self.log_weights + share]),
            np.concatenate([self.means] * 2),
            np.concatenate([self.roots, self.roots * WIDENING]),
            np.concatenate([self.df, np.full(len(self), WIDE_DF)]),
        )

    def maximized(self, Z: np.ndarray, log_weights: np.ndarray, ridge: np.ndarray) -> FittedMixture:
        """Return the mixture after a step of expectation maximization on weighted draws.

        Covariances are shrunk to the former ones as far as few draws determine them.

        Parameters
        ----------
        Z
            Draws, (n, d).
        log_weights
            Their normalized log weights, (n,).
        ridge
            Variances, (d,), of which a trace is added to all covariances.
        """
        d = Z.shape[1]
        shares = self.component_logq(Z) + self.log_weights
        shares = np.exp(shares - logsumexp(shares, axis=1, keepdims=True) + log_weights[:, None])
        parts = []
        for former, share in zip(self.roots, shares.T, strict=True):
            total = share.sum()
            if total < SMALLEST_SHARE:
                continue
            w = share / total
            mean = w @ Z
            centred = Z - mean
            shrinkage = (d + 2) / (1 / (w**2).sum() + d + 2)
            cov = (1 - shrinkage) * (centred * w[:, None]).T @ centred
            cov = cov + shrinkage * former @ former.T + np.diag(1e-8 * ridge)
            root = cholesky_or_none(cov)
            if root is not None:
                parts.append((np.log(total), mean, root))
        return FittedMixture.make(*zip(*parts, strict=True)) if parts else self

    def with_component(self, weight: float, mean: np.ndarray, root: np.ndarray) -> FittedMixture:
        """Return the mixture with a further component."""
        return FittedMixture.make(
            [*(self.log_weights + np.log1p(-weight)), np.log(weight)],
            [*self.means, mean],
            [*self.roots, root],
        )

    def with_half(self, other: FittedMixture) -> FittedMixture:
        """Return a mixture of this one and another, half of each."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        log_weights, *rest = (np.concatenate(pair) for pair in pairs)
        return FittedMixture(log_weights - np.log(2), *rest)


def cholesky_or_none(cov: np.ndarray) -> np.ndarray | None:
    """Return the Cholesky factor of a matrix, None if it has none."""
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None


@dataclass(frozen=True)
class WeightedDraws:
    """Draws that stand for the posterior.

    Attributes
    ----------
    values : numpy.ndarray
        (n, d).
    log_weights : numpy.ndarray
        Normalized, (n,).
    khat : float
        Pareto k-hat of the weights before smoothing; NaN if the draws were not weighted.
    independent : float, optional
        How many independent draws they would be worth if their weights were even; all of them by
        default.
    """

    values: np.ndarray
    log_weights: np.ndarray
    khat: float
    independent: float | None = None

    @classmethod
    def even(cls, values: np.ndarray, independent: float | None = None) -> WeightedDraws:
        """Return draws (n, d) of equal weight."""
        return cls(values, np.full(len(values), -np.log(len(values))), np.nan, independent)

    def of(self, rows: np.ndarray) -> WeightedDraws:
        """Return some of the draws, by a mask (n,)."""
        log_weights = self.log_weights[rows] - np.logaddexp.reduce(self.log_weights[rows])
        share = None if self.independent is None else self.independent * rows.mean()
        return WeightedDraws(self.values[rows], log_weights, self.khat, share)

    @property
    def size(self) -> float:
        """How many independent draws they are worth."""
        share = 1.0 if self.independent is None else self.independent / len(self.values)
        return share * effective_size(self.log_weights)

    @property
    def has_variance(self) -> bool:
        """Whether the weights have a variance, or are so even that their tail does not matter."""
        return has_good_tail(self.khat, self.size, len(self.values), FINITE_VARIANCE)

    @property
    def is_reliable(self) -> bool:
        """Whether the weights have a variance, and half of the draws count.

        Where fewer do, those that do may be none of a tail that is far from the others.
        """
        return self.size > RELIABLE_SHARE * len(self.values) and self.has_variance

    @property
    def mean(self) -> np.ndarray:
        """Weighted mean, (d,)."""
        return np.exp(self.log_weights) @ self.values

    @property
    def sd(self) -> np.ndarray:
        """Weighted standard deviation, (d,)."""
        return np.sqrt(np.exp(self.log_weights) @ (self.values - self.mean) ** 2)

    def quantiles(self, probabilities: Sequence[float]) -> np.ndarray:
        """Return weighted quantiles, (len(probabilities), d)."""
        weights, last = np.exp(self.log_weights), len(self.values) - 1
        columns = []
        for column in self.values.T:
            order = np.argsort(column)
            rows = np.searchsorted(np.cumsum(weights[order]), probabilities)
            columns.append(column[order[np.minimum(rows, last)]])
        return np.array(columns).T.reshape(len(probabilities), -1)

    def width(self, probabilities: tuple[float, float]) -> np.ndarray:
        """Return the distance of two weighted quantiles, (d,)."""
        low, high = self.quantiles(probabilities)
        return high - low

    @property
    def root(self) -> np.ndarray:
        """Cholesky factor of the weighted covariance, (d, d)."""
        centred = (self.values - self.mean) * np.exp(0.5 * self.log_weights)[:, None]
        return np.linalg.cholesky(centred.T @ centred + 1e-8 * np.diag(self.sd**2 + 1e-300))

    def tempered(self, size: float) -> WeightedDraws:
        """Return the draws with weights flattened until they are worth a number of draws."""
        return replace(self, log_weights=tempered(self.log_weights, size))


@dataclass(frozen=True)
class ImportanceSampler:
    """Draws of a number of proposals, weighted by the mixture of all of them.

    Attributes
    ----------
    target : Target
        What to sample.
    count : int
        Number of draws of a proposal, if nothing else is said.
    values : numpy.ndarray
        The draws, those of each proposal after those of the one before, (n, d).
    logp : numpy.ndarray
        Log density of the target there, (n,).
    logq : numpy.ndarray
        Log density of each proposal there, (n, number of proposals).
    proposals : tuple of FittedMixture
        What was drawn from.
    counts : tuple of int
        The number of draws of each proposal.
    """

    target: Target
    count: int
    values: np.ndarray
    logp: np.ndarray
    logq: np.ndarray
    proposals: tuple[FittedMixture, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def empty(cls, target: Target, count: int) -> ImportanceSampler:
        """Return a sampler that has no draws yet."""
        return cls(target, count, np.empty((0, target.ddim)), np.empty(0), np.empty((0, 0)))

    def with_draws(
        self, proposal: FittedMixture, rng: np.random.Generator, count: int | None = None
    ) -> ImportanceSampler:
        """Return a sampler that has draws of one more proposal, and of the last few before."""
        count = self.count if count is None else count
        drawn = proposal.draw(count, rng)
        old = np.array([p.logq(drawn) for p in self.proposals]).reshape(-1, count).T
        values = np.concatenate([self.values, drawn])
        logp = np.concatenate([self.logp, self.target.logp(drawn)])
        logq = np.column_stack([np.concatenate([self.logq, old]), proposal.logq(values)])
        first = int(len(self.proposals) >= KEPT_PROPOSALS + 1)
        cut = sum(self.counts[:first])
        return replace(
            self,
            values=values[cut:],
            logp=logp[cut:],
            logq=logq[cut:, first:],
            proposals=(*self.proposals[first:], proposal),
            counts=(*self.counts[first:], count),
        )

    @property
    def draws(self) -> WeightedDraws:
        """The draws with Pareto-smoothed weights."""
        return WeightedDraws(self.values, *smoothed(self.logp - self.mixture_logq))

    @property
    def mixture_logq(self) -> np.ndarray:
        """Log density at the draws of the mixture of all proposals, (n,)."""
        shares = np.array(self.counts) / len(self.values)
        return logsumexp(self.logq + np.log(shares), axis=1)

    def size_if(self, posterior: FittedMixture) -> float:
        """Return how many independent draws these would be worth if a mixture were the target."""
        log_ratios = posterior.logq(self.values) - self.mixture_logq
        return effective_size(log_ratios - logsumexp(log_ratios))


def adapt(
    sampler: ImportanceSampler,
    q: FittedMixture,
    rng: np.random.Generator,
    budget: Budget,
    rounds: int = 10,
) -> tuple[ImportanceSampler, FittedMixture, bool]:
    """Improve a mixture until its weights are good, and their moments stand still, twice in a row.

    It ends early where too few draws count to tell a covariance.

    Returns
    -------
    ImportanceSampler
        With draws of all mixtures on the way.
    FittedMixture
        The last one.
    bool
        Whether that was reached.
    """
    d, last, streak = sampler.target.ddim, None, 0
    for round_ in range(rounds):
        if not budget.step():
            break
        progress.say(f"adapting a mixture: {round_ + 1} of {rounds}")
        sampler = sampler.with_draws(q.widened(), rng)
        draws = sampler.draws
        reliable = draws.khat < 0.6 and draws.size >= sampler.count
        fine = reliable and last is not None and stands_still(last, draws)
        streak = streak + 1 if fine else 0
        if streak == 2:
            return sampler, q, True
        last = draws
        if round_ >= FEWEST_ROUNDS and draws.size < 2 * d:
            break  # covariances of so few draws lead nowhere
        flat = draws.tempered(min(0.1 * len(draws.values), 20.0 * d))
        ridge = np.maximum(flat.sd**2, 1e-300)
        if len(q) < MOST_COMPONENTS and round_ and not reliable:
            q = with_missed(q, sampler, flat, ridge)
        for _ in range(3):
            q = q.maximized(flat.values, flat.log_weights, ridge)
    return sampler, q, False


def stands_still(before: WeightedDraws, after: WeightedDraws) -> bool:
    """Tell whether means and standard deviations agree within a tenth."""
    shift = np.abs(after.mean - before.mean) / after.sd
    return bool(shift.max() < 0.1 and np.abs(np.log(after.sd / before.sd)).max() < 0.1)


def with_missed(
    q: FittedMixture, sampler: ImportanceSampler, draws: WeightedDraws, ridge: np.ndarray
) -> FittedMixture:
    """Add a component where p / q is largest, of the shape of the draws about there."""
    Z, d = draws.values, sampler.target.ddim
    ratios = np.where(draws.log_weights > np.log(1e-12), sampler.logp - q.logq(Z), -np.inf)
    centre = Z[np.argmax(ratios)]
    near = np.argsort((((Z - centre) ** 2) / ridge).sum(axis=1))[: max(5 * d, len(Z) // 10)]
    w = np.exp(draws.log_weights[near]) + 1.0 / len(Z)
    centred = Z[near] - centre
    cov = (centred * (w / w.sum())[:, None]).T @ centred + np.diag(1e-6 * ridge)
    weight = 0.1 if len(q) > 3 else 1 / (1 + len(q))
    return q.with_component(weight, centre, np.linalg.cholesky(cov))


def fitted_mixture(
    Z: np.ndarray, rng: np.random.Generator, most: int = 8, sweeps: int = 25
) -> FittedMixture:
    """Return a mixture fitted to draws that have no weights, by expectation maximization.

    It has as many components as leave 4 d draws to each; they begin far apart (k-means++).
    """
    n, d = Z.shape
    count = int(np.clip(n // (4 * d + 8), 1, most))
    cov = np.cov(Z.T).reshape(d, d)
    ridge = np.maximum(cov.diagonal(), 1e-300)
    W = Z / np.sqrt(ridge)
    centres = [int(rng.integers(n))]
    for _ in range(count - 1):
        distance = ((W[:, None] - W[centres]) ** 2).sum(axis=2).min(axis=1)
        centres.append(int(rng.choice(n, p=distance / distance.sum())))
    root = np.linalg.cholesky(cov / count ** (2 / d) + np.diag(1e-8 * ridge))
    q = FittedMixture.make(np.zeros(count), Z[centres], [root] * count)
    even = np.full(n, -np.log(n))
    for _ in range(sweeps):
        q = q.maximized(Z, even, ridge)
    return q
