"""What PyMC's models have, and scripts use."""

import copy

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError


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


def test_second_derivatives():
    with vb.Model() as model:
        vb.Normal("a", 0, [1.0, 2.0], shape=2)
        vb.Normal("b", 0, 4.0)
    point = model.initial_point()
    expected = np.diag([1, 1 / 4, 1 / 16])
    np.testing.assert_allclose(model.compile_d2logp(backend="py")(point), expected)
    hessian = model.compile_d2logp(model.a, negate_output=False, backend="py")(point)
    np.testing.assert_allclose(hessian, -expected[:2, :2])
    with pytest.raises(ValueError, match="vars must be free variables"):
        model.d2logp(model.a + 1)


def test_density_and_gradient_of_a_flat_vector(model):
    function = model.logp_dlogp_function(backend="py")
    flat = np.array([0.1, 0.2, 0.3, 0.4])
    logp, slope = function(flat)
    point = {"m::x_log__": flat[:3], "m::z": flat[3]}
    assert logp == model.compile_logp(backend="py")(point)
    numeric = [(function(flat + h)[0] - function(flat - h)[0]) / 2e-6 for h in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(slope, numeric, rtol=1e-5)
    part = model.logp_dlogp_function(
        model.z, {"m::x_log__": flat[:3]}, ravel_inputs=False, backend="py"
    )
    logp_of_part, slope_of_part = part({"m::z": 0.4})
    assert logp_of_part == logp
    np.testing.assert_allclose(slope_of_part, slope[3:])


def test_text_of_a_model():
    with vb.Model() as model:
        mu = vb.Normal("mu_0", 0, 10)
        vb.Deterministic("twice", 2 * mu)
        vb.Normal("y", mu, 1, observed=[1.0])
    text = " mu_0 ~ Normal(0, 10)\ntwice ~ Deterministic(f(mu_0))\n    y ~ Normal(mu_0, 1)"
    assert sorted(model.str_repr().splitlines()) == sorted(text.splitlines())
    assert r"\text{mu\_0} &\sim & \text{Normal(0, 10)}" in model.str_repr("latex")
    assert "mu_0 ~ Normal" in model.str_repr(include_params=False)
    assert "10" not in model.str_repr(include_params=False)
    with pytest.raises(ValueError, match="formatting must be 'plain' or 'latex'"):
        model.str_repr("html")
    assert str(model.table()) == str(model)
    assert model.table()._repr_html_().startswith("<table>")


def test_graphs_by_the_model(model):
    pytest.importorskip("graphviz")
    assert model.to_graphviz().source == vb.model_to_graphviz(model).source


def test_checks_of_bounds_can_be_left_out():
    def density(check_bounds, data):
        with vb.Model(check_bounds=check_bounds) as model:
            vb.Exponential("y", 1.0, observed=data)
        return model.compile_logp(backend="py")({})

    assert density(True, [1.0, 2.0]) == density(False, [1.0, 2.0]) == -3
    assert density(True, [1.0, -2.0]) == -np.inf
    assert np.isfinite(density(False, [1.0, -2.0]))
    with vb.Model(check_bounds=False), vb.Model("inner") as inner:
        pass
    assert not inner.check_bounds
    assert not inner.isroot
    assert not inner.root.check_bounds


def test_free_variables_follow_dimensions_without_labels():
    with vb.Model() as model:
        x = vb.Data("x", np.ones(3), dims="row")
        z = vb.HalfNormal("z", 2, dims="row", initval=0.5)
        vb.Normal("y", z * x, observed=vb.Data("obs", np.ones(3), dims="row"), dims="row")
        approx = vb.MeanField()
    trace = approx.sample(5)
    vb.set_data({"x": np.ones(5), "obs": np.ones(5)}, model=model)
    np.testing.assert_allclose(model.initial_point()["z_log__"], np.log(np.full(5, 0.5)))
    assert model.compile_logp(sum=False, backend="py")(model.initial_point())[0].shape == (5,)
    with pytest.raises(ModelError, match=r"'z' has changed its length .*from \(3,\) to \(5,\)"):
        approx.sample(5)
    assert vb.MeanField(model=model).sample(7)["z"].shape == (7, 5)
    drawn = vb.sample_posterior_predictive(trace, model=model, sample_vars=["z", "y"])
    assert drawn.posterior_predictive["y"].shape == (1, 5, 5)


def test_free_variables_along_labels_keep_their_length():
    with vb.Model(coords={"row": [1, 2]}) as model:
        vb.Data("x", np.ones(2), dims="row")
        vb.Normal("z", dims="row")
    with pytest.raises(ShapeError, match="the free variable 'z' lies along dimension 'row'"):
        vb.set_data({"x": np.ones(3)}, model=model, coords={"row": [1, 2, 3]})


def test_axes_of_data_are_those_of_tables():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=pd.Index(["u", "v"], name="who"))
    with vb.Model() as model:
        vb.Data("X", table, infer_dims_and_coords=True)
        vb.Data("s", table["a"], infer_dims_and_coords=True, borrow=True)
        vb.Data(
            "Z",
            xr.DataArray(np.ones((2, 3)), dims=("who", "time")),
            dims=(None, "when"),
            infer_dims_and_coords=True,
        )
        vb.Data("n", [1.0], infer_dims_and_coords=True)
    assert model.named_vars_to_dims == {
        "X": ("who", "X_dim_1"),
        "s": ("who",),
        "Z": ("who", "when"),
        "n": ("n_dim_0",),
    }
    assert model.coords["who"] == ("u", "v")
    assert model.coords["X_dim_1"] == ("a", "b")
    assert model.coords["when"] is None
    with vb.Model(), pytest.raises(ShapeError, match=r"Data\('X'\): dims \('a',\) for 2 axes"):
        vb.Data("X", table, dims="a", infer_dims_and_coords=True)
