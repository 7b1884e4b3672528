import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.backend.tables import accept_tables

QUICK = {"mode": "FAST_COMPILE"}
B = pt.as_tensor(np.array([1.0, 10.0]))


@pytest.fixture(scope="module")
def table():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {"x": [1.0, 2.0, 3.0], "group": [0, 1, 1], "chosen": [True, False, True]},
        index=["a", "b", "c"],
    )


EXPRESSIONS = {
    "column on the right": (lambda t: B[0] * t.x, [1, 2, 3]),
    "column on the left": (lambda t: t.x * B[1], [10, 20, 30]),
    "sum": (lambda t: B[0] + B[1] * t.x, [11, 21, 31]),
    "power": (lambda t: t.x ** B[0], [1, 2, 3]),
    "index": (lambda t: B[t.group], [1, 10, 10]),
    "mask": (lambda t: pt.arange(3)[pt.as_tensor(t.chosen)], [0, 2]),
    "product": (lambda t: vb.math.dot(t[["x", "group"]], B), [1, 12, 13]),
    "table on the left": (lambda t: (t[["x", "group"]] * B).sum(axis=1), [1, 12, 13]),
    "matrix product": (lambda t: B @ t[["x", "group"]].T, [1, 12, 13]),
    "comparison": (lambda t: pt.switch(B[1] > t.x, 1, 0), [1, 1, 1]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_columns_inside_expressions(table, name):
    make, expected = EXPRESSIONS[name]
    np.testing.assert_allclose(make(table).eval(**QUICK), expected)


def test_columns_of_other_libraries():
    pyarrow = pytest.importorskip("pyarrow")
    xarray = pytest.importorskip("xarray")
    column = pyarrow.array([1.0, 2.0])
    for product in (B * column, column * B, B * xarray.DataArray([1.0, 2.0])):
        np.testing.assert_allclose(product.eval(**QUICK), [1, 20])
    np.testing.assert_allclose(B[pyarrow.array([1, 0])].eval(**QUICK), [10, 1])


def test_columns_of_polars():
    """An expression on the left takes them; on the right polars refuses it itself."""
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"x": [1.0, 2.0], "group": [1, 0], "gap": [1.0, None]})
    np.testing.assert_allclose((B[0] + B * table["x"]).eval(**QUICK), [2, 21])
    np.testing.assert_allclose(B[table["group"]].eval(**QUICK), [10, 1])
    np.testing.assert_allclose((B * table["gap"]).eval(**QUICK), [1, np.nan])
    np.testing.assert_allclose(vb.math.dot(table[["x", "group"]], B).eval(**QUICK), [11, 2])
    with pytest.raises(TypeError, match="cannot convert"):
        table["x"] * B
    with vb.Model() as model:
        vb.Normal("y", B * table["x"], 1, observed=table["x"])
    assert model["y"].type.shape == (2,)


def test_what_is_no_numbers_is_told(table):
    told = "the Series in an expression must be numbers|Unsupported dtype"  # with PyMC, by it
    with pytest.raises(TypeError, match=told):
        pt.exp(table.index.to_series())
    with pytest.raises(NotImplementedError, match="Cannot convert"):
        pt.as_tensor_variable(object())


def test_tables_are_accepted_once():
    accept_tables()
    with pytest.raises(NotImplementedError, match="Cannot convert"):
        pt.as_tensor_variable(object())
