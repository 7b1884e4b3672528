import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.distributions import transforms
from vibayes.exceptions import SamplingError
from vibayes.inference.svgd import SVGD
from vibayes.objectives.kernels import imq

ADAM = vb.adam(learning_rate=0.05)


def fitted(model, n, optimizer=ADAM, **kwargs):
    inference = SVGD(model=model, **kwargs)
    inference.fit(n, obj_optimizer=optimizer, backend="py", progressbar=False)
    return inference


def particles(inference):
    return inference.approx.groups[0].shared_params["histogram"].get_value()


@pytest.fixture(scope="module")
def gaussian():
    """A conjugate pair: the posterior is normal, with mean and covariance known."""
    with vb.Model() as model:
        a = vb.Normal("a", 0, 2)
        b = vb.Normal("b", a, 1)
        vb.Normal("y", b, 0.5, observed=[1.0, 1.4])
    precision = np.array([[1 / 4 + 1, -1], [-1, 1 + 2 / 0.25]])
    cov = np.linalg.inv(precision)
    return model, cov @ [0, 2.4 / 0.25], cov


@pytest.mark.parametrize("seed", range(4))
def test_gaussian(gaussian, seed):
    model, mean, cov = gaussian
    inference = fitted(model, 400, n_particles=60, random_seed=seed)
    X = particles(inference)
    sd = np.sqrt(np.diag(cov))
    np.testing.assert_array_less(np.abs(X.mean(axis=0) - mean) / sd, 0.02)
    # finitely many particles are a little narrower than what they stand for
    np.testing.assert_allclose(X.std(axis=0), sd, rtol=0.08)
    assert np.corrcoef(X.T)[0, 1] == pytest.approx(cov[0, 1] / sd.prod(), abs=0.1)


def test_imq_kernel(gaussian):
    model, mean, cov = gaussian
    X = particles(fitted(model, 400, n_particles=60, random_seed=1, kernel=imq))
    sd = np.sqrt(np.diag(cov))
    np.testing.assert_array_less(np.abs(X.mean(axis=0) - mean) / sd, 0.02)
    np.testing.assert_allclose(X.std(axis=0), sd, rtol=0.1)


def test_temperature_broadens(gaussian):
    """At temperature T a normal target has T times the variance."""
    model, _, cov = gaussian
    X = particles(fitted(model, 600, n_particles=60, random_seed=1, temperature=4.0))
    np.testing.assert_allclose(X.var(axis=0), 4 * np.diag(cov), rtol=0.2)


def test_no_loss_and_refine(gaussian):
    model, _, _ = gaussian
    seen = []
    inference = SVGD(n_particles=10, model=model, random_seed=1)
    inference.fit(
        5,
        obj_optimizer=ADAM,
        backend="py",
        progressbar=False,
        score=True,
        callbacks=[lambda approx, losses, i: seen.append((len(losses), i))],
    )
    assert seen == [(0, i) for i in range(1, 6)]
    inference.refine(5, progressbar=False)
    assert inference.hist.size == 0
    whole = SVGD(n_particles=10, model=model, random_seed=1)
    whole.fit(10, obj_optimizer=ADAM, backend="py", progressbar=False)
    np.testing.assert_array_equal(particles(inference), particles(whole))


def test_by_fit(gaussian):
    model, _, _ = gaussian
    with model:
        approx = vb.fit(
            20,
            method=SVGD,
            inf_kwargs={"n_particles": 30},
            obj_optimizer=vb.sgd(learning_rate=0.01),
            random_seed=4,
            start={"a": 50.0},
            backend="py",
            progressbar=False,
        )
    assert approx.histogram.get_value().shape == (30, 2)
    assert approx.histogram.get_value()[:, 0].mean() > 40
    assert approx.sample(7).posterior["a"].shape == (1, 7)


def test_compiled_once(gaussian):
    model, _, _ = gaussian
    first = fitted(model, 3, n_particles=12, random_seed=1)
    second = fitted(model, 3, n_particles=12, random_seed=2)
    other = fitted(model, 3, n_particles=12, random_seed=2, temperature=2)
    assert first.last_run.loop.steps is second.last_run.loop.steps is not other.last_run.loop.steps
    assert not np.allclose(particles(first), particles(second))


@pytest.mark.parametrize("how", ["minibatch", "replacement"])
def test_minibatch(how):
    """Each step sees 20 of 400 observations; the posterior is that of all."""
    data = np.random.default_rng(0).normal(3, 1, size=400)
    rng = pytensor.shared(np.random.default_rng(1))
    rng.default_update, rows = pt.random.integers(0, 400, size=20, rng=rng).owner.outputs
    batch = pt.constant(data)[rows]
    with vb.Model() as model:
        full = vb.Data("full", data)
        mu = vb.Normal("mu", 0, 10)
        observed = batch if how == "minibatch" else full
        vb.Normal("y", mu, 1, observed=observed, total_size=400)
    inference = SVGD(n_particles=20, jitter=0.1, model=model, random_seed=1, start={"mu": 2.5})
    swap = {} if how == "minibatch" else {full: batch}
    for rate in (0.05, 0.005, 0.0005):
        inference.fit(
            200,
            obj_optimizer=vb.adam(learning_rate=rate),
            more_replacements=swap,
            backend="py",
            progressbar=False,
        )
    X = particles(inference)[:, 0]
    assert X.mean() == pytest.approx(data.mean(), abs=0.03)
    assert X.std() == pytest.approx(1 / 400**0.5, rel=0.3)


def test_model_of_many_kinds():
    """Vectors, matrices, simplexes, ordered vectors and bounded scalars together."""
    with vb.Model() as model:
        vb.Normal("v", 1, 1, shape=3)
        vb.Normal("m", -1, 0.5, shape=(2, 2))
        vb.Dirichlet("p", np.array([2.0, 3.0, 5.0]))
        vb.Normal("o", np.arange(3.0), 1, shape=3, transform=transforms.ordered)
        vb.Beta("u", 2, 6)
    posterior = fitted(model, 400, n_particles=100, random_seed=1).approx.sample(4000).posterior
    mean = {name: posterior[name].mean(("chain", "draw")).values for name in ("v", "m", "p", "u")}
    np.testing.assert_allclose(mean["v"], 1, atol=0.15)
    np.testing.assert_allclose(mean["m"], -1, atol=0.1)
    np.testing.assert_allclose(mean["p"], [0.2, 0.3, 0.5], atol=0.05)
    np.testing.assert_allclose(mean["u"], 0.25, atol=0.05)
    assert (np.diff(posterior["o"].values, axis=-1) > 0).all()


def test_breakdown_names_the_particle(gaussian):
    model, _, _ = gaussian
    inference = SVGD(n_particles=5, model=model, random_seed=1)
    with pytest.raises(FloatingPointError, match=r"histogram of .* of particle \d"):
        inference.fit(200, obj_optimizer=vb.sgd(learning_rate=1e8), backend="py", progressbar=False)
    assert np.isfinite(particles(inference)).all()


def test_bad_start():
    with vb.Model() as model:
        vb.HalfNormal("s", 1)
        vb.Uniform("y", 0, 1, observed=[0.5, 2.0])
    with pytest.raises(SamplingError, match="for y: -inf"):
        fitted(model, 5, n_particles=3)


def test_float32(float32):
    with vb.Model() as model:
        vb.Normal("x", 3, 2)
    X = particles(fitted(model, 300, n_particles=40, random_seed=1))
    assert X.dtype == "float32"
    assert X.mean() == pytest.approx(3, abs=0.1)
    assert X.std() == pytest.approx(2, rel=0.1)
