"""What the data say of the variables of a hierarchy, and coordinates made of it."""

from dataclasses import replace

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.posteriors import ample, seeds
from scipy import stats

import vibayes as vb
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.target import Target
from vibayes.search.centring import informed, line_of, suited
from vibayes.search.explore import explore
from vibayes.search.normals import FittedNormal

# of groups with many, few and no data
SD = np.array([0.05, 0.1, 1.0, 3.0, np.inf, np.inf])
Y = np.array([1.0, -0.5, 2.0, 0.0, 0.0, 0.0])


def non_centred(model):
    return Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))


def groups():
    with vb.Model() as model:
        mu, tau = vb.Normal("mu", 0, 1), vb.HalfNormal("tau", 2)
        x = vb.Normal("x", mu, tau, shape=len(SD))
        seen = np.isfinite(SD)
        vb.Normal("y", x[seen], SD[seen], observed=Y[seen])
    return model


def about(target, sd=0.3):
    return FittedNormal(target.start, np.full(target.ddim, sd))


def test_each_element_has_the_information_of_its_own_data(rng):
    target = non_centred(groups())
    found = informed(target, about(target), rng)
    np.testing.assert_allclose(found.information[0], 1 / SD**2, atol=1e-6)
    np.testing.assert_allclose(found.pull[0], Y / SD**2, atol=1e-6)


