import mpmath
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.particles import direction, median_bandwidth
from numba import njit
from scipy.spatial.distance import pdist

from vibayes.backend.modes import evaluate, resolve_mode
from vibayes.backend.numba_linker.llvm_numbers import scalar_function
from vibayes.objectives.kernels import imq, rbf
from vibayes.ops.pairs import exp_below_one, median_distance, pair_distances


def by_differences(profile, X, score):
    """Return the direction of a kernel, given its f and -2 f'."""
    apart = X[:, None] - X
    K, weight = profile((apart**2).sum(axis=-1))
    return K @ score + (weight[..., None] * apart).sum(axis=1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 50, 51])
def test_median_is_that_of_the_full_matrix(rng, n):
    X = rng.normal(size=(n, 2))
    x = pt.matrix("x", dtype="float64")
    (median,) = evaluate([median_distance(pair_distances(x))], {x: X})
    full = ((X[:, None] - X) ** 2).sum(axis=-1)
    assert median == pytest.approx(np.median(full), rel=1e-12)


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


@pytest.mark.ci
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


@pytest.mark.ci
def test_numba_says_nan_of_nan(in_numba):
    X = np.array([[0.0], [np.nan], [1.0], [np.inf]])
    median, found, _ = in_numba(X, np.ones_like(X))
    assert np.isnan(median)
    assert np.isnan(found).all()


@pytest.mark.ci
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


@pytest.mark.ci
def test_far_particles_in_numba(in_numba, rng):
    """Where the kernel underflows, it is nothing beside what does not."""
    X = np.linspace(0, 1e4, 50)[:, None] ** 2
    score = rng.normal(size=X.shape)
    _, found, _ = in_numba(X, score)
    np.testing.assert_allclose(found, direction(rbf, X, score), rtol=1e-9, atol=1e-12)


def test_exponentials_of_numbers_below_one_are_exact_to_a_unit_in_the_last_place(rng):
    function = scalar_function(exp_below_one)

    @njit
    def exponentials(x):
        result = np.empty_like(x)
        for i in range(len(x)):
            result[i] = function(x[i])
        return result

    x = -np.r_[rng.uniform(0, 700, 1000), rng.uniform(0, 1, 1000), 1e-300]
    found = exponentials(x)
    with mpmath.workprec(100):
        exact = [mpmath.exp(mpmath.mpf(v)) for v in x]
        errors = [abs(mpmath.mpf(f) - e) / np.spacing(f) for f, e in zip(found, exact, strict=True)]
    assert max(errors) < 1
    first, second, third, fourth = exponentials(np.array([0.0, -0.0, -1e5, -np.inf]))
    assert first == second == 1
    assert third == fourth < 1e-300
    assert np.isnan(exponentials(np.array([np.nan]))).all()
