import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from scipy import stats

import vibayes as vb
from vibayes import Data, Model, Normal, set_data
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.target import Target


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1.0, 2.0], "float64"),
        ([1, 2], "int64"),
        (np.array([1, 2], dtype="uint8"), "uint8"),
        (np.array([1, 2], dtype="float32"), "float64"),
        (pd.Series([1.0, 2.0]), "float64"),
        (xr.DataArray([1, 2], dims="t"), "int64"),
        ([True, False], "int8"),
        (3.5, "float64"),
        (np.zeros((2, 0)), "float64"),
    ],
)
def test_data_are_kept_with_the_dtype_they_need(value, dtype):
    with Model() as model:
        data = Data("data", value)
    assert model["data"] is data
    assert model.data_vars == [data]
    assert data.dtype == dtype
    np.testing.assert_array_equal(data.get_value(), np.asarray(value))


def test_float_data_follow_floatx():
    with pytensor.config.change_flags(floatX="float32"), Model():
        assert Data("x", [1.0]).dtype == "float32"
        assert Data("i", [1]).dtype == "int64"


def test_data_are_copied():
    value = np.zeros(3)
    with Model():
        data = Data("data", value)
    value[:] = 1
    np.testing.assert_array_equal(data.get_value(), 0)


def test_data_bring_dimensions_and_coordinates():
    with Model(coords={"col": ["a", "b"]}) as model:
        Data("x", np.zeros((3, 2)), dims=("row", "col"))
        Data("y", np.zeros((3, 4)), dims=("row", "time"), coords={"time": [1, 2, 3, 4]})
        Data("z", np.zeros(5), dims=[None])
    assert model.coords == {"col": ("a", "b"), "row": None, "time": (1, 2, 3, 4)}
    assert [model.dim_length(d) for d in ("col", "row", "time")] == [2, 3, 4]
    assert model.named_vars_to_dims == {"x": ("row", "col"), "y": ("row", "time")}


def test_data_errors():
    with Model(coords={"col": ["a", "b"]}) as model:
        with pytest.raises(TypeError, match=r"Data\('x'\): .* must be numbers"):
            Data("x", ["a"])
        with pytest.raises(ShapeError, match="length 3 along dimension 'col'"):
            Data("x", np.zeros(3), dims="col")
        with pytest.raises(ShapeError, match="for 2 axes"):
            Data("x", np.zeros((2, 2)), dims="col")
        with pytest.raises(ModelError, match="'col' already has other coordinates"):
            Data("x", np.zeros(2), dims="col", coords={"col": ["b", "c"]})
        with pytest.raises(ShapeError, match="length 3 along dimension 'time'"):
            Data("x", np.zeros(3), dims="time", coords={"time": [1, 2]})
    assert model.data_vars == []
    with pytest.raises(TypeError, match="No model is open"):
        Data("x", 1.0)
    assert Data("x", 1.0, model=model) in model.data_vars


# -- set_data ---------------------------------------------------------------------------------


@pytest.fixture
def model():
    with Model(coords={"obs": [10, 20, 30], "col": ["a", "b"]}) as model:
        X = Data("X", np.arange(6.0).reshape(3, 2), dims=("obs", "col"))
        group = Data("group", [0, 1, 1], dims="obs")
        y = Data("y", [0.1, 0.2, 0.3], dims="obs")
        spread = Data("spread", 2.0)
        beta = Normal("beta", dims="col")
        level = Normal("level", shape=2)
        Normal("likelihood", X @ beta + level[group], spread, observed=y, dims="obs")
    return model


BETA, LEVEL = np.array([0.5, -1.0]), np.array([0.2, 0.7])


def expected_datalogp(X, group, y):
    return stats.norm(X @ BETA + LEVEL[group], 2.0).logpdf(y).sum()


def test_same_length(model):
    logp = model.compile_fn(model.datalogp, backend="py")
    old = model["X"].get_value()
    np.testing.assert_allclose(
        logp({"beta": BETA, "level": LEVEL}),
        expected_datalogp(old, np.array([0, 1, 1]), [0.1, 0.2, 0.3]),
    )
    with model:
        set_data({"X": old + 1, "group": [1, 0, 0]})
    np.testing.assert_allclose(
        logp({"beta": BETA, "level": LEVEL}),
        expected_datalogp(old + 1, np.array([1, 0, 0]), [0.1, 0.2, 0.3]),
    )
    assert model.coords["obs"] == (10, 20, 30)


