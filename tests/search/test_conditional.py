"""Draws of few parameters, and of many variables given these."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.posteriors import ample, covariance, seeds
from scipy import stats

import vibayes as vb
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.target import Target
from vibayes.search.centring import suited
from vibayes.search.conditional import (
    ConditionalMixture,
    ConditionalNormal,
    given_parameters,
    of_many,
)
from vibayes.search.improve import enlarge
from vibayes.search.mixtures import FittedMixture
from vibayes.search.normals import FittedNormal

FEW = np.array([False, True, False, True])
COV = covariance(4, scales=[1.0, 0.5, 2.0, 1.0])
MEAN = np.array([1.0, -2.0, 0.0, 3.0])
GROUPS = 60
NORMALS = [
    FittedNormal(MEAN, np.linalg.cholesky(COV)),
    FittedNormal(MEAN, np.sqrt(COV.diagonal())),
]


@pytest.fixture(scope="module")
def target():
    """A hierarchy whose spread is not told from zero, in coordinates that suit it."""
    rng = np.random.default_rng(11)
    sd = rng.uniform(0.8, 1.5, GROUPS)
    y = rng.normal(0.5, sd)
    with vb.Model() as model:
        mu, tau = vb.Normal("mu", 0, 5), vb.HalfNormal("tau", 1)
        theta = vb.Normal("theta", mu, tau, shape=GROUPS)
        vb.Normal("y", theta, sd, observed=y)
    coordinates = Coordinates.non_centred(model, bent_variables(model))
    target, _ = suited(Target(model, coordinates=coordinates), np.random.default_rng(1), ample())
    grid = np.linspace(1e-3, 3, 3000)
    variance = sd**2 + grid[:, None] ** 2
    precision = 1 / 25 + (1 / variance).sum(axis=1)
    mean = (y / variance).sum(axis=1) / precision
    log_p = stats.halfnorm.logpdf(grid) - 0.5 * (np.log(variance) + y**2 / variance).sum(axis=1)
    log_p += 0.5 * mean**2 * precision - 0.5 * np.log(precision)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    return target, p @ grid, np.sqrt(p @ (grid - p @ grid) ** 2)


@pytest.mark.parametrize("q", NORMALS, ids=["full", "diagonal"])
def test_a_normal_distribution_in_two_parts_is_the_same(q, rng):
    others = ConditionalNormal.of(q, FEW)
    Z = q.at(rng.normal(size=(5, 4)))
    first = stats.multivariate_normal(MEAN[FEW], others.root @ others.root.T).logpdf(Z[:, FEW])
    np.testing.assert_allclose(first + others.logq(Z), q.logq(Z))
    theta = MEAN[FEW] + rng.normal(size=(20_000, 2)) @ others.root.T
    drawn = others.completed(theta, rng)
    np.testing.assert_array_equal(drawn[:, FEW], theta)
    cov = q.full_root @ q.full_root.T
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.08)


def test_a_precision_in_two_parts_is_that_of_the_same_normal(rng):
    q, others = NORMALS[0], ConditionalNormal.of_curvature(FEW, MEAN, np.linalg.inv(COV))
    Z = q.at(rng.normal(size=(5, 4)))
    same = ConditionalNormal.of(q, FEW)
    np.testing.assert_allclose(others.logq(Z), same.logq(Z))
    np.testing.assert_allclose(others.root @ others.root.T, same.root @ same.root.T)
    np.testing.assert_allclose(others.slopes, same.slopes, atol=1e-12)


def test_a_mixture_for_some_dimensions_is_one_of_all(rng):
    """If its components have the same distribution of the others, and slopes of the means."""
    others = ConditionalNormal.of(NORMALS[0], FEW)
    means = np.array([[-2.0, 3.0], [0.0, 1.0]])
    few = FittedMixture.make([0.0, 1.0], means, [others.root, 2 * others.root])
    q = ConditionalMixture.given(few, others)
    Z = q.draw(4000, rng)
    np.testing.assert_allclose(q.logq(Z), few.logq(Z[:, FEW]) + others.logq(Z))
    narrow = FittedNormal(MEAN, 0.8 * np.linalg.cholesky(COV))
    wide = q.widened().draw(20_000, rng)
    total = np.exp(narrow.logq(wide) - q.widened().logq(wide)).mean()  # of a density: one
    assert total == pytest.approx(1, abs=0.03)
    even = np.full(len(Z), -np.log(len(Z)))
    again = q.maximized(Z, even, np.ones(4))
    assert isinstance(again, ConditionalMixture)
    assert again.logq(Z).mean() > q.logq(Z).mean()
    larger = q.with_component(0.2, MEAN, np.linalg.cholesky(COV))
    assert len(larger) == 3
    np.testing.assert_allclose(larger.roots[2] @ larger.roots[2].T, COV[np.ix_(FEW, FEW)])


def test_half_of_it_may_be_another_mixture_of_all_dimensions(rng):
    """Such as one fitted to a population, whose first dimensions alone count."""
    others = ConditionalNormal.of(NORMALS[0], FEW)
    own = FittedMixture.make([0.0], [[-2.0, 3.0]], [others.root])
    wide = FittedMixture.make([0.0, 1.0], [MEAN, MEAN + 2], [np.linalg.cholesky(3 * COV)] * 2)
    q = ConditionalMixture.given(own, others).with_half(wide)
    Z = MEAN + rng.normal(size=(6, 4))
    theta, cov = Z[:, FEW], COV[np.ix_(FEW, FEW)]
    weights = np.array([1.0, np.e]) / (1 + np.e)
    density = 0.5 * stats.multivariate_normal([-2.0, 3.0], cov).pdf(theta)
    for weight, mean in zip(weights, (MEAN, MEAN + 2), strict=True):
        density += 0.5 * weight * stats.multivariate_normal(mean[FEW], 3 * cov).pdf(theta)
    np.testing.assert_allclose(q.logq(Z), np.log(density) + others.logq(Z))


@pytest.mark.parametrize("seed", seeds(4))
def test_many_variables_given_few_parameters(target, seed):
    target, mean, sd = target
    rng = np.random.default_rng(seed)
    found = of_many(target, rng, ample(), 1000)
    assert found.trusted
    found = enlarge(found, rng, ample())
    assert found.trusted
    assert found.moved or found.draws.size > 0.5 * len(found.draws.values)
    tau = np.exp(found.resampled(4000, rng)[:, 1])
    assert abs(tau.mean() - mean) < 0.1 * sd
    assert abs(tau.std() / sd - 1) < 0.1


@pytest.fixture(scope="module")
def crossed():
    """Effects of two factors that each observation has one of, and the mean of the posterior.

    Their scales are known, so that it is normal: but for the common mean, which is the parameter.
    """
    rng = np.random.default_rng(3)
    i, j = rng.integers(12, size=60), rng.integers(12, size=60)
    y = 1 + rng.normal(size=12)[i] + rng.normal(size=12)[j] + 0.5 * rng.normal(size=60)
    with vb.Model() as model:
        scale = vb.LogNormal("scale", 0, 0.01)  # a parameter, all but known
        a, b = vb.Normal("a", 0, scale, shape=12), vb.Normal("b", 0, scale, shape=12)
        vb.Normal("y", 1 + a[i] + b[j], 0.5, observed=y)
    design = np.hstack([np.eye(12)[i], np.eye(12)[j]])
    cov = np.linalg.inv(np.eye(24) + design.T @ design / 0.25)
    target = Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))
    return target, cov @ design.T @ (y - 1) / 0.25, cov


def test_crossed_effects_have_the_correlations_of_the_curvature(crossed, rng, monkeypatch):
    target, mean, cov = crossed
    monkeypatch.setattr("vibayes.search.conditional.MOST_DENSE", 10)
    found = of_many(target, rng, ample(), 1000)
    assert found.trusted
    assert not found.moved
    Z = found.resampled(4000, rng)[:, 1:]
    assert np.abs((Z.mean(axis=0) - mean) / np.sqrt(cov.diagonal())).max() < 0.15
    correlations = np.corrcoef(Z.T) - cov / np.sqrt(np.outer(cov.diagonal(), cov.diagonal()))
    assert np.abs(correlations).max() < 0.1


def test_correlations_of_very_many_are_left_out(crossed, rng, monkeypatch):
    monkeypatch.setattr("vibayes.search.conditional.MOST_DENSE", 10)
    monkeypatch.setattr("vibayes.search.conditional.MOST_CURVED", 20)
    assert not of_many(crossed[0], rng, ample(), 1000).trusted


def test_what_is_right_already_or_has_other_coordinates_stays(target, rng):
    target = target[0]
    found = of_many(target, rng, ample(), 1000)
    assert given_parameters(found, rng, ample()) is found
    again = replace(found, trusted=False)
    assert given_parameters(again, rng, ample()) is not again
    own = replace(again, target=Target(target.model))
    assert given_parameters(own, rng, ample()) is own


def test_it_is_for_few_parameters(rng):
    with vb.Model() as model:
        a = vb.Normal("a", 0, 1, shape=50)
        vb.Normal("x", 0, np.exp(0.5) * (1 + a**2), shape=50)
    target = Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))
    assert of_many(target, rng, ample(), 100) is None
