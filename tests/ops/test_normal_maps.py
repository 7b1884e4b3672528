import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import verify_grad
from pytensor.graph.replace import vectorize_graph

from vibayes.backend.modes import EVALUATE_MODE, evaluate, resolve_mode
from vibayes.ops.normal_maps import normal_map

N = 6
KINDS = [None, 0, 1, 3]  # dense, or the number of bands below the diagonal


def matrix(rng, p):
    L = np.tril(np.triu(rng.normal(size=(N, N)), -(N if p is None else p))) + 2 * np.eye(N)
    return L @ L.T


def kept(P, p):
    """Return a matrix as the operation takes it."""
    if p is None:
        return P
    bands = np.zeros((p + 1, N))
    for k in range(p + 1):
        bands[k, : N - k] = np.diag(P, -k)
    return bands


def loss_of(precision, b, u, p, weights):
    x, log_det = normal_map(precision, b, u, banded=p is not None)
    return (x * weights).sum() + 0.3 * log_det


@pytest.mark.parametrize("p", KINDS)
def test_it_is_what_dense_linear_algebra_says(rng, p):
    P, (b, u) = matrix(rng, p), rng.normal(size=(2, N))
    x, log_det = evaluate(normal_map(kept(P, p), b, u, banded=p is not None))
    expected = np.linalg.solve(P, b) + np.linalg.solve(np.linalg.cholesky(P).T, u)
    np.testing.assert_allclose(x, expected)
    np.testing.assert_allclose(log_det, 0.5 * np.linalg.slogdet(P)[1])


@pytest.mark.parametrize("p", KINDS)
def test_gradients(rng, p):
    values = [kept(matrix(rng, p), p), *rng.normal(size=(2, N))]
    weights = rng.normal(size=N)

    def loss(precision, b, u):
        if p is None:  # of symmetric matrices only
            precision = 0.5 * (precision + precision.T)
        return loss_of(precision, b, u, p, weights)

    verify_grad(loss, values, rng=rng, mode=EVALUATE_MODE)


@pytest.mark.parametrize("p", [None, 1, 2])
@pytest.mark.parametrize("count", [2, 5])  # one by one, and all at once
def test_a_stack_gives_what_each_of_its_elements_does(rng, p, count):
    precisions = np.array([[kept(matrix(rng, p), p)] for _ in range(count)])
    b, u = rng.normal(size=(1, N)), rng.normal(size=(count, 1, N))
    inputs = [pt.matrix(shape=precisions.shape[-2:]), pt.vector(shape=(N,)), pt.vector(shape=(N,))]
    loss = loss_of(*inputs, p, rng.normal(size=N))
    graphs = [loss, *pytensor.grad(loss, inputs)]
    values = [pt.constant(x) for x in (precisions, b, u)]
    stacked = evaluate(vectorize_graph(graphs, dict(zip(inputs, values, strict=True))))
    one = pytensor.function(inputs, graphs, mode=EVALUATE_MODE)
    for i in range(count):
        for all_, own in zip(stacked, one(precisions[i, 0], b[0], u[i, 0]), strict=True):
            np.testing.assert_allclose(all_[i, 0], own, atol=1e-12)


@pytest.mark.parametrize("p", [None, 1, 2])
def test_what_is_not_positive_definite_gives_no_numbers(p):
    P = kept(np.diag([1.0, 2.0, -1.0, 1.0, 1.0, 1.0]), p)
    for bad in (P, np.stack([P] * N)):
        x, log_det = evaluate(normal_map(bad, np.ones(N), np.ones(N), banded=p is not None))
        assert np.isnan(log_det).all()
        assert np.isnan(x[..., :3]).all()


@pytest.mark.ci
@pytest.mark.parametrize("p", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_numba_says_what_numpy_says(rng, p):
    values = [kept(matrix(rng, p), p), *rng.normal(size=(2, N))]
    inputs = [pt.matrix(shape=values[0].shape), pt.vector(shape=(N,)), pt.vector(shape=(N,))]
    loss = loss_of(*inputs, p, rng.normal(size=N))
    graphs = [loss, *pytensor.grad(loss, inputs)]
    expected = evaluate(graphs, dict(zip(inputs, values, strict=True)))
    compiled = pytensor.function(inputs, graphs, mode=resolve_mode("numba"))
    for found, wanted in zip(compiled(*values), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
