import numpy as np
import pytest
from helpers.posteriors import ample, covariance, funnel, normal, seeds
from scipy import stats

from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.moves import correlation, evenly_weighted, has_settled, move, settle

MEAN = np.array([3.0, -2.0, 1e3])
COV = covariance(3, correlation=0.9, scales=[0.1, 1.0, 50.0])
ROOT = np.linalg.cholesky(COV)


@pytest.fixture(scope="module")
def target():
    return Target(normal(MEAN, COV))


def draws(rng, n=1000):
    return MEAN + rng.normal(size=(n, 3)) @ ROOT.T


def whitened(Z):
    return np.linalg.solve(ROOT, (Z - MEAN).T).T


@pytest.mark.parametrize("metric", [ROOT, 2 * np.diag([0.1, 1.0, 50.0])])
def test_draws_of_the_posterior_stay_such(target, rng, metric):
    Z, accepted = move(target, draws(rng, 2000), metric, rng, rounds=5)
    assert 0.05 < accepted <= 1
    for column in whitened(Z).T:
        assert stats.kstest(column, "norm").pvalue > 1e-3


def test_what_is_not_accepted_stays(target, rng):
    Z = draws(rng, 200)
    moved, accepted = move(target, Z, ROOT, rng, rounds=1, size=1.0)
    stayed = (moved == Z).all(axis=1).mean()
    assert stayed == pytest.approx(1 - accepted)
    wild, none = move(target, Z, 1e6 * ROOT, rng, rounds=1)
    assert none == 0
    np.testing.assert_array_equal(wild, Z)


def test_draws_never_leave_the_support(rng):
    import vibayes as vb

    with vb.Model() as model:
        x = vb.Flat("x", initval=1.0)
        vb.Potential("truncated", vb.math.switch(x > 0, -x, -np.inf))
    Z, _ = move(Target(model), np.ones((500, 1)), np.eye(1), rng, rounds=30)
    assert (Z > 0).all()
    assert stats.kstest(Z[:, 0], "expon").pvalue > 1e-3


@pytest.mark.parametrize("seed", seeds(3))
def test_settle(target, seed):
    """From draws that are far too narrow, and in the wrong place."""
    rng = np.random.default_rng(seed)
    begin = MEAN + (0.3 * rng.normal(size=(512, 3)) + 1.0) @ ROOT.T
    found, fine = settle(target, begin, rng, ample())
    assert fine
    assert np.isnan(found.khat)
    np.testing.assert_allclose(whitened(found.mean[None])[0], 0, atol=0.15)
    np.testing.assert_allclose(found.sd, np.sqrt(COV.diagonal()), rtol=0.1)
    np.testing.assert_allclose(found.root @ found.root.T / COV, 1, atol=0.2)
    assert found.size == pytest.approx(len(found.values))


def test_too_few_blocks(target, rng):
    begin = MEAN + 0.1 * rng.normal(size=(512, 3)) @ ROOT.T
    _, fine = settle(target, begin, rng, ample(), blocks=4)  # two in a row, the fourth the first
    assert not fine


def test_budget(target, rng):
    begin = draws(rng, 512)
    found, fine = settle(target, begin, rng, Budget(600.0, 10))
    assert not fine
    assert len(found.values) == 512


def test_small_steps_have_not_settled(target, rng):
    """Draws that remember where they were say nothing, even where their moments stand still."""
    _, fine = settle(target, draws(rng, 512), rng, ample(), rounds=1, leaps=1, blocks=6, size=0.01)
    assert not fine


@pytest.mark.parametrize("seed", seeds(3))
def test_a_funnel(seed):
    """Its neck is too narrow: either the width is right, or it has not settled."""
    rng = np.random.default_rng(seed)
    begin = 0.1 * rng.normal(size=(512, 3))
    found, fine = settle(Target(funnel()), begin, rng, ample())
    assert not fine or found.sd[0] == pytest.approx(3, rel=0.2)


def test_has_settled(rng):
    early, late = rng.normal(size=(2, 2000, 3))
    assert has_settled(early, late)
    assert not has_settled(early, late + np.array([0, 0.3, 0]))
    assert not has_settled(early, late * [1.3, 1, 1])
    assert not has_settled(early, 0.5 * early + np.sqrt(0.75) * late)


def test_correlation(rng):
    early, late = rng.normal(size=(2, 5000, 2))
    late[:, 1] = 0.6 * early[:, 1] + 0.8 * late[:, 1]
    assert correlation(early, late) == pytest.approx(0.6, abs=0.05)
    same_size = early * rng.choice([-1, 1], size=early.shape)  # only the squares remember
    assert correlation(early, same_size) == pytest.approx(1, abs=1e-3)


def test_evenly_weighted(rng):
    Z = rng.normal(size=(50, 2))
    even = evenly_weighted(Z)
    np.testing.assert_allclose(even.mean, Z.mean(axis=0))
    np.testing.assert_allclose(even.sd, Z.std(axis=0))
