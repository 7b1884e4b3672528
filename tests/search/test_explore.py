from dataclasses import replace

import numpy as np
import pytest
from helpers.posteriors import ample, covariance, line, line_moments, normal, seeds, two_modes

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.chains import ChainRun
from vibayes.search.effort import CHECK
from vibayes.search.explore import concluded, explore, glance, is_nearly_even, trial_of, verified
from vibayes.search.improve import improve
from vibayes.search.mixing import Mixing
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal
from vibayes.search.trust import Trial

SCALES = np.array([1e-4, 1.0, 1e5])
MEAN = np.array([2e-4, -3.0, 4e5])
COV = covariance(3, scales=SCALES)
NOT_MIXED = Mixing(rhat=2.0, size=10.0, size_of_half=10.0, memory=1.0, drift=1.0, stuck=0.0)


@pytest.mark.parametrize("seed", seeds(3))
def test_a_normal_posterior(seed):
    rng = np.random.default_rng(seed)
    found = explore(Target(normal(MEAN, COV)), rng, ample())
    assert found.trusted
    assert len(found.normals) == 1
    assert found.draws.size > 0.9 * len(found.draws.values)
    np.testing.assert_allclose((found.best.mean - MEAN) / SCALES, 0, atol=0.01)
    np.testing.assert_allclose(found.best.full_root @ found.best.full_root.T / COV, 1, atol=0.05)


def test_many_dimensions(rng):
    d = 120
    mean, cov = rng.normal(size=d), covariance(d)
    found = explore(Target(normal(mean, cov)), rng, ample(), draws=300)
    assert found.trusted
    assert np.abs((found.best.mean - mean) / np.sqrt(cov.diagonal())).max() < 0.1
    np.testing.assert_allclose(found.best.sd, np.sqrt(cov.diagonal()), rtol=0.1)


@pytest.mark.parametrize("seed", seeds(3))
def test_draws_with_good_weights_give_way_if_chains_disagree(seed):
    rng = np.random.default_rng(seed)
    found = explore(Target(line()), rng, ample())
    values = found.draws.values + 0.4 * found.draws.sd
    wrong = WeightedDraws(values, np.full(len(values), -np.log(len(values))), 0.1)
    wrong = replace(found, draws=wrong, normals=found.normals * 2, trusted=False)
    better = verified(wrong, rng, ample())
    assert better.draws is not wrong.draws or not better.trusted
    better = improve(better, rng, ample())  # chains that have not mixed yet get more time
    mean, sd = line_moments()
    assert better.trusted
    np.testing.assert_allclose((better.draws.mean[:2] - mean) / sd, 0, atol=0.17)


@pytest.mark.parametrize("seed", seeds(3))
def test_modes_in_many_dimensions(seed):
    """Which of two mirrored modes a search comes to is chance: several are made."""
    d = 110
    with vb.Model() as model:
        x = vb.Flat("x", shape=d)
        parts = [-0.5 * ((x - mean) ** 2).sum() for mean in (1.0, -1.0)]
        vb.Potential("modes", vb.math.logsumexp(vb.math.stack(parts)))
    found = explore(Target(model), np.random.default_rng(seed), ample(), draws=300)
    assert len(found.normals) == 2
    assert found.trusted  # two normals hold it exactly
    share = np.exp(found.draws.log_weights)[found.draws.values.sum(axis=1) > 0].sum()
    assert share == pytest.approx(0.5, abs=0.05)


def test_observe_sees_the_normals(rng):
    seen = []
    explore(Target(line()), rng, ample(), observe=seen.append)
    assert len(seen) > 1
    assert all(isinstance(q, FittedNormal) for q in seen)


def test_from_what_is_close_already(rng):
    begin = FittedNormal(MEAN + 0.3 * SCALES, 0.8 * np.linalg.cholesky(COV))
    found = explore(Target(normal(MEAN, COV)), rng, ample(), begin=begin)
    np.testing.assert_allclose((found.best.mean - MEAN) / SCALES, 0, atol=0.15)
    np.testing.assert_allclose(found.best.sd / SCALES, 1, atol=0.15)


