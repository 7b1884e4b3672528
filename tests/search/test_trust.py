from dataclasses import replace

import numpy as np
import pytest
from helpers.posteriors import ample, covariance, normal, seeds, two_modes

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.effort import CHECK, Effort
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal
from vibayes.search.stretched import Stretch
from vibayes.search.trust import (
    LIKELY_GRADIENTS,
    affordable_leaps,
    are_close,
    can_be_tried,
    discrepancy,
    has_moments_of,
    is_close,
    partly_replaced,
    starting_rows,
    tried,
)

MEAN = np.array([3.0, -2.0, 1e3])
COV = covariance(3, correlation=0.9, scales=[0.1, 1.0, 50.0])
ROOT = np.linalg.cholesky(COV)
SD = np.sqrt(np.diag(COV))
NORMAL = FittedNormal(MEAN, ROOT, 0.0, True)


@pytest.fixture(scope="module")
def target():
    return Target(normal(MEAN, COV))


def even(Z):
    return WeightedDraws(Z, np.full(len(Z), -np.log(len(Z))), 0.1)


def trial(target, Z, rng, normals=(NORMAL,), budget=None, effort=CHECK):
    return tried(target, even(Z), target.logp(Z), normals, rng, budget or ample(), effort)


@pytest.mark.parametrize("seed", seeds(10))
def test_right_draws_are_trusted(target, seed):
    rng = np.random.default_rng(seed)
    found = trial(target, MEAN + rng.normal(size=(2000, 3)) @ ROOT.T, rng)
    assert found.draws is not None
    assert found.agrees
    assert 400 <= found.draws.size <= len(found.draws.values)
    assert np.isnan(found.draws.khat)


