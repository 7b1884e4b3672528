import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
import xarray as xr
from helpers.toys import Spherical

from vibayes import (
    Data,
    Deterministic,
    Model,
    Normal,
    Potential,
)
from vibayes.backend.modes import evaluate
from vibayes.distributions.base import distribution_of
from vibayes.distributions.continuous import Exponential
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.transforms import log
from vibayes.exceptions import ModelError, ParameterError, ShapeError


def names(variables):
    return [variable.name for variable in variables]


@pytest.fixture
def model():
    with Model(coords={"side": ["left", "right"]}) as model:
        mu = Normal("mu", 0, 10)
        sigma = Exponential("sigma", 1.0, dims="side")
        twice = Deterministic("twice", 2 * sigma, dims="side")
        Potential("soft", -(mu**2))
        x = Data("x", [1.0, -1.0], dims="side")
        Normal("y", mu * x, twice, observed=[0.3, -0.2], dims="side")
    return model


# -- what a model holds -----------------------------------------------------------------------


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


def test_value_variables_have_the_type_of_the_unconstrained_value(model):
    with model:
        Poisson("n", 3.0, shape=4)
    mu, sigma, n = model.value_vars
    assert (mu.dtype, mu.type.shape) == ("float64", ())
    assert (sigma.dtype, sigma.type.shape) == ("float64", (2,))
    assert (n.dtype, n.type.shape) == ("int64", (4,))
    assert model.continuous_value_vars == [mu, sigma]
    assert model.discrete_value_vars == [n]


def test_item_access(model):
    assert model["mu"] is model.free_RVs[0]
    assert "mu" in model
    assert "nu" not in model
    with pytest.raises(KeyError, match=r"no variable 'nu'; the model has mu, sigma"):
        model["nu"]


def test_a_variable_draws_when_it_is_evaluated(model):
    draw = model.compile_fn(model["mu"], inputs=[], backend="py")
    assert len({float(draw({})) for _ in range(3)}) == 3


def test_deterministic_names_a_copy(model):
    with model:
        again = Deterministic("again", model["twice"])
        constant = Deterministic("constant", [1.0, 2.0], dims="side")
    assert model["twice"].name == "twice"
    assert again.name == "again"
    np.testing.assert_array_equal(evaluate([constant])[0], [1.0, 2.0])
    assert Deterministic("from_outside", 3.0, model=model) in model.deterministics
    assert Potential("from_outside_too", 3.0, model=model) in model.potentials


def test_models_are_compared_by_identity(model):
    assert model == model
    assert model != Model()
    assert len({model, model, Model()}) == 2


# -- names ------------------------------------------------------------------------------------


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


def test_nested_models_share_names_and_dimensions():
    with Model(coords={"side": ["l", "r"]}) as whole:
        Normal("x")
        with Model(coords={"time": [1, 2, 3]}) as part:
            with pytest.raises(ModelError, match="already has a variable named 'x'"):
                Normal("x")
            Normal("z", dims=("side", "time"))
        assert Normal("w", dims="time").type.shape == (3,)
    assert part.coords == whole.coords == {"side": ("l", "r"), "time": (1, 2, 3)}


@pytest.mark.parametrize("name", ["a/b", " a"])
def test_bad_model_names_raise(name):
    with pytest.raises(ModelError, match="of a model"):
        Model(name)


# -- dimensions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b"], ("a", "b")),
        (range(2), (0, 1)),
        (np.array([1, 2]), (1, 2)),
        (np.array(["a", "b"]), ("a", "b")),
        (pd.Index(["a", "b"]), ("a", "b")),
        (pd.Categorical(["b", "a"]), ("b", "a")),
        (pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]), ((1, "a"), (2, "b"))),
        (xr.DataArray([1.5, 2.5], dims="t"), (1.5, 2.5)),
        (["a", 1], ("a", 1)),
    ],
)
def test_coordinates(labels, expected):
    model = Model(coords={"t": labels})
    assert model.coords == {"t": expected}
    assert [type(label) for label in model.coords["t"]] == [type(label) for label in expected]
    assert model.dim_length("t") == 2
    assert int(model.dim_lengths["t"].get_value()) == 2


@pytest.mark.parametrize(
    "dates",
    [
        pd.date_range("2020-01-01", periods=2),
        np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]"),
    ],
)
def test_dates_remain_dates(dates):
    labels = Model(coords={"t": dates}).coords["t"]
    assert pd.DatetimeIndex(np.array(labels)).equals(pd.DatetimeIndex(dates))


