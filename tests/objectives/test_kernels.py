import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.spatial.distance import pdist

from vibayes.backend.modes import evaluate, resolve_mode
from vibayes.objectives.kernels import (
    IMQ,
    RBF,
    CallableKernel,
    as_kernel,
    imq,
    median_distance,
    pair_distances,
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


def median_bandwidth(X):
    full = ((X[:, None] - X) ** 2).sum(axis=-1)
    return 0.5 * np.median(full) / np.log(len(X) + 1)


def by_differences(profile, X, score):
    """Return the direction of a kernel, given its f and -2 f'."""
    apart = X[:, None] - X
    K, weight = profile((apart**2).sum(axis=-1))
    return K @ score + (weight[..., None] * apart).sum(axis=1)


def matrices(kernel, X):
    x = pt.matrix("x")
    return evaluate(kernel(x), {x: X})


def direction(kernel, X, score):
    x, s = pt.matrix("x"), pt.matrix("s")
    return evaluate([kernel.direction(x, s)], {x: X, s: score})[0]


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


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 50, 51])
def test_median_is_that_of_the_full_matrix(rng, n):
    X = rng.normal(size=(n, 2))
    x = pt.matrix("x")
    (median,) = evaluate([median_distance(pair_distances(x))], {x: X})
    full = ((X[:, None] - X) ** 2).sum(axis=-1)
    assert median == pytest.approx(np.median(full), rel=1e-12)


@pytest.mark.parametrize("X", [np.zeros((1, 2)), np.ones((6, 2))])
def test_no_distance_no_push(X):
    """With one particle, or where all coincide, the median distance is zero."""
    score = np.arange(X.size, dtype=float).reshape(X.shape)
    expected = np.tile(score.sum(axis=0), (len(X), 1))  # k is 1 everywhere
    np.testing.assert_allclose(direction(rbf, X, score), expected)


@pytest.fixture(scope="module")
def in_numba():
    """The median, and the direction of two kernels, compiled for matrices of any shape."""
    x, s = pt.matrix("x", dtype="float64"), pt.matrix("s", dtype="float64")
    kernels = [rbf, imq(-0.7, 0.5)]
    outputs = [median_distance(pair_distances(x)), *(k.direction(x, s) for k in kernels)]
    return pytensor.function([x, s], outputs, mode=resolve_mode("numba"))


CLOUDS = {
    "one": lambda rng: rng.normal(size=(1, 1)),
    "two": lambda rng: rng.normal(size=(2, 3)),
    "three": lambda rng: rng.normal(size=(3, 3)),
    "odd": lambda rng: rng.normal(size=(101, 1)),
    "even": lambda rng: rng.normal(size=(100, 4)),
    "equal": lambda rng: np.ones((40, 2)),
    "few values": lambda rng: rng.integers(0, 3, size=(60, 1)).astype(float),
    "outlier": lambda rng: np.r_[rng.normal(size=(60, 2)), [[1e9, -1e9]]],
    "scales": lambda rng: 10.0 ** rng.uniform(-30, 30, size=(60, 1)),
    "two far clouds": lambda rng: rng.normal(size=(60, 1)) + 1e7 * np.arange(2).repeat(30)[:, None],
    "tiny": lambda rng: 1e-160 * rng.normal(size=(20, 1)),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_numba_agrees(in_numba, rng, cloud):
    X = CLOUDS[cloud](rng)
    score = rng.normal(size=X.shape)
    median, found, found_imq = in_numba(X, score)
    full = ((X[:, None] - X) ** 2).sum(axis=-1)
    atol = 1e-300 if cloud == "tiny" else 0
    np.testing.assert_allclose(median, np.median(full), rtol=1e-12, atol=atol)
    if cloud == "tiny":
        return  # 1 / h² is not representable
    h2 = median_bandwidth(X) or 1.0
    expected = by_differences(
        lambda r: np.exp(-r / (2 * h2)) * np.array([[[1]], [[1 / h2]]]), X, score
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    expected = by_differences(lambda r: ((r + 0.25) ** -0.7, 1.4 * (r + 0.25) ** -1.7), X, score)
    np.testing.assert_allclose(found_imq, expected, rtol=1e-9, atol=1e-9)


def test_numba_says_nan_of_nan(in_numba):
    X = np.array([[0.0], [np.nan], [1.0], [np.inf]])
    median, found, _ = in_numba(X, np.ones_like(X))
    assert np.isnan(median)
    assert np.isnan(found).all()


@pytest.mark.parametrize("n", [400, 401])
@pytest.mark.parametrize("kind", ["two modes", "sorted", "few values", "one outlier"])
def test_large_median_in_numba(in_numba, rng, n, kind):
    """Where there are many pairs, a sample of them tells where to look."""
    X = rng.normal(0, 0.1, n) + 0.8 * (rng.uniform(size=n) < 0.8)
    if kind == "sorted":
        X = np.sort(X)
    elif kind == "few values":
        X = np.round(X, 1)
    elif kind == "one outlier":
        X[-1] = 1e12
    distances = pdist(X[:, None], "sqeuclidean")
    everything = np.r_[distances, distances, np.zeros(n)]
    assert in_numba(X[:, None], X[:, None])[0] == pytest.approx(np.median(everything), rel=1e-13)


def test_far_particles_in_numba(in_numba, rng):
    """Where the kernel underflows, it is nothing beside what does not."""
    X = np.linspace(0, 1e4, 50)[:, None] ** 2
    score = rng.normal(size=X.shape)
    _, found, _ = in_numba(X, score)
    np.testing.assert_allclose(found, direction(rbf, X, score), rtol=1e-9, atol=1e-12)


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
