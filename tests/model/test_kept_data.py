import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from helpers.minibatches import numbered

import vibayes as vb
from vibayes.exceptions import ShapeError
from vibayes.model.minibatch import Minibatch

pytestmark = pytest.mark.usefixtures("without_compiler")


def test_whole_numbers_stay_and_others_become_floatx(float32):
    assert Minibatch(numbered(20), 5).dtype == "float32"
    for dtype in ("int64", "int32", "uint8"):
        assert Minibatch(np.arange(20, dtype=dtype), 5).dtype == dtype
    assert Minibatch(np.arange(20) > 3, 5).dtype == "int8"
    assert Minibatch(numbered(20), 5, dtype="int32").dtype == "int32"
    assert Minibatch(np.arange(20), 5, "float64").dtype == "float64"
    assert Minibatch(numbered(20), 5).eval().dtype == "float32"


@pytest.mark.parametrize(
    "make",
    [
        list,
        pd.Series,
        pd.DataFrame,
        xr.DataArray,
        pt.constant,
        pytensor.shared,
        np.asfortranarray,
        lambda a: vb.Data("data", a, dims=("row", *[f"axis_{i}" for i in range(1, a.ndim)])),
    ],
)
def test_containers(make):
    data = numbered(12, 2)[:, 0] if make in (list, pd.Series) else numbered(12, 2)
    with vb.Model():
        x = Minibatch(make(data), 3)
    values = x.eval()
    assert values.shape == (3, *data.shape[1:])
    assert set(values.ravel()) <= set(data.ravel())
    assert x.shared.get_value().flags.c_contiguous or make is np.asfortranarray
    np.testing.assert_array_equal(x.shared.get_value(), data)


def test_data_are_copied_and_shared_variables_are_not():
    data = numbered(6)
    x = Minibatch(data, 6)
    data[:] = -1
    assert (x.shared.get_value() >= 0).all()
    shared = pytensor.shared(numbered(6))
    y = Minibatch(shared, 2)
    assert y.shared is shared
    shared.set_value(np.full(9, 5.0))
    np.testing.assert_array_equal(y.eval(), [5, 5])


def test_columns_of_a_table_in_column_order_are_stored_by_row():
    x = Minibatch(np.asfortranarray(numbered(40, 3)), 4)
    assert x.shared.get_value(borrow=True).flags.c_contiguous


def test_part_in_memory():
    data = numbered(10, 8)
    for size, part in [
        (6, data[:6]),
        ([6, 3], data[:6, :3]),
        ([slice(2, 9, 2), Ellipsis], data[2:9:2]),
        ([Ellipsis, 3], data[:, :3]),
        ([None, slice(1, 4)], data[:, 1:4]),
    ]:
        x = Minibatch(data, 2, in_memory_size=size)
        np.testing.assert_array_equal(x.shared.get_value(), part)
    x.set_value(-data)
    np.testing.assert_array_equal(x.shared.get_value(), -part)


def test_data_that_cannot_take_the_place_of_others():
    x = Minibatch(np.arange(20), 8, name="x")
    with pytest.raises(ShapeError, match="batch_size 8 is more than the 7"):
        x.set_value(np.arange(7))
    with pytest.raises(ShapeError, match="the data have 1 axes, the new ones 2"):
        x.set_value(numbered(20, 1))
    with pytest.raises(TypeError, match=r"Minibatch\('x'\): .*whole numbers.*0.5"):
        x.set_value(np.full(20, 0.5))
    with pytest.raises(TypeError, match="nan"):
        x.set_value(np.full(20, np.nan))
    np.testing.assert_array_equal(x.shared.get_value(), np.arange(20))
    x.set_value(np.arange(20.0, 40.0))
    assert x.shared.get_value().dtype == "int64"
    cast = Minibatch(np.arange(20), 8, dtype="int32")
    cast.set_value(np.full(20, 1.7))  # as the first data are
    assert (cast.eval() == 1).all()
