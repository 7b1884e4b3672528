"""What the workers share: the data, the clock, and the line that the runner reads."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

__all__ = [
    "BATCH_SIZE",
    "DIGITS_BATCH",
    "DIGITS_STEPS",
    "DRAWS",
    "HIDDEN",
    "IRIS_STEPS",
    "REPEATS",
    "SVGD_STEPS",
    "N",
    "digits_data",
    "gamma_data",
    "iris_data",
    "logistic_data",
    "main",
    "mean_loss",
    "minibatch_data",
    "poisson_data",
    "radon_data",
    "result",
    "returns_data",
    "seconds_of",
]

N = 10_000  # steps of a fit
SVGD_STEPS = 75  # four times in a worker
IRIS_STEPS = (100, 400)  # with the default optimizer, then with adamax
BATCH_SIZE = 500
DIGITS_BATCH, HIDDEN = 128, 32  # of a network
DIGITS_STEPS = 500  # four times in a worker
DRAWS = 1_000  # of the posterior
REPEATS = 3  # timings in a worker, whose median counts


def gamma_data() -> np.ndarray:
    """Return 200 draws of a gamma distribution."""
    return np.random.default_rng(42).gamma(2, 0.5, size=200)


def logistic_data() -> tuple[np.ndarray, np.ndarray]:
    """Return 5,000 rows of 20 predictors, and their responses: 0 or 1, as integers."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5_000, 20))
    logit_p = -0.5 + X @ rng.normal(0, 0.5, size=20)
    return X, rng.binomial(1, 1 / (1 + np.exp(-logit_p)))


def iris_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return 112 flowers to learn from and 38 to test: X_train, X_test, y_train, y_test."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:112], order[112:]
    return X[train], X[test], y[train], y[test]


def minibatch_data() -> np.ndarray:
    """Return 40,000 rows of 100 columns of different location and scale."""
    rng = np.random.default_rng(0)
    return rng.random((40_000, 100)) * rng.integers(1, 10, size=100) + rng.random(100) * 10


def radon_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return 900 measurements in 85 counties: county, floor, uranium of each county, value."""
    rng = np.random.default_rng(0)
    county, floor = rng.integers(0, 85, size=900), rng.binomial(1, 0.2, size=900).astype(float)
    uranium = rng.standard_normal(85)
    level = 1.3 + 0.7 * uranium + 0.3 * rng.standard_normal(85)
    slope = -0.7 + 0.3 * rng.standard_normal(85)
    value = level[county] + slope[county] * floor + 0.7 * rng.standard_normal(900)
    return county, floor, uranium, value


def poisson_data() -> tuple[np.ndarray, np.ndarray]:
    """Return 10,000 rows of 10 predictors, and counts."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10_000, 10))
    return X, rng.poisson(np.exp(0.5 + X @ rng.normal(0, 0.2, size=10)))


def digits_data() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 images of 28 x 28, enlarged from 8 x 8, as rows, and their digits."""
    from sklearn.datasets import load_digits

    images, digits = load_digits().images / 16, load_digits().target
    digits = digits.astype("int32")  # the only one that PyMC takes in minibatches
    places = np.arange(28) * 8 // 28
    return images[:, places][:, :, places].reshape(len(images), -1), digits


def returns_data() -> np.ndarray:
    """Return 500 draws of a normal in five dimensions."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((500, 5)) @ rng.standard_normal((5, 5))


def seconds_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    function(*args, **kwargs)
    return time.perf_counter() - began


def result(values: list[float], losses: Any) -> dict[str, float]:
    """Return what a case found: the median of its values, and the mean loss."""
    return {"value": median(values)} | mean_loss(losses)


def mean_loss(losses: Any) -> dict[str, float]:
    """Return the mean loss, by which to see that the libraries do the same work.

    They differ by Monte Carlo error and by how far their optimizers got.
    """
    loss = float(np.mean(losses))
    if not np.isfinite(loss):
        raise FloatingPointError(f"the mean loss is {loss}")
    return {"loss": loss}


def main(functions: dict[str, Callable[[], dict[str, Any]]]) -> None:
    """Call the function named on the command line; print what it returns as a line of JSON."""
    print(json.dumps(functions[sys.argv[1]]()))
