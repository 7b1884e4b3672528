"""Variables that belong to the observations, with parameters that are functions of these."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE

import vibayes as vb
from vibayes.families.mean_field import MeanFieldGroup

N, BATCH = 60, 12
SD_Z, SD_Y = 1.5, 0.8
GAIN = SD_Z**2 / (SD_Z**2 + SD_Y**2)  # E[z | y] = GAIN y
SD = SD_Z * np.sqrt(1 - GAIN)


@pytest.fixture
def data():
    return np.random.default_rng(1).normal(0, np.hypot(SD_Z, SD_Y), N)


def batches(data):
    """A batch that walks over the data, as a shared variable and its next value."""
    at = pytensor.shared(np.int64(0), name="at")
    rows = (at + pt.arange(BATCH)) % N
    return pt.as_tensor_variable(data)[rows], {at: (at + BATCH) % N}


def encoder():
    return [pytensor.shared(np.array(v), name=n, shape=()) for n, v in (("w", 0.1), ("r", 0.0))]


def amortized(data, **kwargs):
    """Return a model in which each observation has a variable, and what its encoder needs."""
    y, updates = batches(data)
    w, r = encoder()
    with vb.Model():
        z = vb.Normal("z", 0, SD_Z, shape=BATCH, total_size=N)
        vb.Normal("y", z, SD_Y, observed=y, total_size=N)
        approx = vb.MeanField(local_rv={z: (w * y, r + pt.zeros_like(y))}, **kwargs)
    return approx, [w, r], updates


@pytest.mark.parametrize("seed", range(3))
def test_an_encoder_finds_the_posterior_of_each_observation(data, seed):
    approx, (w, r), updates = amortized(data, random_seed=seed)
    assert approx.params == []
    vb.KLqp(approx, path_derivative=True).fit(
        2000,
        more_obj_params=[w, r],
        more_updates=updates,
        obj_optimizer=vb.adam(learning_rate=0.01),
        backend=LANE,
        progressbar=False,
    )
    np.testing.assert_allclose(w.get_value(), GAIN, atol=0.02)
    np.testing.assert_allclose(np.logaddexp(0, r.get_value()), SD, atol=0.02)


def test_the_bound_is_that_of_all_observations(data):
    """With exact local posteriors the ELBO is the log evidence, up to the choice of the batch."""
    approx, (w, r), _ = amortized(data, random_seed=1)
    w.set_value(np.array(GAIN))
    r.set_value(np.array(np.log(np.expm1(SD))))
    values = []
    for at in range(0, N, BATCH):
        (index,) = [
            v
            for v in pytensor.graph.traversal.ancestors([approx.logq])
            if getattr(v, "name", "") == "at"
        ]
        index.set_value(np.int64(at))
        values.append((approx.logp - approx.logq).eval(mode="FAST_COMPILE"))
    total = np.hypot(SD_Z, SD_Y)
    evidence = (-0.5 * (data / total) ** 2 - np.log(total) - 0.5 * np.log(2 * np.pi)).sum()
    np.testing.assert_allclose(np.mean(values), evidence, rtol=1e-8)


def test_group_and_local_rv_are_the_same(data):
    y, _ = batches(data)
    w, r = encoder()
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        z = vb.Normal("z", 0, s, shape=BATCH, total_size=N)
        vb.Normal("y", z, SD_Y, observed=y, total_size=N)
        params = {"mu": w * y, "rho": r + pt.zeros_like(y)}
        by_hand = vb.Approximation(
            [
                vb.Group(None, vfam="mean_field"),
                vb.Group([z], params=params, local=True),
            ]
        )
        named = vb.MeanField(local_rv={z: params}, random_seed=1)
    for approx in (by_hand, named):
        assert [g.local for g in approx.groups] == [False, True]
        assert [g.variables for g in approx.groups] == [[s], [z]]
        assert len(approx.params) == 2
    assert [type(g) for g in named.groups] == [MeanFieldGroup, MeanFieldGroup]
    assert vb.FullRank(local_rv={z: params}, model=model).groups[0].short_name == "full_rank"


def test_a_local_variable_of_another_length(data):
    """Parameters of other data give variables for these."""
    X = pytensor.shared(np.arange(6.0).reshape(3, 2), name="X")
    W = pytensor.shared(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]), name="W")
    with vb.Model():
        z = vb.Normal("z", shape=(3, 3))
        approx = vb.MeanField(local_rv={z: (X @ W, pt.zeros_like(X @ W) - 30)}, random_seed=1)
    test = np.random.default_rng(0).normal(size=(5, 2))
    for size, shape in ((None, (5, 3)), (4, (4, 5, 3))):
        node = approx.sample_node(2 * z, size, more_replacements={X: test})
        value = node.eval(mode="FAST_COMPILE")
        assert value.shape == shape
        expected = np.broadcast_to(2 * test @ W.get_value(), shape)
        np.testing.assert_allclose(value, expected, atol=1e-9)
    assert approx.sample(7, random_seed=1).posterior["z"].shape == (1, 7, 3, 3)


def test_errors(data):
    with vb.Model() as model:
        z = vb.Normal("z", shape=(4, 2))
        with pytest.raises(ValueError, match="local group needs its variables and params"):
            vb.Group([z], vfam="mean_field", local=True)
        with pytest.raises(TypeError, match=r"local_rv of 'z' must be \(mu, rho\)"):
            vb.MeanField(local_rv={z: 3.0})
        with pytest.raises(vb.exceptions.ShapeError, match="must have shape"):
            vb.MeanField(local_rv={z: (np.zeros((3, 2)), np.zeros((3, 2)))})
    assert model.free_RVs == [z]
