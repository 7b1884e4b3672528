"""What PyMC's models have, and scripts use."""

import copy

import numpy as np
import pytest

import vibayes as vb


@pytest.fixture
def model():
    with vb.Model("m") as model:
        x = vb.HalfNormal("x", shape=3)
        vb.Normal("z")
        vb.Deterministic("total", x.sum())
    return model


def test_variables_are_attributes(model):
    assert model.x is model["x"]
    assert model.total is model.deterministics[0]
    assert not hasattr(model, "y")
    with pytest.raises(AttributeError, match="'Model' object has no attribute 'y'"):
        _ = model.y
    assert copy.copy(model).x is model.x


def test_own_attributes_come_first():
    with vb.Model() as model:
        vb.Normal("coords")
    assert model.coords == {}
    assert model["coords"].name == "coords"


def test_shapes(model):
    expected = {"m::x_log__": (3,), "m::z": (), "m::x": (3,)}
    assert model.eval_rv_shapes() == expected


def test_values_of_what_is_not_observed(model):
    names = [v.name for v in model.unobserved_value_vars]
    assert names[1:3] == ["m::z", "m::x_log__"]
    point = {"m::x_log__": np.log([1.0, 2.0, 3.0]), "m::z": 0.5}
    x, z, log_x, total = model.compile_fn(model.unobserved_value_vars, backend="py")(point)
    np.testing.assert_allclose(x, [1, 2, 3])
    np.testing.assert_allclose(log_x, np.log(x))
    assert (z, total) == (0.5, pytest.approx(6))


def test_functions_of_single_arguments(model):
    function = model.compile_fn(model.logp(), backend="py", point_fn=False)
    point = model.initial_point()
    assert function(*point.values()) == model.compile_logp(backend="py")(point)


def test_another_start(model):
    model.set_initval(model.x, 2.0)
    np.testing.assert_allclose(model.initial_point()["m::x_log__"], np.log([2.0] * 3))
    with pytest.raises(ValueError, match="rv_var must be a free variable of the model, m::total"):
        model.set_initval(model.total, 1.0)
    with pytest.raises(ValueError, match="initval must be a value"):
        model.set_initval(model.x, "nowhere")
