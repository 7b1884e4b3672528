"""Every method finds, from minibatches, the posterior of the whole data: here in closed form."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.objectives import IWELBO, Renyi

N, BATCH = 240, 60
NOISE = 1.5
PRIOR = 3.0


@pytest.fixture(scope="module")
def rows():
    """Predictors that go together, so that their slopes do not, and responses."""
    rng = np.random.default_rng(1)
    X = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], size=N)
    return X, X @ [1.0, -2.0] + rng.normal(0, NOISE, size=N)


def precision_and_mean(X, y):
    """Return what is known of slopes with a normal prior."""
    precision = X.T @ X / NOISE**2 + np.eye(2) / PRIOR**2
    return precision, np.linalg.solve(precision, X.T @ y / NOISE**2)


def regression(X, y):
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, PRIOR, shape=2)
        vb.Normal("y", X @ slope, NOISE, observed=y, total_size=N)
    return model


@pytest.fixture(scope="module")
def model(rows):
    return regression(*vb.Minibatch(*rows, batch_size=BATCH))


def converged(inference, n=200, n_mc=5, **kwargs):
    """Fit with a learning rate that goes down, as minibatches need it."""
    rate = pytensor.shared(np.array(0.0), shape=())
    for value in (0.05, 0.01, 0.003, 0.0006):
        rate.set_value(np.array(value))
        inference.fit(
            n,
            obj_n_mc=n_mc,
            obj_optimizer=vb.adam(learning_rate=rate),
            backend="py",
            progressbar=False,
            **kwargs,
        )
    return inference.approx


def assert_mean(mean, expected, precision):
    """Compare in units of the posterior's standard deviations."""
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    np.testing.assert_array_less(np.abs(mean - expected) / sd, 0.4)


def test_mean_field(model, rows):
    precision, mean = precision_and_mean(*rows)
    approx = converged(vb.ADVI(model=model, random_seed=1))
    assert_mean(approx.mean.eval(), mean, precision)
    np.testing.assert_allclose(approx.std.eval(), np.diag(precision) ** -0.5, rtol=0.1)


@pytest.mark.parametrize(
    "inference",
    [
        lambda model: vb.FullRankADVI(model=model, random_seed=1),
        lambda model: vb.LowRankADVI(rank=1, model=model, random_seed=1),
    ],
    ids=["full rank", "low rank"],
)
def test_correlated_normals(model, rows, inference):
    precision, mean = precision_and_mean(*rows)
    approx = converged(inference(model))
    assert_mean(approx.mean.eval(), mean, precision)
    cov = np.linalg.inv(precision)
    np.testing.assert_allclose(approx.cov.eval(), cov, atol=0.2 * np.diag(cov).max())


def assert_draws(approx, rows, tolerance=0.25):
    precision, mean = precision_and_mean(*rows)
    draws = approx.sample(4000, random_seed=1)["slope"]
    assert_mean(draws.mean(axis=0), mean, precision)
    cov = np.linalg.inv(precision)
    np.testing.assert_allclose(np.cov(draws.T), cov, atol=tolerance * np.diag(cov).max())


@pytest.mark.parametrize("flow", ["full_affine", "scale-affine_coupling"])
def test_flows(model, rows, flow):
    assert_draws(converged(vb.NFVI(flow, model=model, random_seed=1)), rows)


def test_svgd(model, rows):
    inference = vb.SVGD(n_particles=60, jitter=0.5, model=model, random_seed=1)
    approx = converged(inference)
    assert len(np.unique(approx.histogram.get_value(), axis=0)) == 60
    assert_draws(approx, rows)


def test_amortized_svgd(model, rows):
    """Draws that move a few at a time keep too close together."""
    assert_draws(converged(vb.ASVGD(model=model, random_seed=1), n_mc=80), rows, tolerance=0.35)


@pytest.mark.parametrize(
    "operator",
    [
        IWELBO,
        lambda approx: IWELBO(approx, doubly_reparameterized=False),
        lambda approx: Renyi(approx, alpha=0.5),
    ],
    ids=["IWELBO", "IWELBO plain", "Renyi"],
)
def test_bounds_by_several_draws(operator):
    """Each batch has its own posterior, and the bound asks for one that covers them all.

    So the centre is right and the width too large: with p of batch b normal, of mean m_b and
    variance v, the bound by ever more draws is best with the root of the mean of p_b squared,
    whose variance is v plus twice that of m_b. Few draws are somewhere between.
    """
    y = np.random.default_rng(5).normal(1.0, NOISE, size=N)
    batch = vb.Minibatch(y, batch_size=BATCH, replace=False)
    with vb.Model():
        mu = vb.Normal("mu", 0, PRIOR)
        vb.Normal("y", mu, NOISE, observed=batch, total_size=N)
        inference = vb.Inference(operator(vb.MeanField(random_seed=1)))
    approx = converged(inference)
    variance = 1 / (N / NOISE**2 + PRIOR**-2)
    mean = variance * y.sum() / NOISE**2
    of_batches = (variance * N / NOISE**2) ** 2 * y.var(ddof=1) / BATCH * (1 - BATCH / N)
    assert approx.mean.eval()[0] == pytest.approx(mean, abs=0.6 * variance**0.5)
    assert 0.95 * variance < approx.std.eval()[0] ** 2 < variance + 2 * of_batches


