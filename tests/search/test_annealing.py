"""Modes in narrow basins, and populations that come to them."""

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.posteriors import ample, normal, seeds
from scipy import stats

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.annealing import (
    POPULATION,
    SIZE,
    Population,
    annealed,
    next_change,
    unexplained_points,
    wide_normal,
)
from vibayes.search.budget import Budget
from vibayes.search.explore import Exploration, concluded, trusted
from vibayes.search.improve import enlarge, reaches_all
from vibayes.search.mixtures import FittedMixture, ImportanceSampler, WeightedDraws
from vibayes.search.normals import FittedNormal
from vibayes.search.trust import Trial

CENTERS = np.array([[0.0] * 4, [6.0] * 4, [-5.0, 5.0] * 2])
SHARES = np.array([0.5, 0.3, 0.2])
SDS = np.array([1.0, 0.8, 0.6])


def several():
    """Return a model of three normals of different widths, far apart."""
    with vb.Model() as model:
        x = vb.Uniform("x", -20, 20, shape=4, transform=None)
        squares = ((x - CENTERS) ** 2).sum(axis=1) / SDS**2
        vb.Potential("mixture", pt.logsumexp(np.log(SHARES) - 4 * np.log(SDS) - 0.5 * squares))
    return model


def at(k, sd=None):
    root = np.full(4, SDS[k] if sd is None else sd)
    return FittedNormal(CENTERS[k], root, elbo=np.log(SHARES[k]) + 2 * np.log(2 * np.pi))


@pytest.fixture(scope="module")
def target():
    return Target(several())


@pytest.mark.parametrize("seed", seeds(5))
def test_a_population_comes_to_all_modes(target, seed):
    """From two of them, as wide as these and the prior are."""
    found = annealed(target, [at(0), at(1)], np.random.default_rng(seed), ample())
    assert found.values.shape == (2 * SIZE, 4)
    assert 5 < found.temperatures < 40
    np.testing.assert_allclose(found.logp, target.logp(found.values))
    nearest = ((found.values[:, None] - CENTERS) ** 2).sum(axis=2).argmin(axis=1)
    counts = np.bincount(nearest, minlength=3) / (2 * SIZE)
    assert (counts > 0.25 * SHARES).all()
    near = found.values[nearest == 0]
    assert stats.kstest(near[:, 0], "norm").statistic < 0.2


def test_what_normals_leave_out_is_where_to_look(target, rng):
    values = np.concatenate(
        [c + s * rng.normal(size=(20, 4)) for c, s in zip(CENTERS, SDS, strict=True)]
    )
    population = Population(values, target.logp(values), 9)
    assert len(unexplained_points(population, [at(0), at(1), at(2)], rng)) == 0
    points = unexplained_points(population, [at(0), at(1)], rng)
    assert 0 < len(points) < 10
    assert np.abs(points - CENTERS[2]).max() < 3


def test_it_begins_as_wide_as_the_prior_or_what_was_found(target, rng):
    center, sd = wide_normal(target, [at(0)], rng)
    assert (sd > 10).all()
    assert (sd < 20).all()
    flat = Target(normal(np.zeros(2), np.eye(2)))  # a potential, whose prior cannot be drawn from
    means = [FittedNormal(np.full(2, m), np.ones(2)) for m in (-4.0, 6.0)]
    center, sd = wide_normal(flat, means, rng)
    np.testing.assert_allclose(center, 1.0)
    np.testing.assert_allclose(sd, 3 * 6.0)


def test_the_next_temperature_leaves_half_of_the_points():
    ratios = np.random.default_rng(1).normal(0, 10, 2000)
    change = next_change(ratios, 1.0)
    w = np.exp(change * (ratios - ratios.max()))
    assert w.sum() ** 2 / (w**2).sum() == pytest.approx(1000, rel=0.01)
    assert next_change(0.01 * ratios, 0.7) == 0.7


def test_there_is_none_where_it_is_dear_or_time_is_up(target, rng):
    assert len(annealed(target, [at(0)], rng, Budget(1e-9, 10)).values) == 0
    assert len(annealed(target, [at(0)], rng, Budget(100, 3)).values) == 0
    population = annealed(target, [at(0)], rng, ample(), most=1000)
    assert population.temperatures == 0
    assert unexplained_points(population, [at(0)], rng).shape == (0, 4)


