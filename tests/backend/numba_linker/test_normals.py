import numpy as np
import pytest
from numba import njit

from vibayes.backend.numba_linker.normals import standard_normal

draw = standard_normal()


@njit
def draws(rng, n):
    result = np.empty(n)
    for i in range(n):
        result[i] = draw(rng)
    return result


@pytest.mark.parametrize("bits", [np.random.PCG64DXSM, np.random.MT19937])
@pytest.mark.parametrize("seed", [1, 2])
def test_draws_are_those_of_numpy_tails_included(bits, seed):
    n = 200_000  # some 2,000 of which are compared with the density, and 50 are in the tails
    expected = np.random.Generator(bits(seed))
    own = np.random.Generator(bits(seed))
    np.testing.assert_array_equal(draws(own, n), expected.standard_normal(n))
    assert own.random() == expected.random()  # as many numbers were used
