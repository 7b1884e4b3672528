"""Fits by steps: all of them without a compiler."""

import time
import warnings

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes import progress
from vibayes.backend.modes import evaluate
from vibayes.backend.shared import flat_values
from vibayes.inference.loop import Ended
from vibayes.inference.schedule import (
    BLOCK,
    FEWEST_BLOCKS,
    RATES,
    ScaledAdam,
    Schedule,
    is_level,
)
from vibayes.search.begin import begin_near, current_center, find_normal, unit_scales
from vibayes.search.budget import Budget
from vibayes.search.normals import FittedNormal

QUICK = dict(backend="py", progressbar=False, random_seed=1)


class TestLevel:
    @pytest.mark.parametrize("seed", range(10))
    def test_noise_is_level_mostly(self, seed):
        rng = np.random.default_rng(seed)
        found = [is_level(rng.standard_t(3, 20 * BLOCK)) for _ in range(20)]
        assert np.mean(found) > 0.6  # what is not level is looked at again a block later

    @pytest.mark.parametrize("seed", range(10))
    def test_a_falling_loss_is_not(self, seed):
        noise = np.random.default_rng(seed).standard_t(3, 20 * BLOCK)
        assert not is_level(noise - np.linspace(0, 5, len(noise)))

    def test_few_losses_tell_nothing(self):
        assert not is_level(np.zeros(FEWEST_BLOCKS * BLOCK - 1))
        assert is_level(np.zeros(FEWEST_BLOCKS * BLOCK))

    def test_outliers_do_not_matter(self):
        losses = np.random.default_rng(1).normal(size=20 * BLOCK)
        losses[:: 5 * BLOCK] = 1e12
        assert is_level(losses)


