"""PyTensor's xtensors as parameters, data and expressions of a model."""

import numpy as np
import pytensor.tensor as pt
import pytensor.xtensor as px
import pytest
from pytensor.xtensor.type import xtensor_shared

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError

COORDS = {"row": range(5), "kind": list("abc")}
X = np.arange(5.0)
Y = np.arange(15.0).reshape(5, 3) / 10


def named_model():
    with vb.Model(coords=COORDS) as model:
        x = px.as_xtensor(vb.Data("x", X, dims="row"), dims="row")
        slope = px.as_xtensor(vb.Normal("slope", 0, 2, dims="kind"), dims="kind")
        mu = vb.Deterministic("mu", slope * x)  # its dims are those of the slope, then those of x
        named = px.as_xtensor(mu, dims=("kind", "row"))
        data = px.as_xtensor(Y.T, dims=("kind", "row"))
        vb.Normal("y", named, px.math.exp(-x), dims=("row", "kind"), observed=data)
        vb.Potential("penalty", -((slope - 1) ** 2))
    return model


def plain_model():
    with vb.Model(coords=COORDS) as model:
        x = vb.Data("x", X, dims="row")
        slope = vb.Normal("slope", 0, 2, dims="kind")
        mu = vb.Deterministic("mu", slope[:, None] * x, dims=("kind", "row"))
        vb.Normal("y", mu.T, pt.exp(-x)[:, None], dims=("row", "kind"), observed=Y)
        vb.Potential("penalty", -((slope - 1) ** 2), dims="kind")
    return model


def test_a_model_with_named_axes_is_that_of_tensors():
    named, plain = named_model(), plain_model()
    assert named.named_vars_to_dims == plain.named_vars_to_dims
    point = {"slope": np.array([0.1, -0.5, 2.0])}
    assert named.point_logps(point) == plain.point_logps(point)
    results = [
        vb.fit(model=model, method="laplace", random_seed=1, progressbar=False) for model in
        (named, plain)
    ]  # fmt: skip
    a, b = (fit.sample(5, random_seed=1).posterior for fit in results)
    np.testing.assert_allclose(a["mu"], b["mu"])
    assert a["mu"].dims == ("chain", "draw", "kind", "row")


def test_dims_that_are_not_given_are_those_of_the_parameters():
    with vb.Model(coords=COORDS) as model:
        loc = px.as_xtensor(np.zeros(3), dims="kind")
        rv = vb.Normal("x", loc, px.as_xtensor(np.ones(5), dims="row"))
    assert rv.type.shape == (3, 5)
    assert model.named_vars_to_dims["x"] == ("kind", "row")


def test_categories_come_last():
    with vb.Model(coords=COORDS) as model:
        p = px.as_xtensor(np.full((3, 5), 1 / 3), dims=("kind", "row"))
        vb.Categorical("c", p=p, dims="row", observed=[0, 1, 2, 0, 1])
    assert model.point_logps({})["c"] == pytest.approx(5 * np.log(1 / 3), abs=0.01)


def test_shared_data_follow():
    data = xtensor_shared(X, dims="row")
    with vb.Model(coords=COORDS) as model:
        vb.Normal("y", 0, 1, dims="row", observed=data)
    before = model.point_logps({})["y"]
    data.set_value(X * 0)
    assert model.point_logps({})["y"] > before


def test_expressions_of_draws():
    model = named_model()
    approx = vb.MeanField(model=model)
    total = px.as_xtensor(model["slope"], dims="kind").sum("kind")
    draws = approx.sample_node(total, size=4).eval(mode="FAST_COMPILE")
    assert draws.shape == (4,)


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda x: vb.Normal.dist(x), TypeError, "mu must be numbers.*its .values will do"),
        (lambda x: vb.Deterministic("d", x, dims="kind"), ShapeError, "an xtensor"),
        (lambda x: vb.Normal("n", x, dims="kind"), ShapeError, "batch shape"),
        (lambda x: vb.Deterministic("d", x.rename(row="no")), ModelError, "'no'"),
    ],
)
def test_axes_that_do_not_fit(write, error, message):
    with vb.Model(coords=COORDS), pytest.raises(error, match=message):
        write(px.as_xtensor(X, dims="row"))