def explored(draws, population, share=0.1, modes=(0.0,)):
    """Return what is known of a posterior of two modes: draws, a population, and some modes."""
    even = np.full(len(draws), -np.log(len(draws)))
    with vb.Model() as model:
        vb.NormalMixture("x", w=[1 - share, share], mu=[0.0, 8.0], sigma=1.0, shape=1)
    target = Target(model)
    return Exploration(
        target=target,
        normals=tuple(FittedNormal(np.array([m]), np.ones(1)) for m in modes),
        sampler=ImportanceSampler.empty(target, 100),
        mixture=None,
        noise=None,
        dropped=(),
        draws=WeightedDraws(draws, even, 0.1),
        population=population,
    )


def two_of(rng, count, share=0.1):
    return np.where(rng.random((count, 1)) < share, 8.0, 0.0) + rng.normal(size=(count, 1))


def test_draws_that_populations_contradict_are_not_trusted(rng):
    population = two_of(rng, 2 * SIZE)
    one, both = rng.normal(size=(1000, 1)), two_of(rng, 1000)
    assert not trusted(explored(one, population), rng, ample()).trusted
    assert trusted(explored(both, population), rng, ample()).trusted
    assert trusted(explored(one, None), rng, ample()).trusted


class TestFurtherPopulations:
    """Two may have come to the same shares by chance: where these are contradicted, two more."""

    def of_shares(self, monkeypatch, rng, *shares):
        """Let further populations have come to a share each."""
        cooled = []

        def known(*facts):
            cooled.append(facts)
            values = np.concatenate([np.empty((0, 1)), *(two_of(rng, SIZE, s) for s in shares)])
            return Population(values, np.zeros(len(values)), 1)

        monkeypatch.setattr("vibayes.search.explore.annealed", known)
        return cooled

    def explored(self, draws, population):
        return explored(draws, population, modes=(0.0, 8.0))

    def test_they_cool_by_themselves(self, rng):
        """The first two have five times as many points in a mode as it holds."""
        population, right = two_of(rng, POPULATION, 0.5), two_of(rng, 1000)
        found = trusted(self.explored(right, population), rng, ample())
        assert found.trusted
        assert found.population is None

    def test_those_that_agree_contradict(self, rng, monkeypatch):
        cooled = self.of_shares(monkeypatch, rng, 0.1, 0.1)
        wrong = self.explored(two_of(rng, 1000, 0.5), two_of(rng, POPULATION))
        found = trusted(wrong, rng, ample())
        assert not found.trusted
        assert len(found.population) == 2 * POPULATION
        assert not trusted(found, rng, ample()).trusted
        assert len(cooled) == 1  # it is looked at once

    @pytest.mark.parametrize("shares", [(0.1, 0.1), (0.2, 0.8)])
    def test_those_that_differ_tell_nothing(self, rng, monkeypatch, shares):
        """From the first two, or from each other, though together they are like the first."""
        self.of_shares(monkeypatch, rng, *shares)
        wrong = self.explored(two_of(rng, 1000, 0.05), two_of(rng, POPULATION, 0.5))
        found = trusted(wrong, rng, ample())
        assert found.trusted
        assert found.population is None

    @pytest.mark.parametrize("wrong", ["no draws of a mode", "one mode known", "another width"])
    def test_of_more_than_shares_no_further_ones_tell(self, rng, monkeypatch, wrong):
        cooled = self.of_shares(monkeypatch, rng, 0.2, 0.8)
        draws = {
            "no draws of a mode": rng.normal(size=(1000, 1)),
            "one mode known": two_of(rng, 1000, 0.5),
            "another width": 1.5 * two_of(rng, 1000, 0.5) - 4,
        }[wrong]
        known = self.explored(draws, two_of(rng, POPULATION))
        if wrong == "one mode known":
            known = explored(draws, two_of(rng, POPULATION))
        assert not trusted(known, rng, ample()).trusted
        assert not cooled

    def test_without_time_for_more_it_stays(self, rng, monkeypatch):
        self.of_shares(monkeypatch, rng)
        wrong = self.explored(two_of(rng, 1000, 0.5), two_of(rng, POPULATION))
        found = trusted(wrong, rng, ample())
        assert not found.trusted
        assert found.population is wrong.population

    def test_what_was_found_is_kept(self, rng, monkeypatch):
        """An exploration that is not trusted has all populations, for the next attempt."""
        cooled = self.of_shares(monkeypatch, rng, 0.1, 0.1)
        wrong = self.explored(two_of(rng, 1000, 0.5), two_of(rng, POPULATION))
        found = concluded(wrong, Trial(draws=wrong.draws), rng, ample())
        assert not found.trusted
        assert len(found.population) == 2 * POPULATION
        concluded(found, Trial(draws=wrong.draws), rng, ample())
        assert len(cooled) == 1


