import gc

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.model.rows import STREAMS, RowKey, row_stream

SEEDS = [1, 2, 3]


def key(seed=1, length=30, size=7, replace=True, occurrence=0):
    return RowKey(seed, occurrence, length, size, replace)


def rows_of(stream, length, mode=EVALUATE_MODE):
    return pytensor.function([], stream.rows(pt.constant(length, dtype="int64")), mode=mode)


# -- independent rows -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_independent_rows_are_uniform_and_independent(seed):
    function = rows_of(row_stream(key(seed)), 30)
    rows = np.array([function() for _ in range(3000)])
    assert rows.shape == (3000, 7)
    assert rows.dtype == "int64"
    assert stats.chisquare(np.bincount(rows.ravel(), minlength=30)).pvalue > 1e-4
    for a, b in [(rows[:, 0], rows[:, 1]), (rows[:-1, 0], rows[1:, 0])]:
        pairs = np.histogram2d(a, b, bins=5)[0]
        assert stats.chi2_contingency(pairs).pvalue > 1e-4


def test_every_one_of_many_rows_can_be_drawn_in_single_precision(float32):
    function = rows_of(row_stream(key(size=5000)), 10**9)
    rows = function()
    assert rows.max() > 0.99 * 10**9
    assert len(set(rows % 64)) == 64  # 24 bits would leave out most of them


def test_the_last_of_any_number_of_rows_is_the_highest():
    below_one = np.nextafter(1.0, 0.0)
    for length in [*range(1, 2000), 2**31 - 1, 2**40 + 1, 2**52 - 1]:
        assert int(below_one * length) == length - 1


# -- rows by epoch ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "size"), [(1, 1), (2, 1), (5, 5), (30, 7), (64, 10), (1000, 37)]
)
def test_every_row_comes_once_an_epoch(length, size):
    function = rows_of(row_stream(key(length=length, size=size, replace=False)), length)
    rows = np.concatenate([function() for _ in range(3 * length // size + 3)])
    for epoch in range(3):
        one = rows[epoch * length : (epoch + 1) * length]
        np.testing.assert_array_equal(np.sort(one), np.arange(length))
    if length > 20:
        assert (rows[:length] != rows[length : 2 * length]).any()


def test_too_many_rows_for_epochs():
    with pytest.raises(ValueError, match=r"up to 4,294,967,296 rows, got 4,294,967,297"):
        row_stream(key(length=2**32 + 1, replace=False))


# -- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [True, False])
def test_equal_keys_share_a_stream_as_long_as_it_is_in_use(replace):
    one = row_stream(key(99, replace=replace))
    assert row_stream(key(99, replace=replace)) is one
    others = [key(98), key(99, length=31), key(99, size=8), key(99, occurrence=1)]
    assert all(row_stream(other) is not one for other in others)
    del one
    gc.collect()
    assert key(99, replace=replace) not in STREAMS


@pytest.mark.parametrize("replace", [True, False])
def test_streams_of_different_keys_differ(replace):
    keys = [key(seed, replace=replace, occurrence=i) for seed in (1, 2) for i in (0, 1)]
    rows = [tuple(rows_of(row_stream(k), 30)()) for k in keys]
    assert len(set(rows)) == 4
