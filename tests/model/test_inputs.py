"""Models that are written with PyTensor's inputs: a fit is given what stands in their place."""

import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError

X = np.linspace(-1, 2, 12)
Y = 1 + 2 * X
FEW = dict(backend="py", progressbar=False)


def regression(x, y):
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 5)
        mu = vb.Deterministic("mu", 1 + slope * x)
        vb.Normal("y", mu, 0.5, observed=y)
    return model


@pytest.fixture(scope="module")
def fitted():
    """Return an input, the model, and a fit of it."""
    x, y = pt.vector("x"), pt.vector("outcome")
    model = regression(x, y)
    data = {x: X, y: Y}
    approx = vb.fit(60, model=model, random_seed=1, more_replacements=data, diagnose=True, **FEW)
    return x, model, approx


def test_a_fit_is_that_of_the_data(fitted):
    _, _, approx = fitted
    known = vb.fit(60, model=regression(X, Y), random_seed=1, **FEW)
    np.testing.assert_allclose(approx.hist, known.hist)
    assert approx.diagnosis.khat == pytest.approx(known.diagnose().khat)


def test_what_comes_after_it_uses_them_too(fitted):
    x, model, approx = fitted
    draws = approx.sample(20, random_seed=1)
    np.testing.assert_array_equal(draws.observed_data["y"], Y)
    assert draws.posterior["mu"].shape == (1, 20, 12)
    assert draws.log_likelihood["y"].shape == (1, 20, 12)
    predicted = vb.sample_posterior_predictive(draws, model=model, random_seed=1)
    assert predicted.posterior_predictive["y"].shape == (1, 20, 12)
    mean = approx.sample_node(model["mu"], size=5, more_replacements={x: X[:3]})
    assert mean.eval(mode="FAST_COMPILE").shape == (5, 3)


def test_another_fit_takes_other_data(fitted):
    x, model, _ = fitted
    y = model.rvs_to_values[model["y"]]
    inference = vb.ADVI(model=model, random_seed=1)
    data = {x: X[:5], y: Y[:5] + 1}
    approx = inference.fit(5, obj_optimizer=vb.adam(), more_replacements=data, **FEW)
    np.testing.assert_array_equal(approx.sample(2).observed_data["y"], Y[:5] + 1)
    inference.fit(5, obj_optimizer=vb.adam(), more_replacements={x: X, y: Y}, **FEW)


def test_minibatches_stand_for_inputs():
    x, y = pt.vector("x"), pt.vector("outcome")
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 5)
        vb.Normal("y", 1 + slope * x, 0.5, observed=y, total_size=len(Y))
    batches = vb.Minibatch(X, Y, batch_size=4)
    approx = vb.fit(
        5, model=model, random_seed=1, obj_optimizer=vb.adam(), diagnose=False,
        more_replacements=dict(zip((x, y), batches, strict=True)), **FEW
    )  # fmt: skip
    np.testing.assert_array_equal(approx.sample(3).observed_data["y"], Y)
    point = {"slope": np.array(0.3)}
    expected = regression(X, Y).point_logps(point)["y"]
    assert model.point_logps(point)["y"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: vb.fit(5, model=model, **FEW),
        lambda model: vb.fit(method="laplace", model=model, progressbar=False),
        lambda model: vb.sample_prior_predictive(3, model=model),
        lambda model: vb.ADVI(model=model).objective.score_function(),
        lambda model: model.whole_data_replacements(),
        lambda model: vb.MeanField(model=model).sample(2),
    ],
)
def test_without_values_they_are_named(use):
    with pytest.raises(ModelError, match=r"depends on 'x', which has no value.*more_replacements"):
        use(regression(pt.vector("x"), Y))


def test_data_may_be_expressions_of_inputs():
    v = pt.vector("v")
    with vb.Model() as model:
        vb.Normal("mu", 0, 5)
        vb.Normal("y", model["mu"], 1, observed=2 * v)
    approx = vb.fit(5, model=model, more_replacements={v: X}, diagnose=False, **FEW)
    np.testing.assert_array_equal(approx.sample(2).observed_data["y"], 2 * X)
