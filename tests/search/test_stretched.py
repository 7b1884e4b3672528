import numpy as np
import pytest
from helpers.posteriors import ample
from scipy import stats

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.effort import Effort
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal
from vibayes.search.stretched import Stretch, StretchedTarget
from vibayes.search.trust import tried

D = 4
U = np.random.default_rng(3).normal(size=(50, D))


@pytest.fixture(scope="module")
def target():
    """Cauchy variables of different places and scales."""
    with vb.Model() as model:
        vb.Cauchy("x", [0.0, 5.0, -100.0, 0.0], [1.0, 0.1, 30.0, 1e4], shape=D)
    return Target(model)


@pytest.fixture(scope="module")
def exact():
    rng = np.random.default_rng(2)
    return [0.0, 5.0, -100.0, 0.0] + rng.standard_cauchy((4000, D)) * [1.0, 0.1, 30.0, 1e4]


@pytest.fixture(scope="module")
def stretch(exact):
    return Stretch.of(exact)


def even(X):
    return WeightedDraws(X, np.full(len(X), -np.log(len(X))), 0.1)


def test_there_and_back(stretch):
    np.testing.assert_allclose(stretch.backward(stretch.forward(U)), U, rtol=1e-9)


def test_slope_is_that_of_the_map(stretch):
    differences = (stretch.forward(U + 1e-5) - stretch.forward(U - 1e-5)) / 2e-5
    expected = np.log(differences).sum(axis=1)
    np.testing.assert_allclose(stretch.log_slope(U), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [stats.norm(3, 2), stats.t(3), stats.cauchy(1, 5)])
def test_quartiles_and_tails_become_those_of_a_standard_normal(kind):
    p = np.array([0.02, 0.25, 0.5, 0.75, 0.98])
    draws = kind.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    found = Stretch.of(draws).backward(kind.ppf(p)[:, None])[:, 0]
    np.testing.assert_allclose(found, stats.norm.ppf(p), atol=0.01)


@pytest.mark.parametrize(
    ("kind", "heavy"), [(stats.uniform, False), (stats.norm, False), (stats.t(2), True)]
)
def test_which_tails_are_heavy(kind, heavy):
    assert Stretch.of(kind.ppf((np.arange(4000) + 0.5) / 4000)[:, None]).is_heavy == heavy


def test_what_stands_still_has_finite_coordinates():
    stretch = Stretch.of(np.ones((100, 2)))
    assert np.isfinite(stretch.backward(np.ones((1, 2)))).all()


def test_gradient_is_that_of_the_log_density(target, stretch):
    stretched = StretchedTarget(target, stretch)
    logp, gradient = stretched(U)
    np.testing.assert_allclose(logp, target.logp(stretch.forward(U)) + stretch.log_slope(U))
    for j, unit in enumerate(np.eye(D)):
        high, low = stretched(U + 1e-5 * unit)[0], stretched(U - 1e-5 * unit)[0]
        np.testing.assert_allclose(gradient[:, j], (high - low) / 2e-5, rtol=1e-4, atol=1e-5)


def test_far_out_the_density_is_nothing(target, stretch):
    logp, gradient = StretchedTarget(target, stretch)(np.full((1, D), 1e4))
    assert logp == -np.inf
    assert (gradient == 0).all()


def test_chains_mix_where_they_would_not(target, stretch, exact):
    """On the same number of steps; their draws, in the target's own variables, are right."""
    effort = Effort(4, 1500)
    normal = FittedNormal(stretch.center, stretch.scale)
    facts = target, even(exact), target.logp(exact), [normal]
    plain = tried(*facts, np.random.default_rng(1), ample(), effort)
    assert plain.draws is None
    found = tried(*facts, np.random.default_rng(1), ample(), effort, stretch)
    assert found.draws is not None
    ranks = stats.cauchy.cdf((found.draws.values - [0, 5, -100, 0]) / [1, 0.1, 30, 1e4])
    for p in (0.05, 0.25, 0.5, 0.75, 0.95):
        np.testing.assert_allclose((ranks < p).mean(axis=0), p, atol=0.04)
    np.testing.assert_allclose(found.run.logp[-1], target.logp(found.run.values[-1]), rtol=1e-6)


def test_without_a_run_there_is_no_trial(target, stretch, exact):
    facts = target, even(exact), target.logp(exact), [FittedNormal(stretch.center, stretch.scale)]
    found = tried(*facts, np.random.default_rng(1), ample(), Effort(1, 2), stretch)
    assert found.run is None
