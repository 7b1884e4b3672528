from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from helpers.posteriors import (
    ample,
    covariance,
    line,
    line_moments,
    log_gamma,
    normal,
    seeds,
    two_modes,
)
from scipy import stats
from scipy.special import digamma, polygamma

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.effort import Effort
from vibayes.search.explore import explore
from vibayes.search.improve import enlarge, improve, improvements, settled
from vibayes.search.mixtures import WeightedDraws

SCALES = np.array([1e-4, 1.0, 1e5])
MEAN = np.array([2e-4, -3.0, 4e5])
COV = covariance(3, scales=SCALES)


@pytest.mark.parametrize("seed", seeds(3))
def test_two_modes(seed):
    rng = np.random.default_rng(seed)
    found = explore(Target(two_modes()), rng, ample())
    assert len(found.normals) == 2
    found = improve(found, rng, ample())
    assert found.trusted
    weights = np.exp(found.draws.log_weights)
    assert weights[found.draws.values[:, 0] > 0].sum() == pytest.approx(0.7, abs=0.04)


@pytest.mark.parametrize("seed", seeds(3))
def test_a_skewed_posterior_becomes_right(seed):
    rng = np.random.default_rng(seed)
    found = explore(Target(line()), rng, ample())
    found = improve(found, rng, ample())
    found = enlarge(found, rng, ample())
    mean, sd = line_moments()
    assert found.trusted
    np.testing.assert_allclose((found.draws.mean[:2] - mean) / sd, 0, atol=0.15)
    np.testing.assert_allclose(found.draws.sd[:2] / sd, 1, atol=0.2)
    rows = found.resampled(500, rng)
    assert rows.shape == (500, 3)
    np.testing.assert_allclose((rows.mean(axis=0)[:2] - mean) / sd, 0, atol=0.25)


def test_enlarging_reaches_enough_effective_draws(rng):
    found = explore(Target(normal(MEAN, COV)), rng, ample(), draws=200)
    found = enlarge(found, rng, ample())
    assert found.draws.size >= 0.9 * 3 * 200


def test_nothing_is_enlarged_when_little_time_is_left(rng):
    found = explore(Target(normal(MEAN, COV)), rng, ample(), draws=200)
    late = Budget(10.0, 1000)
    late.begun -= 8.5
    assert enlarge(found, rng, late) is found


def test_nothing_is_enlarged_that_is_not_trusted(rng):
    found = explore(Target(two_modes()), rng, ample(), draws=200)
    found = enlarge(replace(found, trusted=False), rng, ample())
    assert len(found.draws.values) == 200


def test_explorations_are_values(rng):
    """What makes the draws better leaves the exploration that it was given as it was."""
    given = explore(Target(log_gamma(0.3, 1.0)), rng, ample())
    draws, sampler, mixture = given.draws, given.sampler, given.mixture
    steps = list(improvements(given, rng, ample()))
    enlarged = enlarge(replace(given, trusted=True), rng, ample())
    assert given.draws is draws
    assert given.sampler is sampler
    assert given.mixture is mixture
    assert not given.trusted
    assert len(sampler.values) == len(draws.values) == 1000
    assert len(steps) > 1  # so that whoever is interrupted keeps something
    assert steps[-1].trusted
    assert not any(step.trusted for step in steps[:-1])
    assert len(enlarged.draws.values) > 1000
    with pytest.raises(FrozenInstanceError):
        given.trusted = True


def test_budget(rng):
    budget = Budget(600.0, 2)
    found = explore(Target(line()), rng, budget)
    found = improve(found, rng, budget)
    assert budget.exhausted == "the budget of 2 steps was used up"
    assert not found.trusted
    assert np.isfinite(found.best.mean).all()


@pytest.fixture(scope="module")
def untrusted():
    found = explore(Target(two_modes(means=(-1.0, 1.0))), np.random.default_rng(1), ample())
    return replace(found, trusted=False)


