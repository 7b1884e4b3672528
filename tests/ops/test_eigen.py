import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.ops.eigen import robust_eigh, with_robust_eigh

Y = np.array([0.3, -1.2, 0.7, 2.0])


def density(theta, matrix):
    """Return a normal log density by way of eigenvalues, and the same without."""
    values, vectors = robust_eigh(matrix)
    turned = vectors.T @ Y
    by_eigenvalues = -0.5 * (turned**2 / values).sum() - 0.5 * pt.log(values).sum()
    direct = -0.5 * Y @ pt.linalg.inv(matrix) @ Y - 0.5 * pt.log(pt.linalg.det(matrix))
    return by_eigenvalues, direct


def ring(theta):
    """Return a matrix whose eigenvalues are equal in pairs, whatever theta is."""
    near = np.roll(np.eye(4), 1, axis=1) + np.roll(np.eye(4), -1, axis=1)
    return 2.5 * pt.eye(4) + theta * near


MATRICES = {
    "multiple of the identity": lambda t: t * pt.eye(4),
    "ring": ring,
    "all different": lambda t: pt.exp(-t * np.abs(np.subtract.outer(range(4), range(4))) ** 1.5),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_derivatives_of_densities(kind):
    theta = pt.dscalar("theta")
    results = []
    for term in density(theta, MATRICES[kind](theta)):
        first = pytensor.grad(term, theta)
        results.append([term, first, pytensor.grad(first, theta)])
    ours, direct = (evaluate(outputs, {theta: 0.7}) for outputs in results)
    np.testing.assert_allclose(ours, direct, rtol=1e-8)


def test_stacks_and_matrices_that_are_not_finite():
    matrices = np.stack([np.eye(2), np.full((2, 2), np.nan), np.diag([1.0, 3.0])])
    values, vectors = evaluate(robust_eigh(pt.constant(matrices)))
    np.testing.assert_array_equal(values, [[1, 1], [np.nan, np.nan], [1, 3]])
    assert np.isnan(vectors[1]).all()


def test_other_graphs_get_these_derivatives():
    theta = pt.dscalar("theta")
    values, vectors = pt.linalg.eigh(theta * pt.eye(4))
    term = ((vectors.T @ Y) ** 2 / values).sum()
    (robust,) = with_robust_eigh([term])
    slope, expected = evaluate([pytensor.grad(robust, theta), -(Y**2).sum() / theta**2], {theta: 2})
    np.testing.assert_allclose(slope, expected)


@pytest.mark.parametrize("lower", [True, False])
def test_one_triangle_is_read(lower):
    matrix = pt.dmatrix("matrix")
    values, _ = pt.linalg.eigh(matrix, lower=lower)
    (robust,) = with_robust_eigh([values])
    function = pytensor.function([matrix], [values, robust], mode=EVALUATE_MODE)
    np.testing.assert_allclose(*function([[1.0, 9.0], [0.5, 2.0]]))
