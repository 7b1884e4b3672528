import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logp
from vibayes.distributions.stick_breaking import StickBreakingWeights
from vibayes.exceptions import ParameterError
from vibayes.model.core import Model


def reference(x, alpha):
    """Return the density of the broken shares, times the derivative of these by the weights."""
    total, rest = 0.0, 1.0
    for weight in x[:-1]:
        total += stats.beta(1, alpha).logpdf(weight / rest) - np.log(rest)
        rest -= weight
    return total


X = np.array([[0.5, 0.2, 0.2, 0.1], [0.05, 0.9, 0.01, 0.04]])


def test_density():
    alpha, z = pt.vector("alpha", shape=(2,)), pt.matrix("z", shape=(2, 4))
    density = logp(StickBreakingWeights.dist(alpha, 3), z)
    grads = pytensor.grad(density.sum(), [alpha, z])
    f = pytensor.function([alpha, z], [density, *grads], mode=EVALUATE_MODE)
    value, by_alpha, by_value = f([0.7, 3.0], X)
    np.testing.assert_allclose(value, [reference(X[0], 0.7), reference(X[1], 3.0)], rtol=1e-12)
    h = 1e-6
    change = (reference(X[1], 3.0 + h) - reference(X[1], 3.0 - h)) / (2 * h)
    np.testing.assert_allclose(by_alpha[1], change, rtol=1e-6)
    assert np.isfinite(by_value).all()
    for bad in ([0.5, 0.5, 0.5, -0.5], [0.5, 0.2, 0.2, 0.2], [1.0, 0.0, 0.0, 0.0]):
        value, by_alpha, by_value = f([0.7, 3.0], [bad, X[1]])
        assert value[0] == -np.inf
        assert np.isfinite([*by_alpha, *by_value.ravel()]).all()


def test_draws():
    rv = StickBreakingWeights.dist([0.5, 2.0], 3, size=(3000, 2))
    assert rv.type.shape == (3000, 2, 4)
    x = evaluate(reseeded([rv], 3)[0])[0]
    np.testing.assert_allclose(x.sum(axis=-1), 1.0)
    for i, alpha in enumerate((0.5, 2.0)):
        rest = 1.0
        for k in range(3):
            share = x[:, i, k] / rest
            assert stats.kstest(share, stats.beta(1, alpha).cdf).pvalue > 1e-4
            rest = rest - x[:, i, k]


def test_support_point_is_the_mean():
    rv = StickBreakingWeights.dist(2.0, 3)
    point, drawn = evaluate(
        [
            distribution_of(rv).support_point(),
            *reseeded([StickBreakingWeights.dist(2.0, 3, size=20_000)], 1)[0],
        ]
    )
    np.testing.assert_allclose(point.sum(), 1.0)
    np.testing.assert_allclose(drawn.mean(axis=0), point, atol=0.01)


def test_a_free_variable_has_one_dimension_less():
    with Model() as model:
        x = StickBreakingWeights("x", 1.5, 4)
    assert model.rvs_to_values[x].type.shape == (4,)


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        density = logp(StickBreakingWeights.dist(0.7, 3), X[0])
    assert density.dtype == "float32"
    np.testing.assert_allclose(evaluate([density])[0], reference(X[0], 0.7), rtol=1e-5)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="K must be a whole number of at least 1"):
        StickBreakingWeights.dist(1.0, 0)
    with pytest.raises(ParameterError, match="alpha must be positive"):
        StickBreakingWeights.dist(-1.0, 3)
