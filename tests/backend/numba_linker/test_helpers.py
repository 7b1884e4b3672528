import numpy as np
import pytest
from numba import njit

from vibayes.backend.numba_linker.helpers import helpers

OWN = helpers()
check_equal, check_spread, checked_index = (
    OWN[name] for name in ("check_equal", "check_spread", "checked_index")
)
new_array, with_shape = (OWN[name] for name in ("new_array", "with_shape"))


@njit
def checks(kind, first, second):
    if kind == 0:
        check_equal(first, second)
    elif kind == 1:
        check_spread(first, second)
    else:
        return checked_index(first, second)
    return -1


@njit
def arrays(n, x):
    made = new_array((n, 2), np.float32)
    for i in range(n):
        made[i, 0], made[i, 1] = i, 10 * i
    view = with_shape(x, (2, 3))
    view[1, 0] = 7
    number = new_array((), np.int64)
    number[()] = n
    return made, view, number, new_array((0, n), np.bool)


def test_lengths_that_differ_stop_and_equal_ones_do_not():
    assert checks(0, 3, 3) == -1
    with pytest.raises(ValueError, match="Runtime broadcasting not allowed"):
        checks(0, 1, 3)


def test_a_length_of_1_spreads_and_another_does_not():
    assert checks(1, 3, 3) == checks(1, 1, 3) == -1
    with pytest.raises(ValueError, match="does not fit into a part of another"):
        checks(1, 2, 3)


@pytest.mark.parametrize("kind", [np.int64, np.int8])
def test_an_index_is_counted_from_either_end(kind):
    assert [checks(2, kind(i), 3) for i in (0, 2, -1, -3)] == [0, 2, 2, 0]
    for outside in (3, -4):
        with pytest.raises(IndexError, match="index out of bounds"):
            checks(2, kind(outside), 3)


def test_arrays_are_those_of_numpy():
    x = np.arange(6.0)
    made, view, number, empty = arrays(3, x)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, [[0, 0], [1, 10], [2, 20]])
    np.testing.assert_array_equal(x, [0, 1, 2, 7, 4, 5])  # through the view
    assert np.shares_memory(view, x)
    np.testing.assert_array_equal(view, x.reshape(2, 3))
    assert number.shape == ()
    assert number == 3
    assert empty.shape == (0, 3)
    assert empty.dtype == bool


def test_memory_outlives_the_array_that_it_was_made_for():
    @njit
    def made(n):
        return with_shape(new_array((2 * n,), np.int64), (2, n))

    kept = [made(1000) for _ in range(20)]
    for i, array in enumerate(kept):
        array[:] = i
    assert [int(array.sum()) for array in kept] == [2000 * i for i in range(20)]


@pytest.mark.parametrize("n", [-1, 2**62])
def test_what_cannot_be_allocated_stops(n):
    with pytest.raises(ValueError, match="array is too big, or has a negative length"):
        arrays(n, np.zeros(6))
