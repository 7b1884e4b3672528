import numpy as np
import xarray

from vibayes.records.stacked import sample_dims_in, stacked_draws


def test_chains_come_one_after_the_other():
    values = np.arange(24).reshape(3, 2, 4)  # draws, chains, and a dimension of the variable's own
    array = xarray.DataArray(values, dims=("draw", "chain", "own"))
    assert sample_dims_in(array) == ["chain", "draw"]
    found = stacked_draws(array)
    assert found.shape == (6, 4)
    np.testing.assert_array_equal(found[:3], values[:, 0])
    np.testing.assert_array_equal(found[3:], values[:, 1])


def test_draws_that_are_stacked_already():
    array = xarray.DataArray(np.arange(6).reshape(2, 3), dims=("own", "sample"))
    np.testing.assert_array_equal(stacked_draws(array), np.arange(6).reshape(2, 3).T)


def test_what_has_no_draws_stays_as_it_is():
    array = xarray.DataArray(np.arange(6).reshape(2, 3), dims=("a", "b"))
    assert sample_dims_in(array) == []
    np.testing.assert_array_equal(stacked_draws(array), array.values)
