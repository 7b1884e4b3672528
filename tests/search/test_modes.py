from dataclasses import replace

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.posteriors import ample, covariance, funnel, line, normal, seeds, two_modes
from scipy import optimize

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search import modes
from vibayes.search.budget import Budget
from vibayes.search.modes import (
    SearchPath,
    approach,
    curvature_at,
    find_modes,
    is_resolved,
    peaks_of,
    screened_starts,
    without_followers,
)

SCALES = np.array([1e-4, 1e-2, 1.0, 1e3, 1e5])
MEAN = np.array([3e-4, -5e-2, 7.0, -4e3, 6e5])
COV = covariance(5, correlation=0.6, scales=SCALES)


@pytest.fixture(scope="module")
def scaled():
    return Target(normal(MEAN, COV))


@pytest.mark.parametrize("start", [0.0, 1.0, -50.0, 1e4])
def test_newton_whatever_the_scales(scaled, start):
    (path,) = find_modes(scaled, np.full((1, 5), start), ample())
    assert path.converged
    np.testing.assert_allclose((path.z - MEAN) / SCALES, 0, atol=0.02)
    units = np.outer(SCALES, SCALES)
    np.testing.assert_allclose(path.curvature * units, np.linalg.inv(COV) * units, atol=1e-3)


def test_the_root_of_the_trail_is_that_of_the_inverse_curvature(scaled):
    (path,) = find_modes(scaled, np.zeros((1, 5)), ample())
    _, root = path.trail[-1]
    np.testing.assert_allclose(root @ root.T / COV, 1, rtol=1e-3)


def test_newton_from_bad_starts():
    """The mode of a regression, also where sigma is absurd or the line is far off."""
    target = Target(line())
    best = optimize.minimize(
        lambda z: -target.logp(z[None])[0],
        [100.0, -9.0, 1.5],
        method="Nelder-Mead",
        options=dict(xatol=1e-6, fatol=1e-10, maxiter=5000),
    )
    starts = np.array([[0, 0, 0.0], [1e3, 1e3, 0], [0, 0, 12.0], [-500, 100, -3.0]])
    for path in find_modes(target, starts, ample()):
        assert path.converged
        assert path.logp == pytest.approx(-best.fun, abs=1e-3)
        np.testing.assert_allclose(path.z, best.x, rtol=1e-2)


def test_several_modes_are_found():
    paths = find_modes(Target(two_modes()), np.array([[-4.0], [-2.0], [2.0], [5.0]]), ample())
    np.testing.assert_allclose(np.abs([p.z[0] for p in paths]), 3, atol=0.02)
    assert {np.sign(p.z[0]) for p in paths} == {-1, 1}


def test_searches_leave_their_starts_alone(scaled):
    starts = np.full((2, 5), 2.0)
    find_modes(scaled, starts, ample())
    approach(scaled, starts, ample())
    np.testing.assert_array_equal(starts, 2.0)


def test_a_saddle_is_no_mode():
    with vb.Model() as model:
        x = vb.Flat("x", shape=2)
        vb.Potential("wells", -((x[0] ** 2 - 1) ** 2) - x[1] ** 2)
    target = Target(model)
    at_saddle, beside = find_modes(target, np.array([[0.0, 0.0], [0.05, 2.0]]), ample())
    assert not at_saddle.converged
    assert at_saddle.given_up
    assert beside.converged
    np.testing.assert_allclose(beside.z, [1, 0], atol=0.01)


def test_a_density_without_a_mode():
    """A funnel has a pole: the search ends, and does not call it a mode."""
    (path,) = find_modes(Target(funnel()), np.array([[1.0, 0.5, -0.5]]), ample())
    assert np.isfinite(path.z).all()
    assert path.iterations <= 60


def test_starts_without_density_are_left_out():
    with vb.Model() as model:
        vb.HalfNormal("s", 1)
    paths = find_modes(Target(model), np.array([[800.0], [0.0]]), ample())
    assert len(paths) == 1
    assert paths[0].z[0] == pytest.approx(0.0, abs=0.02)  # of log s: exp(2 z) = 1


def test_without_any_time_there_is_a_place_to_stay(scaled):
    budget = Budget(600.0, 1)
    budget.step()
    (path,) = find_modes(scaled, np.full((1, 5), 3.0), budget)
    assert not path.converged
    ((z, root),) = path.trail
    np.testing.assert_array_equal(z, 3.0)
    np.testing.assert_allclose(root @ root.T @ path.curvature, np.eye(5))


def test_budget(scaled):
    budget = Budget(600.0, 1)
    (path,) = find_modes(scaled, np.full((1, 5), 1e4), budget)
    assert budget.taken == 1
    assert path.iterations == 0


@pytest.mark.parametrize("seed", seeds(3))
def test_lbfgs_comes_close(seed):
    rng = np.random.default_rng(seed)
    mean, cov = rng.normal(size=30), covariance(30, seed)
    target = Target(normal(mean, cov))
    (search,) = approach(target, 10 * rng.normal(size=(1, 30)), ample())
    assert search.logp > -2.0  # 0 at the mode, -15 at a typical draw
    assert (np.array(search.gains) > 0).all()


def test_lbfgs_and_scales(scaled):
    (search,) = approach(scaled, np.zeros((1, 5)), ample())
    (path,) = find_modes(scaled, search.z[None], ample())
    assert path.converged


