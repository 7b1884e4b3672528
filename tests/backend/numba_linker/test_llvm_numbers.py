import math

import numpy as np
import pytest

from vibayes.backend.numba_linker.elementary import simd_functions


@pytest.fixture(scope="module")
def total():
    from numba import njit

    simd_add = simd_functions()["simd_add"]

    @njit
    def total(x, start):
        s = start
        for i in range(x.shape[0]):
            s = simd_add(s, x[i])
        return s

    return total


def test_sums_are_exact_up_to_rounding(total):
    x = np.random.default_rng(0).normal(size=1001) * 10.0 ** np.arange(1001) ** 0.3
    assert total(x, 0.5) == pytest.approx(math.fsum(x) + 0.5, rel=1e-14)
    assert total(x[:0], 0.5) == 0.5
    assert total(x.astype("float32"), 0.5) == pytest.approx(math.fsum(x.astype("float32")) + 0.5)


def test_infinity_and_nan_stay(total):
    x = np.zeros(100)
    for values, right in (([np.inf], np.inf), ([np.inf, -np.inf], np.nan), ([np.nan], np.nan)):
        for place in (0, 37, 98):
            x[:] = 0
            x[place : place + len(values)] = values
            np.testing.assert_equal(total(x, 0.0), right)


def test_the_order_depends_on_the_length_alone(total):
    x = np.random.default_rng(1).normal(size=333)
    sums = set()
    for start in range(8):  # memory that begins elsewhere
        memory = np.empty(400)
        memory[start : start + 333] = x
        sums.add(total(memory[start : start + 333], 0.0))
    assert len(sums) == 1
