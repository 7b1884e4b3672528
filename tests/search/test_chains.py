import time
from dataclasses import replace

import numpy as np
import pytest
from helpers.posteriors import ample, covariance, funnel, normal, seeds, two_modes
from scipy import stats

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search import chains, mixing
from vibayes.search.budget import Budget
from vibayes.search.chains import (
    CHAINS_EACH,
    POINTS,
    Ensemble,
    LengthSlope,
    Snapshot,
    confirmed,
    harmonic_mean,
    run_chains,
    run_of,
)
from vibayes.search.effort import Effort
from vibayes.search.mixing import width_errors

MEAN = np.array([3.0, -2.0, 1e3])
COV = covariance(3, correlation=0.9, scales=[0.1, 1.0, 50.0])
ROOT = np.linalg.cholesky(COV)
LEAPS = 4000


@pytest.fixture(scope="module")
def target():
    return Target(normal(MEAN, COV))


def points(rng, spread=1.0, shift=0.0):
    return MEAN + (spread * rng.normal(size=(POINTS, 3)) + shift) @ ROOT.T


def ensemble(target, Z, root, rng):
    return Ensemble(target, Z, root, rng, np.zeros(len(Z), dtype="int64"))


def acceptance_of(chains):
    return np.mean([harmonic_mean(chains.move(ample()).acceptance) for _ in range(20)])


def log_spiked(Z, share=0.1, width=0.05):
    """A normal, and a share of its mass in a narrow one in the middle of it."""
    square = (Z**2).sum(axis=1)
    wide = np.log(1 - share) - 0.5 * square
    narrow = np.log(share / width**2) - 0.5 * square / width**2
    logp = np.logaddexp(wide, narrow)
    precision = np.exp(wide - logp) + np.exp(narrow - logp) / width**2
    return logp, -precision[:, None] * Z


def spiked_draws(rng, share=0.1, width=0.05):
    count = POINTS * CHAINS_EACH
    scale = np.where(np.arange(count) < share * count, width, 1.0)
    return scale[:, None] * rng.normal(size=(count, 2))


def whitened(Z):
    return np.linalg.solve(ROOT, (Z.reshape(-1, 3) - MEAN).T).T


class TestMoves:
    @pytest.mark.parametrize("metric", [ROOT, 2 * np.diag([0.1, 1.0, 50.0])])
    def test_draws_of_the_posterior_stay_such(self, target, rng, metric):
        chains = ensemble(target, MEAN + rng.normal(size=(2000, 3)) @ ROOT.T, metric, rng)
        acceptance = np.mean([chains.move(ample()).acceptance.mean() for _ in range(5)])
        assert 0.05 < acceptance < 1
        for column in whitened(chains.Z).T:
            assert stats.kstest(column, "norm").pvalue > 1e-3

    def test_what_is_not_accepted_stays(self, target, rng):
        Z = points(rng)
        chains = ensemble(target, Z, 1e6 * ROOT, rng)
        assert chains.move(ample()).acceptance.max() == 0
        np.testing.assert_array_equal(chains.Z, Z)

    def test_a_trajectory_ends_when_the_time_is_up(self, target, rng):
        """However long an evaluation takes, no more than one is done after that."""
        calls = []

        def slow(Z):
            calls.append(time.perf_counter())
            time.sleep(0.03)
            return target(Z)

        chains = ensemble(slow, points(rng), ROOT, rng)
        chains.length, budget = 100.0, Budget(0.1, 1000)
        assert chains.move(budget) is None
        assert chains.tune(10, Budget(0.1, 1000)) is False
        assert len(calls) < 12  # of dozens in a trajectory

    def test_draws_never_leave_the_support(self, rng):
        with vb.Model() as model:
            x = vb.Flat("x", initval=1.0)
            vb.Potential("truncated", vb.math.switch(x > 0, -x, -np.inf))
        chains = ensemble(Target(model), np.ones((500, 1)), np.eye(1), rng)
        for _ in range(30):
            chains.move(ample())
        assert (chains.Z > 0).all()
        assert stats.kstest(chains.Z[:, 0], "expon").pvalue > 1e-3

    def test_log_density_and_gradient_are_those_of_the_states(self, target, rng):
        chains = ensemble(target, points(rng), ROOT, rng)
        chains.move(ample())
        logp, gradient = target(chains.Z)
        np.testing.assert_allclose(chains.logp, logp)
        np.testing.assert_allclose(chains.gradient, gradient)


