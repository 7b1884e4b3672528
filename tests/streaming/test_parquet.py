import numpy as np
import pytest
from helpers.sources import COLUMNS, ROWS, read

import vibayes as vb
from vibayes.exceptions import StreamError
from vibayes.streaming.kinds import is_streamed


@pytest.fixture
def X():
    return np.random.default_rng(1).normal(size=(ROWS, COLUMNS))


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
