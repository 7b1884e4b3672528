import numpy as np
import pytest
from helpers.lanes import LANE

import vibayes as vb
from vibayes.objectives.kl import KL


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Normal("x", 0, [1.0, 2.0], shape=2)
        vb.Normal("y", x, 1, observed=[1.0, -1.0])
    return model


POSTERIOR_SD = np.array([0.5, 0.8]) ** 0.5
POSTERIOR_MEAN = np.array([0.5, -0.8])


def gradients(model, seed, mu, sigma, **kwargs):
    """One gradient: the step that gradient descent takes with learning rate 1."""
    inference = vb.ADVI(
        model=model, random_seed=seed, start={"x": mu}, start_sigma={"x": sigma}, **kwargs
    )
    before = np.concatenate([p.get_value() for p in inference.approx.params])
    inference.fit(1, obj_optimizer=vb.sgd(learning_rate=1.0), backend=LANE, progressbar=False)
    return before - np.concatenate([p.get_value() for p in inference.approx.params])


def repeated_gradients(model, times, mu, sigma, **kwargs):
    """Gradients of steps that all go from the start: one approximation, and new draws each."""
    inference = vb.ADVI(
        model=model, random_seed=0, start={"x": mu}, start_sigma={"x": sigma}, **kwargs
    )
    params = inference.approx.params
    before = [p.get_value() for p in params]
    found = []
    for _ in range(times):
        inference.fit(1, obj_optimizer=vb.sgd(learning_rate=1.0), backend=LANE, progressbar=False)
        found.append(np.concatenate(before) - np.concatenate([p.get_value() for p in params]))
        for p, value in zip(params, before, strict=True):
            p.set_value(value)
    return np.array(found)


def test_path_derivative_has_no_variance_at_the_posterior(model):
    for seed in range(5):
        path = gradients(model, seed, POSTERIOR_MEAN, POSTERIOR_SD, path_derivative=True)
        plain = gradients(model, seed, POSTERIOR_MEAN, POSTERIOR_SD)
        np.testing.assert_allclose(path, 0, atol=1e-6)
        assert np.abs(plain).max() > 1e-2


@pytest.mark.ci
def test_both_gradients_have_the_same_expectation(model):
    start = ([0.2, 0.1], [0.5, 1.5])
    draws = {
        path: repeated_gradients(model, 600, *start, path_derivative=path) for path in (False, True)
    }
    means = {path: d.mean(axis=0) for path, d in draws.items()}
    error = np.sqrt(sum(d.var(axis=0) for d in draws.values()) / 600)
    np.testing.assert_array_less(np.abs(means[True] - means[False]), 4.5 * error)
    # the gradient by mu in closed form: precision * (mu - posterior mean)
    exact = (np.array(start[0]) - POSTERIOR_MEAN) / POSTERIOR_SD**2
    np.testing.assert_array_less(np.abs(means[True][:2] - exact), 4.5 * error[:2])


def test_loss_is_the_same(model):
    losses = [
        vb.ADVI(model=model, random_seed=1, path_derivative=path)
        .fit(1, backend=LANE, progressbar=False)
        .hist
        for path in (False, True)
    ]
    np.testing.assert_allclose(losses[0], losses[1])


@pytest.mark.parametrize("beta", [-1.0, np.nan, np.inf])
def test_bad_beta(model, beta):
    with pytest.raises(ValueError, match="beta"):
        KL(vb.MeanField(model=model), beta=beta)
