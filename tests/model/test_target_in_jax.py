import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes.backend.evaluation import evaluating_as
from vibayes.backend.jax import StackFunction, jax_devices
from vibayes.model.coordinates import Coordinates
from vibayes.model.target import Target

jax = pytest.importorskip("jax")

rng = np.random.default_rng(3)
X, GROUP = rng.normal(size=(60, 2)), rng.integers(0, 4, 60)
Y = X @ [1.0, -1.0] + rng.normal(size=60)


def hierarchy(observed=Y):
    with vb.Model() as model:
        scale = vb.HalfNormal("scale")
        effect = vb.Normal("effect", 0.0, scale, shape=4)
        slope = vb.Normal("slope", shape=2)
        mean = effect[GROUP] + vb.math.dot(X, slope)
        vb.Normal("y", mean, vb.HalfNormal("sigma"), observed=observed)
    return model


@pytest.fixture(scope="module")
def model():
    return hierarchy()


def in_jax(model, **options):
    with evaluating_as(jax_devices()):
        return Target(model, **options)


@pytest.fixture(scope="module")
def both(model):
    return Target(model), in_jax(model)


def test_values_are_those_of_numpy(both):
    ours, theirs = both
    assert isinstance(theirs._functions["logp"], StackFunction)
    for n in (1, 9):
        Z = rng.normal(size=(n, ours.ddim))
        for found, expected in zip(theirs(Z), ours(Z), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
            assert found.dtype == np.float64
        np.testing.assert_allclose(theirs.logp(Z), ours.logp(Z), rtol=1e-11)


def test_searches_decide_by_the_same_work(both):
    ours, theirs = both
    assert theirs.work == ours.work


def test_what_is_not_finite_is_far_away(both):
    Z = np.zeros((2, both[1].ddim))
    Z[0, both[1].start.size - 1] = 800.0
    logp, gradient = both[1](Z)
    assert logp[0] == -np.inf
    assert not gradient[0].any()
    assert np.isfinite(logp[1])


@pytest.mark.slow
def test_other_coordinates_are_those_of_numpy(model):
    variables = (model["effect"],)
    options = {"coordinates": Coordinates.non_centred(model, variables)}
    ours, theirs = Target(model, **options), in_jax(model, **options)
    Z, shift = rng.normal(size=(2, 5, ours.ddim))
    np.testing.assert_allclose(theirs(Z)[1], ours(Z)[1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(theirs.unstandardized(Z), ours.unstandardized(Z), rtol=1e-12)
    for found, expected in zip(theirs.forces(Z, shift), ours.forces(Z, shift), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("float32")
def test_single_precision():
    model = hierarchy(Y.astype("float32"))
    target = in_jax(model)
    Z = rng.normal(size=(3, target.ddim)).astype("float32")
    assert pytensor.config.floatX == "float32"
    assert target._functions["logp"](Z)[0].dtype == np.float32
    np.testing.assert_allclose(target(Z)[1], Target(model)(Z)[1], rtol=1e-3, atol=1e-3)