class TestScaledAdam:
    def steps(self, scales, start, n=200):
        """Go down to 3 scales from 0 scales, in units of the scales."""
        params = [
            pytensor.shared(np.array(s * u), name="p") for s, u in zip(start, scales, strict=True)
        ]
        target = [3 * np.asarray(u) for u in scales]
        loss = sum(
            (((p - t) / u) ** 2).sum() for p, t, u in zip(params, target, scales, strict=True)
        )
        optimizer = ScaledAdam(scales)
        updates = optimizer(pytensor.grad(loss, params), params)
        step = pytensor.function([], loss, updates=updates, mode="FAST_COMPILE")
        losses = [float(step()) for _ in range(n)]
        return [p.get_value() / u for p, u in zip(params, scales, strict=True)], losses, optimizer

    def test_units_do_not_matter(self):
        start = [np.array([0.0, 1.0]), np.array(2.0)]
        ones = [np.ones(2), np.ones(())]
        wild = [np.array([1e-5, 1e4]), np.array(1e8)]
        plain, losses, _ = self.steps(ones, start)
        scaled, scaled_losses, _ = self.steps(wild, start)
        np.testing.assert_allclose(np.hstack(scaled), np.hstack(plain), rtol=1e-4)
        np.testing.assert_allclose(scaled_losses, losses, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(np.hstack(plain), 3, atol=0.2)

    def test_further_parameters_are_in_units_of_their_own(self):
        p, own = pytensor.shared(np.array(0.0)), pytensor.shared(np.array(0.0))
        updates = ScaledAdam([np.array(100.0)])([pt.constant(1.0), pt.constant(1.0)], [p, own])
        moved = evaluate([updates[p], updates[own]])
        assert moved[0] == pytest.approx(100 * moved[1])
        assert moved[1] == pytest.approx(-RATES[0], rel=1e-3)

    def test_new_scales(self):
        optimizer = ScaledAdam([np.ones(2)])
        optimizer.set_scales([np.array([3.0, 4.0])])
        np.testing.assert_array_equal(optimizer.scales[0].get_value(), [3, 4])


class Stepping:
    """Stands for an approximation whose parameters are noise about a constant."""

    def __init__(self, sd, drift=0.0):
        self.rng = np.random.default_rng(1)
        self.params = [pytensor.shared(np.zeros(3)), pytensor.shared(np.zeros(()))]
        self.sd, self.drift = sd, drift

    def step(self, i):
        for p in self.params:
            value = 5.0 + self.drift * i + self.sd * self.rng.normal(size=p.get_value().shape)
            p.set_value(value)


def run(schedule, approx, blocks=200):
    losses = np.random.default_rng(2).normal(size=BLOCK * blocks)
    rates = []
    for i in range(BLOCK, len(losses) + 1, BLOCK):
        approx.step(i)
        schedule(approx, losses[:i], i)
        rates.append(float(schedule.optimizer.rate.get_value()))
    return rates


class TestSchedule:
    def schedule(self, seconds=600.0, steps=1_000_000):
        return Schedule(ScaledAdam([np.ones(3), np.ones(())]), Budget(seconds, steps))

    def test_it_ends_when_averages_are_accurate(self):
        schedule, approx = self.schedule(), Stepping(0.2)
        with pytest.raises(Ended):
            run(schedule, approx)
        assert schedule.ending.converged
        assert "averages are accurate" in schedule.ending.reason
        for p in approx.params:
            np.testing.assert_allclose(p.get_value(), 5, atol=0.15)
        assert float(schedule.optimizer.rate.get_value()) == pytest.approx(RATES[-1])

    def test_averages_are_better_than_the_last_state(self):
        errors = []
        for seed in range(10):
            schedule, approx = self.schedule(), Stepping(0.2)
            approx.rng = np.random.default_rng(seed)
            with pytest.raises(Ended):
                run(schedule, approx)
            errors.append(np.abs(approx.params[0].get_value() - 5).mean())
        assert np.mean(errors) < 0.5 * 0.2

    def test_parameters_that_drift_are_not_accurate(self):
        schedule, approx = self.schedule(), Stepping(0.01, drift=1e-2)
        run(schedule, approx, blocks=60)
        assert not schedule.ending.converged

    @pytest.mark.parametrize("blocks", [1, 3, 40])
    def test_budget(self, blocks):
        schedule, approx = self.schedule(steps=blocks * BLOCK), Stepping(50.0)
        with pytest.raises(Ended, match="steps was used up"):
            run(schedule, approx)
        assert schedule.ending.converged is False
        assert schedule.budget.taken == blocks * BLOCK

    def test_whole_blocks(self):
        assert self.schedule(steps=1).most_steps == BLOCK
        assert self.schedule(steps=BLOCK + 1).most_steps == 2 * BLOCK

    def test_interrupted_before_the_end(self):
        schedule = self.schedule()
        run(schedule, Stepping(50.0), blocks=5)
        assert schedule.ending.converged is False
        assert schedule.ending.reason == "it was interrupted"


class TestParametersOfTheUser:
    """Such as those of an encoder: there is nothing to average."""

    def run(self, loss):
        schedule = Schedule(ScaledAdam([]), Budget(600.0, 1_000_000))
        approx = Stepping(1.0)
        approx.params = []
        for i in range(BLOCK, len(loss) + 1, BLOCK):
            schedule(approx, loss[:i], i)
        return schedule

    def test_a_level_loss_ends_it(self):
        with pytest.raises(Ended, match="the loss is level at the lowest rate"):
            self.run(np.zeros(BLOCK * 3 * FEWEST_BLOCKS))

    def test_a_falling_one_does_not(self):
        schedule = self.run(-np.arange(100.0 * BLOCK))
        assert float(schedule.optimizer.rate.get_value()) == pytest.approx(RATES[0])


# -- where steps begin ----------------------------------------------------------------------------


def correlated():
    with vb.Model() as model:
        a = vb.Normal("a", 1e4, 100)
        b = vb.Normal("b", 1e-3 * a, 0.5, shape=2)
        vb.Normal("y", b, 0.5, observed=[11.0, 9.0])
    return model


def exact():
    """Precision and mean of (a, b): all is normal."""
    P = np.zeros((3, 3))
    P[0, 0] = 1e-4 + 2 * 1e-6 / 0.25
    P[1:, 1:] = np.eye(2) * (1 / 0.25 + 1 / 0.25)
    P[0, 1:] = P[1:, 0] = -1e-3 / 0.25
    h = np.array([1e4 * 1e-4, 11 / 0.25, 9 / 0.25])
    return np.linalg.solve(P, h), P


def test_the_normal_to_begin_with():
    approx = vb.MeanField(model=correlated(), random_seed=1)
    q = find_normal(approx, Budget(60.0, 10_000))
    mean, P = exact()
    np.testing.assert_allclose((q.mean - mean) * np.sqrt(P.diagonal()), 0, atol=0.05)
    np.testing.assert_allclose(q.sd, np.sqrt(np.linalg.inv(P).diagonal()), rtol=0.05)


def test_begin_near_with_groups():
    model = correlated()
    a, b = model.free_RVs
    groups = [vb.Group([b], vfam="fr", model=model), vb.Group([a], vfam="mf", model=model)]
    approx = vb.Approximation(groups, model=model)
    mean, P = exact()
    cov = np.linalg.inv(P)
    begin_near(approx, FittedNormal(mean, np.linalg.cholesky(cov)))
    (of_b, cov_b, of_a, sd_a) = evaluate(
        [approx.groups[0].mean, approx.groups[0].cov, approx.groups[1].mean, approx.groups[1].std]
    )
    np.testing.assert_allclose(of_b, mean[1:])
    np.testing.assert_allclose(cov_b, cov[1:, 1:], rtol=1e-6)
    np.testing.assert_allclose(of_a, mean[:1])
    np.testing.assert_allclose(sd_a, np.sqrt(cov[:1, 0]), rtol=1e-6)
    assert set(current_center(approx)) == {"a", "b"}
    scales = unit_scales(approx, np.array([1.0, 2.0, 3.0]))
    assert [s.shape for s in scales] == [p.get_value().shape for p in approx.params]
    assert all((s == 1).all() for s in unit_scales(approx))


# -- fits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", ["scale-loc", "planar*2"])
def test_flows(flow):
    with vb.Model():
        vb.Normal("x", [1e3, -2e-3], [100.0, 1e-4])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", vb.ConvergenceWarning)
            warnings.simplefilter("ignore", vb.ApproximationWarning)
            approx = vb.fit(method=f"nfvi={flow}", max_steps=600, **QUICK)
    assert approx.ending.converged is False
    assert approx.ending.reason == "the budget of 600 steps was used up"
    assert len(approx.hist) <= 600
    values = approx.flat_draws(1000, 1).values
    assert np.isfinite(values).all()
    if flow == "scale-loc":  # it begins where the normal is
        np.testing.assert_allclose((values.mean(axis=0) - [1e3, -2e-3]) / [100, 1e-4], 0, atol=0.3)
        np.testing.assert_allclose(values.std(axis=0) / [100, 1e-4], 1, atol=0.3)


def test_a_flow_without_compiler_ends_by_itself():
    with vb.Model():
        vb.Normal("x", 1e3, 100.0)
        approx = vb.fit(method="nfvi=scale-loc", **QUICK)
    assert approx.ending.converged
    assert "averages are accurate" in approx.ending.reason
    values = approx.flat_draws(4000, 1).values
    assert values.mean() == pytest.approx(1e3, abs=10)
    assert values.std() == pytest.approx(100, rel=0.1)
    assert approx.diagnose(random_seed=1).good


def test_local_variables_take_steps():
    n = 8
    y = np.linspace(-1, 3, n)
    w, r = (pytensor.shared(np.array(v)) for v in (0.1, 0.0))
    data = pt.as_tensor_variable(y)
    with vb.Model():
        z = vb.Normal("z", 0, 1.5, shape=n)
        vb.Normal("y", z, 0.8, observed=y)
        approx = vb.MeanField(local_rv={z: (w * data, r + pt.zeros_like(data))}, random_seed=1)
    inference = vb.KLqp(approx, path_derivative=True)
    inference.fit(more_obj_params=[w, r], max_steps=3000, backend="py", progressbar=False)
    gain = 1.5**2 / (1.5**2 + 0.8**2)
    assert approx.ending.converged or "used up" in approx.ending.reason
    assert w.get_value() == pytest.approx(gain, abs=0.05)
    assert np.logaddexp(0, r.get_value()) == pytest.approx(1.5 * np.sqrt(1 - gain), abs=0.05)


def test_other_objectives_take_steps():
    """With beta = 4 the prior counts four times."""
    y = np.array([1.0, 2.0, 3.0, 2.0])
    with vb.Model():
        mu = vb.Normal("mu", 0, 1)
        vb.Normal("y", mu, 1, observed=y)
        advi = vb.ADVI(random_seed=1, beta=4.0)
    approx = advi.fit(max_steps=4000, backend="py", progressbar=False)
    mean, std = evaluate([approx.groups[0].mean, approx.groups[0].std])
    assert mean[0] == pytest.approx(y.sum() / 8, abs=0.1)
    assert std[0] == pytest.approx(np.sqrt(4 / 8), rel=0.15)


def test_same_seed_same_numbers():
    found = []
    for _ in range(2):
        with vb.Model():
            vb.Normal("x", 3, 2)
            approx = vb.fit(method="nfvi=scale-loc", max_steps=400, diagnose=False, **QUICK)
        found.append(flat_values(approx.params))
    np.testing.assert_array_equal(*found)


def test_callbacks_between_blocks():
    seen = []

    def stop(approx, losses, i):
        seen.append(i)
        if i == 7:
            raise StopIteration

    with vb.Model():
        vb.Normal("x", 3, 2)
        approx = vb.fit(method="nfvi=scale-loc", callbacks=[stop], diagnose=False, **QUICK)
    assert seen == list(range(1, 8))
    assert len(approx.hist) == 7
    assert approx.ending.reason == "it was interrupted"
    assert approx.ending.converged is False


def test_the_time_is_up_in_the_middle_of_a_block():
    phases = []

    def slow(approx, losses, i):
        phases.append(progress.current().phase)
        time.sleep(0.05)

    with vb.Model():
        vb.Normal("x", 3, 2)
        with progress.shown(show=False):
            approx = vb.fit(
                method="nfvi=scale-loc", callbacks=[slow], max_seconds=3, diagnose=False, **QUICK
            )
    assert 0 < len(approx.hist) < BLOCK
    assert approx.ending.reason == "the budget of 3 seconds was used up"
    assert phases[0] == f"steps at rate {RATES[0]}"


# -- data that are not in memory ------------------------------------------------------------------

ROWS = 2000
TRUTH = np.array([1e3, -0.5e-2])
UNITS = np.array([1e-3, 1e2])  # of the predictors


@pytest.fixture(scope="module")
def stream():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 2)) * UNITS
    return X, X @ TRUTH + 0.5 * rng.normal(size=ROWS)


