import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.particles import direction, median_bandwidth

from vibayes.backend.modes import evaluate
from vibayes.objectives.kernels import (
    IMQ,
    RBF,
    CallableKernel,
    as_kernel,
    imq,
    rbf,
)


def rbf_by_loops(X, h2):
    """Return the kernel matrix and the repulsion, one pair and one derivative at a time."""
    n, d = X.shape
    K, repulsion = np.zeros((n, n)), np.zeros((n, d))
    for i in range(n):
        for j in range(n):
            K[i, j] = np.exp(-0.5 * ((X[i] - X[j]) ** 2).sum() / h2)
            for c in range(d):  # the derivative of k(x_j, x_i) by x_j
                repulsion[i, c] += K[i, j] * (X[i, c] - X[j, c]) / h2
    return K, repulsion


def imq_by_differences(X, beta, c):
    """Return the kernel matrix, and the repulsion by central differences."""
    n, d = X.shape

    def k(x, y):
        return (c**2 + ((x - y) ** 2).sum()) ** beta

    K = np.array([[k(x, y) for y in X] for x in X])
    repulsion = np.zeros((n, d))
    for i in range(n):
        for j in range(n):
            for a in range(d):
                step = 1e-5 * np.eye(d)[a]
                repulsion[i, a] += (k(X[j] + step, X[i]) - k(X[j] - step, X[i])) / 2e-5
    return K, repulsion


def matrices(kernel, X):
    x = pt.matrix("x")
    return evaluate(kernel(x), {x: X})


@pytest.mark.parametrize(("n", "d"), [(7, 1), (6, 3), (2, 2)])
def test_rbf(rng, n, d):
    X, score = rng.normal(3, 2, size=(n, d)), rng.normal(size=(n, d))
    for kernel, h2 in [(rbf, median_bandwidth(X)), (rbf(h=0.7), 0.49)]:
        K, repulsion = rbf_by_loops(X, h2)
        found = matrices(kernel, X)
        np.testing.assert_allclose(found[0], K, rtol=1e-12)
        np.testing.assert_allclose(found[1], repulsion, atol=1e-12)
        np.testing.assert_allclose(
            direction(kernel, X, score), K @ score + repulsion, rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize(("beta", "c"), [(-0.5, 1.0), (-0.8, 0.3)])
def test_imq(rng, beta, c):
    X, score = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    K, repulsion = imq_by_differences(X, beta, c)
    found = matrices(imq(beta, c), X)
    np.testing.assert_allclose(found[0], K, rtol=1e-12)
    np.testing.assert_allclose(found[1], repulsion, atol=1e-7)
    np.testing.assert_allclose(
        direction(imq(beta=beta, c=c), X, score), K @ score + repulsion, atol=1e-7
    )
    assert imq == imq(-0.5, 1.0) == IMQ()


def test_repulsion_pushes_apart():
    _, repulsion = matrices(rbf(h=1.0), np.array([[0.0], [1.0]]))
    assert repulsion[0, 0] < 0 < repulsion[1, 0]


def test_far_from_the_origin(rng):
    """Differences are taken before anything is squared, so a shift costs no digits."""
    X, score = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    X = np.round(X * 2**20) / 2**20  # exact after the shift, too
    shifted = direction(rbf, X + 1e8, score)
    np.testing.assert_allclose(shifted, direction(rbf, X, score), rtol=1e-9)


@pytest.mark.parametrize("X", [np.zeros((1, 2)), np.ones((6, 2))])
def test_no_distance_no_push(X):
    """With one particle, or where all coincide, the median distance is zero."""
    score = np.arange(X.size, dtype=float).reshape(X.shape)
    expected = np.tile(score.sum(axis=0), (len(X), 1))  # k is 1 everywhere
    np.testing.assert_allclose(direction(rbf, X, score), expected)


def test_float32(rng, float32):
    X, score = rng.normal(size=(8, 2)), rng.normal(size=(8, 2))
    found = direction(rbf, X.astype("float32"), score.astype("float32"))
    assert found.dtype == "float32"
    K, repulsion = rbf_by_loops(X, median_bandwidth(X))
    np.testing.assert_allclose(found, K @ score + repulsion, rtol=1e-4, atol=1e-5)


def test_as_kernel():
    assert as_kernel("rbf") is rbf
    assert as_kernel("imq") is imq
    assert as_kernel(rbf(h=2.0)) == RBF(2.0) != rbf

    def own(X):
        return pt.ones((X.shape[0], X.shape[0])), pt.zeros_like(X)

    assert as_kernel(own) == CallableKernel(own)
    X, score = np.zeros((3, 2)), np.ones((3, 2))
    np.testing.assert_array_equal(direction(as_kernel(own), X, score), 3 * score)


def test_errors():
    with pytest.raises(ValueError, match="'cosine' is unknown; known are 'rbf', 'imq'"):
        as_kernel("cosine")
    with pytest.raises(TypeError, match="a name or a callable, got 3"):
        as_kernel(3)
    with pytest.raises(ValueError, match="rbf: h must be a finite positive number, got 0"):
        rbf(h=0)
    with pytest.raises(ValueError, match=r"imq: beta must be a finite negative number, got 0\.5"):
        imq(beta=0.5)
    with pytest.raises(ValueError, match="imq: c must be"):
        imq(c=float("nan"))
    with pytest.raises(TypeError, match="must return the kernel matrix"):
        as_kernel(lambda X: X)(pt.matrix("x"))


def test_kernels_are_equal_if_all_attributes_are():
    assert rbf == rbf() == rbf(h=None)
    assert hash(rbf) == hash(rbf())
    assert rbf != imq
    assert rbf(h=1.0) != rbf(h=2.0)
    marked, other = rbf(h=1.0), rbf(h=1.0)
    marked.__dict__["mark"] = 1
    other.__dict__["mark"] = 2
    assert marked != other
    assert marked != rbf(h=1.0)
