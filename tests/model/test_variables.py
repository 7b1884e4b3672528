import numpy as np
import pytest

from vibayes import Data, Deterministic, Model, Normal, Potential
from vibayes.distributions.continuous import Exponential
from vibayes.distributions.transforms import log
from vibayes.exceptions import ModelError


def names(variables):
    return [variable.name for variable in variables]


def test_registries(model):
    assert names(model.free_RVs) == ["mu", "sigma"]
    assert names(model.observed_RVs) == ["y"]
    assert names(model.basic_RVs) == ["mu", "sigma", "y"]
    assert names(model.deterministics) == ["twice"]
    assert names(model.potentials) == ["soft"]
    assert names(model.data_vars) == ["x"]
    assert names(model.unobserved_RVs) == ["mu", "sigma", "twice"]
    assert names(model.value_vars) == ["mu", "sigma_log__"]
    assert list(model.named_vars) == ["mu", "sigma", "twice", "soft", "x", "y"]
    assert model.named_vars_to_dims == {v: ("side",) for v in ("sigma", "twice", "x", "y")}
    assert model.coords == {"side": ("left", "right")}
    assert model.rvs_to_transforms == {model["mu"]: None, model["sigma"]: log}
    np.testing.assert_array_equal(model.rvs_to_values[model["y"]].get_value(), [0.3, -0.2])
    assert model.values_to_rvs[model.value_vars[1]] is model["sigma"]


def test_item_access(model):
    assert model["mu"] is model.free_RVs[0]
    assert "mu" in model
    assert "nu" not in model
    with pytest.raises(KeyError, match=r"no variable 'nu'; the model has mu, sigma"):
        model["nu"]


def test_models_are_compared_by_identity(model):
    assert model == model
    assert model != Model()
    assert len({model, model, Model()}) == 2


@pytest.mark.parametrize(
    "define",
    [
        lambda: Normal("mu"),
        lambda: Normal("mu", observed=1.0),
        lambda: Deterministic("mu", 1.0),
        lambda: Potential("mu", 1.0),
        lambda: Data("mu", 1.0),
    ],
)
def test_duplicate_names_raise_and_leave_the_model_as_it_was(model, define):
    before = list(model.basic_RVs), dict(model.named_vars), dict(model.rvs_to_values)
    with model, pytest.raises(ModelError, match="already has a variable named 'mu'"):
        define()
    assert before == (model.basic_RVs, model.named_vars, model.rvs_to_values)
    assert names(model.deterministics + model.potentials + model.data_vars) == [
        "twice",
        "soft",
        "x",
    ]


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a\nb", "a\tb", "a\0b", "", " a", "a "])
def test_bad_names_raise(name):
    with Model() as model:
        for define in (Normal, lambda n: Deterministic(n, 1.0), lambda n: Data(n, 1.0)):
            with pytest.raises(ModelError, match=r"of a variable (contains|is empty or begins)"):
                define(name)
    assert model.named_vars == {}
    with pytest.raises(ModelError, match="of a dimension"):
        Model(coords={name: [1]})


@pytest.mark.parametrize("name", ["beta[0]", "β", "log sigma", "group::x", "a.b", "x_log__"])
def test_good_names(name):
    with Model() as model:
        Normal(name)
    assert name in model


def test_names_must_be_strings():
    with Model(), pytest.raises(TypeError, match=r"Normal: the first argument is the variable's"):
        Normal(0, 1)
    with Model(), pytest.raises(TypeError, match="must be a string, got 3"):
        Deterministic(3, 1.0)
    with pytest.raises(TypeError, match="must be a string, got 3"):
        Model(coords={3: [1]})


def test_prefix():
    with Model("lake") as model:
        x = Normal("x")
        y = Normal("lake::y", x)
        d = Deterministic("d", x + y)
        data = Data("data", [1.0])
    assert names([x, y, d, data]) == ["lake::x", "lake::y", "lake::d", "lake::data"]
    assert names(model.value_vars) == ["lake::x", "lake::y"]
    assert model["x"] is model["lake::x"] is x
    assert "x" in model
    assert model.data_var("data") is model.data_var("lake::data") is data


@pytest.mark.parametrize(
    ("outer", "inner", "prefix"),
    [("", "", ""), ("", "in", "in::"), ("out", "", "out::"), ("out", "in", "out::in::")],
)
def test_nested_models_share_their_variables(outer, inner, prefix):
    with Model(outer) as whole:
        first = Normal("first")
        with Model(inner) as part:
            x = Exponential("x")
            Normal("y", first, x, observed=1.0, total_size=None)
            Deterministic("d", x)
            Potential("p", -x)
    assert x.name == f"{prefix}x"
    assert part.free_RVs == [x]
    assert whole.free_RVs == [first, x]
    assert whole[f"{prefix}x"] is x
    for attribute in ("observed_RVs", "deterministics", "potentials"):
        assert getattr(whole, attribute) == getattr(part, attribute) != []
    assert whole.rvs_to_values[x] is part.rvs_to_values[x]


@pytest.mark.parametrize("name", ["a/b", " a"])
def test_bad_model_names_raise(name):
    with pytest.raises(ModelError, match="of a model"):
        Model(name)


@pytest.mark.parametrize("name", ["chain", "draw"])
def test_names_of_the_axes_of_draws_are_refused(name):
    with Model(), pytest.raises(ModelError, match=f"{name!r}.*axes of posterior draws"):
        Normal(name)
    with Model(), pytest.raises(ModelError, match=f"{name!r}.*axes of posterior draws"):
        Deterministic(name, 1.0)


def test_a_variable_and_a_dimension_of_another_cannot_have_one_name():
    with Model(coords={"g": [1, 2]}):
        Normal("x", dims="g")
        with pytest.raises(ModelError, match="'g' has the name of a dimension of another variable"):
            Normal("g")
    with Model(coords={"g": [1, 2]}):
        Normal("g")
        with pytest.raises(ModelError, match="'g' has the name of a dimension of another variable"):
            Normal("x", dims="g")