def test_multivariate_normal_likelihood():
    rng = np.random.default_rng(2)
    cov = np.array([[1.0, 0.8], [0.8, 2.0]])
    data = rng.multivariate_normal([1.0, -1.0], cov, size=N)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, PRIOR, shape=2)
        vb.MvNormal("y", mu, cov=cov, observed=vb.Minibatch(data, batch_size=BATCH), total_size=N)
    approx = converged(vb.FullRankADVI(model=model, random_seed=1))
    each = np.linalg.inv(cov)
    precision = N * each + np.eye(2) / PRIOR**2
    expected = np.linalg.inv(precision)
    assert_mean(approx.mean.eval(), expected @ each @ data.sum(axis=0), precision)
    np.testing.assert_allclose(approx.cov.eval(), expected, atol=0.2 * expected.max())


def test_data_that_change(rows):
    """A fit sees minibatches of what the data are when it runs."""
    X, y = rows
    with vb.Model() as model:
        predictors, responses = vb.Data("X", X), vb.Data("responses", y)
        batch_X, batch_y = vb.Minibatch(predictors, responses, batch_size=BATCH)
        slope = vb.Normal("slope", 0, PRIOR, shape=2)
        vb.Normal("y", batch_X @ slope, NOISE, observed=batch_y, total_size=N)
    inference = vb.FullRankADVI(model=model, random_seed=1)
    for sign in (1, -1):
        vb.set_data({"responses": sign * y}, model=model)
        precision, mean = precision_and_mean(X, sign * y)
        approx = converged(inference)
        assert_mean(approx.mean.eval(), mean, precision)
        cov = np.linalg.inv(precision)
        np.testing.assert_allclose(approx.cov.eval(), cov, atol=0.2 * cov.max())


def test_amortized_local_variables():
    """An encoder learns, from minibatches, the posterior of each observation's own variable."""
    y = np.random.default_rng(3).normal(0, np.hypot(PRIOR, NOISE), N)
    batch = vb.Minibatch(y, batch_size=BATCH)
    w, r = pytensor.shared(np.array(0.1), shape=()), pytensor.shared(np.array(0.0), shape=())
    with vb.Model():
        z = vb.Normal("z", 0, PRIOR, shape=BATCH, total_size=N)
        vb.Normal("y", z, NOISE, observed=batch, total_size=N)
        inference = vb.ADVI(local_rv={z: (w * batch, r + pt.zeros_like(batch))}, random_seed=1)
    converged(inference, n_mc=1, more_obj_params=[w, r])
    gain = PRIOR**2 / (PRIOR**2 + NOISE**2)
    assert w.get_value() == pytest.approx(gain, abs=0.02)
    assert np.logaddexp(0, r.get_value()) == pytest.approx(NOISE * gain**0.5, rel=0.05)


def test_local_and_global_variables_together():
    """The centre of all observations is learned beside the encoder; with z integrated out."""
    rng = np.random.default_rng(4)
    y = rng.normal(2.0, np.hypot(1.0, NOISE), N)
    batch = vb.Minibatch(y, batch_size=BATCH)
    params = [pytensor.shared(np.array(v), shape=()) for v in (0.1, 0.0, 0.0)]
    w, b, r = params
    with vb.Model():
        mu = vb.Normal("mu", 0, PRIOR)
        z = vb.Normal("z", 0, 1, shape=BATCH, total_size=N)
        vb.Normal("y", mu + z, NOISE, observed=batch, total_size=N)
        local = {z: (b + w * batch, r + pt.zeros_like(batch))}
        inference = vb.ADVI(local_rv=local, random_seed=1)
    approx = converged(inference, more_obj_params=params)
    variance = 1 / (N / (1 + NOISE**2) + PRIOR**-2)
    mean = variance * y.sum() / (1 + NOISE**2)
    assert approx.groups[0].mean.eval()[0] == pytest.approx(mean, abs=0.4 * variance**0.5)
    # given z, mu is known by N observations of the noise alone: the mean field's width
    given_z = 1 / (N / NOISE**2 + PRIOR**-2)
    assert approx.groups[0].std.eval()[0] == pytest.approx(given_z**0.5, rel=0.15)
    assert w.get_value() == pytest.approx(1 / (1 + NOISE**2), abs=0.03)
