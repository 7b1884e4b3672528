import numpy as np
import pytest
from helpers.lanes import by_default

import vibayes as vb
from vibayes.model.target import Target
from vibayes.model.turns import TURN, Turns

CENTRE = np.array([0.5, 3.0])
GRID = np.linspace(-np.pi, np.pi, 20_001)[1:]
TURNS = Turns(np.array([0, 2]), CENTRE)


def points(rng, n=50):
    """Return flat vectors whose angles are within a turn and a half of the centre."""
    Z = rng.uniform(-1.5 * np.pi, 1.5 * np.pi, (n, 3))
    Z[:, [0, 2]] += CENTRE
    return Z


def test_shares_of_all_turns_sum_to_one(rng):
    Z = points(rng)
    total = 0.0
    for i in range(-4, 5):
        for j in range(-4, 5):
            total = total + np.exp(TURNS.log_shares(Z + TURN * np.array([i, 0, j]))[0])
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_the_share_is_one_at_the_centre_and_a_half_at_the_ends():
    Z = np.array([[0.5, 9.0, 3.0], [0.5 + np.pi, 9.0, 3.0], [0.5, 9.0, 3.0 - np.pi]])
    np.testing.assert_allclose(np.exp(TURNS.log_shares(Z)[0]), [1.0, 0.5, 0.5], rtol=1e-4)


def test_slopes_are_those_of_the_shares(rng):
    Z, h = points(rng), 1e-6
    _, slopes = TURNS.log_shares(Z)
    for column, place in enumerate(TURNS.places):
        step = h * np.eye(3)[place]
        numeric = (TURNS.log_shares(Z + step)[0] - TURNS.log_shares(Z - step)[0]) / (2 * h)
        np.testing.assert_allclose(slopes[:, column], numeric, rtol=1e-5, atol=1e-7)


def test_wrapped_angles_are_the_same_ones_on_the_turn(rng):
    Z = points(rng) + TURN * rng.integers(-3, 4, size=(50, 3)) * [1, 0, 1]
    found = TURNS.wrapped(Z)
    assert TURNS.holds(found).all()
    assert (np.abs(found[:, [0, 2]] - CENTRE) <= np.pi + 1e-9).all()
    np.testing.assert_allclose(np.exp(1j * found[:, [0, 2]]), np.exp(1j * Z[:, [0, 2]]))
    np.testing.assert_array_equal(found[:, 1], Z[:, 1])


def test_the_centre_is_the_mean_direction_on_the_turn_of_the_draws(rng):
    Z = np.column_stack([3.0 + 0.3 * rng.normal(size=500), rng.normal(size=500)])
    turns = Turns(np.array([0]), np.zeros(1))
    np.testing.assert_allclose(turns.about(Z).centre, Z[:, 0].mean(), atol=0.02)
    far = turns.about(Z + np.array([2 * TURN, 0])).centre
    np.testing.assert_allclose(far, Z[:, 0].mean() + 2 * TURN, atol=0.02)


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.Normal("shift", 1.0, 2.0, shape=2)
        vb.VonMises("angle", 0.0, 1.0, shape=2)
    return model


def test_a_target_counts_one_turn_of_its_angles_alone(model, rng):
    target, at = Target(model), rng.normal(size=(5, 4))
    target.turn_to(np.array([[0.0, 0.0, 3.0, -3.0]]))
    start = np.abs(target.start - [1.0, 1.0, 3.0, -3.0])
    assert (start <= np.pi).all()
    turned = target.on_turn(at)
    np.testing.assert_array_equal(turned[:, :2], at[:, :2])
    assert (np.abs(turned[:, 2:] - [3.0, -3.0]) <= np.pi).all()
    near = turned[:, 2:] = [3.0, -3.0] + 0.3 * rng.normal(size=(5, 2))
    expected = vb.logp(vb.Normal.dist(1.0, 2.0), turned[:, :2]).eval().sum(axis=1)
    expected += vb.logp(vb.VonMises.dist(0.0, 1.0), np.angle(np.exp(1j * near))).eval().sum(axis=1)
    logp, gradient = target(turned)
    np.testing.assert_allclose(logp, expected, atol=1e-3)
    np.testing.assert_array_equal(target.logp(turned), logp)
    np.testing.assert_allclose(gradient[:, 2:], -np.sin(near), atol=1e-3)
    away = turned + np.array([0, 0, TURN, 0])
    assert (target.logp(away) < logp - 8).all()
    assert not target.is_on_turn(away).any()


# -- fits ----------------------------------------------------------------------------------------


def check(draws, logp):
    """The direction of some draws has the means and widths that the density has."""
    p = np.exp(logp - logp.max())
    p /= p.sum()
    for function in (np.cos, np.sin):
        values, found = function(GRID), function(draws)
        mean = (p * values).sum()
        sd = np.sqrt((p * (values - mean) ** 2).sum())
        assert found.mean() == pytest.approx(mean, abs=0.1 * sd)
        assert found.std() == pytest.approx(sd, rel=0.1)


@pytest.mark.parametrize("method", by_default(["auto", "fullrank_advi"], {"fullrank_advi"}))
def test_directions_at_the_edge_of_the_circle(method):
    """As one number and as several, none of which has modes on other turns."""
    data = np.pi + np.random.default_rng(3).vonmises(0, 3, size=(5, 2))
    data = np.angle(np.exp(1j * data))
    with vb.Model():
        angle = vb.VonMises("angle", 0.0, 0.1, shape=2)
        vb.VonMises("y", angle, 3.0, observed=data)
        approx = vb.fit(method=method, random_seed=2, progressbar=False)
    assert approx.diagnosis.good
    assert approx.diagnosis.modes == 1
    assert not approx.diagnosis.dropped
    draws = approx.sample(4000, random_seed=1).posterior["angle"].values[0]
    for i in range(2):
        logp = 0.1 * np.cos(GRID) + 3 * np.cos(data[:, [i]] - GRID).sum(axis=0)
        check(draws[:, i], logp)


def test_a_direction_of_which_nothing_is_known():
    with vb.Model():
        angle = vb.VonMises("angle", 0.0, 0.01)
        vb.Potential("axis", 2 * vb.math.cos(2 * (angle - 1.3)))
        approx = vb.fit(method="auto", random_seed=1, progressbar=False)
    assert approx.diagnosis.good
    draws = approx.sample(4000, random_seed=1).posterior["angle"].values[0]
    check(draws, 0.01 * np.cos(GRID) + 2 * np.cos(2 * (GRID - 1.3)))


def test_steps_that_end_on_another_turn_are_judged_there():
    with vb.Model():
        vb.VonMises("angle", 3.0, 20.0)
        approx = vb.fit(
            1000, start={"angle": 2.5 - 2 * np.pi}, obj_optimizer=vb.adam(learning_rate=0.05),
            random_seed=1, progressbar=False,
        )  # fmt: skip
    assert abs(approx.mean.eval()[0] - (3.0 - 2 * np.pi)) < 0.2
    assert approx.diagnosis.elbo == pytest.approx(0.0, abs=0.1)  # of a prior alone