def test_same_seed_same_numbers():
    first, again, other = (
        explore(Target(line()), np.random.default_rng(seed), ample()) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.draws.values, again.draws.values)
    assert (first.draws.values != other.draws.values).all()


@pytest.fixture(scope="module")
def at_a_normal():
    target = Target(normal(np.zeros(2), covariance(2)))
    return glance(target, np.random.default_rng(1), ample(), draws=200)


def with_khat(found, khat, size):
    draws = found.draws
    return replace(found, draws=WeightedDraws(draws.values, draws.log_weights, khat, size))


@pytest.mark.parametrize(
    ("khat", "size", "width", "by_chains"),
    [
        (0.45, 120.0, 1.0, False),
        (0.45, 120.0, 1.2, True),
        (0.45, 120.0, 0.8, True),
        (0.55, 120.0, 1.0, True),
        (0.45, 80.0, 1.0, True),
    ],
)
def test_of_draws_that_agree_those_that_are_reliable_and_close(
    at_a_normal, khat, size, width, by_chains, rng
):
    known = with_khat(at_a_normal, khat, size)
    values = known.draws.mean + width * (known.draws.values - known.draws.mean)
    moved = WeightedDraws(values, known.draws.log_weights, np.nan, 150.0)
    after = concluded(known, Trial(draws=moved, agrees=True), rng, ample())
    assert after.trusted
    assert after.moved == by_chains
    assert after.draws is (moved if by_chains else known.draws)


def test_where_chains_have_come_to_that_are_not_believed(at_a_normal, rng):
    values = rng.normal(size=(5, 8, len(at_a_normal.best.mean)))
    values[-1, 0] = values[-1, 1]  # chains that have not moved from where both began
    run = ChainRun(values, np.zeros((5, 8)), NOT_MIXED, NOT_MIXED)
    after = concluded(at_a_normal, Trial(run), rng, ample())
    assert not after.trusted
    np.testing.assert_array_equal(after.visited, np.unique(values[-1], axis=0))
    assert len(after.visited) == 7
    assert concluded(after, Trial(), rng, ample()).visited is after.visited


def test_chains_are_told_where_others_have_come_to(at_a_normal, rng, monkeypatch):
    given = []
    monkeypatch.setattr("vibayes.search.explore.tried", lambda *facts: given.append(facts[-1]))
    visited = rng.normal(size=(8, 2))
    for known in (at_a_normal, replace(at_a_normal, visited=visited)):
        trial_of(known, rng, ample(), CHECK)
    assert given[0] is None
    assert given[1] is visited


def test_nearly_even_weights_need_no_variance(at_a_normal, rng):
    known = with_khat(at_a_normal, 0.6, size=198.0)
    moved = replace(known.draws, khat=np.nan, independent=150.0)
    after = concluded(known, Trial(draws=moved, agrees=True), rng, ample())
    assert after.draws is known.draws


@pytest.mark.parametrize(("khat", "trusted"), [(0.45, True), (0.6, False)])
def test_weights_alone_need_a_variance(at_a_normal, khat, trusted, rng, monkeypatch):
    monkeypatch.setattr("vibayes.search.explore.can_be_tried", lambda target: False)
    known = with_khat(at_a_normal, khat, size=140.0)
    assert verified(known, rng, ample()).trusted == trusted


def test_weights_of_draws_that_are_not_the_normals_need_chains(rng):
    """Such as of a mixture for parameters, whatever those of the normals would be."""
    found = glance(Target(two_modes()), rng, ample())
    assert len(found.normals) == 2
    assert is_nearly_even(found)
    half = replace(found.normals[0], mean=found.normals[0].mean + 1e-3)
    for others in (found.mixture.widened(), found.mixture.of_normals([half, found.normals[1]])):
        assert not is_nearly_even(replace(found, mixture=others))
