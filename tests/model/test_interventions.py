import numpy as np
import pytest
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"side": ["left", "right"]}) as model:
        x = vb.Normal("x", 0, 1, dims="side")
        y = vb.Normal("y", 2 * x, 0.1, dims="side")
        vb.Deterministic("total", y.sum())
        vb.Normal("z", y.sum(), 1)
    return model


def test_a_set_variable_has_no_causes(model):
    made = vb.do(model, {"y": [1.0, 2.0]})
    assert [rv.name for rv in made.free_RVs] == ["x", "z"]
    assert made.named_vars_to_dims["y"] == ("side",)
    value = made.compile_logp(backend="py")({"x": np.zeros(2), "z": 2.5})
    expected = 2 * stats.norm.logpdf(0) + stats.norm(3, 1).logpdf(2.5)
    np.testing.assert_allclose(value, expected)
    made.set_data("y", [0.0, 0.0])
    value = made.compile_logp(made["z"], backend="py")({"x": np.zeros(2), "z": 2.5})
    np.testing.assert_allclose(value, stats.norm(0, 1).logpdf(2.5))
    assert [rv.name for rv in model.free_RVs] == ["x", "y", "z"]


def test_values_may_be_expressions_of_other_variables(model):
    made = vb.do(model, {model.y: model.x + 5, "x": 1.0})
    drawn = vb.sample_prior_predictive(2_000, model=made, random_seed=1)
    np.testing.assert_allclose(drawn.prior["y"], 6.0)
    np.testing.assert_allclose(drawn.prior["z"].mean(), 12, atol=0.1)
    assert [v.name for v in made.data_vars] == ["x"]
    constant = vb.do(model, {"x": 1.0}, make_interventions_shared=False)
    assert not constant.data_vars
    assert "x" in [v.name for v in constant.deterministics]


def test_what_nothing_observed_depends_on_is_left_out(model):
    made = vb.do(vb.observe(model, {"z": 1.0}), {"y": [0.0, 1.0]}, prune_vars=True)
    assert set(made.named_vars) == {"y", "z"}


def test_observed_variables_are_conditioned_on(model):
    made = vb.observe(model, {model.z: 1.5, "y": [1.0, 2.0]})
    assert [rv.name for rv in made.observed_RVs] == ["z", "y"]
    value = made.compile_logp(backend="py")({"x": np.array([0.5, 1.0])})
    expected = stats.norm.logpdf([0.5, 1.0]).sum() + 2 * stats.norm(0, 0.1).logpdf(0)
    np.testing.assert_allclose(value, expected + stats.norm(3, 1).logpdf(1.5))
    assert made.coords == model.coords


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda m: vb.do(m, {"x": [1, 2, 3]}), ShapeError, r"'x' has shape \(2,\)"),
        (lambda m: vb.do(m, {"q": 1}), KeyError, "no variable 'q'"),
        (
            lambda m: vb.do(m, {vb.Normal.dist(): 1}),
            KeyError,
            r"no variable .* of the model",
        ),
        (lambda m: vb.do(m, {"x": m.x + 1}), ModelError, "depends on that variable"),
        (lambda m: vb.do(m, {}), ValueError, "names no variable"),
        (lambda m: vb.do(m, {"x": 1.0}, prune_vars=True), ModelError, "observed variables"),
        (lambda m: vb.observe(m, {"y": [1.0]}), ShapeError, r"'y' has shape \(2,\)"),
        (lambda m: vb.observe(m, {"total": 1.0}), ModelError, "'total' is not a free variable"),
        (lambda m: vb.observe(m, {"z": "a"}), FileNotFoundError, "must be numbers"),
    ],
)
def test_what_cannot_be_is_told(model, change, kind, message):
    with pytest.raises(kind, match=message):
        change(model)