def test_new_length_reaches_compiled_functions_and_draws(model):
    logp = model.compile_fn(model.datalogp, backend="py")
    rng = np.random.default_rng(0)
    for length in (5, 1, 0, 3):
        X, y = rng.normal(size=(length, 2)), rng.normal(size=length)
        group = rng.integers(2, size=length)
        labels = np.arange(length) * 2
        set_data({"X": X, "group": group, "y": y}, model, coords={"obs": labels})
        value = logp({"beta": BETA, "level": LEVEL})
        np.testing.assert_allclose(value, expected_datalogp(X, group, y))
        assert model.dim_length("obs") == length
        assert model.coords["obs"] == tuple(labels.tolist())
        (draw,) = evaluate([model["likelihood"]])
        assert draw.shape == (length,)


def test_draws_follow_the_dimension_where_the_outcome_is_not_exchanged(model):
    set_data({"X": np.ones((5, 2)), "group": [0] * 5}, model, coords={"obs": range(5)})
    (draw,) = evaluate([model["likelihood"]])
    assert draw.shape == (5,)


def test_dimension_without_coordinates_needs_none():
    with Model() as model:
        x = Data("x", [1.0, 2.0], dims="obs")
        Normal("y", x, 1, observed=Data("data", [0.0, 0.0], dims="obs"), dims="obs")
    set_data({"x": [1.0, 2.0, 3.0], "data": [0.0, 0.0, 0.0]}, model)
    assert model.coords == {"obs": None}
    assert model.dim_length("obs") == 3
    np.testing.assert_allclose(evaluate([model.logp()])[0], stats.norm.logpdf([1, 2, 3]).sum())


def test_only_coordinates_can_change(model):
    set_data({}, model, coords={"obs": ["x", "y", "z"]})
    assert model.coords["obs"] == ("x", "y", "z")
    assert model.dim_length("obs") == 3


def test_prefixed_names():
    with Model("lake", coords={"obs": [1, 2]}) as model:
        x = Data("x", [1.0, 2.0], dims="obs")
    set_data({"x": [1.0, 2.0, 3.0]}, model, coords={"obs": [1, 2, 3]})
    set_data({"lake::x": [3.0, 2.0, 1.0]}, model)
    np.testing.assert_array_equal(x.get_value(), [3, 2, 1])
    assert model.dim_length("obs") == 3
    with pytest.raises(ShapeError, match="changes its length from 3 to 2"):
        set_data({"x": [1.0, 2.0]}, model)


@pytest.mark.parametrize(
    ("new", "coords", "error", "message"),
    [
        ({"Z": 1}, None, KeyError, r"'Z' is no data variable of the model \(it has: 'X', 'group'"),
        ({"beta": [0, 0]}, None, KeyError, "'beta' is no data variable"),
        ({"y": np.zeros((3, 1))}, None, ShapeError, "'y' has 1 axes, the new value 2"),
        ({"y": ["a", "b", "c"]}, None, TypeError, r"Data\('y'\): .* must be numbers"),
        ({"group": [0, 0.5, 1]}, None, TypeError, "cannot hold the new value 0.5"),
        ({"group": [0, np.nan, 1]}, None, TypeError, "cannot hold the new value nan"),
        ({"y": [1.0, 2.0]}, None, ShapeError, "'obs' changes its length from 3 to 2; pass its new"),
        ({"y": [1.0, 2.0]}, {"obs": [1, 2, 3]}, ShapeError, "3 coordinates for dimension 'obs'"),
        ({"y": [1.0]}, {"obs": [1], "row": [1]}, ModelError, "no dimension 'row'"),
        ({"X": np.zeros((3, 3))}, {"col": "abc"}, ShapeError, "free variable 'beta' lies along"),
        ({}, {"col": ["a", "b", "c"]}, ShapeError, "free variable 'beta' lies along"),
        ({"y": [1.0], "group": [0, 0]}, {"obs": [1]}, ShapeError, "length 1 and, by 'group', 2"),
        ({}, {"obs": 3}, TypeError, "'obs': coordinates must be a sequence"),
    ],
)
def test_nothing_changes_on_error(model, new, coords, error, message):
    values = {v.name: v.get_value() for v in model.data_vars}
    with pytest.raises(error, match=message):
        set_data({"spread": 7.0} | new, model, coords=coords)
    for variable in model.data_vars:
        np.testing.assert_array_equal(variable.get_value(), values[variable.name])
    assert model.coords == {"obs": (10, 20, 30), "col": ("a", "b")}
    assert (model.dim_length("obs"), model.dim_length("col")) == (3, 2)


