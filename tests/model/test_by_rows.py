import numpy as np
import pytest
from helpers.lanes import by_default

import vibayes as vb
from vibayes.exceptions import ModelError
from vibayes.model import data_size
from vibayes.model.by_rows import row_model
from vibayes.model.target import Target, goes_by_rows

N = 500
GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=(N, 3))
Y = GENERATOR.normal(size=N)
COUNTS = GENERATOR.integers(0, 5, N)
GROUP = GENERATOR.integers(0, 6, N)


def logistic():
    intercept = vb.Normal("intercept", 0, 2)
    slope = vb.Normal("slope", 0, 2, shape=3)
    vb.Bernoulli("y", logit_p=intercept + X @ slope, observed=COUNTS > 2)


def hierarchy():
    scale = vb.HalfNormal("scale", 1)
    effect = vb.Normal("effect", 0, scale, shape=6)
    x = vb.Data("x", X, dims=("row", None))
    vb.Normal("y", effect[GROUP] + x[:, 0] - X[:, 1], 1, observed=Y, dims="row")


def minibatches():
    part, y = vb.Minibatch(X, Y, batch_size=10)
    slope = vb.Normal("slope", 0, 2, shape=3)
    vb.Normal("y", part @ slope, 1, observed=y, total_size=N)


def several_terms():
    mu = vb.Normal("mu")
    vb.StudentT("y", nu=4, mu=mu, sigma=1, observed=Y, total_size=2 * N)
    vb.Poisson("count", vb.math.exp(mu), observed=COUNTS)
    vb.Normal("few", mu, 1, observed=[1.0, 2.0])
    vb.Potential("penalty", -((X[:, 0] - mu) ** 2))


def events():
    mu = vb.Normal("mu")
    vb.MvNormal("y", mu * np.ones(3), np.eye(3), observed=X)
    vb.Categorical("kind", logit_p=X * mu, observed=COUNTS % 3)


def written(define):
    with vb.Model() as model:
        define()
    return model


@pytest.mark.parametrize(
    "define", by_default([hierarchy, several_terms, logistic, minibatches, events], 2)
)
def test_sums_over_rows_are_the_log_density_of_the_whole_data(define, monkeypatch, rng):
    model = written(define)
    whole = Target(model)
    Z = whole.start + 0.3 * rng.standard_normal((5, whole.ddim))
    assert not whole.by_rows
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 10)
    monkeypatch.setattr("vibayes.streaming.partitions.PARTITION_BYTES", 2_000)
    monkeypatch.setattr("vibayes.model.passes.BLOCK_NUMBERS", 35)
    by_rows = Target(model)
    assert by_rows.by_rows
    logp, gradient = by_rows(Z)
    np.testing.assert_allclose(logp, whole(Z)[0], rtol=1e-11)
    np.testing.assert_allclose(gradient, whole(Z)[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(by_rows.logp(Z), logp, rtol=1e-12)
    assert by_rows.passes == 2
    assert (by_rows(Z)[0] == logp).all()  # to the last bit


def test_all_observed_variables_of_a_length_go_by_rows():
    rows = row_model(written(several_terms))
    assert rows.length == N
    assert rows.names == ("y", "count", "penalty")


def walk():
    sigma = vb.HalfNormal("sigma", 1)
    vb.GaussianRandomWalk("walk", sigma=sigma, init_dist=vb.Normal.dist(), observed=Y)


def centred_data():
    slope = vb.Normal("slope")
    x = vb.Data("x", X[:, 0])
    vb.Normal("centred", slope * (x - x.mean()), 1, observed=Y)


def effect_of_each_row():
    effect = vb.Normal("effect", 0, 1, shape=N)
    vb.Normal("own", effect, 1, observed=Y)


def gaussian_process():
    scale = vb.HalfNormal("scale", 1)
    covariance = np.exp(-0.5 * np.subtract.outer(Y, Y) ** 2) + np.eye(N)
    vb.MvNormal("process", np.zeros(N), scale * covariance, observed=Y)


def square_of_a_sum():
    mu = vb.Normal("mu")
    vb.Potential("square", -((vb.Data("x", X[:, 0]) * mu).sum() ** 2))
    vb.Normal("fine", mu, 1, observed=Y)


@pytest.mark.parametrize(
    ("define", "name"),
    [
        (walk, "walk"),
        (centred_data, "centred"),
        (effect_of_each_row, "own"),
        (gaussian_process, "process"),
        (square_of_a_sum, "square"),
    ],
)
def test_rows_that_are_not_independent_are_refused_by_name(define, name, monkeypatch):
    model = written(define)
    with pytest.raises(ModelError, match=rf"'{name}'.* are not independent"):
        row_model(model)
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 10)
    assert not goes_by_rows(model)


def test_a_minibatch_of_columns_is_refused():
    with vb.Model() as model:
        mu = vb.Normal("mu")
        part = vb.Minibatch(X, batch_size=[10, 2])
        vb.Normal("y", mu, 1, observed=part, total_size=X.shape)
    with pytest.raises(ModelError, match="another axis than the first"):
        row_model(model)


def test_a_model_without_rows_has_none():
    with vb.Model() as model:
        vb.Normal("mu")
    assert row_model(model) is None


def test_few_data_are_not_gone_through_by_rows():
    assert not goes_by_rows(written(logistic))


def test_data_that_were_exchanged_are_seen(monkeypatch):
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 10)
    with vb.Model() as model:
        mu = vb.Normal("mu")
        x = vb.Data("x", Y, dims="row")
        vb.Normal("y", mu, 1, observed=x, dims="row")
    Z = np.array([[0.0], [0.5]])
    before = Target(model).logp(Z)
    vb.set_data({"x": np.zeros(50)}, model)
    after = Target(model).logp(Z)
    expected = -0.5 * np.log(2 * np.pi) * 51 - 0.5 * 51 * Z[:, 0] ** 2
    np.testing.assert_allclose(after, expected)
    assert (before < after).all()


def test_a_sample_counts_for_all_rows(monkeypatch, rng):
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 10)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=np.ones(N))
    whole = Target(model)
    sample = whole.on_sample(50, rng)
    Z = np.array([[0.0], [2.0]])
    np.testing.assert_allclose(sample.logp(Z), whole.logp(Z))
    assert not sample.by_rows
    assert not whole.on_sample(2 * N, rng).by_rows  # of as many, too
    assert whole.passes == 1


@pytest.mark.usefixtures("float32")
def test_float32(monkeypatch):
    model = written(hierarchy)
    Z = Target(model).start[None] + 0.1
    logp, gradient = Target(model)(Z)
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 10)
    again = Target(model)(Z)
    np.testing.assert_allclose(again[0], logp, rtol=1e-5)
    np.testing.assert_allclose(again[1], gradient, rtol=1e-3, atol=1e-2)
