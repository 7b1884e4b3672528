import threading

import numpy as np
import pytest

from vibayes.exceptions import StreamError
from vibayes.streaming import arrays_on_disk, partitions
from vibayes.streaming.blocks import Layout
from vibayes.streaming.kinds import as_source
from vibayes.streaming.partitions import OnDisk, Rows

N = 1000
A = np.arange(2.0 * N).reshape(N, 2)
B = np.arange(N)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(partitions, "PARTITION_BYTES", 70 * 24)
    monkeypatch.setattr(arrays_on_disk, "BLOCK_BYTES", 37 * 16)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "a.npy", A)
    return np.load(tmp_path / "a.npy", mmap_mode="r")


def on_disk(*data):
    return OnDisk(Layout(as_source(data, None, "x"), None, None, False), 0)


def blocks_of(*lengths):
    def function():
        start = 0
        for length in lengths:
            yield A[start : start + length]
            start += length

    return function


def through(rows):
    """Return all rows that a pass has shown."""
    parts = [[np.array(a) for a in arrays] for arrays in rows.partitions()]
    return [np.concatenate(column) for column in zip(*parts, strict=True)], len(parts)


@pytest.mark.parametrize("keep_bytes", [0, 10**9])
@pytest.mark.parametrize("kind", ["mapped", "function"])
def test_a_pass_shows_the_same_rows_of_everything(mapped, kind, keep_bytes):
    source = on_disk(mapped if kind == "mapped" else blocks_of(1, 500, 3, 496))
    rows = Rows([source, B], N, keep_bytes)
    for _ in range(3):
        (a, b), count = through(rows)
        assert (a == A).all()
        assert (b == B).all()
        assert count > 10
    assert rows.passes == 3


def test_what_is_kept_is_read_once(mapped, monkeypatch):
    rows = Rows([on_disk(mapped)], N, keep_bytes=10**9)
    through(rows)
    monkeypatch.setattr(rows, "_read_ahead", lambda: pytest.fail("it was read again"))
    assert (through(rows)[0][0] == A).all()


def test_what_is_not_kept_is_read_each_time(mapped):
    rows = Rows([on_disk(mapped)], N, keep_bytes=A.nbytes - 1)
    through(rows)
    whole = np.load(mapped.filename, mmap_mode="r+")
    whole[N - 1] = -1.0
    whole.flush()
    assert (through(rows)[0][0][-1] == -1.0).all()


@pytest.mark.parametrize("kind", ["memory", "mapped", "function"])
def test_a_sample_has_rows_from_all_over_the_data(mapped, kind, rng):
    source = {"memory": A, "mapped": on_disk(mapped), "function": on_disk(blocks_of(400, 600))}
    rows = Rows([source[kind], B], N)
    a, b = rows.sample(300, rng)
    assert (a == A[b]).all()
    assert 280 <= len(b) <= 340
    assert (np.diff(b) > 0).all() or kind != "memory"
    assert (np.histogram(b, 10, (0, N))[0] > 15).all()


def test_a_sample_of_as_many_is_everything(mapped, rng):
    a, b = Rows([on_disk(mapped), B], N).sample(5000, rng)
    assert (b == B).all()
    assert (a == A).all()


@pytest.mark.parametrize(
    ("lengths", "message"),
    [((500, 400), "the data end after 900 rows"), ((500, 400, 150), "more than the 1000 rows")],
)
def test_another_number_of_rows_is_told(lengths, message):
    with_all = np.concatenate([A, A])

    def function():
        start = 0
        for length in lengths:
            yield with_all[start : start + length]
            start += length

    with pytest.raises(StreamError, match=message):
        through(Rows([on_disk(function)], N))


def test_a_fault_of_the_source_is_raised_where_the_rows_are_wanted():
    def function():
        yield A[:900]
        raise OSError("the disk is gone")

    with pytest.raises(StreamError, match="the disk is gone"):
        through(Rows([on_disk(function)], N))


def test_a_pass_that_is_left_ends_its_thread(mapped):
    before = threading.active_count()
    passing = Rows([on_disk(mapped)], N).partitions()
    next(passing)
    assert threading.active_count() == before + 1
    (reader,) = [t for t in threading.enumerate() if t.name == "vibayes-passes"]
    passing.close()
    reader.join(5)
    assert not reader.is_alive()
