import numpy as np
import pytest
from helpers.lanes import LANE, by_default
from scipy import stats

import vibayes as vb
from vibayes.inference.inference import Inference
from vibayes.objectives.renyi import IWELBO, Renyi

Y = np.array([1.0, -1.0])
EVIDENCE = stats.norm(0, np.sqrt([2.0, 5.0])).logpdf(Y).sum()
POSTERIOR_MEAN, POSTERIOR_SD = np.array([0.5, -0.8]), np.array([0.5, 0.8]) ** 0.5


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Normal("x", 0, [1.0, 2.0], shape=2)
        vb.Normal("y", x, 1, observed=Y)
    return model


def run(model, operator, seed, mu, sigma, n_mc, n=1, rate=1.0, backend=LANE, **kwargs):
    approx = vb.MeanField(model=model, random_seed=seed, start={"x": mu}, start_sigma={"x": sigma})
    before = np.concatenate([p.get_value() for p in approx.params])
    Inference(operator(approx, **kwargs)).fit(
        n,
        obj_n_mc=n_mc,
        obj_optimizer=vb.sgd(learning_rate=rate),
        backend=backend,
        progressbar=False,
    )
    gradient = (before - np.concatenate([p.get_value() for p in approx.params])) / rate
    return approx.hist, gradient


def repeated_gradients(model, times, mu, sigma, n_mc, **kwargs):
    """Gradients of steps that all go from the start: one approximation, and new draws each."""
    approx = vb.MeanField(model=model, random_seed=0, start={"x": mu}, start_sigma={"x": sigma})
    inference = Inference(Renyi(approx, **kwargs))
    before = [p.get_value() for p in approx.params]
    found = []
    for _ in range(times):
        inference.fit(
            1,
            obj_n_mc=n_mc,
            obj_optimizer=vb.sgd(learning_rate=1.0),
            backend=LANE,
            progressbar=False,
        )
        after = np.concatenate([p.get_value() for p in approx.params])
        found.append(np.concatenate(before) - after)
        for p, value in zip(approx.params, before, strict=True):
            p.set_value(value)
    return np.array(found)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 2.0])
def test_at_the_posterior_every_bound_is_the_evidence(model, alpha):
    hist, gradient = run(model, Renyi, 1, POSTERIOR_MEAN, POSTERIOR_SD, 7, alpha=alpha)
    assert hist[0] == pytest.approx(-EVIDENCE, abs=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def by_hand(model, seed, mu, sigma, n_mc, alpha):
    """The bound from the draws that the step has, by NumPy."""
    approx = vb.MeanField(model=model, random_seed=seed, start={"x": mu}, start_sigma={"x": sigma})
    noise = approx.spawn_generator().standard_normal((n_mc, 2))
    z = np.array(mu) + np.array(sigma) * noise
    log_w = (
        stats.norm(0, [1.0, 2.0]).logpdf(z).sum(axis=1)
        + stats.norm(z, 1).logpdf(Y).sum(axis=1)
        - stats.norm(mu, sigma).logpdf(z).sum(axis=1)
    )
    return -np.log(np.mean(np.exp((1 - alpha) * log_w))) / (1 - alpha)


@pytest.mark.parametrize("alpha", by_default([-0.5, 0.0, 0.5, 3.0], {0.0, 0.5}))
@pytest.mark.parametrize("doubly", [False, True])
def test_value(model, alpha, doubly):
    hist, _ = run(
        model,
        Renyi,
        4,
        [0.3, 0.3],
        [0.7, 0.4],
        6,
        alpha=alpha,
        doubly_reparameterized=doubly,
        backend="py",
    )
    assert hist[0] == pytest.approx(by_hand(model, 4, [0.3, 0.3], [0.7, 0.4], 6, alpha))


@pytest.mark.ci
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_both_gradients_have_the_same_expectation(model, alpha):
    means, errors = {}, []
    for doubly in (False, True):
        draws = repeated_gradients(
            model,
            500,
            [0.2, -0.4],  # not far from the posterior: no heavy tails of the weights
            [0.9, 1.1],
            4,
            alpha=alpha,
            doubly_reparameterized=doubly,
        )
        means[doubly] = draws.mean(axis=0)
        errors.append(draws.var(axis=0) / 500)
    error = np.sqrt(sum(errors))
    np.testing.assert_array_less(np.abs(means[True] - means[False]), 4.5 * error)


def test_more_draws_come_closer_to_the_evidence(model):
    bounds = [
        run(model, IWELBO, 1, [0.0, 0.0], [1.0, 1.0], k, n=2000, rate=1e-12)[0].mean()
        for k in (1, 5, 50)
    ]
    assert bounds[0] > bounds[1] > bounds[2] > -EVIDENCE
    assert bounds[2] + EVIDENCE < 0.05


@pytest.mark.parametrize("alpha", [1.0, np.nan, np.inf])
def test_bad_alpha(model, alpha):
    with pytest.raises(ValueError, match="alpha"):
        Renyi(vb.MeanField(model=model), alpha=alpha)
