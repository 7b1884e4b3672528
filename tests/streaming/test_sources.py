import numpy as np
import pytest
import xarray

import vibayes as vb
from vibayes.exceptions import ShapeError, StreamError
from vibayes.streaming import sources
from vibayes.streaming.blocks import Layout
from vibayes.streaming.sources import as_source, is_streamed
from vibayes.streaming.stream import Stream

ROWS, COLUMNS = 1000, 3


@pytest.fixture
def X():
    return np.random.default_rng(1).normal(size=(ROWS, COLUMNS))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 70 * COLUMNS * 8)
    monkeypatch.setattr(sources, "CHUNKED_BLOCK_BYTES", 70 * COLUMNS * 8)


def mapped(path, values, mode="r", offset=0, order="C"):
    """Return values as a memory-mapped file."""
    with open(path, "wb") as file:
        file.write(bytes(offset))
        file.write(values.tobytes(order))
    return np.memmap(path, values.dtype, mode, offset, values.shape, order)


def read(*data, columns=None, **options):
    """Return the parts of an epoch, their rows in the order of the first part's first column."""
    layout = Layout(as_source(data, columns, "x"), columns, None, False)
    length = layout.source.length or options["rows"]
    stream = Stream(layout, 1, length, 20_000, 1, "x")
    window = stream.sample(length, 1)
    key = window[0] if window[0].ndim == 1 else window[0][:, 0]
    order = np.argsort(key, kind="stable")
    assert not np.array_equal(order, np.arange(length))
    return [part[order] for part in window]


def by_first_column(X):
    return X[np.argsort(X[:, 0])]


# -- memory-mapped files ------------------------------------------------------------------------


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


# -- chunked arrays -----------------------------------------------------------------------------


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


# -- tables -------------------------------------------------------------------------------------


@pytest.fixture
def table(X):
    pa = pytest.importorskip("pyarrow")
    names = {"a": X[:, 0], "b": X[:, 1], "y": np.arange(ROWS)}
    return pa.table(names | {"word": ["word"] * ROWS})


@pytest.fixture
def file(tmp_path, table):
    from pyarrow import parquet

    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=130)
    return tmp_path / "table.parquet"


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_parquet_file(file, X, kind):
    path = kind(file)
    assert is_streamed(path)
    design, response = read(path, columns=[["a", "b"], "y"])
    order = np.argsort(X[:, 0])
    np.testing.assert_array_equal(design, X[order][:, :2])
    np.testing.assert_array_equal(response, order)
    assert response.dtype == "int64"


def test_parquet_folder(tmp_path, table, X):
    from pyarrow import parquet

    folder = tmp_path / "table"
    folder.mkdir()
    for i, start in enumerate(range(0, ROWS, 300)):
        parquet.write_table(table.slice(start, 300), folder / f"{i}.parquet", row_group_size=80)
    (values,) = read(folder, columns=["y"])
    np.testing.assert_array_equal(values, np.arange(ROWS))


def test_all_columns_of_a_table_by_name(tmp_path, table):
    from pyarrow import parquet

    parquet.write_table(table.drop(["word"]), tmp_path / "t.parquet")
    minibatch = vb.Minibatch(tmp_path / "t.parquet", batch_size=10)
    assert list(minibatch) == ["a", "b", "y"]
    assert minibatch["y"].name == "Minibatch_y"
    assert minibatch["y"].dtype == "int64"


def test_words_are_no_numbers(file):
    with pytest.raises(StreamError, match=r"an array of numbers .* its dtype is object"):
        vb.Minibatch(file, columns=["word"], batch_size=10)


def test_a_column_that_is_not_there(file):
    with pytest.raises(StreamError, match="nothing"):
        vb.Minibatch(file, columns=["nothing"], batch_size=10)


def test_values_that_are_missing_in_a_table(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    values = [*range(40), None, 41]
    parquet.write_table(pa.table({"y": values}), tmp_path / "t.parquet", row_group_size=20)
    with pytest.raises(StreamError, match=r"block 2, row 40: the value of column 'y' is NaN"):
        read(tmp_path / "t.parquet", columns=["y"])


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        vb.Minibatch(str(tmp_path / "nothing.parquet"), batch_size=10)
    (tmp_path / "table.csv").write_text("1,2")
    with pytest.raises(TypeError, match="open others first"):
        vb.Minibatch(tmp_path / "table.csv", batch_size=10)


# -- functions ----------------------------------------------------------------------------------


def test_function_of_arrays(X):
    def blocks():
        return (X[i : i + 33] for i in range(0, ROWS, 33))

    assert is_streamed(blocks)
    np.testing.assert_array_equal(read(blocks, rows=ROWS)[0], by_first_column(X))


def test_function_of_tuples_and_dicts(X):
    def tuples():
        return ((X[i : i + 33], X[i : i + 33, 2]) for i in range(0, ROWS, 33))

    def dicts():
        return ({"X": x, "note": "no number", "y": y} for x, y in tuples())

    for parts in (read(tuples, rows=ROWS), read(dicts, rows=ROWS, columns=["X", "y"])):
        np.testing.assert_array_equal(parts[0], by_first_column(X))
        np.testing.assert_array_equal(parts[1], by_first_column(X)[:, 2])


def test_function_of_pandas_tables(tmp_path, X):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "table.csv"
    pandas.DataFrame(X, columns=["a", "b", "y"]).to_csv(path, index=False)
    parts = read(lambda: pandas.read_csv(path, chunksize=130), rows=ROWS, columns=[["a", "b"], "y"])
    np.testing.assert_allclose(parts[0], by_first_column(X)[:, :2])
    np.testing.assert_allclose(parts[1], by_first_column(X)[:, 2])


# -- bad input ----------------------------------------------------------------------------------


def test_arrays_of_different_lengths(tmp_path, X):
    with pytest.raises(ShapeError, match=r"different lengths, \[1000, 999\]"):
        vb.Minibatch(mapped(tmp_path / "X", X), X[1:, 0], batch_size=10)


def test_several_sources_must_be_arrays(tmp_path, X):
    with pytest.raises(TypeError, match="must be arrays"):
        vb.Minibatch(mapped(tmp_path / "X", X), lambda: iter([X]), batch_size=10)


@pytest.mark.parametrize("value", [3, [1, 2], np.zeros(3), None, vb.Model, {"a": [1]}])
def test_what_is_in_memory_is_not_streamed(value):
    assert not is_streamed(value)
