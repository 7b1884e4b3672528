"""Posteriors of few parameters and many variables that are nearly normal given these.

In coordinates that suit a hierarchy, standard variables u are nearly normal given the parameters
theta, whatever these are. So it is theta alone that a mixture has to be adapted to, with one draw
of u for each of theta: its weight is an unbiased estimate of the marginal density (Andrieu and
Roberts 2009). Integrated nested Laplace approximations have the same idea (Rue et al. 2009); here
weights correct what is not normal. The cost is that of so many evaluations in any number of
dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from scipy.linalg import solve_triangular

from vibayes import progress
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.importance import has_good_tail
from vibayes.model.target import Target
from vibayes.search.begin import MOST_DENSE
from vibayes.search.best_normals import fit_diagonal
from vibayes.search.budget import Budget
from vibayes.search.explore import Exploration, is_near, verified
from vibayes.search.mixtures import FittedMixture, ImportanceSampler, adapt
from vibayes.search.modes import curvature_at
from vibayes.search.noise import stratified_normals
from vibayes.search.normals import FittedNormal, from_curvature

__all__ = ["ConditionalMixture", "ConditionalNormal", "given_parameters", "of_many"]

MOST_PARAMETERS = 40
"""Number of parameters up to which a mixture is adapted to them."""
MOST_CURVED = 5000
"""Dimensions up to which the curvature of a posterior of many dimensions is computed."""
ROUNDS = 6  # of adapting it
NOISE = 16  # draws that a mean field is fitted to
GOOD_SHARE, BEST_SHARE = 0.2, 0.5  # of effective draws: to let chains check, and without


@dataclass(frozen=True)
class ConditionalNormal:
    """A normal distribution, as that of some dimensions and of the others given these.

    Attributes
    ----------
    few : numpy.ndarray
        Which dimensions come first, (d,) of bool.
    mean : numpy.ndarray
        (d,).
    root : numpy.ndarray
        Cholesky factor of the covariance of the first dimensions.
    slopes : numpy.ndarray
        By how much the means of the others change with the first, (d - k, k).
    rest : numpy.ndarray
        Root of the covariance of the others given the first: lower triangular, or standard
        deviations.
    """

    few: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    slopes: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, q: FittedNormal, few: np.ndarray) -> ConditionalNormal:
        """Return a normal distribution in two parts."""
        k = int(few.sum())
        if q.is_diagonal:
            root = np.diag(q.root[few])
            return cls(few, q.mean, root, np.zeros((len(few) - k, k)), q.root[~few])
        ordered = np.concatenate([q.root[few], q.root[~few]])
        L = np.linalg.qr(ordered.T, mode="r").T
        L = L * np.sign(L.diagonal())
        slopes = solve_triangular(L[:k, :k].T, L[k:, :k].T, lower=False).T
        return cls(few, q.mean, L[:k, :k], slopes, L[k:, k:])

    @classmethod
    def of_curvature(
        cls, few: np.ndarray, mean: np.ndarray, curvature: np.ndarray
    ) -> ConditionalNormal:
        """Return the normal of a mean (d,) and a precision (d, d) in two parts."""
        rest = from_curvature(mean[~few], curvature[np.ix_(~few, ~few)])
        across = curvature[np.ix_(~few, few)]
        slopes = -rest.root @ (rest.root.T @ across)
        marginal = curvature[np.ix_(few, few)] + across.T @ slopes
        return cls(few, mean, from_curvature(mean[few], marginal).root, slopes, rest.root)

    def completed(self, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return draws (n, d) of which the first dimensions are given, (n, k)."""
        Z = np.empty((len(theta), len(self.few)))
        e = rng.standard_normal((len(theta), len(self.slopes)))
        noise = e * self.rest if self.rest.ndim == 1 else e @ self.rest.T
        Z[:, self.few] = theta
        Z[:, ~self.few] = self.center(theta) + noise
        return Z

    def center(self, theta: np.ndarray) -> np.ndarray:
        """Return the means of the others, (n, d - k), given the first."""
        return self.mean[~self.few] + (theta - self.mean[self.few]) @ self.slopes.T

    def logq(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density (n,) of the others, given the first."""
        off = Z[:, ~self.few] - self.center(Z[:, self.few])
        if self.rest.ndim == 1:
            e, log_det = off / self.rest, np.log(self.rest).sum()
        else:
            e = solve_triangular(self.rest, off.T, lower=True, check_finite=False).T
            log_det = np.log(self.rest.diagonal()).sum()
        return -0.5 * (e**2).sum(axis=1) - log_det - len(self.slopes) * LOG_SQRT_2PI


@dataclass(frozen=True)
class ConditionalMixture(FittedMixture):
    """A mixture for some dimensions, and a normal distribution of the others given these.

    Attributes
    ----------
    others : ConditionalNormal
        Of all dimensions; the other attributes are those of the mixture for the first.
    """

    others: ConditionalNormal

    @classmethod
    def given(cls, parameters: FittedMixture, others: ConditionalNormal) -> ConditionalMixture:
        """Return a mixture for some dimensions, with the others."""
        return cls(
            parameters.log_weights, parameters.means, parameters.roots, parameters.df, others
        )

    @property
    def parameters(self) -> FittedMixture:
        """The mixture for the first dimensions alone."""
        return FittedMixture(self.log_weights, self.means, self.roots, self.df)

    def component_logq(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density of each component (n, K) at the rows of a matrix."""
        rest = self.others.logq(Z)
        return self.parameters.component_logq(Z[:, self.others.few]) + rest[:, None]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws (count, d), stratified over the components."""
        return self.others.completed(self.parameters.draw(count, rng), rng)

    def widened(self) -> FittedMixture:
        """Return this mixture with wide copies of its components, in the first dimensions."""
        return self.given(self.parameters.widened(), self.others)

    def maximized(self, Z: np.ndarray, log_weights: np.ndarray, ridge: np.ndarray) -> FittedMixture:
        """Return the mixture after a step of expectation maximization in the first dimensions."""
        few = self.others.few
        moved = self.parameters.maximized(Z[:, few], log_weights, ridge[few])
        return self.given(moved, self.others)

    def with_component(self, weight: float, mean: np.ndarray, root: np.ndarray) -> FittedMixture:
        """Return the mixture with a further component in the first dimensions."""
        few = self.others.few
        cov = root[few] @ root[few].T
        larger = self.parameters.with_component(weight, mean[few], np.linalg.cholesky(cov))
        return self.given(larger, self.others)

    def with_half(self, other: FittedMixture) -> FittedMixture:
        """Return a mixture of this one and another of all dimensions, half of each in the first."""
        few = self.others.few
        roots = np.linalg.cholesky([root[few] @ root[few].T for root in other.roots])
        marginal = FittedMixture(other.log_weights, other.means[:, few], roots, other.df)
        return self.given(self.parameters.with_half(marginal), self.others)


class Marginal:
    """Unbiased estimates of the marginal density of some dimensions of a target.

    Each evaluation has draws of its own of the others.
    """

    def __init__(self, target: Target, others: ConditionalNormal, rng: np.random.Generator) -> None:
        self.target, self.others, self.rng = target, others, rng
        self.ddim = int(others.few.sum())

    def logp(self, theta: np.ndarray) -> np.ndarray:
        """Return logarithms of the estimates, (n,)."""
        Z = self.others.completed(theta, self.rng)
        return self.target.logp(Z) - self.others.logq(Z)


def given_parameters(
    exploration: Exploration,
    rng: np.random.Generator,
    budget: Budget,
    parts: Sequence[ConditionalNormal] = (),
) -> Exploration:
    """Return an exploration with weighted draws of a mixture for the parameters.

    It is the same if it can be relied on already, or its target has no standard variables or too
    many others.

    Parameters
    ----------
    exploration
        What is known.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    parts
        What the others are given the parameters, for each normal; those of the normals by default.
    """
    target = exploration.target
    few = ~target.standardized_places
    possible = target.is_standardized and 0 < few.sum() <= MOST_PARAMETERS
    if exploration.trusted or not possible or budget.exhausted:
        return exploration
    parts = parts or [ConditionalNormal.of(q, few) for q in exploration.normals]
    begin = FittedMixture.make(
        [q.elbo for q in exploration.normals],
        [part.mean[few] for part in parts],
        [part.root for part in parts],
    )
    mixture = adapted(target, begin, parts[0], exploration.count, rng, budget)
    sampler = ImportanceSampler.empty(target, exploration.count)
    sampler = sampler.with_draws(mixture.widened(), rng)
    draws = sampler.draws
    if is_near(draws) and not has_good_tail(draws.khat, draws.size, len(draws.values)):
        sampler = sampler.with_draws(mixture.widened(), rng, 3 * exploration.count)
    draws, before = sampler.draws, exploration.draws
    if draws.size < before.size and draws.khat > before.khat:
        return exploration
    found = replace(exploration, sampler=sampler, draws=draws, mixture=mixture, moved=False)
    return judged(found, rng, budget)


def judged(exploration: Exploration, rng: np.random.Generator, budget: Budget) -> Exploration:
    """Return an exploration that is trusted if its weights are good, and chains agree.

    In more dimensions than a matrix may have, there are no chains, and weights have to be better.
    """
    draws = exploration.draws
    share = draws.size / len(draws.values)
    if not has_good_tail(draws.khat, draws.size, len(draws.values)) or share < GOOD_SHARE:
        return exploration
    if exploration.target.ddim > MOST_DENSE:  # chains would need a matrix
        return replace(exploration, trusted=share > BEST_SHARE)
    return verified(exploration, rng, budget)


def adapted(
    target: Target,
    mixture: FittedMixture,
    others: ConditionalNormal,
    count: int,
    rng: np.random.Generator,
    budget: Budget,
) -> ConditionalMixture:
    """Return a mixture for parameters that has been adapted to estimates of their density."""
    marginal = cast(Target, Marginal(target, others, rng))
    sampler = ImportanceSampler.empty(marginal, max(count, 50 * mixture.means.shape[1]))
    _, mixture, _ = adapt(sampler, mixture, rng, budget, ROUNDS)
    return ConditionalMixture.given(mixture, others)


def of_many(
    target: Target, rng: np.random.Generator, budget: Budget, draws: int
) -> Exploration | None:
    """Return an exploration in many dimensions, None if it is of no use.

    First the others are independent of each other, given the parameters. If that does not hold,
    as where each observation depends on the effects of two groups, they have the correlations
    that the curvature at the mean tells: in as many dimensions as a matrix may have.
    """
    noise = stratified_normals(NOISE, target.ddim, rng)
    q = fit_diagonal(target, noise, budget)
    few = ~target.standardized_places
    if budget.exhausted or not np.isfinite(q.elbo) or not 0 < few.sum() <= MOST_PARAMETERS:
        return None
    found = explored(target, q, ConditionalNormal.of(q, few), noise, rng, budget, draws)
    if found.trusted or budget.is_late or target.ddim > MOST_CURVED:
        return found
    progress.say("computing curvatures")
    curvature = curvature_at(target, q.mean, q.sd)
    others = ConditionalNormal.of_curvature(few, q.mean, curvature)
    return explored(target, q, others, noise, rng, budget, draws)


def explored(
    target: Target,
    q: FittedNormal,
    others: ConditionalNormal,
    noise: np.ndarray,
    rng: np.random.Generator,
    budget: Budget,
    draws: int,
) -> Exploration:
    """Return an exploration by a mixture for the parameters, with what the others are given them.

    Parameters
    ----------
    target
        The posterior.
    q
        The best independent normals.
    others
        What the others are.
    noise
        Draws that ``q`` was fitted to.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    draws
        Number of draws.
    """
    start = FittedMixture.make(np.zeros(1), [q.mean[others.few]], [others.root])
    mixture = ConditionalMixture.given(start, others)
    sampler = ImportanceSampler.empty(target, draws).with_draws(mixture.widened(), rng)
    found = Exploration(target, (q,), (), noise, sampler, sampler.draws, mixture)
    adapted_to = given_parameters(found, rng, budget, [others])
    return judged(found, rng, budget) if adapted_to is found else adapted_to
