from itertools import permutations
from math import factorial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, resolve_mode
from vibayes.ops.rows import ShuffledRows, shuffled

SEEDS = [1, 2, 3]


def stretches(order, length, size, count):
    """Return consecutive stretches of the shuffled rows, one a line."""
    inputs = pt.lscalars("order", "position", "length")
    function = pytensor.function(inputs, ShuffledRows(size)(*inputs), mode=EVALUATE_MODE)
    return np.array([function(order, size * i, length) for i in range(count)])


@pytest.mark.parametrize("length", by_default([3, 4, 5, 6], 3))
@pytest.mark.parametrize("seed", SEEDS)
def test_orders_of_a_few_rows_are_about_equally_frequent(length, seed):
    places = {order: i for i, order in enumerate(permutations(range(length)))}
    orders = np.random.default_rng(seed).integers(2**63 - 1, size=max(1000, 8 * len(places)))
    counts = np.zeros(factorial(length))
    for order in orders:
        counts[places[tuple(shuffled(int(order), 0, 0, length, length))]] += 1
    excess = stats.chisquare(counts).statistic / (len(counts) - 1)
    assert excess < 1 + 5 * np.sqrt(2 / len(counts))


@pytest.mark.parametrize("length", [60, 1000])
def test_epochs_follow_each_other_without_a_pattern(length):
    epochs = stretches(7, length, length, 3000)
    bins = (epochs * 20) // length
    for a, b in [(0, 1), (0, length // 2), (3, length - 1)]:
        pairs = np.histogram2d(bins[:, a], bins[:, b], bins=4)[0]
        assert stats.chi2_contingency(pairs).pvalue > 1e-4
    pairs = np.histogram2d(bins[:-1, 5], bins[1:, 5], bins=4)[0]
    assert stats.chi2_contingency(pairs).pvalue > 1e-4
    distance = (epochs[:, 1] - epochs[:, 0]) % length
    assert stats.kstest(distance / length, "uniform").pvalue > 1e-4


def test_a_batch_is_a_random_sample():
    """The sum of a batch of a sorted column has the variance of sampling without replacement."""
    length, size = 400, 50
    sums = stretches(11, length, size, 8000).sum(axis=1)
    variance = size * (length**2 - 1) / 12 * (length - size) / (length - 1)
    assert sums.var() == pytest.approx(variance, rel=0.06)
    assert sums.mean() == pytest.approx(size * (length - 1) / 2, rel=1e-12)  # whole epochs


def test_stretches_do_not_depend_on_how_they_are_cut():
    whole = stretches(5, 23, 60, 1)[0]
    np.testing.assert_array_equal(stretches(5, 23, 4, 15).ravel(), whole)


def test_compiled_rows_are_the_same():
    inputs = pt.lscalars("order", "position", "length")
    rows = ShuffledRows(40)(*inputs)
    compiled = pytensor.function(inputs, rows, mode=resolve_mode())
    plain = pytensor.function(inputs, rows, mode=EVALUATE_MODE)
    rng = np.random.default_rng(1)
    for length in [1, 2, 3, 17, 39, 40, 41, 64, 1000, 10**7, 2**31 + 1, 2**32]:
        at = int(rng.integers(2**63 - 1)), int(rng.integers(2**50)), length
        np.testing.assert_array_equal(compiled(*at), plain(*at))
