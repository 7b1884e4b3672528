import sys

import numpy as np
import pytest
from numba import njit

from vibayes.backend.numba_linker.generators import addresses_of, generator_at

found_at = generator_at()


@njit
def draws(addresses, n):
    rng = found_at(addresses)
    result = np.empty(n)
    for i in range(n):
        result[i] = rng.gamma(2.0) + rng.integers(0, 10) + np.float64(rng.random(1, np.float32)[0])
    return result


@njit
def itself(addresses):
    return found_at(addresses)


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937])
def test_a_generator_at_an_address_draws_what_it_draws(bits):
    own, expected = (np.random.Generator(bits(3)) for _ in range(2))
    addresses, state = addresses_of(own), own.bit_generator.state
    first = draws(addresses, 20)
    again = [
        expected.gamma(2.0) + expected.integers(0, 10) + np.float64(expected.random(1, np.float32))
        for _ in range(20)
    ]
    np.testing.assert_array_equal(first, np.ravel(again))
    assert own.random() == expected.random()
    own.bit_generator.state = state  # the addresses stay what they are
    np.testing.assert_array_equal(draws(addresses, 20), first)


def test_it_is_the_same_object_and_nothing_is_kept_of_it():
    own = np.random.default_rng(1)
    addresses, before = addresses_of(own), sys.getrefcount(own)
    assert itself(addresses) is own
    draws(addresses, 3)
    assert sys.getrefcount(own) == before