@pytest.mark.parametrize("steps", range(1, 14))
def test_draws_are_left_wherever_the_budget_ends(rng, untrusted, steps):
    found = improve(untrusted, rng, Budget(600.0, steps))
    assert len(found.draws.values) >= 1000
    assert np.isfinite(found.draws.mean).all()


def test_chains_take_the_place_of_draws_with_bad_weights(rng):
    """Skewed in so many dimensions that no weights of a normal are any good."""
    with vb.Model() as model:
        x = vb.Flat("x", shape=120)
        vb.Potential("log_gamma", (2 * x - vb.math.exp(x)).sum())
    found = explore(Target(model), rng, ample())
    found = improve(found, rng, ample())
    assert found.trusted
    assert found.moved
    assert found.draws.size > 500
    mean, sd = digamma(2), np.sqrt(polygamma(1, 2))
    np.testing.assert_allclose((found.draws.mean - mean) / sd, 0, atol=0.17)
    np.testing.assert_allclose(found.draws.sd / sd, 1, atol=0.15)


def test_chains_go_on_where_heavy_tails_are_short(rng, monkeypatch):
    """Within steps that are too few for chains that cross the tails at full length."""
    with vb.Model() as model:
        vb.Cauchy("x", 0, 1, shape=4)
    monkeypatch.setattr("vibayes.search.improve.FINAL", Effort(4, 4000))
    monkeypatch.setattr("vibayes.search.improve.MOST_JUMPING", 0)
    found = settled(explore(Target(model), rng, ample()), rng, ample())
    assert found.trusted
    assert found.moved
    share = np.array([0.05, 0.25, 0.75, 0.95])
    expected = stats.cauchy.ppf(share)
    error = np.sqrt(share * (1 - share) / found.draws.size) / stats.cauchy.pdf(expected)
    quantiles = np.quantile(found.draws.values, share, axis=0)
    distance = (np.arcsinh(quantiles.T) - np.arcsinh(expected)) * np.hypot(1, expected) / error
    np.testing.assert_allclose(distance, 0, atol=4.5)


def test_improper_posteriors_end(rng):
    """A density that is flat somewhere has no scale: no error, and no trust."""
    with vb.Model() as model:
        x = vb.Flat("x", shape=2)
        vb.Potential("half", -0.5 * x[0] ** 2)
    budget = Budget(1.0, 1000)
    found = explore(Target(model), rng, budget)
    found = improve(found, rng, budget)
    assert not found.trusted


def test_quantiles_of_a_heavy_tail(rng):
    with vb.Model() as model:
        vb.StudentT("x", 3, 1, 2)
    found = explore(Target(model), rng, ample())
    found = improve(found, rng, ample())
    assert found.trusted
    expected = np.diff(stats.t(3, 1, 2).ppf([0.05, 0.95]))
    np.testing.assert_allclose(found.draws.width((0.05, 0.95)), expected, rtol=0.2)
    assert found.draws.mean[0] == pytest.approx(1, abs=0.4)


CHAINS = WeightedDraws(np.zeros((500, 3)), np.full(500, -np.log(500)), np.nan, 300.0)


@pytest.mark.parametrize("witness", [None, CHAINS])
def test_more_draws_that_show_a_tail(witness, rng, monkeypatch):
    """They were trusted while they were few."""
    found = explore(Target(normal(MEAN, COV)), rng, ample(), draws=200)

    def draws(khat, size):
        return WeightedDraws(found.draws.values, found.draws.log_weights, khat, size)

    known = replace(found, draws=draws(0.3, 100.0), witness=witness)
    heavy = draws(0.6, 150.0)
    monkeypatch.setattr(
        "vibayes.search.improve.add_draws", lambda known, *args: replace(known, draws=heavy)
    )
    after = enlarge(known, rng, ample())
    assert after.trusted == (witness is not None)
    assert after.draws is (heavy if witness is None else witness)
