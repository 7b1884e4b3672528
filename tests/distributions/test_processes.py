from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from scipy import signal, stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import logp
from vibayes.distributions.continuous import Normal
from vibayes.distributions.processes import GARCH11, EulerMaruyama, discounted_sums
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model
from vibayes.model.data import Data, set_data

RNG = np.random.default_rng(5)
SERIES = RNG.normal(size=(3, 2, 7))
PARAMS = {"omega": 0.3, "alpha_1": 0.25, "beta_1": 0.6, "initial_vol": 0.8}


def garch_logp(x, omega, alpha_1, beta_1, initial_vol):
    total, variance = 0.0, initial_vol**2
    for t, value in enumerate(x):
        if t:
            variance = omega + alpha_1 * x[t - 1] ** 2 + beta_1 * variance
        total += stats.norm(0, np.sqrt(variance)).logpdf(value)
    return total


def drift_and_noise(x, rate, noise):
    return -rate * x, noise * pt.sqrt(1 + x**2)


def sde_logp(x, dt, rate, noise, init):
    total = init.logpdf(x[0])
    for before, value in pairwise(x):
        sd = noise * np.sqrt(1 + before**2) * np.sqrt(dt)
        total += stats.norm(before - rate * before * dt, sd).logpdf(value)
    return total


@pytest.mark.parametrize("length", [1, 2, 3, 8, 37])
def test_discounted_sums_solve_the_recursion(length):
    u = RNG.normal(size=(2, length))
    betas = np.array([0.9, 0.0])
    expected = [signal.lfilter([1.0], [1.0, -b], row) for b, row in zip(betas, u, strict=True)]
    known = discounted_sums(pt.constant(u), pt.constant(betas))
    np.testing.assert_allclose(evaluate([known])[0], expected, rtol=1e-12)


@pytest.mark.ci
def test_discounted_sums_of_a_length_that_only_run_time_tells():
    u, beta = pt.vector("u"), pt.scalar("beta")
    sums = discounted_sums(u, beta)
    f = pytensor.function([u, beta], [sums, pytensor.grad(sums[-1], beta)], mode=EVALUATE_MODE)
    for length in (1, 5, 100):
        x = RNG.normal(size=length)
        value, slope = f(x, 0.8)
        np.testing.assert_allclose(value, signal.lfilter([1.0], [1.0, -0.8], x), rtol=1e-11)
        power = np.arange(length - 1, -1, -1)
        np.testing.assert_allclose(
            slope, (x * power * 0.8 ** np.maximum(power - 1, 0)).sum(), rtol=1e-10, atol=1e-12
        )


def test_garch_density():
    """It is that of the recursion, for several series, and the graph can be batched."""
    names = list(PARAMS)
    symbols = [pt.vector(name, shape=(2,)) for name in names]
    given = [np.array([value, 0.5 * value]) for value in PARAMS.values()]
    x, z = pt.matrix("x", shape=(2, 7)), pt.tensor3("z", shape=(3, 2, 7))
    density = vectorize_graph(logp(GARCH11.dist(*symbols, shape=(2, 7)), x), {x: z})
    grads = pytensor.grad(density.sum(), [*symbols, z])
    f = pytensor.function([*symbols, z], [density, *grads], mode=EVALUATE_MODE)

    def reference(params, values):
        return np.array(
            [[garch_logp(s, *(p[i] for p in params)) for i, s in enumerate(v)] for v in values]
        )

    value, *slopes = f(*given, SERIES)
    np.testing.assert_allclose(value, reference(given, SERIES), rtol=1e-11)
    h = 1e-6
    for k in range(4):
        ends = []
        for sign in (1, -1):
            moved = [p.copy() for p in given]
            moved[k][1] += sign * h
            ends.append(reference(moved, SERIES).sum())
        np.testing.assert_allclose(slopes[k][1], (ends[0] - ends[1]) / (2 * h), rtol=1e-6)
    for at in [(0, 0, 0), (1, 1, 3), (2, 0, 6)]:
        step = np.zeros_like(SERIES)
        step[at] = h
        ends = [reference(given, SERIES + sign * step).sum() for sign in (1, -1)]
        np.testing.assert_allclose(slopes[4][at], (ends[0] - ends[1]) / (2 * h), rtol=1e-6)
    for scale in (1e200, 1e307):
        far = f(*given, SERIES * scale)
        assert not any(np.isnan(result).any() for result in far)


def test_garch_draws():
    """The values, divided by their standard deviations given the past, are standard normal."""
    params = {**PARAMS, "omega": [0.3, 0.1]}
    x = evaluate(reseeded([GARCH11.dist(**params, steps=6, size=(3000, 2))], 1)[0])[0]
    assert x.shape == (3000, 2, 7)
    variance = np.full((3000, 2), PARAMS["initial_vol"] ** 2)
    for t in range(7):
        if t:
            variance = np.array([0.3, 0.1]) + 0.25 * x[..., t - 1] ** 2 + 0.6 * variance
        z = x[..., t] / np.sqrt(variance)
        for i in range(2):
            assert stats.kstest(z[:, i], stats.norm.cdf).pvalue > 1e-4