@pytest.mark.parametrize("fault", ["shift", "narrow", "one wide"])
@pytest.mark.parametrize("seed", seeds(5))
def test_wrong_draws_are_found_out(target, fault, seed):
    """Where the chains have mixed, theirs are right."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(2000, 3))
    noise = {"shift": noise + 0.4, "narrow": 0.7 * noise, "one wide": noise * [1, 1, 1.6]}[fault]
    found = trial(target, MEAN + noise @ ROOT.T, rng)
    assert found.draws is not None
    assert not found.agrees
    np.testing.assert_allclose((found.draws.mean - MEAN) / np.sqrt(COV.diagonal()), 0, atol=0.15)
    np.testing.assert_allclose(found.draws.sd / np.sqrt(COV.diagonal()), 1, atol=0.12)


@pytest.mark.parametrize(("size", "expected"), [(None, []), (100.0, [LIKELY_GRADIENTS])])
def test_chains_that_may_take_long_are_announced(target, rng, monkeypatch, size, expected):
    """Those that only have to confirm weights are short."""
    asked = []
    monkeypatch.setattr(target, "expect", asked.append)
    Z = MEAN + rng.normal(size=(500, 3)) @ ROOT.T
    draws = replace(even(Z), independent=size)
    tried(target, draws, target.logp(Z), (NORMAL,), rng, ample(), Effort(1, 3))
    assert asked == expected


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize(("size", "plenty"), [(None, 0), (100.0, 70)])
def test_no_more_than_is_affordable(target, rng, monkeypatch, size, plenty, stretched):
    """And a tenth of it for plenty, where draws of chains are likely to be the result."""
    given = []
    monkeypatch.setattr("vibayes.search.trust.affordable_leaps", lambda target: 700)
    monkeypatch.setattr("vibayes.search.trust.run_chains", lambda *facts: given.append(facts[5]))
    Z = MEAN + SD * rng.standard_t(2, (500, 3))
    draws, stretch = replace(even(Z), independent=size), Stretch.of(Z) if stretched else None
    tried(target, draws, target.logp(Z), (NORMAL,), rng, ample(), CHECK, stretch)
    assert given == [CHECK.within(700, 0 if stretched else plenty)]


def test_no_time(target, rng):
    Z = MEAN + rng.normal(size=(500, 3)) @ ROOT.T
    for found in (
        trial(target, Z, rng, budget=Budget(600.0, 5)),
        trial(target, Z, rng, effort=Effort(1, 3)),
    ):
        assert found.run is None
        assert found.draws is None
        assert not found.agrees


class TestPlaces:
    """Modes between which no chain goes: weights tell their shares, chains what is within."""

    normals = (
        FittedNormal(np.array([8.0]), np.array([[0.8]]), -0.4, True),
        FittedNormal(np.array([-8.0]), np.array([[0.5]]), -1.2, True),
    )

    def draws(self, rng, width=0.8):
        first = rng.random(2000) < 0.3
        return np.where(first, -8 + 0.5 * rng.normal(size=2000), 8 + width * rng.normal(size=2000))

    @pytest.mark.parametrize("seed", seeds(5))
    def test_right_ones(self, seed):
        rng = np.random.default_rng(seed)
        target = Target(two_modes(means=(-8.0, 8.0)))
        found = trial(target, self.draws(rng)[:, None], rng, self.normals)
        assert found.agrees
        self.check(found.draws)

    @pytest.mark.parametrize("seed", seeds(5))
    def test_one_is_too_wide(self, seed):
        rng = np.random.default_rng(seed)
        target = Target(two_modes(means=(-8.0, 8.0)))
        found = trial(target, self.draws(rng, width=1.2)[:, None], rng, self.normals)
        assert not found.agrees
        self.check(found.draws)

    def check(self, draws):
        """What chains and bridges say is right, whatever the weights say."""
        x, weights = draws.values[:, 0], np.exp(draws.log_weights)
        assert weights[x > 0].sum() == pytest.approx(0.7, abs=0.05)
        assert x[x > 0].std() == pytest.approx(0.8, rel=0.1)
        assert x[x < 0].std() == pytest.approx(0.5, rel=0.1)

    def test_a_place_in_which_there_are_no_draws_is_not_forgotten(self, rng):
        """Then chains have to mix as a whole, or nothing is trusted."""
        Z = np.concatenate([8 + 0.8 * rng.normal(size=500), [-8.0]])[:, None]
        target = Target(two_modes(means=(-8.0, 8.0)))
        found = trial(target, Z, rng, self.normals, effort=Effort(2, 1000))
        assert not found.agrees


def test_starting_points_are_distinct_and_of_every_place(rng):
    weights = np.full(1000, -20.0)
    weights[0] = 0.0  # one draw has nearly all the weight
    draws = WeightedDraws(rng.normal(size=(1000, 2)), weights - np.logaddexp.reduce(weights), 2.0)
    logp = np.zeros(1000)
    rows = starting_rows(draws, logp, np.zeros(1000, dtype="int64"), rng)
    assert len(rows) == len(np.unique(rows)) == 32
    labels = (np.arange(1000) < 30).astype("int64")
    rows = starting_rows(draws, logp, labels, rng)
    assert np.bincount(labels[rows]).tolist() == [16, 16]


class TestWhereOthersHaveBeen:
    """Chains that have not mixed: half of the next ones begin where these have come to."""

    places = tuple(FittedNormal(np.array([m]), np.eye(1), 0.0, True) for m in (-50.0, 50.0))

    def points(self, begin, visited, rng, places=(NORMAL,)):
        return partly_replaced(begin, visited, np.zeros(len(visited)), places, rng)

    def test_half_of_the_points_are_such(self, rng):
        begin, visited = rng.normal(size=(32, 3)), 100 + rng.normal(size=(128, 3))
        points = self.points(begin, visited, rng)
        new = (points > 50).all(axis=1)
        assert new.sum() == 16
        np.testing.assert_array_equal(points[~new], begin[:16])
        assert len(np.unique(points, axis=0)) == 32
        assert np.isin(points[new], visited).all()
        assert (begin < 50).all()  # what was handed in is as it was

    def test_of_few_all(self, rng):
        points = self.points(np.zeros((32, 3)), np.ones((5, 3)), rng)
        assert points[:, 0].sum() == 5

    def test_each_place_keeps_its_own(self, rng):
        begin = np.repeat([-50.0, 50.0], 12)[:, None]
        visited = np.repeat([-51.0, 51.0], [2, 60])[:, None]
        points = self.points(begin, visited, rng, self.places)[:, 0]
        assert sorted(set(points)) == [-51, -50, 50, 51]
        assert (points == -51).sum() == 2
        assert (points == 51).sum() == 6
        assert (points < 0).sum() == 12

    def test_of_a_single_point_of_a_place_none(self, rng):
        points = self.points(np.array([[-50.0], [50.0]]), np.array([[-51.0]]), rng, self.places)
        np.testing.assert_array_equal(points, [[-50.0], [50.0]])

    @pytest.mark.parametrize("stretched", [False, True])
    def test_chains_begin_there(self, target, stretched, rng, monkeypatch):
        heavy = MEAN + SD * rng.standard_t(2, (500, 3))
        begun, stretch = [], Stretch.of(heavy) if stretched else None

        def seen(target, starts, *rest):
            begun.append(starts if stretch is None else stretch.forward(starts))

        monkeypatch.setattr("vibayes.search.trust.run_chains", seen)
        visited = MEAN + 10 * SD + SD * rng.normal(size=(64, 3))
        draws = even(MEAN + rng.normal(size=(500, 3)) @ ROOT.T)
        for given in (None, visited):
            facts = draws, target.logp(draws.values), (NORMAL,), rng, ample(), CHECK
            assert tried(target, *facts, stretch, given).run is None
        far = [((starts - MEAN) / SD > 6).all(axis=1).sum() for starts in begun]
        assert far == [0, 16]


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_starting_points_are_wider_than_the_posterior(rng, width):
    """As of twice its temperature, whatever they were drawn from, where enough draws tell."""
    values = width * rng.standard_normal((20_000, 1))
    logp = -0.5 * values[:, 0] ** 2
    weights = logp + 0.5 * (values[:, 0] / width) ** 2
    draws = WeightedDraws(values, weights - np.logaddexp.reduce(weights), 0.3)
    labels = np.zeros(20_000, dtype="int64")
    begun = np.concatenate([values[starting_rows(draws, logp, labels, rng)] for _ in range(50)])
    assert begun.std() == pytest.approx(np.sqrt(2), rel=0.08)


class TestDiscrepancy:
    @pytest.mark.parametrize("seed", range(5))
    def test_of_the_same_distribution(self, seed):
        rng = np.random.default_rng(seed)
        first, other = rng.normal(size=(2, 2000, 4))
        assert discrepancy(first, 2000, other, even(other).log_weights) < 0.05

    def test_its_unit(self, rng):
        """About 0.1 for a tenth of a standard deviation."""
        first, other = rng.normal(size=(2, 200_000, 1))
        weights = even(other).log_weights
        assert discrepancy(first + 0.2, 2e5, other, weights) == pytest.approx(0.16, abs=0.02)
        assert discrepancy(first * 1.2, 2e5, other, weights) == pytest.approx(0.16, abs=0.03)

    def test_widths_of_heavy_tails(self, rng):
        """Half of them differ from a third more by few probabilities, and by a third in width."""
        first, other = rng.standard_t(1, size=(2, 200_000, 1))
        first = np.sign(first) * np.abs(first) ** 1.3
        weights = even(other).log_weights
        assert discrepancy(first, 2e5, other, weights) > 0.3

    def test_a_mode_of_a_twentieth_is_no_width(self, rng):
        shares, parts = (0.046, 0.054), []
        for share in shares:
            far = np.arange(20_000) < share * 20_000
            parts.append(rng.normal(size=(20_000, 1)) - 50 * far[:, None])
        weights = even(parts[1]).log_weights
        assert discrepancy(parts[0], 20_000, parts[1], weights) < 0.05

    def test_weights_count(self, rng):
        Z = rng.normal(size=(20_000, 1))
        log_weights = Z[:, 0] - 0.5  # of draws whose mean is 1
        assert discrepancy(rng.normal(1, 1, size=(5000, 1)), 5000, Z, log_weights) < 0.1
        assert discrepancy(rng.normal(0, 1, size=(5000, 1)), 5000, Z, log_weights) > 0.5

    def test_noise_is_allowed_for(self, rng):
        first, other = rng.normal(size=(60, 1)), rng.normal(size=(2000, 1))
        weights = even(other).log_weights
        assert discrepancy(first, 10**9, other, weights) > discrepancy(first, 60, other, weights)


@pytest.mark.parametrize("by_potential", [False, True])
def test_very_many_data_leave_no_time(by_potential):
    """Whichever way they come into the model."""
    y = np.random.default_rng(1).normal(size=100_000)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        if by_potential:
            vb.Potential("y", vb.logp(vb.Normal.dist(mu, 1), y).sum())
        else:
            vb.Normal("y", mu, 1, observed=y)
    assert not can_be_tried(Target(model))
    assert can_be_tried(Target(two_modes()))
    assert affordable_leaps(Target(two_modes())) > 10_000


@pytest.fixture
def values(rng):
    return rng.normal([0, 100], [1, 20], size=(1000, 2))


class TestCloseness:
    def test_the_same_draws(self, values):
        assert is_close(values, even(values))
        assert are_close(even(values), even(values))

    @pytest.mark.parametrize("column", [0, 1])
    @pytest.mark.parametrize("change", ["moved", "wider", "narrower"])
    def test_a_tenth_of_a_standard_deviation_counts_in_any_dimension(self, values, column, change):
        sd = values[:, column].std()
        other = values.copy()
        if change == "moved":
            other[:, column] += 0.12 * sd
        else:
            factor = 1.15 if change == "wider" else 0.87
            other[:, column] = factor * (other[:, column] - other[:, column].mean())
            other[:, column] += values[:, column].mean()
        assert not is_close(other, even(values))
        assert not are_close(even(other), even(values))
        assert not has_moments_of(other, even(values))

    def test_widths_count(self, values):
        """Of the same means and standard deviations, but nothing beyond one of these."""
        other = values.mean(axis=0) + np.where(np.arange(1000)[:, None] % 2, 1, -1) * values.std(0)
        assert has_moments_of(other, even(values))
        assert not is_close(other, even(values))
        assert not are_close(even(other), even(values))

    def test_weights_count(self, values):
        """A few draws beside the others, which hardly weigh."""
        log_weights = np.append(np.full(len(values), -np.log(len(values))), np.full(100, -30.0))
        others = np.concatenate([values, np.full((100, 2), 500.0)])
        weighted = WeightedDraws(others, log_weights, np.nan)
        assert are_close(weighted, even(values))
        assert are_close(even(values), weighted)
        assert not are_close(even(others), even(values))

    def test_few_draws_whose_weights_are_nearly_even_have_their_moments(self):
        """The 5 % and 95 % points of 120 draws move by a tenth, where there are many dimensions."""
        close, same = 0, 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            few, log_weights = rng.normal(size=(120, 20)), 0.15 * rng.normal(size=120)
            weighted = WeightedDraws(few, log_weights - np.logaddexp.reduce(log_weights), np.nan)
            close += is_close(few, weighted)
            same += has_moments_of(few, weighted)
        assert same == 20 > close