def test_populations_that_have_not_come_to_rest_contradict_nothing(rng):
    population, draws = rng.normal(1.0, 1.0, size=(2 * SIZE, 1)), rng.normal(size=(1000, 1))
    found = trusted(explored(draws, population, share=0.0), rng, ample())
    assert found.trusted
    assert found.population is None
    far = explored(draws + 2.0, population, share=0.0)
    assert not trusted(far, rng, ample()).trusted


def test_populations_that_differ_tell_nothing(rng):
    halves = rng.normal(size=(SIZE, 1)), two_of(rng, SIZE)
    found = explored(rng.normal(size=(1000, 1)), np.concatenate(halves))
    assert found.reliable_population is None
    assert trusted(found, rng, ample()).trusted


def test_a_population_has_to_have_come_to_all_places(rng):
    values = CENTERS[0] + rng.normal(size=(1000, 4))
    assert reaches_all([at(0)], values)
    assert not reaches_all([at(0), at(1)], values)
    values[:60] = CENTERS[1]
    assert reaches_all([at(0), at(1)], values)


@pytest.mark.ci
@pytest.mark.parametrize("seed", seeds(5))
def test_a_fit_finds_the_mode_in_which_no_ascent_ends(seed):
    """Inclusion of one of two nearly equal predictors or the other: many modes, some narrow."""
    rng = np.random.default_rng(8)
    z = rng.normal(size=(60, 3))
    X = np.concatenate([z + 0.25 * rng.normal(size=(60, 3)) for _ in range(2)], axis=1)
    y = X @ np.array([1.0, 0, 0.5, 0, 0, 0]) + rng.normal(size=60)
    with vb.Model():
        beta = vb.NormalMixture("beta", w=[0.7, 0.3], mu=[0.0, 0.0], sigma=[0.05, 1.5], shape=6)
        vb.Normal("y", X @ beta, 1, observed=y)
        approx = vb.fit(method="auto", random_seed=seed, progressbar=False)
    mean, sd = spike_and_slab(X, y)
    draws = approx.sample(2000, random_seed=1).posterior["beta"].values[0]
    assert np.abs((draws.mean(axis=0) - mean) / sd).max() < 0.2
    assert np.abs(np.log(draws.std(axis=0) / sd)).max() < 0.25
    assert approx.diagnosis.good
    assert "temperatures" in str(approx.diagnosis)


def spike_and_slab(X, y, spike=0.05, slab=1.5):
    """Return mean and standard deviation of the coefficients, by all subsets of predictors."""
    d = X.shape[1]
    logs, means, squares = [], [], []
    for code in range(2**d):
        inside = (code >> np.arange(d)) & 1
        v = np.where(inside, slab, spike) ** 2
        C = np.linalg.inv(X.T @ X + np.diag(1 / v))
        m = C @ X.T @ y
        log_odds = inside.sum() * np.log(0.3 / 0.7)
        evidence = 0.5 * (np.linalg.slogdet(C)[1] + m @ X.T @ y - np.log(v).sum())
        logs.append(log_odds + evidence)
        means.append(m)
        squares.append(m**2 + C.diagonal())
    p = np.exp(np.array(logs) - max(logs))
    p /= p.sum()
    mean = p @ means
    return mean, np.sqrt(p @ squares - mean**2)


def cooled(target, values):
    """Return an exploration whose trusted draws are a population."""
    even = WeightedDraws(values, np.full(len(values), -np.log(len(values))), np.nan)
    return Exploration(
        target=target,
        normals=(at(0), at(1), at(2)),
        dropped=(),
        noise=np.empty((0, 4)),
        sampler=ImportanceSampler.empty(target, 1000),
        draws=even,
        mixture=FittedMixture.of_normals([at(0), at(1), at(2)]),
        trusted=True,
        moved=True,
        population=values,
    )


def test_a_population_that_is_the_result_grows(target, rng):
    """So that the shares of the modes, and quantiles between these, are known better."""
    found = annealed(target, [at(0), at(1), at(2)], rng, ample())
    more = enlarge(cooled(target, found.values), rng, ample())
    assert more.trusted
    assert more.draws.values is more.population
    assert len(more.population) == 4 * len(found.values)
    assert enlarge(cooled(target, found.values), rng, Budget(1e-9, 10)).population is found.values


def test_further_populations_that_differ_are_told(target, rng):
    elsewhere = at(0).mean + rng.standard_normal((2 * SIZE, 4))
    assert not enlarge(cooled(target, elsewhere), rng, ample()).trusted


def test_draws_of_equal_weight_are_kept_as_they_are(target, rng):
    found = cooled(target, rng.normal(size=(500, 4)))
    assert found.of_equal_weight(400, 2000, rng) is found.draws.values
    assert len(found.of_equal_weight(400, 1999, rng)) == 400
    assert len(found.of_equal_weight(600, 5000, rng)) == 600
