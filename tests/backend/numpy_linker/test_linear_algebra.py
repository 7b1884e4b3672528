import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.numpy_functions import numpy_function as function
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.linalg import cholesky, det, inv, slogdet, solve_triangular


@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_stacks_of_matrices(count, dtype):
    a = pt.tensor3("a", dtype=dtype)
    b, v = pt.matrix("b", dtype=dtype), pt.vector("v", dtype=dtype)
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(count, 4, 4))
    value = (factor @ factor.swapaxes(1, 2) + 4 * np.eye(4)).astype(dtype)
    right, vector = (rng.normal(size=s).astype(dtype) for s in ((4, 2), (4,)))
    graphs = [
        cholesky(a),
        cholesky(a, lower=False),
        det(a),
        inv(a),
        slogdet(a)[1],
        solve_triangular(a, b, lower=True, b_ndim=2),
        solve_triangular(a, b, lower=False, b_ndim=2),
        solve_triangular(a, v, lower=True, b_ndim=1),
        solve_triangular(a, v, lower=True, unit_diagonal=True, b_ndim=1),
    ]
    results = function([a, b, v], graphs)(value, right, vector)
    lower = np.linalg.cholesky(value)
    ones = np.tril(value, -1) + np.eye(4)
    expected = [
        lower,
        lower.swapaxes(1, 2),
        np.linalg.det(value),
        np.linalg.inv(value),
        np.linalg.slogdet(value)[1],
        np.linalg.solve(np.tril(value), right),
        np.linalg.solve(np.triu(value), right),
        np.linalg.solve(np.tril(value), vector[:, None])[..., 0],
        np.linalg.solve(ones, vector[:, None])[..., 0],
    ]
    for result, other in zip(results, expected, strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(
            result,
            other,
            rtol=1e-8 if dtype == "float64" else 1e-3,
            atol=1e-4 if dtype == "float32" else 0,
        )


def test_matrices_without_a_factor_are_nan():
    a = pt.tensor3("a", dtype="float64")
    value = np.stack([np.eye(2), -np.eye(2), 4 * np.eye(2)])
    result = function([a], cholesky(a))(value)
    np.testing.assert_array_equal(result, [np.eye(2), np.full((2, 2), np.nan), 2 * np.eye(2)])
    singular = np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    result = function([a], solve_triangular(a, np.ones(2), b_ndim=1))(singular)
    np.testing.assert_array_equal(result, [[1, 1], [np.nan, np.nan], [1, 1]])


def test_singular_matrices_of_a_stack_are_nan():
    x = pt.tensor3("x", dtype="float64")
    inverse = function([x], inv(x))
    stack = np.stack([np.eye(2), np.ones((2, 2)), 4 * np.eye(2)])
    found = inverse(stack)
    np.testing.assert_array_equal(found[[0, 2]], stack[[0, 2]] / np.array([1, 16])[:, None, None])
    assert np.isnan(found[1]).all()


def test_a_stack_is_split_at_once(monkeypatch):
    """Of rows one by one, each would cost as much as all of them together."""
    calls, split = [], np.split

    def counted(*args, **kwargs):
        calls.append(args)
        return split(*args, **kwargs)

    monkeypatch.setattr(np, "split", counted)
    x = pt.tensor("x", shape=(None, 6, 2))
    one = pt.matrix("one", shape=(6, 2))
    parts = vectorize_graph(pt.split(one, [1, 2, 3]), {one: x})
    values = np.arange(60.0).reshape(5, 6, 2)
    results = function([x], parts)(values)
    assert len(calls) == 1
    for got, want in zip(results, split(values, [1, 3], axis=1), strict=True):
        np.testing.assert_array_equal(got, want)
