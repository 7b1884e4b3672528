import numpy as np
import pytest
from helpers.posteriors import ample, two_modes

import vibayes as vb
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.target import Target
from vibayes.search.explore import explore
from vibayes.search.findings import attempt_of, count_places, findings_of
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal


def test_a_mode_without_mass_is_dropped(rng):
    target = Target(two_modes(weights=(3e-4, 1 - 3e-4)), start={"x": -3.0})
    found = explore(target, rng, ample())
    assert len(found.normals) == len(found.dropped) == 1
    lower = findings_of(found).dropped[0]
    assert lower == pytest.approx(-np.log(3e-4), abs=0.1)


def test_draws_are_of_the_models_own_coordinates(rng):
    """Explored non-centred, told centred."""
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        vb.Normal("theta", 5, tau, shape=2)
    target = Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))
    found = explore(target, rng, ample())
    values = found.resampled(2000, rng)
    findings = findings_of(found)
    assert found.draws.mean[1:] == pytest.approx([0, 0], abs=0.2)
    np.testing.assert_allclose(values.mean(axis=0)[1:], 5, atol=0.15)
    np.testing.assert_allclose(findings.mean[1:], 5, atol=0.15)
    np.testing.assert_allclose(findings.sd[1:], 1, atol=0.15)  # E[tau squared] = 1


def at(mean, sd=1.0):
    return FittedNormal(np.array([mean]), np.array([sd]))


def test_places_lie_apart_as_seen_from_either_of_two():
    assert count_places([at(0), at(2.5), at(10)]) == 2
    assert count_places([at(0, 0.1), at(2.5)]) == 1  # far in units of the first alone
    assert count_places([at(0), at(2.5, 0.1)]) == 1
    assert count_places([at(0, 0.1), at(2.5, 0.1)]) == 2


def test_an_attempt_tells_how_good_its_draws_are():
    draws = WeightedDraws(np.zeros((4, 1)), np.log([0.5, 0.5, 1e-300, 1e-300]), 0.3)
    found = attempt_of("mixture", -3.0, draws, 1.5)
    assert (found.name, found.elbo, found.khat, found.draws) == ("mixture", -3.0, 0.3, 4)
    assert found.ess == pytest.approx(2)
    assert found.seconds == 1.5
