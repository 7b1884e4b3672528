"""The introduction's mixture by SVGD: both modes, whatever the seed."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb

W, MU, SIGMA = np.array([0.2, 0.8]), np.array([-0.3, 0.5]), np.array([0.1, 0.1])
SGD = vb.sgd(learning_rate=0.01)  # one compilation for all tests


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.NormalMixture("x", w=W, mu=MU, sigma=SIGMA)
    return model


def svgd_fit(model, seed, n=300):
    with model:
        return vb.fit(
            n,
            method="svgd",
            inf_kwargs=dict(n_particles=1000),
            obj_optimizer=SGD,
            random_seed=seed,
            progressbar=False,
        )


@pytest.fixture(scope="module")
def svgd_approx(model):
    return svgd_fit(model, 1)


@pytest.mark.parametrize("seed", range(1, 6))
def test_svgd_finds_both_modes(model, seed):
    x = svgd_fit(model, seed).sample(2000, random_seed=seed).posterior["x"].values.ravel()
    # How many particles are in a mode is a matter of the start: 40 percent of it lie below 0.1,
    # and few cross the valley.
    assert 0.3 < (x < 0.1).mean() < 0.45
    for mode, low, high in [(-0.3, -0.6, 0.1), (0.5, 0.1, 0.8)]:
        near = x[(low < x) & (x < high)]
        assert len(near) > 500
        assert np.median(near) == pytest.approx(mode, abs=0.03)
        assert stats.median_abs_deviation(near, scale="normal") == pytest.approx(0.1, abs=0.04)
    # ADVI's normal, by contrast, has the most of its mass in one of them
    density = np.histogram(x, bins=[-0.4, -0.2, 0.0, 0.2, 0.4, 0.6])[0]
    assert density[0] > 5 * density[2]
    assert density[4] > 5 * density[2]


def test_evaluations_differ(model, svgd_approx):
    a = model["x"] ** 2
    a_sample = svgd_approx.sample_node(a)
    assert len({float(a_sample.eval(mode="FAST_COMPILE")) for _ in range(3)}) == 3


def test_expectation_and_variance(model, svgd_approx):
    """The text prints E[x²] = 0.245 and var(x²) = 0.133: stragglers are still on their way."""
    a_samples = svgd_approx.sample_node(model["x"] ** 2, size=20000)
    mean = a_samples.mean(0).eval(mode="FAST_COMPILE")
    assert mean == pytest.approx(0.245, abs=0.03)
    particles = svgd_approx.histogram.get_value()[:, 0] ** 2
    assert mean == pytest.approx(particles.mean(), abs=5 * particles.std() / 20000**0.5)
    assert 0.05 < a_samples.var(0).eval(mode="FAST_COMPILE") < 0.4


def test_symbolic_size(model, svgd_approx):
    i = pt.iscalar("i")
    a_samples_i = svgd_approx.sample_node(model["x"] ** 2, size=i)
    assert a_samples_i.eval({i: 100}, mode="FAST_COMPILE").shape == (100,)
    assert a_samples_i.eval({i: 10000}, mode="FAST_COMPILE").shape == (10000,)


def test_longer_run_brings_in_the_stragglers(model):
    """By then var(x²) is what it should be, but for the masses of the modes."""
    x = svgd_fit(model, 1, 2000).histogram.get_value()[:, 0]
    for mode, near in [(-0.3, x[x < 0.1]), (0.5, x[x > 0.1])]:
        assert near.mean() == pytest.approx(mode, abs=0.02)
        assert near.std() == pytest.approx(0.1, abs=0.02)
    assert (x**2).var() == pytest.approx(0.0137, abs=0.002)


def test_trace_as_approximation(model):
    """``vb.Empirical(trace, model=model)``, for the draws of any sampler."""
    rng = np.random.default_rng(0)
    draws = rng.normal(MU, SIGMA, size=(4, 500, 2))
    x = np.where(rng.uniform(size=(4, 500)) < W[0], draws[..., 0], draws[..., 1])
    trace_approx = vb.Empirical({"x": x.ravel()}, model=model)
    again = trace_approx.sample(50000, random_seed=1).posterior["x"].values
    assert (again < 0.1).mean() == pytest.approx((x < 0.1).mean(), abs=0.01)
    assert (again**2).mean() == pytest.approx((x**2).mean(), abs=0.003)