def test_free_variables_of_the_outer_model_fix_a_dimension_too():
    with Model(coords={"obs": [1, 2]}):
        Normal("x", dims="obs")
        with Model() as part:
            Data("data", [1.0, 2.0], dims="obs")
    with pytest.raises(ShapeError, match="free variable 'x' lies along"):
        set_data({"data": [1.0, 2.0, 3.0]}, part, coords={"obs": [1, 2, 3]})


def test_values_that_a_small_dtype_cannot_hold_raise():
    with Model() as model:
        Data("mask", [True, False])
    with pytest.raises(TypeError, match="int8, which cannot hold the new value 300"):
        set_data({"mask": [300, 0]}, model)


def test_axes_of_length_one():
    with Model() as model:
        Data("broadcasts", [[1.0]])
        Data("grows", [1.0], dims="obs")
    set_data({"grows": [1.0, 2.0]}, model)
    with pytest.raises(ShapeError, match="axis 1 of 'broadcasts' broadcasts"):
        set_data({"broadcasts": [[1.0, 2.0]]}, model)


# -- data that stay on disk -----------------------------------------------------------------------


def sources(folder):
    """Return the same matrix and vector in several places, by kind."""
    X = np.arange(600.0).reshape(200, 3)
    np.save(folder / "x.npy", X)
    found = {"mapped": (np.load(folder / "x.npy", mmap_mode="r"), {}, X)}
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    with h5py.File(folder / "x.h5", "w") as file:
        file["x"] = X
    found["h5py"] = h5py.File(folder / "x.h5")["x"], {}, X
    stored = zarr.create_array(str(folder / "x.zarr"), shape=X.shape, chunks=(60, 3), dtype="f8")
    stored[:] = X
    found["zarr"] = stored, {}, X
    found["dask"] = pytest.importorskip("dask.array").from_array(X, chunks=(70, 3)), {}, X
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    pytest.importorskip("pyarrow.parquet").write_table(
        table, folder / "x.parquet", row_group_size=50
    )
    found["matrix"] = folder / "x.parquet", {"columns": ["a", "c"]}, X[:, [0, 2]]
    found["column"] = folder / "x.parquet", {"columns": "b"}, X[:, 1]
    return found


def test_sources_stay_on_disk_and_are_gone_through_row_by_row(tmp_path):
    for kind, (source, options, X) in sources(tmp_path).items():
        with vb.Model() as model:
            mu = vb.Normal("mu", 0, 10)
            dims = ("row", None)[: X.ndim]
            x = vb.Data("x", source, dims=dims, in_memory=False, **options)
            vb.Normal("y", mu, 3, observed=x, dims=dims)
        assert model.dim_lengths["row"].get_value() == 200, kind
        assert model.has_streams, kind
        Z = np.array([[0.0], [2.0]])
        expected = [
            stats.norm(0, 10).logpdf(z) + stats.norm(z, 3).logpdf(X).sum() for z in (0.0, 2.0)
        ]
        np.testing.assert_allclose(Target(model).logp(Z), expected, rtol=1e-10, err_msg=kind)


def test_small_arrays_on_disk_are_loaded(tmp_path, monkeypatch):
    x = sources(tmp_path)["mapped"][0]
    with vb.Model() as model:
        assert vb.Data("loaded", x).get_value().shape == (200, 3)
        monkeypatch.setattr("vibayes.streaming.stream.LOADED_BYTES", 1000)
        assert vb.Data("also", x, in_memory=True).get_value().shape == (200, 3)
        vb.Data("left", x)
        mu = vb.Normal("mu")
        y = vb.Normal("y", mu, 1, observed=x)
    assert model.has_streams
    assert model.rvs_to_total_sizes[y] == (200, None)
    assert [v.name for v in model.data_vars] == ["loaded", "also"]


def test_a_table_without_columns_is_told(tmp_path):
    path = sources(tmp_path)["matrix"][0]
    with vb.Model(), pytest.raises(TypeError, match="say which ones by columns="):
        vb.Data("x", path)


def test_arguments_of_shared_variables():
    with Model():
        Data("x", [1.0], mutable=True, borrow=True)
        with pytest.raises(TypeError, match=r"Data\('y'\): got an unexpected .* 'nonsense'"):
            Data("y", [1.0], nonsense=True)
