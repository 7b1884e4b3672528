from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import verify_grad
from scipy import linalg

from vibayes.backend.modes import EVALUATE_MODE, evaluate, resolve_mode
from vibayes.ops.small_matrix import inverse_and_log_det


def test_inverse_and_log_determinant(rng):
    def output(i, m):
        return inverse_and_log_det((m + m.T) / 2)[i]

    W = rng.normal(size=(6, 3))
    matrix = np.eye(3) + W.T @ W
    inverse, log_det = evaluate(inverse_and_log_det(pt.constant(matrix)))
    np.testing.assert_allclose(inverse @ matrix, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1])
    for i in range(2):
        verify_grad(partial(output, i), [matrix], rng=rng, mode=EVALUATE_MODE)
    assert np.isnan(evaluate(inverse_and_log_det(pt.constant(-matrix)))[1])


def test_numba_says_what_scipy_says():
    scale = np.array([1e-6, 1.0, 1e6])  # the condition number is that squared
    matrix = scale[:, None] * (np.eye(3) + 0.5) * scale
    x = pt.matrix("x", shape=(3, 3))
    compiled = pytensor.function([x], inverse_and_log_det(x), mode=resolve_mode("numba"))
    inverse, log_det = compiled(matrix)
    np.testing.assert_allclose(inverse * scale * scale[:, None], linalg.inv(np.eye(3) + 0.5))
    np.testing.assert_allclose(log_det, np.log(2.5))
    assert np.isnan(compiled(-matrix)[1])