def test_garch_of_data_whose_length_changes():
    with Model() as model:
        data = Data("data", SERIES[0, 0])
        y = GARCH11("y", **PARAMS, observed=data)
        density = logp(y, model.rvs_to_values[y])
        for series in (SERIES[0, 0], SERIES[1, 0, :4], np.tile(SERIES[0, 1], 9)):
            set_data({"data": series})
            np.testing.assert_allclose(
                evaluate([density])[0], garch_logp(series, **PARAMS), rtol=1e-11
            )


def test_sde_density():
    rate, noise = pt.vector("rate", shape=(2,)), pt.scalar("noise")
    x, z = pt.matrix("x", shape=(2, 7)), pt.tensor3("z", shape=(3, 2, 7))
    rv = EulerMaruyama.dist(
        0.1, drift_and_noise, (rate, noise), init_dist=Normal.dist(1.0, 2.0), shape=(2, 7)
    )
    density = vectorize_graph(logp(rv, x), {x: z})
    grads = pytensor.grad(density.sum(), [rate, noise, z])
    f = pytensor.function([rate, noise, z], [density, *grads], mode=EVALUATE_MODE)

    def reference(rates, noise):
        init = stats.norm(1.0, 2.0)
        return np.array(
            [
                [sde_logp(s, 0.1, r, noise, init) for s, r in zip(v, rates, strict=True)]
                for v in SERIES
            ]
        )

    rates = np.array([0.5, 2.0])
    value, by_rate, by_noise, by_value = f(rates, 0.7, SERIES)
    np.testing.assert_allclose(value, reference(rates, 0.7), rtol=1e-11)
    h = 1e-6
    up, down = (reference(rates, 0.7 + s * h).sum() for s in (1, -1))
    np.testing.assert_allclose(by_noise, (up - down) / (2 * h), rtol=1e-6)
    up, down = (reference(rates + s * np.array([0, h]), 0.7).sum() for s in (1, -1))
    np.testing.assert_allclose(by_rate[1], (up - down) / (2 * h), rtol=1e-6)
    assert np.isfinite(by_value).all()


def test_sde_draws():
    rv = EulerMaruyama.dist(
        0.1, drift_and_noise, ([0.5, 2.0], 0.7), init_dist=Normal.dist(), steps=4, size=(3000, 2)
    )
    x = evaluate(reseeded([rv], 1)[0])[0]
    assert x.shape == (3000, 2, 5)
    assert stats.kstest(x[:, 0, 0], stats.norm.cdf).pvalue > 1e-4
    before = x[..., :-1]
    mean = before * (1 - 0.1 * np.array([0.5, 2.0])[:, None])
    z = (x[..., 1:] - mean) / (0.7 * np.sqrt(1 + before**2) * np.sqrt(0.1))
    for t in range(4):
        for i in range(2):
            assert stats.kstest(z[:, i, t], stats.norm.cdf).pvalue > 1e-4


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        garch = GARCH11.dist(**PARAMS, shape=7)
        sde = EulerMaruyama.dist(0.1, drift_and_noise, (0.5, 0.7), shape=7)
        x = SERIES[0, 0].astype("float32")
        results = evaluate([logp(garch, x), logp(sde, x), *reseeded([garch, sde], 1)[0]])
    assert {result.dtype.name for result in results} == {"float32"}
    np.testing.assert_allclose(results[0], garch_logp(SERIES[0, 0], **PARAMS), rtol=1e-5)
    expected = sde_logp(SERIES[0, 0], 0.1, 0.5, 0.7, stats.norm(0, 100))
    np.testing.assert_allclose(results[1], expected, rtol=1e-5)


def test_free_series_start_inside():
    with Model() as model:
        GARCH11("y", **PARAMS, steps=4)
        EulerMaruyama("x", 0.1, drift_and_noise, (0.5, 0.7), init_dist=Normal.dist(3.0), shape=5)
    start = model.initial_point()
    np.testing.assert_array_equal(start["y"], np.zeros(5))
    np.testing.assert_array_equal(start["x"], np.full(5, 3.0))


def test_wrong_arguments():
    with pytest.raises(ParameterError, match="GARCH11: alpha_1 must be zero or more, got"):
        GARCH11.dist(0.1, -0.1, 0.5, 1.0, steps=3)
    with pytest.raises(ValueError, match="length of the series is not known"):
        GARCH11.dist(**PARAMS)
    with pytest.raises(ShapeError, match="steps make a series of length 4"):
        GARCH11.dist(**PARAMS, steps=3, shape=9)
    with pytest.raises(TypeError, match="sde_fn must be a callable"):
        EulerMaruyama.dist(0.1, 3.0, (), steps=3)
    with pytest.raises(TypeError, match="must return a pair"):
        EulerMaruyama.dist(0.1, lambda x: x, (), steps=3)
    with pytest.raises(ParameterError, match="dt must be positive"):
        EulerMaruyama.dist(-0.1, drift_and_noise, (0.5, 0.7), steps=3)
