import numpy as np
import pytest
from helpers.lanes import by_default

import vibayes as vb
from vibayes.exceptions import StreamError
from vibayes.streaming.blocks import Layout
from vibayes.streaming.shuffle import ShuffledEpochs
from vibayes.streaming.sources import FunctionSource, IndexedSource


def indexed(rows, block):
    """A source of the numbers from 0 on, any block of which can be read alone."""
    ends = [*range(block, rows, block), rows]
    return IndexedSource(
        "numbers", ends, lambda: lambda number, start, stop: np.arange(start, stop)
    )


def function(rows, block):
    def numbers():
        for start in range(0, rows, block):
            yield np.arange(start, min(start + block, rows))

    return FunctionSource(numbers, None)


def epochs(source, rows, buffer_rows, seed=(1,), batch=1):
    layout = Layout(source, None, None, False)
    return ShuffledEpochs(layout, rows, batch, 8 * buffer_rows, seed)


def take(shuffled, count):
    """Return the next rows, as a fit uses them up."""
    groups, taken, number = [shuffled.group(), shuffled.group()], [], 0
    while sum(map(len, taken)) < count:
        group = groups[number % 2]
        if shuffled.work(group):
            taken.append(group.arrays[0][group.batch_order])
            number += 1
    return np.concatenate(taken)[:count]


SIZES = [
    (1, 1, 2, 1),
    (7, 3, 4, 5),
    (10, 10, 100, 10),
    (100, 7, 30, 16),
    (100, 33, 8, 100),
    (101, 100, 20, 7),
    (97, 1, 10, 97),
]


@pytest.mark.parametrize("make", [indexed, function])
@pytest.mark.parametrize(("rows", "block", "buffer_rows", "batch"), SIZES)
def test_every_row_comes_once_an_epoch(make, rows, block, buffer_rows, batch):
    shuffled = epochs(make(rows, block), rows, buffer_rows, batch=batch)
    taken = take(shuffled, 4 * rows).reshape(4, rows)
    for epoch in taken:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(rows))


def test_random_sizes():
    rng = np.random.default_rng(5)
    for _ in range(100):
        rows, block, buffer_rows = rng.integers(1, 60, size=3).tolist()
        batch = int(rng.integers(1, rows + 1))
        make = [indexed, function][rng.integers(2)]
        shuffled = epochs(make(rows, block), rows, buffer_rows, batch=batch)
        for epoch in take(shuffled, 3 * rows).reshape(3, rows):
            np.testing.assert_array_equal(np.sort(epoch), np.arange(rows))


@pytest.mark.parametrize("make", [indexed, function])
def test_the_order_depends_on_the_seed_alone(make):
    def rows(*seed):
        return take(epochs(make(200, 7), 200, 50, seed, batch=13), 600)

    np.testing.assert_array_equal(rows(1, 2), rows(1, 2))
    assert not np.array_equal(rows(1, 2), rows(1, 3))
    assert not np.array_equal(rows(1, 2), rows(2, 2))


@pytest.mark.parametrize("make", [indexed, function])
def test_the_order_does_not_depend_on_the_size_of_batches(make):
    def rows(batch):
        return take(epochs(make(200, 7), 200, 400 + 2 * batch - 2, batch=batch), 600)

    np.testing.assert_array_equal(rows(13), rows(1))


def test_each_epoch_has_an_order_of_its_own():
    first, second = take(epochs(indexed(200, 7), 200, 1000), 400).reshape(2, 200)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("seed", by_default([1, 2, 3], 1))