class TestTuning:
    def test_steps_and_mass_matrix(self, target, rng):
        """From independent units, and steps that are far too long."""
        chains = ensemble(target, points(rng).repeat(4, axis=0), np.diag(np.diag(ROOT)), rng)
        chains.step = 10.0
        assert chains.tune(60, ample())
        assert 0.5 < acceptance_of(chains) < 0.9
        np.testing.assert_allclose(chains.root @ chains.root.T / COV, 1, atol=0.5)

    @pytest.mark.parametrize("unit", [0.05, 20.0])
    def test_trajectories_of_other_units_cross_the_posterior_in_its_own(self, target, rng, unit):
        """A normal is a twentieth as wide, or as far, as it was thought to be."""
        chains = ensemble(target, points(rng).repeat(4, axis=0), unit * ROOT, rng)
        assert chains.tune(24, ample())
        assert 0.7 < chains.length < 3
        assert chains.step > 0.5
        assert chains.leaps < 700

    def test_once_more_after_what_was_seen(self, target, rng):
        """From other units: those of what was seen are taken."""
        units = np.diag([0.2, 0.4, 20.0])
        chains = ensemble(target, points(rng).repeat(4, axis=0), units, rng)
        Z = MEAN + rng.normal(size=(20, len(chains.Z), 3)) @ ROOT.T
        seen = [Snapshot(part, target.logp(part), np.ones(len(part)), 1) for part in Z]
        assert chains.retune(seen, ample())
        np.testing.assert_allclose(chains.root @ chains.root.T / COV, 1, atol=0.3)
        assert 0.5 < acceptance_of(chains) < 0.9

    def test_steps_suit_narrow_parts_that_few_trajectories_come_to(self, rng):
        begin = spiked_draws(rng)
        chains = ensemble(log_spiked, begin, np.eye(2), rng)
        assert chains.tune(60, ample())
        acceptance = chains.move(ample()).acceptance
        assert chains.step < 0.4
        assert np.mean(acceptance) > 0.85

    def test_one_that_fails_counts_for_twenty(self):
        assert harmonic_mean(np.array([1.0, 0.5])) == pytest.approx(2 / 3)
        assert harmonic_mean(np.array([1.0, 0.0])) == pytest.approx(2 / 21)

    def test_chains_that_jump_come_to_narrow_parts_without(self, rng):
        begin = spiked_draws(rng)
        labels = np.zeros(len(begin), dtype="int64")
        chains = Ensemble(log_spiked, begin, np.eye(2), rng, labels, jumps=1)
        assert chains.tune(60, ample())
        assert chains.step > 1

    def test_walls_are_no_reason_for_short_steps(self, rng):
        """Half of all trajectories end beyond one, however short their steps are."""

        def log_half(Z):
            logp, gradient = target(Z)
            return np.where(Z[:, 0] > 0, logp, -np.inf), gradient

        target = Target(normal(np.zeros(3), np.eye(3)))
        begin = np.abs(rng.normal(size=(POINTS * CHAINS_EACH, 3)))
        found = ensemble(log_half, begin, np.eye(3), rng)
        assert found.tune(60, ample())
        assert found.meets_walls
        assert found.step > 0.01

    def test_trajectories_grow_where_they_are_short_and_shrink_where_they_are_long(self, rng):
        """Of a normal, sin²(t) / t is largest at 1.17."""
        target = Target(normal(np.zeros(5), np.eye(5)))
        found = []
        for length in (0.2, 3.0):
            chains = ensemble(target, rng.normal(size=(500, 5)), np.eye(5), rng)
            chains.step, chains.length, slope = 0.1, length, LengthSlope()
            found.append(
                [slope.after(chains.move(ample()), chains.root, chains.labels) for _ in range(9)]
            )
        assert found[0][-1] > 0.3
        assert found[1][-1] < -0.3