def streamed(stream):
    def blocks():
        for start in range(0, ROWS, 97):
            yield tuple(part[start : start + 97] for part in stream)

    X, y = vb.Minibatch(blocks, batch_size=50, total_size=ROWS)
    with vb.Model() as model:
        beta = vb.Normal("beta", 0, 1e4, shape=2)
        vb.Normal("y", X @ beta, 0.5, observed=y, total_size=ROWS)
    return model


def test_a_stream(stream):
    """The schedule comes to its end or to the budget; either way the posterior is nearly right."""
    X, y = stream
    P = X.T @ X / 0.25 + np.eye(2) / 1e8
    mean, sd = np.linalg.solve(P, X.T @ y / 0.25), np.sqrt(np.linalg.inv(P).diagonal())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vb.ConvergenceWarning)
        warnings.simplefilter("ignore", vb.ApproximationWarning)
        approx = vb.fit(model=streamed(stream), max_steps=6000, **QUICK)
    found = approx.diagnose(random_seed=1)
    found_mean, found_sd = evaluate([approx.groups[0].mean, approx.groups[0].std])
    assert approx.ending.converged or "used up" in approx.ending.reason
    assert found.judged
    assert found.khat < 1.5
    np.testing.assert_allclose((found_mean - mean) / sd, 0, atol=0.7)
    np.testing.assert_allclose(found_sd / sd, 1, atol=0.25)