@pytest.mark.ci
def test_an_event_has_a_matrix_of_information(rng):
    design = rng.normal(size=(3, 5, 2))  # of three events, five values each
    y = rng.normal(size=(3, 5))
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        x = vb.MvNormal("x", [0.5, 0], chol=s * np.array([[1.0, 0.0], [0.3, 0.5]]), shape=(3, 2))
        vb.Normal("y", (design * x[:, None, :]).sum(axis=-1), 0.5, observed=y)
    target = non_centred(model)
    found = informed(target, about(target), rng)
    expected = design.mT @ design / 0.5**2
    np.testing.assert_allclose(found.information[0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.pull[0], (design * y[..., None]).sum(axis=1) / 0.5**2, 1e-6)


def test_elements_that_meet_are_told_apart_but_for_noise(rng):
    X = rng.normal(size=(200, 10))
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        b = vb.Normal("b", 0, tau, shape=10)
        vb.Normal("y", X @ b, 1, observed=rng.normal(size=200))
    target = non_centred(model)
    found = informed(target, about(target), rng)
    np.testing.assert_allclose(found.information[0], (X**2).sum(axis=0), rtol=0.2)


def test_information_goes_down_with_the_noise_of_the_data(rng):
    """It is one over its square; given it, whatever the noise, the variable is standard normal."""
    y = rng.normal(size=12)
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        x = vb.Normal("x", 0, tau, shape=12)
        noise = vb.HalfNormal("noise", 1)  # made later
        vb.Normal("y", x, noise, observed=y)
    target = non_centred(model)
    found = informed(target, about(target), rng)
    expected = np.zeros(14)
    expected[-1] = -2
    np.testing.assert_allclose(found.slopes[0], expected, atol=1e-5)
    Z = np.column_stack([np.zeros(2), rng.normal(size=(2, 12)), [0.7, 0.7]])
    information = np.exp(Z[0] @ found.slopes[0] + found.offsets[0]) * found.information[0]
    np.testing.assert_allclose(information, np.exp(-1.4), rtol=1e-5)
    logp = target.with_coordinates(found).logp(Z) - stats.norm.logpdf(Z[:, 1:13]).sum(axis=1)
    np.testing.assert_allclose(logp[0], logp[1], rtol=1e-5)


INTERCEPT, SLOPE = 1.5, -2.0


def beside_an_intercept(shape=6, noise=0.2, extra=0):
    """Return a model of effects beside an intercept and a slope, two values each."""
    y = np.linspace(-1, 2, 12)
    with vb.Model() as model:
        a, b = vb.Normal("a", 0, 2), vb.Normal("b", 0, 2)
        tau = vb.HalfNormal("tau", 1)
        x = vb.Normal("x", 0, tau, shape=shape)
        if extra:
            vb.Normal("beside", shape=extra)
        group, t = np.arange(12) % shape, np.repeat([0.0, 1.0], 6)
        vb.Normal("y", a + b * t + x[group], noise, observed=y)
    return model, group, t, y


def test_effects_follow_the_intercept_beside_them(rng):
    """What the data say of an effect is what they leave when intercept and slope are taken off."""
    model, group, t, y = beside_an_intercept()
    target = non_centred(model)
    q = FittedNormal(target.start + 0.5, np.full(target.ddim, 0.3))
    found = informed(target, q, rng)
    ones = group == np.arange(6)[:, None]
    expected = np.zeros((6, 3))  # of a, b and log tau
    expected[:, 0], expected[:, 1] = -ones.sum(axis=1) / 0.2**2, -(ones @ t) / 0.2**2
    np.testing.assert_allclose(found.lines[0], expected, atol=1e-3)
    np.testing.assert_allclose(found.pull[0], ones @ y / 0.2**2, rtol=1e-6)
    there = target.with_coordinates(found)
    Z = there.start + rng.normal(size=(5, there.ddim))
    Z[:, :2] += [INTERCEPT, SLOPE] * rng.normal(size=(5, 2))
    _, gradient = there(Z)  # given the parameters it is standard normal, whatever they are
    places = there.standardized_places
    np.testing.assert_allclose(gradient[:, places], -Z[:, places], atol=1e-5)


def test_the_density_is_the_same_where_effects_follow_others(rng):
    model, *_ = beside_an_intercept()
    target, own = non_centred(model), Target(model)
    there = target.with_coordinates(informed(target, about(target), rng))
    Z = there.start + 0.3 * rng.normal(size=(3, there.ddim))
    steps = 1e-5 * np.eye(there.ddim)
    for z, logp in zip(Z, there.logp(Z), strict=True):
        upper, lower = (there.unstandardized(z + sign * steps) for sign in (1.0, -1.0))
        log_slope = np.linalg.slogdet((upper - lower) / 2e-5)[1]
        expected = own.logp(there.unstandardized(z[None]))[0] + log_slope
        assert logp == pytest.approx(expected, rel=1e-6)


def test_a_mean_field_holds_effects_that_follow_the_intercept(rng):
    """In the coordinates that suit: the intercept is as uncertain as all effects together."""
    y = rng.normal(1.0 + rng.normal(size=(8, 1)), 0.3, size=(8, 40))
    with vb.Model() as model:
        a, tau = vb.Normal("a", 0, 2), vb.HalfNormal("tau", 1)
        x = vb.Normal("x", 0, tau, shape=(8, 1))
        vb.Normal("y", a + x, 0.3, observed=y)
    found, q = suited(non_centred(model), rng, ample())
    full = explore(found, rng, ample()).best
    assert q.sd[0] == pytest.approx(full.sd[0], rel=0.1)
    known = found.coordinates
    still = replace(known, lines=tuple(np.zeros_like(line) for line in known.lines))
    _, alone = suited(found.with_coordinates(still), rng, ample(), rounds=1)
    assert alone.sd[0] < 0.5 * q.sd[0]  # of the intercept if all effects stay where they are


def test_what_is_no_line_is_none(rng):
    with vb.Model() as model:
        a, tau = vb.Normal("a"), vb.HalfNormal("tau", 1)
        x = vb.Normal("x", 0, tau, shape=2)
        vb.Potential("waves", (5 * pt.cos(9 * a) * x - x**2).sum())
    target = non_centred(model)
    assert not informed(target, about(target), rng).lines[0].any()


@pytest.mark.parametrize(("rows", "known"), [(24, True), (23, False)])
def test_few_usable_draws_tell_no_line(rows, known, rng):
    parameters = rng.normal(size=(rows, 6))
    slopes = rng.normal(size=(2, 6))
    found = line_of(parameters @ slopes.T, parameters, np.ones(2))
    np.testing.assert_allclose(found, slopes if known else 0 * slopes, atol=1e-12)


def test_what_the_parameters_do_not_move_has_no_line(rng):
    target = non_centred(groups())
    assert not informed(target, about(target), rng).lines[0].any()


@pytest.mark.parametrize(("extra", "known"), [(13, True), (14, False)])
def test_of_many_parameters_there_is_no_line(extra, known, rng):
    """Too many for so few draws to tell them apart."""
    model, *_ = beside_an_intercept(extra=extra)
    target = non_centred(model)
    lines = informed(target, about(target), rng).lines[0]
    assert lines.shape == (6, 3 + extra if known else 0)
    assert lines.any() == known


def test_information_that_does_not_change_has_no_trend(rng):
    target = non_centred(groups())
    found = informed(target, about(target), rng)
    assert not found.slopes.any()
    assert not found.offsets.any()


def test_curvature_of_the_wrong_sign_is_none(rng):
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        x = vb.Normal("x", 0, tau, shape=2)
        vb.Potential("hill", (0.1 * x**2).sum())
    target = non_centred(model)
    assert not informed(target, about(target), rng).information[0].any()


def test_where_nothing_is_finite_coordinates_stay(rng):
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        x = vb.Normal("x", 0, tau)
        vb.Potential("nowhere", pt.sqrt(x - 1e6))
    target = non_centred(model)
    assert informed(target, about(target), rng) is target.coordinates


@pytest.mark.ci
@pytest.mark.parametrize("seed", seeds(3))
def test_a_hierarchy_of_unequal_groups_is_nearly_normal(seed):
    """The moments of tau by quadrature; neither centred nor non-centred coordinates would do."""
    rng = np.random.default_rng(seed)
    target, _ = suited(non_centred(groups()), rng, ample())
    found = explore(target, rng, ample())
    assert found.draws.khat < 0.7
    assert found.draws.size > 0.5 * len(found.draws.values)
    grid = np.linspace(1e-3, 15, 6000)
    seen = np.isfinite(SD)
    log_p = [
        stats.halfnorm(scale=2).logpdf(t)
        + stats.multivariate_normal(np.zeros(4), np.diag(SD[seen] ** 2 + t**2) + 1).logpdf(Y[seen])
        for t in grid
    ]
    p = np.exp(np.array(log_p) - max(log_p))
    mean = p @ grid / p.sum()
    sd = np.sqrt(p @ (grid - mean) ** 2 / p.sum())
    tau = np.exp(found.draws.values[:, 1])
    w = np.exp(found.draws.log_weights)
    assert abs(w @ tau - mean) < 0.15 * sd
    own = found.resampled(4000, rng)
    tau = np.exp(own[:, 1])
    assert abs(tau.mean() - mean) < 0.15 * sd
    assert abs(tau.std() / sd - 1) < 0.2
    np.testing.assert_allclose(own[:, 2:4].mean(axis=0), Y[:2], atol=0.05)  # many data


def test_it_starts_where_the_mass_is(rng):
    target, _ = suited(non_centred(groups()), rng, ample())
    at = target.unstandardized(target.start[None])[0]
    np.testing.assert_allclose(at[2:4], Y[:2], atol=0.1)
    assert abs(target.start[target.standardized_places]).max() < 0.5
