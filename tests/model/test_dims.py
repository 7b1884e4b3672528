import numpy as np
import pandas as pd
import pytest
import xarray as xr
from helpers.toys import Spherical

from vibayes import Data, Deterministic, MeanField, Model, Normal, Potential
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ModelError, ShapeError


def test_nested_models_share_names_and_dimensions():
    with Model(coords={"side": ["l", "r"]}) as whole:
        Normal("x")
        with Model(coords={"time": [1, 2, 3]}) as part:
            with pytest.raises(ModelError, match="already has a variable named 'x'"):
                Normal("x")
            Normal("z", dims=("side", "time"))
        assert Normal("w", dims="time").type.shape == (3,)
    assert part.coords == whole.coords == {"side": ("l", "r"), "time": (1, 2, 3)}


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
        z = Normal("z", dims=("obs", "time"))
    assert tuple(evaluate(tuple(z.shape))) == model.rvs_to_values[z].type.shape == (3, 2)
    assert (model.dim_length("obs"), model.dim_length("time")) == (3, 2)
    assert model.coords == {"obs": None, "time": None}


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((2, 2)),
        pd.DataFrame({"a": [1, 2]}),
        [["a"], ["b"]],
        [{"a": 1}, {"b": 2}],
    ],
    ids=["matrix", "table", "lists", "dicts"],
)
def test_a_coordinate_is_one_label(labels):
    with pytest.raises(ModelError, match="'row': each coordinate must be one label"):
        Model(coords={"row": labels})


def test_levels_of_an_index_are_labels_of_results():
    levels = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
    with Model(coords={"row": levels}) as model:
        Normal("x", dims="row")
        Normal("y", 0, 1, observed=np.zeros(4), dims="row")
    posterior = MeanField(model=model).sample(3).posterior
    assert posterior["row"].values.tolist() == list(levels)


@pytest.mark.parametrize("labels", [{"a", "b"}, {"a": 1}, 5, b"ab"])
def test_coordinates_have_an_order(labels):
    with pytest.raises(TypeError, match="'row': coordinates must be a sequence"):
        Model(coords={"row": labels})


@pytest.mark.parametrize("length", [-1, "no", 2.5])
def test_a_length_is_checked_beside_labels_too(length):
    with pytest.raises(ValueError, match="'row': length must be a whole number"):
        Model().add_coord("row", [1, 2], length=length)