def test_curvature(rng):
    target = Target(line())
    z, scale = np.array([90.0, -8.0, 2.0]), np.array([10.0, 2.0, 0.3])

    def gradient(z):
        return target(z[None])[1][0]

    expected = [-(gradient(z + w) - gradient(z - w)) / (2 * w.sum()) for w in np.diag(1e-3 * scale)]
    found = curvature_at(target, z, scale)
    units = np.outer(scale, scale)
    np.testing.assert_allclose(found * units, np.array(expected) * units, rtol=1e-2, atol=1e-2)
    np.testing.assert_array_equal(found, found.T)


def test_screened_starts(scaled, rng):
    starts, points, prior = screened_starts(scaled, rng)
    assert prior == 0 or prior == points - 400
    np.testing.assert_array_equal(starts[0], scaled.start)
    assert len(np.unique(starts, axis=0)) >= 8
    at_random = scaled.start + rng.uniform(-4, 4, (200, 5))
    assert np.median(scaled.logp(starts[1:])) > np.median(scaled.logp(at_random))


def test_peaks_are_far_from_all_that_is_higher():
    """Two heaps, the lower of which has a tenth of the density at its top."""
    heaps = np.random.default_rng(1).normal([[0.0, 8.0]], 0.5, size=(50, 2)).T.reshape(-1, 1)
    height = np.where(heaps < 4, -2 * heaps**2, -2 * (heaps - 8) ** 2 - np.log(10))[:, 0]
    ranked = heaps[np.argsort(-height)]
    (peak, *_) = peaks_of(ranked, 3)
    assert peak == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("weights", "mu"), [((0.3, 0.7), (-3, 3)), ((0.2, 0.8), (-300, 300))])
def test_starts_lead_to_both_modes(weights, mu, seed):
    """Also where they lie far outside of any cube about the start: the prior leads there."""
    with vb.Model() as model:
        vb.NormalMixture("x", w=weights, mu=mu, sigma=1.0)
    target = Target(model)
    starts, points, prior = screened_starts(target, np.random.default_rng(seed))
    assert (points, prior) == (500, 100)
    ends = [path.z[0] for path in find_modes(target, starts, ample()) if path.converged]
    assert min(ends) == pytest.approx(mu[0], abs=0.1)
    assert max(ends) == pytest.approx(mu[1], abs=0.1)


@pytest.fixture(scope="module")
def cancelling():
    """Return a normal posterior whose density has a term that is 0 but for rounding errors."""
    with vb.Model() as model:
        x = vb.Normal("x", 0, 30)
        k = pt.exp(x)
        halves = pt.gammaln(k) + pt.gammaln(k + 0.5) + (2 * k - 1) * np.log(2)
        vb.Potential("zero", pt.gammaln(2 * k) - halves)  # by the duplication formula, a constant
    return Target(model)


def test_rounding_errors_are_no_modes(cancelling):
    starts = np.array([[5.0], [55.0], [60.0]])
    np.testing.assert_array_equal(is_resolved(cancelling, starts), [True, False, False])
    for path in find_modes(cancelling, starts, ample()):
        assert abs(path.z[0]) < 30


def test_narrow_peaks_far_from_zero_are_resolved(scaled):
    sd = 1e9 * np.finfo(pytensor.config.floatX).eps  # a thousand roundings
    narrow = Target(normal(np.array([1e6]), np.array([[sd**2]])))
    np.testing.assert_array_equal(is_resolved(narrow, np.array([[1e6]])), [True])
    np.testing.assert_array_equal(is_resolved(scaled, MEAN[None]), [True])


def test_no_start_is_searched_from_twice(rng):
    """The peaks of so few points are among those that were chosen already."""
    starts = screened_starts(Target(normal(np.zeros(2), np.eye(2))), rng, count=16).starts
    assert len(np.unique(starts, axis=0)) == len(starts)


def test_searches_that_go_on_to_the_same_mode_are_one():
    at = np.array([2.0, 0.0])
    path = SearchPath(at, -1.0, np.zeros(2), np.ones(2), trail=((at, np.eye(2)),))
    leader = replace(path, decrement=0.1, convex=True)
    close = replace(path, z=at + 0.3, logp=-1.2)
    away, below = replace(path, z=at + 0.6, logp=-1.2), replace(close, logp=-2.5)
    assert without_followers([close, leader, away, below]) == [leader, away, below]
    assert without_followers([close, replace(leader, convex=False)])[0] is close  # at a saddle
    assert without_followers([close, replace(leader, decrement=5.0)])[0] is close  # on the way
    done = replace(close, converged=True)
    assert without_followers([done, leader]) == [done, leader]


def test_fewer_searches_end_where_all_do(monkeypatch):
    two = Target(two_modes())
    starts = np.random.default_rng(2).normal(0, 4, (30, 1))
    found = find_modes(two, starts, ample())
    monkeypatch.setattr(modes, "NEAR", 0.0)
    every = find_modes(two, starts, ample())
    assert len(found) < len(every) == 30
    ends, others = (np.unique(np.round([p.z[0] for p in paths], 3)) for paths in (found, every))
    np.testing.assert_allclose(ends, others, atol=0.01)
