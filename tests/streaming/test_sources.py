import numpy as np
import pytest
from helpers.sources import COLUMNS, ROWS, by_first_column, read

from vibayes.streaming.kinds import is_streamed


@pytest.fixture
def X():
    return np.random.default_rng(1).normal(size=(ROWS, COLUMNS))


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
