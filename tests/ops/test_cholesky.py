import numpy as np
import pytensor
import pytensor.tensor as pt

from vibayes.backend.modes import evaluate
from vibayes.ops.cholesky import robust_cholesky


def test_robust_cholesky_has_pytensors_gradient(rng):
    x = pt.dmatrix()
    weights = rng.normal(size=(4, 4))
    ours, theirs = (
        pytensor.grad((f(x) * weights).sum(), x) for f in (robust_cholesky, pt.linalg.cholesky)
    )
    root = rng.normal(size=(4, 6))
    np.testing.assert_allclose(*evaluate([ours, theirs], {x: root @ root.T}), rtol=1e-12)


def test_no_factor_and_no_gradient_that_is_not_a_number():
    x = pt.dmatrix()
    factor = robust_cholesky(x)
    total = pt.switch(pt.isnan(factor), 0.0, factor).sum()
    factor, slope = evaluate([factor, pytensor.grad(total, x)], {x: -np.eye(3)})
    assert np.isnan(factor).all()
    np.testing.assert_array_equal(slope, 0)