def test_adding_coordinates():
    model = Model(coords={"a": [1, 2]})
    model.add_coords({"b": ["x"], "c": None})
    model.add_coord("d", length=4)
    assert model.coords == {"a": (1, 2), "b": ("x",), "c": None, "d": None}
    assert [model.dim_length(d) for d in "abcd"] == [2, 1, None, 4]
    for known in ({"values": [1, 2]}, {"length": 2}, {}):
        model.add_coord("a", **known)
    assert model.coords["a"] == (1, 2)
    model.add_coord("c", [5, 6, 7])
    model.add_coord("d", [1, 2, 3, 4])
    assert model.coords["c"] == (5, 6, 7)
    assert model.coords["d"] == (1, 2, 3, 4)


def test_contradicting_coordinates_raise():
    model = Model(coords={"a": [1, 2]})
    with pytest.raises(ModelError, match="'a' already has other coordinates"):
        model.add_coord("a", [1, 3])
    with pytest.raises(ShapeError, match="'a' has length 2, it cannot be 3"):
        model.add_coord("a", length=3)
    with pytest.raises(ShapeError, match="'b': 2 coordinates for length 3"):
        model.add_coord("b", [1, 2], length=3)
    with pytest.raises(TypeError, match="'b': coordinates must be a sequence, got 5"):
        Model(coords={"b": 5})
    for name in ("chain", "draw"):
        with pytest.raises(ModelError, match=f"{name!r}: that name belongs to"):
            Model(coords={name: [0, 1]})
    assert model.coords == {"a": (1, 2)}


def test_dims_give_the_shape():
    with Model(coords={"row": range(3), "col": "ab"}) as model:
        x = Normal("x", 0, 1, dims=("row", "col"))
        y = Normal("y", np.zeros((3, 1)), np.ones(2), dims=["row", "col"])
        z = Spherical("z", np.zeros(2), dims=("row", "col"))
        w = Normal("w", 0, 1, dims=(None, "col"), shape=(4, 2))
    assert [v.type.shape for v in (x, y, z, w)] == [(3, 2), (3, 2), (3, 2), (4, 2)]
    assert model.named_vars_to_dims["w"] == (None, "col")
    assert [v.shape for v in evaluate([x, y, z, w])] == [(3, 2), (3, 2), (3, 2), (4, 2)]


def test_errors_of_dims():
    with Model(coords={"row": range(3), "open": None}) as model:
        with pytest.raises(ModelError, match=r"Normal\('x'\): unknown dimension 'col' .*'row'"):
            Normal("x", dims=("row", "col"))
        with pytest.raises(ModelError, match=r"Deterministic\('x'\): unknown dimension 'col'"):
            Deterministic("x", 1.0, dims="col")
        with pytest.raises(ModelError, match=r"Potential\('x'\): unknown dimension 'col'"):
            Potential("x", 1.0, dims="col")
        with pytest.raises(ShapeError, match="'open' has no length yet"):
            Normal("x", dims="open")
        with pytest.raises(ShapeError, match="needs a shape="):
            Normal("x", dims=(None, "row"))
        with pytest.raises(ShapeError, match="length 4 along dimension 'row', which has length 3"):
            Normal("x", shape=4, dims="row")
        with pytest.raises(ShapeError, match=r"Normal\('x'\): .* \(4,\), which does not fit"):
            Normal("x", np.zeros(4), dims="row")
        with pytest.raises(ShapeError, match="length 4 along dimension 'row'"):
            Deterministic("x", np.zeros(4), dims="row")
        with pytest.raises(ShapeError, match="length 4 along dimension 'row'"):
            Potential("x", np.zeros(4), dims="row")
        with pytest.raises(ShapeError, match="for 2 axes"):
            Deterministic("x", np.zeros((3, 3)), dims="row")
        with pytest.raises(TypeError, match="dims must be names, got 3"):
            Normal("x", dims=3)
        with pytest.raises(ModelError, match="'row' has the name of its dimension"):
            Normal("row", dims="row")
    assert model.named_vars == {}


def test_data_tell_the_length_of_a_dimension():
    with Model(coords={"obs": None, "time": None}) as model:
        Data("x", [1.0, 2.0, 3.0], dims="obs")
        Normal("y", 0, 1, observed=[0.0, 1.0], dims="time")
        assert Normal("z", dims=("obs", "time")).type.shape == (3, 2)
    assert (model.dim_length("obs"), model.dim_length("time")) == (3, 2)
    assert model.coords == {"obs": None, "time": None}


# -- distributions in a model -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"shape": 3}, (3,)),
        ({"shape": (2, 3)}, (2, 3)),
        ({"size": np.int64(3)}, (3,)),
        ({"mu": np.zeros((2, 1)), "sigma": [1, 2, 3]}, (2, 3)),
        ({"observed": np.zeros((4, 2))}, (4, 2)),
        ({"mu": np.zeros(2), "observed": np.zeros((4, 2))}, (4, 2)),
        ({}, ()),
    ],
)
def test_shape(arguments, shape):
    with Model():
        x = Normal("x", **arguments)
    assert x.type.shape == shape
    assert evaluate([x])[0].shape == shape


def test_shape_includes_the_event_and_size_does_not():
    with Model():
        x = Spherical("x", np.zeros(3), shape=(2, 3))
        y = Spherical("y", np.zeros(3), size=2)
    assert [draw.shape for draw in evaluate([x, y])] == [(2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sigma": 0}, ParameterError, "sigma must be positive, got 0"),
        ({"sigma": -1.5}, ParameterError, "sigma must be positive, got -1.5"),
        ({"sigma": [1, -2, 0]}, ParameterError, r"got -2 \(2 of 3 elements\)"),
        ({"sigma": pt.constant(-1.0)}, ParameterError, "sigma must be positive, got -1"),
        ({"sigma": np.nan}, ParameterError, "sigma must be positive, got nan"),
        ({"tau": 0.0}, ParameterError, "tau must be positive, got 0"),
        ({"mu": np.inf}, ParameterError, "mu must be finite, got inf"),
        ({"sigma": 1, "tau": 1}, ValueError, "give either sigma or tau"),
        ({"scale": 1}, TypeError, "'scale'"),
        ({"mu": np.zeros(2), "sigma": np.ones(3)}, ShapeError, "do not broadcast"),
        ({"mu": np.zeros(2), "shape": 3}, ShapeError, "does not fit into"),
        ({"shape": 2, "size": 2}, ValueError, "either shape or size"),
        ({"shape": -1}, ValueError, "shape must be a whole number of at least 0, got -1"),
        ({"shape": 2.5}, ValueError, "shape must be a whole number of at least 0, got 2.5"),
        ({"transform": "log"}, TypeError, "transform must be a Transform or None, got 'log'"),
        ({"initval": "mean"}, ValueError, "initval must be a value, .* got 'mean'"),
        ({"initval": 1.0, "observed": 1.0}, ValueError, "an observed variable has no initval"),
    ],
)
def test_bad_arguments_raise_naming_the_variable(arguments, error, message):
    with Model() as model, pytest.raises(error, match=message) as caught:
        Normal("y", **arguments)
    assert str(caught.value).startswith("Normal('y'): ")
    assert model.named_vars == {}
    assert model.basic_RVs == []


def test_parameters_known_only_at_run_time_pass():
    with Model():
        sigma = Normal("sigma")
        Normal("y", 0, sigma)


# -- display ----------------------------------------------------------------------------------


def test_repr(model):
    text = repr(model)
    assert text.splitlines()[0] == "<Model: 2 free, 1 observed>"
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()[1:]}
    assert list(lines) == ["mu", "sigma", "y", "twice", "soft", "x"]
    assert lines["mu"] == "~ Normal(mu=0, sigma=10)"
    assert lines["sigma"] == "~ Exponential(lam=1) (side)"
    assert lines["y"] == "~ Normal(mu=<expression>, sigma=twice) (observed) (side)"
    assert lines["twice"].startswith("= Deterministic")
    assert lines["soft"].startswith("+ Potential")
    assert lines["x"] == "= Data (side)"
    assert repr(Model("lake")) == "<Model 'lake': 0 free, 0 observed>"


def test_repr_html_is_escaped():
    with Model("<i>") as model:
        Normal("a<b", shape=(2, 3))
    html = model._repr_html_()
    assert html.startswith("<table>")
    assert "&lt;i&gt;::a&lt;b" in html
    assert "<i>" not in html
    assert "(2, 3)" in html


def test_repr_of_a_distribution_is_that_of_its_parameters(model):
    assert repr(distribution_of(model["mu"])) == "Normal(mu=0, sigma=10)"