def test_rows_are_mixed_evenly_where_all_fit_into_the_buffer(seed):
    rows = 6
    shuffled = epochs(indexed(rows, 2), rows, 2 * rows, (seed,))
    taken = take(shuffled, 3000 * rows).reshape(3000, rows)
    counts = np.stack([np.bincount(column, minlength=rows) for column in taken.T])
    # of 3000 epochs, 500 have a given row at a given place
    np.testing.assert_allclose(counts, 500, atol=5 * np.sqrt(500 * 5 / 6))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_part_of_an_epoch_represents_sorted_data(seed):
    """Blocks come from all over the data: the mean of the first tenth is that of all."""
    rows = 20_000
    taken = take(epochs(indexed(rows, 20), rows, 1000, (seed,)), rows // 10)
    # 100 blocks of 1000, without replacement
    assert abs(taken.mean() - rows / 2) < 4 * (rows / np.sqrt(12)) / np.sqrt(100)


def test_the_buffer_keeps_to_its_size():
    for batch in (1, 7):
        group = epochs(indexed(1000, 10), 1000, 60, batch=batch).group()
        assert 2 * sum(array.nbytes for array in group.arrays) <= 8 * 60


# -- faults -------------------------------------------------------------------------------------


class Faulty:
    """A function of blocks of 5 rows, of which one is bad until it is mended."""

    def __init__(self, bad, what, rows=30):
        self.bad, self.what, self.rows, self.broken = bad, what, rows, True

    def __call__(self):
        for number, start in enumerate(range(0, self.rows, 5)):
            block = np.arange(start, start + 5)
            yield self.what(block) if self.broken and number == self.bad else block


def fail(block):
    raise OSError("the disk is gone")


BAD_BLOCKS = [
    (fail, "reading failed: OSError: the disk is gone"),
    (lambda b: np.stack([b, b], axis=1), r"rows have shape \(2,\), those before \(\)"),
    (lambda b: b + 0.5, "the dtype is float64, before it was int64"),
    (lambda b: b.astype(str), "it must be an array of numbers"),
    (lambda b: (b, b), "it has 2 parts, not 1"),
]


@pytest.mark.parametrize(("what", "message"), BAD_BLOCKS)
@pytest.mark.parametrize("bad", [1, 5])
def test_a_bad_block_is_named_and_read_again_when_mended(what, message, bad):
    function = Faulty(bad, what)
    shuffled = epochs(FunctionSource(function, None), 30, 12)
    with pytest.raises(StreamError, match=message) as error:
        take(shuffled, 60)
    assert (error.value.block, error.value.row) == (bad, 5 * bad)
    assert "Faulty" in str(error.value)
    number = shuffled._number
    group = shuffled.group()
    with pytest.raises(StreamError, match=message):
        shuffled.work(group)
    assert shuffled._number == number


@pytest.mark.parametrize("bad", [1, 3, 5])
def test_reading_goes_on_where_it_failed(bad):
    function = Faulty(bad, fail)
    shuffled = epochs(FunctionSource(function, None), 30, 12)
    groups, taken, errors = [shuffled.group(), shuffled.group()], [], 0
    while len(taken) < 12:
        try:
            if shuffled.work(group := groups[len(taken) % 2]):
                taken.append(group.arrays[0][group.batch_order])
        except StreamError:
            errors += 1
            function.broken = errors < 3
    assert errors == 3
    expected = take(epochs(FunctionSource(Faulty(-1, None), None), 30, 12), 60)
    np.testing.assert_array_equal(np.concatenate(taken)[:60], expected)


def test_a_nan_is_named_by_its_row():
    X = np.ones((40, 3))
    X[27, 1] = np.nan
    source = IndexedSource("X", [10, 20, 30, 40], lambda: lambda number, start, stop: X[start:stop])
    layout = Layout(source, None, None, False)
    with pytest.raises(StreamError, match=r"X, block 2, row 27: the value is NaN, at \(1,\)") as e:
        take(ShuffledEpochs(layout, 40, 1, 400, (1,)), 40)
    assert (e.value.source, e.value.block, e.value.row) == ("X", 2, 27)
    layout = Layout(source, None, None, True)
    values = take(ShuffledEpochs(layout, 40, 1, 400, (1,)), 40)
    assert np.isnan(values).sum() == 1


def test_infinity_is_no_nan():
    X = np.array([np.inf, -np.inf, 1.0])
    layout = Layout(IndexedSource("X", [3], lambda: lambda *a: X), None, None, False)
    values = take(ShuffledEpochs(layout, 3, 1, 400, (1,)), 3)
    np.testing.assert_array_equal(np.sort(values), [-np.inf, 1, np.inf])


@pytest.mark.parametrize(
    ("total", "message"),
    [
        (33, "the data end after 30 rows, total_size is 33"),
        (29, "there are more rows than total_size=29"),
        (30 - 5, "there are more rows than total_size=25"),
    ],
)
def test_a_wrong_number_of_rows(total, message):
    shuffled = epochs(FunctionSource(Faulty(-1, None), None), total, 12)
    with pytest.raises(StreamError, match=message):
        take(shuffled, 2 * total)


def test_a_source_that_cannot_start_again():
    blocks = iter([np.arange(5), np.arange(5)])
    with pytest.raises(StreamError, match=r"lambda.*it must return a new iterator"):
        take(epochs(FunctionSource(lambda: blocks, None), 5, 100), 6)


def test_rows_that_change_before_the_place_at_which_reading_goes_on():
    function = Faulty(3, fail)
    shuffled = epochs(FunctionSource(function, None), 30, 100)
    with pytest.raises(StreamError, match="the disk is gone"):
        take(shuffled, 30)
    shuffled._layout.source._function = lambda: iter([np.arange(4)] * 20)
    with pytest.raises(StreamError, match="the blocks before it have changed"):
        take(shuffled, 30)


def test_the_error_is_public():
    assert issubclass(vb.exceptions.StreamError, RuntimeError)
