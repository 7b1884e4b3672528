"""Modes so narrow that no search comes to them."""

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.posteriors import ample, normal, seeds

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.explore import explore
from vibayes.search.findings import findings_of
from vibayes.search.normals import FittedNormal
from vibayes.search.scan import unexplained


def spiked(d, sd, at=1.7, share=0.4):
    """Return a model of a standard normal beside a narrow one."""
    with vb.Model() as model:
        x = vb.Flat("x", shape=d)
        wide = np.log(1 - share) - 0.5 * (x**2).sum()
        narrow = np.log(share) - 0.5 * (((x - at) / sd) ** 2).sum() - d * np.log(sd)
        vb.Potential("mixture", pt.logaddexp(wide, narrow))
    return model


def standard(d):
    return FittedNormal(np.zeros(d), np.ones(d), elbo=0.5 * d * np.log(2 * np.pi))


@pytest.mark.parametrize("seed", seeds(5))
@pytest.mark.parametrize(("d", "sd"), [(1, 1e-3), (3, 0.03)])
def test_a_narrow_mode_is_seen_and_gets_its_share(d, sd, seed):
    found = explore(Target(spiked(d, sd)), np.random.default_rng(seed), ample())
    assert len(found.normals) == 2
    near = np.abs(found.draws.values - 1.7).max(axis=1) < 6 * sd
    assert np.exp(found.draws.log_weights)[near].sum() == pytest.approx(0.4, abs=0.05)
    assert found.trusted
    assert findings_of(found).search.modes == 2


def test_what_normals_explain_is_no_place_to_search(rng):
    target = Target(normal(np.zeros(2), np.eye(2)))
    assert unexplained(target, [standard(2)], rng).shape == (0, 2)
    half = FittedNormal(np.zeros(2), np.full(2, 0.2), elbo=np.log(2 * np.pi))
    points = unexplained(target, [half], rng)
    assert 1 < len(points) < 10
    assert np.linalg.norm(points, axis=1).min() > 0.4  # where the normal has next to nothing


def test_places_lie_apart(rng):
    """One point of highest weight, and others far from it: there may be several modes."""
    with vb.Model() as model:
        x = vb.Flat("x")
        centers = np.array([0.0, -2.0, 2.5])
        sds = np.array([1.0, 0.01, 0.01])
        vb.Potential("mixture", pt.logsumexp(-0.5 * ((x - centers) / sds) ** 2 - np.log(sds)))
    points = unexplained(Target(model), [standard(1)], rng)
    assert np.abs(points + 2.0).min() < 0.05
    assert np.abs(points - 2.5).min() < 0.05


def test_in_many_dimensions_it_is_left_out(rng):
    target = Target(normal(np.zeros(11), np.eye(11)))
    narrow = FittedNormal(np.zeros(11), np.full(11, 0.1), elbo=0.0)
    assert unexplained(target, [narrow], rng).shape == (0, 11)
