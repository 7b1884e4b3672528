import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend.jax import JaxDevices, PlacedData, StackFunction
from vibayes.backend.jax.stacks import padded_length

jax = pytest.importorskip("jax")

DATA = np.arange(40.0).reshape(20, 2)


@pytest.fixture(scope="module")
def parts():
    x, scale, data = pt.vector("x", shape=(2,)), pt.scalar("scale"), pytensor.shared(DATA)
    outputs = [scale * data @ x, (x**2).sum() + pt.constant(DATA).sum()]
    return StackFunction([x], [scale], outputs, PlacedData(JaxDevices())), data


@pytest.mark.parametrize("n", [1, 3, 7])
def test_each_row_has_its_results(parts, n):
    function, _ = parts
    Z = np.random.default_rng(n).normal(size=(n, 2))
    lines, sums = function(Z, np.array(3.0))
    np.testing.assert_allclose(lines, 3 * Z @ DATA.T, rtol=1e-12)
    np.testing.assert_allclose(sums, (Z**2).sum(axis=1) + DATA.sum(), rtol=1e-12)


def test_stacks_of_many_lengths_are_compiled_a_few_times(parts):
    function, _ = parts
    for n in range(1, 40):
        function(np.ones((n, 2)), np.array(1.0))
    (run,) = function.compiled.values()
    assert run._cache_size() == 4  # 1, 4, 16, 64


def test_exchanged_data_are_seen_and_data_of_another_length_too(parts):
    function, data = parts
    for new in (DATA + 1, DATA[:5]):
        data.set_value(new)
        np.testing.assert_allclose(function(np.ones((1, 2)), np.array(1.0))[0][0], new.sum(axis=1))
    assert len(function.compiled) == 2
    data.set_value(DATA)


def test_lengths_are_filled_up_by_less_than_a_few_times():
    lengths = [padded_length(n) for n in range(1, 5000)]
    assert all(n <= length < 4 * n for n, length in enumerate(lengths, start=1))
    assert all(length < 2 * n for n, length in enumerate(lengths, start=1) if n > 256)
    assert len(set(lengths)) == 10
