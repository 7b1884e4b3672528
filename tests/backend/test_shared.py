import numpy as np
import pytensor
import pytest

from vibayes.backend.shared import assign, flat_values, put, set_flat_values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_set_in_the_dtype_of_their_variable(dtype):
    shared = pytensor.shared(np.zeros(2, dtype))
    given = np.array([1.0, 2.5])
    assign(shared, given)
    given[:] = 0.0
    assert shared.get_value().dtype == dtype
    np.testing.assert_array_equal(shared.get_value(), [1.0, 2.5])


def test_what_is_put_is_what_a_variable_holds():
    shared = pytensor.shared(np.zeros(3))
    for value in (np.arange(3.0), np.arange(3.0).view(type("Own", (np.ndarray,), {}))):
        held = put(shared, value)
        assert shared.get_value(borrow=True) is held
        assert np.shares_memory(held, value)
        np.testing.assert_array_equal(held, value)


def test_flat_values():
    params = [pytensor.shared(np.arange(6.0).reshape(2, 3)), pytensor.shared(np.float32(7))]
    flat = flat_values(params)
    np.testing.assert_array_equal(flat, [0, 1, 2, 3, 4, 5, 7])
    set_flat_values(params, 2 * flat)
    np.testing.assert_array_equal(params[0].get_value(), 2 * np.arange(6.0).reshape(2, 3))
    assert params[1].get_value() == 14
    assert params[1].get_value().dtype == np.float32