class TestRuns:
    @pytest.mark.parametrize("seed", seeds(5))
    def test_a_normal(self, target, seed):
        """From points that are far too narrow, and in the wrong place."""
        rng = np.random.default_rng(seed)
        run = run_chains(target, points(rng, 0.3, 1.0), ROOT, rng, ample(), Effort(3, LEAPS))
        assert run.mixing.good
        assert run.within is run.mixing
        assert run.values.shape[1:] == (POINTS * CHAINS_EACH, 3)
        assert run.logp.shape == run.values.shape[:2]
        found = whitened(run.values)
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.15)
        np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=0.15)

    def test_same_seed_same_numbers(self, target):
        first, again = (
            run_chains(target, points(rng), ROOT, rng, ample(), Effort(1, LEAPS))
            for rng in map(np.random.default_rng, (1, 1))
        )
        np.testing.assert_array_equal(first.values, again.values)
        assert first.mixing == again.mixing

    def test_no_time(self, target, rng):
        assert (
            run_chains(target, points(rng), ROOT, rng, Budget(600.0, 10), Effort(3, LEAPS)) is None
        )
        assert run_chains(target, points(rng), ROOT, rng, ample(), Effort(3, 20)) is None

    @pytest.mark.parametrize("seed", seeds(5))
    def test_two_modes_that_no_chain_leaves(self, seed):
        rng = np.random.default_rng(seed)
        labels = np.arange(POINTS) % 2
        begin = np.where(labels == 0, -8.0, 8.0)[:, None] + rng.normal(size=(POINTS, 1))
        target = Target(two_modes(means=(-8.0, 8.0)))
        run = run_chains(target, begin, np.eye(1), rng, ample(), Effort(3, LEAPS), labels)
        assert not run.mixing.good
        assert run.mixing.memory > 0.1
        assert run.mixing.rhat > 1.5
        assert run.within.good

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(3))
    def test_a_funnel(self, seed):
        """Its neck is too narrow: either the width is right, or they have not mixed."""
        rng = np.random.default_rng(seed)
        begin = 0.1 * rng.normal(size=(POINTS, 3))
        run = run_chains(Target(funnel()), begin, np.eye(3), rng, ample(), Effort(5, 10_000))
        assert not run.mixing.good or run.values[:, :, 0].std() == pytest.approx(3, rel=0.2)


