import numpy as np
import pytest
import xarray
from helpers.sources import COLUMNS, ROWS, by_first_column, read

import vibayes as vb
from vibayes.exceptions import ShapeError, StreamError
from vibayes.streaming import arrays_on_disk
from vibayes.streaming.kinds import is_streamed


@pytest.fixture
def X():
    return np.random.default_rng(1).normal(size=(ROWS, COLUMNS))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(arrays_on_disk, "BLOCK_BYTES", 70 * COLUMNS * 8)
    monkeypatch.setattr(arrays_on_disk, "CHUNKED_BLOCK_BYTES", 70 * COLUMNS * 8)


def mapped(path, values, mode="r", offset=0, order="C"):
    """Return values as a memory-mapped file."""
    with open(path, "wb") as file:
        file.write(bytes(offset))
        file.write(values.tobytes(order))
    return np.memmap(path, values.dtype, mode, offset, values.shape, order)


@pytest.mark.parametrize("offset", [0, 128, 5000])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_mapped_file(tmp_path, X, mode, offset):
    array = mapped(tmp_path / "X", X, mode, offset)
    assert is_streamed(array)
    np.testing.assert_array_equal(read(array)[0], by_first_column(X))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "part",
    [np.s_[100:], np.s_[100:731], np.s_[::2], np.s_[:, 1:], np.s_[20:, ::-1]],
    ids=str,
)
def test_part_of_a_mapped_file(tmp_path, X, part, order):
    array = mapped(tmp_path / "X", X, order=order)
    np.testing.assert_array_equal(read(array[part])[0], by_first_column(X[part]))


def test_part_of_a_part(tmp_path, X):
    array = mapped(tmp_path / "X", X, offset=40)[100:][:800][7:]
    np.testing.assert_array_equal(read(array)[0], by_first_column(X[107:900]))


def test_npy_file(tmp_path, X):
    np.save(tmp_path / "X.npy", X)
    array = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(read(array)[0], by_first_column(X))


def test_what_is_written_to_the_mapping_is_seen(tmp_path, X):
    array = mapped(tmp_path / "X", X, "r+")
    array[:] = 2 * X
    np.testing.assert_array_equal(read(array)[0], by_first_column(2 * X))


def test_private_changes_of_a_mapping_are_seen(tmp_path, X):
    array = mapped(tmp_path / "X", X, "c")
    array[:] = 2 * X
    np.testing.assert_array_equal(read(array)[0], by_first_column(2 * X))


def test_a_file_that_becomes_shorter(tmp_path, X):
    array = mapped(tmp_path / "X", X)
    with open(tmp_path / "X", "r+b") as file:
        file.truncate(X.nbytes // 2)
    with pytest.raises(StreamError, match=f"file {tmp_path / 'X'}, block .* has become shorter"):
        read(array)


def test_results_of_mapped_files_are_in_memory(tmp_path, X):
    assert not is_streamed(mapped(tmp_path / "X", X) * 2)


def test_arrays_of_the_same_rows(tmp_path, X):
    y = np.arange(ROWS)
    first, second = read(mapped(tmp_path / "X", X), y)
    order = np.argsort(X[:, 0])
    np.testing.assert_array_equal(first, X[order])
    np.testing.assert_array_equal(second, y[order])
    assert second.dtype == y.dtype


def test_columns_of_an_array(tmp_path, X):
    a, b, c = read(mapped(tmp_path / "X", X), columns=[0, [2, 1], slice(1, 3)])
    expected = by_first_column(X)
    np.testing.assert_array_equal(a, expected[:, 0])
    np.testing.assert_array_equal(b, expected[:, [2, 1]])
    np.testing.assert_array_equal(c, expected[:, 1:3])


@pytest.mark.parametrize("chunks", [(130, 2), (7, 3), (2000, 3)])
def test_dask(X, chunks):
    dask_array = pytest.importorskip("dask.array")
    array = dask_array.from_array(X, chunks=chunks)
    assert is_streamed(array)
    np.testing.assert_array_equal(read(array)[0], by_first_column(X))


def test_dask_with_uneven_chunks_beside_a_mapped_file(tmp_path, X):
    dask_array = pytest.importorskip("dask.array")
    array = dask_array.from_array(X, chunks=((10, 500, 90, 400), (3,)))
    first, second = read(array, mapped(tmp_path / "y", X[:, 1]))
    np.testing.assert_array_equal(first, by_first_column(X))
    np.testing.assert_array_equal(second, by_first_column(X)[:, 1])


@pytest.mark.parametrize("chunks", [(130, 2), (7, 3)])
def test_zarr(tmp_path, X, chunks):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "X.zarr", shape=X.shape, chunks=chunks, dtype=X.dtype)
    array[:] = X
    assert is_streamed(array)
    np.testing.assert_array_equal(read(array)[0], by_first_column(X))


def test_xarray(X):
    pytest.importorskip("dask")
    array = xarray.DataArray(X, dims=("row", "column"), name="X")
    assert not is_streamed(array)
    assert is_streamed(array.chunk(row=130))
    np.testing.assert_array_equal(read(array.chunk(row=130))[0], by_first_column(X))


def test_xarray_that_is_not_loaded(tmp_path, X):
    pytest.importorskip("zarr")
    xarray.Dataset({"X": (("row", "column"), X)}).to_zarr(tmp_path / "X.zarr")
    array = xarray.open_zarr(tmp_path / "X.zarr", chunks=None)["X"]
    assert is_streamed(array)
    np.testing.assert_array_equal(read(array)[0], by_first_column(X))
    assert is_streamed(array)


class OnDisk:
    """What every array on disk has, h5py's for one."""

    chunks = None

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, key):
        return self.values[key]


def test_any_array_that_does_not_hold_its_numbers(X):
    assert is_streamed(OnDisk(X))
    np.testing.assert_array_equal(read(OnDisk(X))[0], by_first_column(X))


def test_an_array_that_becomes_shorter(X):
    array = OnDisk(X)
    array.values = X[:500]
    with pytest.raises(StreamError, match=r"OnDisk, block .* rows in place of 70"):
        read(array)


def test_arrays_of_different_lengths(tmp_path, X):
    with pytest.raises(ShapeError, match=r"different lengths, \[1000, 999\]"):
        vb.Minibatch(mapped(tmp_path / "X", X), X[1:, 0], batch_size=10)


def test_several_sources_must_be_arrays(tmp_path, X):
    with pytest.raises(TypeError, match="must be arrays"):
        vb.Minibatch(mapped(tmp_path / "X", X), lambda: iter([X]), batch_size=10)
