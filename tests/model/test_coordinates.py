from dataclasses import replace

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb
from vibayes.distributions import transforms
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.target import Target

Y = np.array([1.0, 2.0, 3.0])


def hierarchy():
    """Two levels of normal variables, each with a scale that is free."""
    with vb.Model() as model:
        mu = vb.Normal("mu", 0.5, 1)
        tau = vb.HalfNormal("tau", 1)
        theta = vb.Normal("theta", mu, tau, shape=3)
        vb.Normal("delta", theta, pt.exp(theta / 2) * tau)
        vb.Normal("y", theta, 1, observed=Y)
    return model


@pytest.fixture(scope="module")
def target():
    model = hierarchy()
    return Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))


def names(model):
    return [rv.name for rv in bent_variables(model)]


def test_standard_variables_are_those_of_non_centred_models(target, rng):
    own = Target(target.model)
    U = 0.7 * rng.normal(size=(5, 8))
    Z = target.unstandardized(U)
    mu, tau = U[:, 0], np.exp(U[:, 1])
    theta = mu[:, None] + tau[:, None] * U[:, 2:5]
    scale = np.exp(theta / 2) * tau[:, None]
    expected = np.column_stack([U[:, :2], theta, theta + scale * U[:, 5:]])
    np.testing.assert_allclose(Z, expected, rtol=1e-10)
    log_jacobian = 3 * np.log(tau) + np.log(scale).sum(axis=1)
    np.testing.assert_allclose(target.logp(U), own.logp(Z) + log_jacobian, rtol=1e-10)
    assert not target.start[2:].any()
    np.testing.assert_array_equal(target.standardized_places, np.arange(8) > 1)
    np.testing.assert_array_equal(own.unstandardized(Z), Z)
    assert target.is_standardized
    assert not own.is_standardized


def test_only_what_the_coordinates_can_bend_is_chosen():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 1)
        s = vb.HalfNormal("s", 1)
        vb.Normal("known_scale", mu, 2)
        vb.Normal("curved_location", mu**2, 2)
        vb.StudentT("free_scale", 3, mu, s)
        vb.Gamma("without_form", 2, s)
        vb.Normal("other_transform", 0, s, transform=transforms.log, initval=1.0)
        vb.GaussianRandomWalk("walk", 0, s, shape=4)
        vb.GaussianRandomWalk("known_walk", mu, 1, shape=4)
        vb.Normal("observed", 0, s, observed=1.0)
    assert names(model) == ["curved_location", "free_scale", "walk"]
    with vb.Model() as flat:
        vb.Normal("x", 0, 1)
    assert names(flat) == []


def test_what_the_data_say_is_told_without_the_priors(target, rng):
    """Of each level in turn: the upper one has the lower one's density, which follows it."""
    Z = 0.5 * rng.normal(size=(4, 8))
    shift = np.zeros_like(Z)
    shift[:, 2:5] = 0.1 * rng.normal(size=(4, 3))
    force, values = target.forces(Z, shift)
    theta = target.unstandardized(Z)[:, 2:5] + shift[:, 2:5]
    np.testing.assert_allclose(values[:, 2:5], theta)
    np.testing.assert_allclose(force[:, 2:5], Y - theta, rtol=1e-8)  # delta stays standard
    assert not force[:, :2].any()
    np.testing.assert_allclose(force[:, 5:], 0, atol=1e-10)


def test_coordinates_are_of_the_same_variables(target):
    model = target.model
    with pytest.raises(ValueError, match="other variables"):
        target.with_coordinates(Coordinates.non_centred(model, [model["theta"]]))
    with pytest.raises(ValueError, match="other variables"):
        Target(model).with_coordinates(target.coordinates)
    with pytest.raises(ValueError, match="standard"):
        Target(model).forces(np.zeros((1, 8)), np.zeros((1, 8)))


def test_targets_in_different_coordinates_share_functions_but_not_facts(target):
    known = target.coordinates
    other = target.with_coordinates(
        replace(known, information=tuple(i + 1.0 for i in known.information))
    )
    z = np.full((1, 8), 0.3)
    before = target.logp(z)
    assert other.logp(z) != before
    np.testing.assert_array_equal(target.logp(z), before)
    other.start[0] = 5.0
    assert target.start[0] != 5.0


def test_data_in_minibatches_are_the_whole_data(rng):
    x = rng.normal(size=40)
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        b = vb.Normal("b", 0, s)
        rows = vb.Minibatch(x, batch_size=5)
        vb.Normal("y", b, 1, observed=rows, total_size=40)
    target = Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))
    z = np.array([[0.2, -0.4]])
    b = np.exp(0.2) * -0.4
    force, _ = target.forces(z, np.zeros_like(z))
    np.testing.assert_allclose(force[0, 1], (x - b).sum())
    expected = stats.norm(b, 1).logpdf(x).sum() + stats.norm.logpdf(-0.4)
    expected += stats.halfnorm.logpdf(np.exp(0.2)) + 0.2
    np.testing.assert_allclose(target.logp(z), expected)


@pytest.mark.usefixtures("float32")
def test_float32(rng):
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        x = vb.GaussianRandomWalk("x", 0, s, init_dist=vb.Normal.dist(0, 1), shape=5)
        vb.Normal("y", x, 1, observed=np.zeros(5))
    target = Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))
    assert pytensor.config.floatX == "float32"
    logp, gradient = target(rng.normal(size=(3, 6)))
    assert np.isfinite(logp).all()
    assert gradient.shape == (3, 6)
    assert target.forces(np.zeros((1, 6)), np.zeros((1, 6)))[0].shape == (1, 6)