class TestJumps:
    def test_they_leave_the_posterior_as_it_is(self, target, rng):
        """Of exact draws, after as many jumps as move each chain several times."""
        ensemble = Ensemble(
            target, MEAN + rng.normal(size=(4000, 3)) @ ROOT.T, ROOT, rng, np.zeros(4000, int)
        )
        before = ensemble.Z
        for _ in range(20):
            ensemble.jump()
        assert (before != ensemble.Z).any(axis=1).mean() > 0.95
        whitened = np.linalg.solve(ROOT, (ensemble.Z - MEAN).T)
        np.testing.assert_allclose(whitened.mean(axis=1), 0, atol=0.08)
        np.testing.assert_allclose(np.cov(whitened), np.eye(3), atol=0.12)
        logp, gradient = target(ensemble.Z)
        np.testing.assert_allclose(ensemble.logp, logp)
        np.testing.assert_allclose(ensemble.gradient, gradient)

    def test_they_pass_walls_and_stairs(self, rng):
        """Ordered variables, on a density of stairs: trajectories know of neither."""
        with vb.Model() as model:
            x = vb.Normal("x", 0, 1, shape=3, initval=[-1.0, 0.0, 1.0])
            vb.Potential("order", vb.math.switch(vb.math.all(x[1:] > x[:-1]), 0.0, -np.inf))
        target = Target(model)
        exact = np.sort(rng.normal(size=(20_000, 3)), axis=1)
        found = run_chains(
            target, exact[:POINTS], np.eye(3), rng, ample(), Effort(5, 12_000, jumps=8)
        )
        assert found.mixing.good
        values = found.values.reshape(-1, 3)
        np.testing.assert_allclose(values.mean(axis=0), exact.mean(axis=0), atol=0.1)
        np.testing.assert_allclose(values.std(axis=0), exact.std(axis=0), rtol=0.1)

    def test_from_mode_to_mode(self, rng):
        target = Target(two_modes())
        starts = np.where(np.arange(POINTS) < POINTS // 2, -3.0, 3.0)[:, None]
        found = run_chains(target, starts, np.eye(1), rng, ample(), Effort(5, 3000, jumps=8))
        assert found.mixing.good
        assert (found.values < 0).mean() == pytest.approx(0.3, abs=0.06)


class TestLongerRuns:
    """A slow direction: its first rounds have forgotten the start, and too few draws."""

    def slow(self):
        with vb.Model() as model:
            x = vb.Normal("x", 0, 1)
            vb.Normal("y", 0, vb.math.exp(0.75 * x), shape=3)
        return Target(model)

    def begin(self, target, rng):
        x = rng.normal(size=(POINTS, 1))
        return np.hstack([x, np.exp(0.75 * x) * rng.normal(size=(POINTS, 3))])

    def test_draws_of_several_rounds_count_together(self, monkeypatch):
        monkeypatch.setattr(mixing, "WANTED_SIZE", 2500.0)
        target, rng = self.slow(), np.random.default_rng(3)
        run = run_chains(
            target, self.begin(target, rng), np.eye(4), rng, ample(), Effort(6, 20 * LEAPS)
        )
        assert run.mixing.good
        assert len(run.values) > 60  # of more than one round
        x = run.values[:, :, 0]
        assert x.mean() == pytest.approx(0, abs=0.15)
        assert x.std() == pytest.approx(1, abs=0.15)
        assert run.logp.shape == x.shape

    def test_those_that_are_close_may_go_on(self, monkeypatch):
        monkeypatch.setattr(mixing, "WANTED_SIZE", 1500.0)
        target, ended = self.slow(), {False: [], True: []}
        for seed in range(1, 5):
            for may_go_on, runs in ended.items():
                rng = np.random.default_rng(seed)
                begin = self.begin(target, rng)
                effort = Effort(1, 1300, may_go_on=may_go_on)
                runs.append(run_chains(target, begin, np.eye(4), rng, ample(), effort))
        assert not any(run.mixing.good for run in ended[False])
        for short, longer in zip(ended[False], ended[True], strict=True):
            assert longer.mixing.size > short.mixing.size or not short.mixing.is_promising
        assert sum(run.mixing.good for run in ended[True]) >= 3

    def test_those_that_remember_may_not(self, rng):
        target = Target(two_modes(means=(-8.0, 8.0)))
        begin = np.repeat([-8.0, 8.0], POINTS // 2)[:, None] + rng.normal(size=(POINTS, 1))
        calls = []

        def counted(Z):
            calls.append(len(Z))
            return target(Z)

        run_chains(counted, begin, np.eye(1), rng, ample(), Effort(1, LEAPS))
        once = len(calls)
        run_chains(counted, begin, np.eye(1), rng, ample(), Effort(1, LEAPS, may_go_on=True))
        assert len(calls) - once < 2 * once

    def test_they_are_tuned_from_the_beginning_once(self, target, monkeypatch):
        monkeypatch.setattr(mixing, "WANTED_SIZE", 1e9)
        done, tune, retune = [], Ensemble.tune, Ensemble.retune

        def counted(function):
            def call(self, given, *args):
                done.append((function.__name__, given if function is tune else len(given)))
                return function(self, given, *args)

            return call

        for function in (tune, retune):
            monkeypatch.setattr(Ensemble, function.__name__, counted(function))
        rng = np.random.default_rng(1)
        run_chains(target, points(rng), ROOT, rng, ample(), Effort(3, LEAPS))
        assert done == [("tune", 24), ("retune", 60), ("retune", 60)]

    def test_twice_as_long_is_told_by_moves(self, target, rng):
        """Of 30 states after one move each, and 15 after two: 30 further ones after two."""
        Z = points(rng)
        chains = ensemble(target, Z.repeat(CHAINS_EACH, axis=0), ROOT, rng)
        seen = [chains.snapshot(moves, ample()) for moves in [1] * 30 + [2] * 15]
        begun = Z, target(Z)[0], np.zeros(POINTS, dtype="int64")
        longer, more = confirmed(run_of(seen, *begun), seen, chains, 2, begun, 0, ample())
        assert [snapshot.moves for snapshot in more] == [2] * 30
        assert len(longer.values) == 75
        np.testing.assert_array_equal(longer.values[45:], [s.values for s in more])

    @pytest.mark.parametrize("most", [700.0, 1e9])
    def test_those_that_are_worth_no_more_are_not_good(self, target, monkeypatch, most):
        """Up to a number of draws, whatever the number of moves: something keeps chains apart."""
        seen = []

        def of_moves(snapshots, *begun):
            seen.append([snapshot.moves for snapshot in snapshots])
            run, moves = run_of(snapshots, *begun), sum(seen[-1])
            size, half = min(most, 20.0 * moves), min(most, 10.0 * moves)
            found = replace(run.mixing, size=size, size_of_half=half, memory=0.0, drift=0.0)
            return replace(run, mixing=found, within=found)

        monkeypatch.setattr(chains, "run_of", of_moves)
        rng = np.random.default_rng(1)
        run = run_chains(target, points(rng), ROOT, rng, ample(), Effort(3, 10 * LEAPS))
        assert run.is_good == (most > 700)
        if run.is_good:
            assert seen == [[1] * n for n in (20, 40, 80)]
        else:
            assert [1] * 80 in seen  # the longer one was looked at
            assert [1] * 100 in seen  # and went on from there
            assert [2] * 40 in seen
            assert all(len(set(moves)) == 1 for moves in seen)  # none of several rounds

    @pytest.mark.parametrize("steady", [2, 4])
    def test_rounds_that_are_not_steady_do_not_count(self, target, monkeypatch, steady):
        """Of the second and third round, of two and four moves a state, one is."""
        seen = []

        def of_moves(snapshots, *begun):
            seen.append({snapshot.moves for snapshot in snapshots})
            half = 100.0 if seen[-1] == {steady} else 300.0
            run = run_of(snapshots, *begun)
            found = replace(run.mixing, size=300.0, size_of_half=half, memory=0.0, drift=0.0)
            return replace(run, mixing=found, within=found)

        monkeypatch.setattr(chains, "run_of", of_moves)
        rng = np.random.default_rng(1)
        run_chains(target, points(rng), ROOT, rng, ample(), Effort(3, 10 * LEAPS))
        assert seen == [{moves} for moves in (1, 2, 4) for _ in range(3)]

    def test_more_draws_where_they_are_cheap(self, target, monkeypatch):
        monkeypatch.setattr(chains, "PLENTY", 10_000.0)
        runs = []
        for cheap_leaps in (0, 2000):
            rng = np.random.default_rng(1)
            effort = Effort(3, LEAPS, leaps_for_plenty=cheap_leaps)
            runs.append(run_chains(target, points(rng), ROOT, rng, ample(), effort))
        fewer, more = runs
        assert len(more.values) / len(fewer.values) in (2, 4, 8)
        assert more.mixing.size > fewer.mixing.size
        np.testing.assert_array_equal(more.values[: len(fewer.values)], fewer.values)

    @pytest.mark.parametrize("may_go_on", [False, True])
    def test_until_widths_are_known(self, target, monkeypatch, may_go_on):
        """To a hundredth, for which draws of a normal have to be some eight thousand."""
        monkeypatch.setattr(chains, "LARGEST_WIDTH_ERROR", 0.01)
        rng = np.random.default_rng(1)
        effort = Effort(2, 200, may_go_on=may_go_on)
        run = run_chains(target, points(rng), ROOT, rng, ample(), effort)
        error = width_errors(run.values.reshape(-1, 3), run.size).max()
        assert run.has_mixed
        assert (error < 0.01) == run.is_precise == run.is_good == may_go_on

    def test_those_that_have_mixed_may_go_on_for_longest(self, target, monkeypatch):
        """Here until the widths are known without any error."""
        monkeypatch.setattr(chains, "LARGEST_WIDTH_ERROR", 0.0)
        calls = []

        def counted(Z):
            calls.append(len(Z))
            return target(Z)

        for leaps_of_mixed in (100, 500):
            rng, before = np.random.default_rng(1), len(calls)
            effort = Effort(1, 250, may_go_on=True, leaps_of_mixed=leaps_of_mixed)
            run = run_chains(counted, points(rng), ROOT, rng, ample(), effort)
            assert run.has_mixed
            most = 4 * max(250, leaps_of_mixed)
            assert 0.9 * most < len(calls) - before < 1.1 * most

    @pytest.mark.parametrize("mixed", [False, True])
    @pytest.mark.parametrize("shoulder", [False, True])
    def test_widths_have_to_be_known_of_what_has_mixed(self, rng, mixed, shoulder):
        """Where chains go from place to place, not where they stay in their own."""
        far = rng.random((40, 128, 1)) < (0.06 if shoulder else 0.0)
        values = np.where(far, 8.0, 0.0) + rng.normal(size=far.shape)
        good = mixing.Mixing(1.0, 1000.0, 500.0, 0.0, 0.0, 0.0)
        run = chains.ChainRun(values, values[:, :, 0], good, good)
        if not mixed:
            run = replace(run, mixing=replace(good, memory=1.0))
        assert run.has_mixed
        assert run.is_good == run.is_precise == run.is_plenty == (not mixed or not shoulder)

    def test_the_first_round_of_points_that_are_spread_evenly_does_not_count(self):
        """Half of the chains begin where a hundredth of the mass is."""
        with vb.Model() as model:
            vb.NormalMixture("x", [0.99, 0.01], [-1.5, 1.5], 0.7)
        target = Target(model)
        found = {}
        for spread in (False, True):
            rng = np.random.default_rng(2)
            begin = np.repeat([-1.5, 1.5], POINTS // 2)[:, None] + 0.7 * rng.normal(
                size=(POINTS, 1)
            )
            calls = []

            def counted(Z, calls=calls):
                calls.append(len(Z))
                return target(Z)

            options = {"spread": spread}
            run = run_chains(counted, begin, np.eye(1), rng, ample(), Effort(3, LEAPS), **options)
            found[spread] = len(calls), (run.values > 0).mean()
            if spread:  # without time for more, it is not good
                once = [
                    run_chains(target, begin, np.eye(1), rng, ample(), Effort(1, LEAPS), **options)
                    for _ in range(6)
                ]
                assert any(run.mixing.good for run in once)
                assert not any(run.is_good for run in once)
        assert found[True][0] > found[False][0]
        truth = 0.99 * stats.norm.sf(1.5 / 0.7) + 0.01 * stats.norm.cdf(1.5 / 0.7)
        assert found[True][1] == pytest.approx(truth, abs=0.01)
