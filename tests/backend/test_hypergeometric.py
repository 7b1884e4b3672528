import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors
from scipy import special

from vibayes.backend.hypergeometric import with_cheap_gradients
from vibayes.backend.modes import evaluate

A = np.array([2.0, 0.3, 12.0, 5.0, 1.5, 8.0, 3.0])
B = np.array([1.5, 0.2, 11.0, 5.5, 1.4, 7.0, 2.0])
Z = np.array([0.5, 0.9, 0.7, 0.99, 0.9999, -0.5, 0.0])


def function(above):
    inputs = [pt.as_tensor(values).copy() for values in (A, B, Z)]
    a, b, z = inputs
    return pt.hyp2f1(a, b, a + above, z), inputs


def values(a, b, z):
    return special.hyp2f1(a, b, a + 1, z)


def test_value_and_gradient():
    f, inputs = function(1.0)
    f = with_cheap_gradients([f, *inputs])  # copies
    value, *slopes = evaluate([f[0], *pytensor.grad(f[0].sum(), f[1:])])
    np.testing.assert_allclose(value, values(A, B, Z), rtol=1e-14)
    for i, slope in enumerate(slopes):
        step = np.zeros((3, len(A)))
        step[i] = 1e-5 * np.minimum(1, 1 - Z)
        up, down = values(*(np.stack([A, B, Z]) + step)), values(*(np.stack([A, B, Z]) - step))
        np.testing.assert_allclose(slope, (up - down) / (2 * step[i]), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("above", [0.5, 2.0])
def test_others_are_left_alone(above):
    f, _ = function(above)
    (left,) = with_cheap_gradients([f])
    assert len(list(ancestors([left]))) == len(list(ancestors([f])))
