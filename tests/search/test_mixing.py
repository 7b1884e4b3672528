from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from vibayes.search.chains import CHAINS_EACH, POINTS
from vibayes.search.mixing import Mixing, effective_size, mixing_of, width_errors, worst_of


class TestMixing:
    """Of independent draws, and of draws with each of the faults that there are."""

    times, chains, d = 40, POINTS * CHAINS_EACH, 5
    fine = Mixing(rhat=1.01, size=2000.0, size_of_half=0.0, memory=0.0, drift=0.0, stuck=0.0)

    def independent(self, rng):
        return rng.normal(size=(self.times, self.chains, self.d))

    def of(self, values, begin=None, acceptance=0.8):
        begin = np.random.default_rng(9).normal(size=(POINTS, self.d)) if begin is None else begin
        logp, begin_logp = (-0.5 * (Z**2).sum(axis=-1) for Z in (values, begin))
        rates = np.full(self.chains, acceptance)
        return mixing_of(values, logp, rates, begin, begin_logp)

    @pytest.mark.parametrize("seed", range(5))
    def test_independent_draws(self, seed):
        found = self.of(self.independent(np.random.default_rng(seed)))
        assert found.good
        assert 1000 < found.size <= self.times * self.chains
        assert found.rhat < 1.02

    def test_scales_make_no_difference(self, rng):
        values = self.independent(rng)
        logp, begin = values.sum(axis=2), rng.normal(size=(POINTS, self.d))
        rates = np.ones(self.chains)
        first = mixing_of(values, logp, rates, begin, begin.sum(axis=1))
        other = mixing_of(
            np.exp(5 * values), np.exp(logp), rates, np.exp(5 * begin), np.exp(begin.sum(axis=1))
        )
        assert other.size == pytest.approx(first.size, rel=1e-9)
        assert other.memory == pytest.approx(first.memory, rel=1e-9)

    def test_chains_that_stand_still(self, rng):
        begin = rng.normal(size=(POINTS, self.d))
        found = self.of(np.tile(begin.repeat(CHAINS_EACH, axis=0), (self.times, 1, 1)), begin)
        assert found.size < 100
        assert found.memory > 0.5
        assert not found.good

    def test_a_coordinate_that_remembers(self, rng):
        values, begin = self.independent(rng), rng.normal(size=(POINTS, self.d))
        values[:, :, 3] += 0.4 * begin.repeat(CHAINS_EACH, axis=0)[:, 3]
        found = self.of(values, begin)
        assert found.memory == pytest.approx(0.3, abs=0.12)
        assert not found.good

    def test_only_the_squares_remember(self, rng):
        values, begin = self.independent(rng), rng.normal(size=(POINTS, self.d))
        values[:, :, 0] *= np.where(np.abs(begin[:, 0]) > 0.7, 1.5, 0.7).repeat(CHAINS_EACH)
        found = self.of(values, begin)
        assert not found.good

    def test_rare_visits_to_a_tail(self, rng):
        """A few chains hold a tail for the whole time: bulk and squares hardly feel it."""
        values = np.clip(self.independent(rng), -1.5, 1.5)
        values[:, :3, 2] = 4.0
        assert self.of(values).size < 0.5 * self.of(self.independent(rng)).size

    @pytest.mark.parametrize("seed", range(3))
    def test_the_worst_of_many_means_is_no_chance_of_few_points(self, seed):
        rng = np.random.default_rng(seed)
        means = rng.normal(size=(POINTS, CHAINS_EACH, 800))
        assert 0.6 < effective_size(means, np.ones(800), 1) / self.chains < 0.8

    def test_points_count_where_their_chains_are_alike(self, rng):
        means = rng.normal(size=(POINTS, CHAINS_EACH, 5))
        means[:, :, 2] += 1.5 * rng.normal(size=(POINTS, 1))
        size = effective_size(means, np.ones(5), 1)
        of_points = POINTS / means[:, :, 2].mean(axis=1).var(ddof=1)
        assert size == pytest.approx(of_points)
        assert size < 0.3 * self.chains

    def test_no_more_than_there_are(self):
        means = np.zeros((POINTS, CHAINS_EACH, 2))
        assert effective_size(means, np.ones(2), 7) == 7 * self.chains

    def test_a_drift(self, rng):
        values = self.independent(rng)
        values[self.times // 2 :, :, 1] += 0.5
        found = self.of(values)
        assert found.drift > 0.2
        assert not found.good

    @pytest.mark.parametrize("seed", range(5))
    def test_chains_that_hold_a_part_for_long(self, seed):
        """Chains enter a tail of a tenth once in two lengths of theirs, and stay as long there.

        They are worth 500 draws, but twice as many of them would be worth hardly more.
        """
        rng = np.random.default_rng(seed)
        values = np.abs(rng.normal(size=(400, self.chains, self.d)))
        entered = rng.integers(-400, 400, self.chains)
        inside = (np.arange(400)[:, None] >= entered) & (rng.random(self.chains) < 0.1)
        values[inside, 2] *= -1
        found = self.of(values)
        assert found.has_forgotten
        assert found.size < 1.4 * found.size_of_half
        assert not found.is_steady
        assert not found.good

    @pytest.mark.parametrize("seed", range(5))
    def test_independent_draws_are_worth_more_the_more_there_are(self, seed):
        rng = np.random.default_rng(seed)
        found = [self.of(rng.normal(size=(times, self.chains, self.d))) for times in (40, 80)]
        assert 1.6 < found[0].size / found[0].size_of_half < 2.4
        assert 0.8 < found[0].size / found[1].size_of_half < 1.25
        assert all(m.is_steady for m in found)

    def test_chains_that_are_stuck(self, rng):
        values = self.independent(rng)
        assert self.of(values, acceptance=0.05).stuck == 1
        assert not self.of(values, acceptance=0.05).good

    def test_many_columns_are_looked_at_in_parts(self, rng):
        values = rng.normal(size=(self.times, self.chains, 150))
        values[:, :, 149] += np.linspace(-1, 1, POINTS).repeat(CHAINS_EACH)
        begin = rng.normal(size=(POINTS, 150))
        logp, begin_logp = rng.normal(size=(self.times, self.chains)), rng.normal(size=POINTS)
        assert mixing_of(values, logp, np.ones(self.chains), begin, begin_logp).size < 200

    def test_the_worst_of_all_columns(self):
        other = replace(self.fine, rhat=1.5, size=900.0, size_of_half=-1.0, memory=0.3, drift=0.2)
        third = replace(self.fine, stuck=0.5)
        assert worst_of([self.fine, other, third]) == replace(other, stuck=0.5)

    @pytest.mark.parametrize(
        "fault",
        [
            {"size": 300.0},
            {"size_of_half": 1400.0},
            {"memory": 0.2},
            {"drift": 0.3},
            {"stuck": 0.1},
        ],
    )
    def test_each_fault_counts(self, fault):
        fine = self.fine
        assert fine.good
        assert not replace(fine, **fault).good

    def test_fewer_draws_are_promising(self):
        fine = self.fine
        sizes = [100.0, 300.0, 450.0, 600.0]
        found = [replace(fine, size=size) for size in sizes]
        assert [m.is_promising for m in found] == [False, True, True, True]
        assert [m.good for m in found] == [False, False, False, True]
        for fault in ({"memory": 0.2}, {"drift": 0.3}, {"stuck": 0.1}):
            broken = replace(fine, **fault)
            assert not any([broken.is_promising, broken.has_forgotten])


SHOULDER = 0.06


def with_shoulder(rng, shape):
    """Return draws of a normal that has a wide shoulder, which holds about a twentieth."""
    far = rng.random(shape) < SHOULDER
    return np.where(far, rng.normal(8.0, 2.0, shape), rng.normal(size=shape))


class TestWidthErrors:
    @pytest.mark.parametrize("law", [stats.norm(), stats.t(3), stats.gamma(0.5)])
    def test_as_the_density_at_the_quantiles_tells(self, law, rng):
        """The asymptotic standard error of a quantile, of which the two ends are independent."""
        size = 2000.0
        ends = law.ppf([0.05, 0.95])
        errors = np.sqrt(0.05 * 0.95 / size) / law.pdf(ends)
        found = width_errors(law.rvs(size=(100_000, 2), random_state=rng), size)
        assert found.shape == (2,)
        np.testing.assert_allclose(found, np.hypot(*errors) / np.ptp(ends), rtol=0.15)

    def test_as_widths_of_a_shoulder_vary(self, rng):
        widths = np.ptp(np.quantile(with_shoulder(rng, (600, 400)), [0.05, 0.95], axis=0), axis=0)
        spread = np.log(widths).std()
        found = width_errors(with_shoulder(rng, (100_000, 1)), 600.0)
        assert found[0] == pytest.approx(spread, rel=0.3)
        assert found[0] > 0.1

    def test_few_draws_and_constants(self, rng):
        values = np.column_stack([np.ones(100), rng.normal(size=100)])
        constant, other = width_errors(values, 10.0)
        assert constant == 0
        assert 0.1 < other < np.inf
