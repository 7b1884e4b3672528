import numpy as np
import pytensor
import pytest

from vibayes import Data, Deterministic, Minibatch, Model, Normal, Potential
from vibayes.distributions.continuous import Exponential
from vibayes.model.rows import STREAMS


@pytest.fixture(autouse=True)
def _rows_of_their_own():
    """Minibatches of earlier tests, which no collection of garbage has met yet, share no rows."""
    STREAMS.clear()


@pytest.fixture
def model():
    with Model(coords={"side": ["left", "right"]}) as model:
        mu = Normal("mu", 0, 10)
        sigma = Exponential("sigma", 1.0, dims="side")
        twice = Deterministic("twice", 2 * sigma, dims="side")
        Potential("soft", -(mu**2))
        x = Data("x", [1.0, -1.0], dims="side")
        Normal("y", mu * x, twice, observed=[0.3, -0.2], dims="side")
    return model


@pytest.fixture
def regression():
    rng = np.random.default_rng(8)
    X, noise = rng.normal(size=(60, 2)), rng.normal(size=60)
    y = X @ [1.0, -2.0] + noise
    X_part, y_part = Minibatch(X, y, batch_size=10)
    with Model() as model:
        slope = Normal("slope", 0, 10, shape=2)
        mean = Deterministic("mean", X_part @ slope)
        Normal("y", mean, 1.0, observed=y_part, total_size=60)
    return model, X, y


@pytest.fixture
def without_compiler():
    """``eval()`` takes PyTensor's mode of the moment; nothing here needs a compiled one."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield
