"""The examples of the introduction to variational inference, in order."""

import numpy as np
import pytest
from scipy import stats

import vibayes as vb
from vibayes.callbacks import CheckParametersConvergence


@pytest.fixture(scope="module")
def gamma():
    np.random.seed(42)
    gamma_data = np.random.gamma(2, 0.5, size=200)

    with vb.Model() as gamma_model:
        alpha = vb.Exponential("alpha", 0.1)
        beta = vb.Exponential("beta", 0.1)
        vb.Gamma("y", alpha, beta, observed=gamma_data)
    return gamma_model


def test_gamma(gamma):
    with gamma:
        mean_field = vb.fit(obj_optimizer=vb.adagrad_window(learning_rate=1e-2), random_seed=1)
    assert isinstance(mean_field, vb.MeanField)
    assert len(mean_field.hist) == 10_000
    assert mean_field.hist[-1000:].mean() < mean_field.hist[:100].mean() - 10
    approx_sample = mean_field.sample(1000)
    draws = approx_sample.posterior["alpha"].values.flatten()
    assert draws.shape == (1000,)
    assert (draws > 0).all()


@pytest.fixture(scope="module")
def mixture():
    w = np.array([0.2, 0.8])
    mu = np.array([-0.3, 0.5])
    sd = np.array([0.1, 0.1])

    with vb.Model() as model:
        x = vb.NormalMixture("x", w=w, mu=mu, sigma=sd)
        x2 = x**2
        sin_x = vb.math.sin(x)
        vb.Deterministic("x2", x2)
        vb.Deterministic("sin_x", sin_x)
    return model


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_advi_has_a_single_mode(mixture, seed):
    with mixture:
        mean_field = vb.fit(method="advi", random_seed=seed)
    posterior = mean_field.sample(1000, random_seed=seed).posterior
    x = posterior["x"].values.ravel()
    assert stats.kstest(x, stats.norm(x.mean(), x.std()).cdf).pvalue > 1e-3
    # between the modes, where the mixture has next to nothing, the normal has draws
    valley = np.abs(x - 0.1) < 0.1
    assert valley.mean() > 0.05
    true = 0.2 * stats.norm(-0.3, 0.1).cdf([0, 0.2]) + 0.8 * stats.norm(0.5, 0.1).cdf([0, 0.2])
    assert np.diff(true) < 0.003
    np.testing.assert_allclose(posterior["x2"].values.ravel(), x**2)
    np.testing.assert_allclose(posterior["sin_x"].values.ravel(), np.sin(x))


def test_checking_convergence(mixture):
    with mixture:
        relative = vb.fit(method="advi", callbacks=[CheckParametersConvergence()], random_seed=1)
        absolute = vb.fit(
            method="advi",
            callbacks=[vb.callbacks.CheckParametersConvergence(diff="absolute")],
            random_seed=1,
        )
    assert len(absolute.hist) < len(relative.hist) <= 10_000
    assert len(absolute.hist) % 100 == 0
    np.testing.assert_array_equal(absolute.hist, relative.hist[: len(absolute.hist)])


def test_tracking_parameters(mixture):
    with mixture:
        advi = vb.ADVI(random_seed=1)
    approx = advi.approx
    assert repr(approx.shared_params) == "{'mu': mu, 'rho': rho}"
    np.testing.assert_allclose(advi.approx.mean.eval(), [0.34])
    np.testing.assert_allclose(advi.approx.std.eval(), [0.69314718])

    tracker = vb.callbacks.Tracker(
        mean=advi.approx.mean.eval,  # callable that returns mean
        std=advi.approx.std.eval,  # callable that returns std
    )
    assert advi.fit(20000, callbacks=[tracker]) is approx
    assert len(tracker["mean"]) == len(tracker["std"]) == 20_000
    np.testing.assert_array_equal(tracker["mean"][-1], approx.mean.eval())
    assert np.abs(tracker["mean"][0] - 0.34) < 0.01
    advi.refine(100_000)
    assert len(advi.hist) == 120_000
    assert advi.hist[-10_000:].mean() <= advi.hist[:1000].mean()


def test_a_callback_that_stops(gamma):
    def stop_after_10(approx, loss_history, i):
        if (i > 0) and (i % 10) == 0:
            raise StopIteration("I was slow, sorry")

    with gamma:
        advifit = vb.fit(callbacks=[stop_after_10], random_seed=1)
    assert len(advifit.hist) == 10
