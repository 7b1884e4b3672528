import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.integrate import quad

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ShapeError
from vibayes.gp import cov, mean

X = np.array([[0.0, 1.0], [0.5, -1.0], [2.0, 0.3]])
XS = np.array([[0.2, 0.1], [1.0, 1.0]])
LS = np.array([0.7, 2.0])


def distance(a, b, ls=LS):
    return np.sqrt((((a[:, None] - b[None]) / ls) ** 2).sum(-1))


CASES = {
    "ExpQuad": (cov.ExpQuad(2, LS), lambda r: np.exp(-(r**2) / 2)),
    "Exponential": (cov.Exponential(2, LS), lambda r: np.exp(-r / 2)),
    "Matern12": (cov.Matern12(2, LS), lambda r: np.exp(-r)),
    "Matern32": (cov.Matern32(2, LS), lambda r: (1 + 3**0.5 * r) * np.exp(-(3**0.5) * r)),
    "Matern52": (
        cov.Matern52(2, ls_inv=1 / LS),
        lambda r: (1 + 5**0.5 * r + 5 / 3 * r**2) * np.exp(-(5**0.5) * r),
    ),
    "RatQuad": (cov.RatQuad(2, 1.5, LS), lambda r: (1 + r**2 / 3) ** -1.5),
    "Cosine": (cov.Cosine(2, LS), lambda r: np.cos(2 * np.pi * r)),
}


@pytest.mark.parametrize("name", CASES)
def test_functions_of_a_distance(name):
    function, formula = CASES[name]
    own, other, diag = evaluate([function(X), function(X, XS), function(X, diag=True)])
    np.testing.assert_allclose(own, formula(distance(X, X)), atol=5e-6)
    np.testing.assert_allclose(other, formula(distance(X, XS)), atol=1e-9)
    np.testing.assert_allclose(diag, np.ones(3))


def test_other_functions():
    waves = np.sin(np.pi * (X[:, None] - XS[None]) / 1.3) / LS
    lines = (X - 0.5) @ (XS - 0.5).T
    cases = [
        (cov.Periodic(2, 1.3, LS), np.exp(-0.5 * (waves**2).sum(-1))),
        (cov.Linear(2, 0.5), lines),
        (cov.Polynomial(2, 0.5, 3, 2.0), (lines + 2) ** 3),
        (cov.WhiteNoise(0.3, 2), np.zeros((3, 2))),
        (cov.Constant(2.0, 2), np.full((3, 2), 2.0)),
        (
            cov.ExpQuad(2, 0.7, active_dims=[1]),
            np.exp(-(distance(X[:, 1:], XS[:, 1:], 0.7) ** 2) / 2),
        ),
    ]
    for found, (_, expected) in zip(evaluate([c(X, XS) for c, _ in cases]), cases, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    matrices = evaluate([c(X) for c, _ in cases])
    diagonals = evaluate([c(X, diag=True) for c, _ in cases])
    for matrix, diagonal in zip(matrices, diagonals, strict=True):
        np.testing.assert_allclose(matrix.diagonal(), diagonal, atol=1e-9)


def test_sums_products_and_powers():
    a, b = cov.ExpQuad(2, LS), cov.Matern32(2, LS)
    graphs = [(2.0 * a + b * a + 1.0) ** 2, np.float64(3.0) * a]
    made, tripled = evaluate([g(X, XS) for g in graphs])
    k, m = evaluate([a(X, XS), b(X, XS)])
    np.testing.assert_allclose(made, (2 * k + m * k + 1) ** 2)
    np.testing.assert_allclose(tripled, 3 * k)
    np.testing.assert_allclose(*evaluate([pt.diagonal(graphs[0](X)), graphs[0](X, diag=True)]))


@pytest.mark.parametrize("name", ["ExpQuad", "Matern12", "Matern32", "Matern52"])
def test_spectral_densities_are_fourier_transforms(name):
    function = getattr(cov, name)(1, ls=0.7)
    k = pytensor.function([r := pt.scalar("r")], function(pt.zeros((1, 1)), r[None, None])[0, 0])
    omega = np.array([[0.0], [1.0], [3.0]])
    (found,) = evaluate([(2.0 * function).power_spectral_density(omega)])
    for w, density in zip(omega[:, 0], found, strict=True):
        expected = 4 * quad(lambda r, w=w: k(r) * np.cos(w * r), 0, 30, limit=400)[0]
        np.testing.assert_allclose(density, expected, rtol=1e-4)


def test_harmonics_of_a_periodic_function():
    function = cov.Periodic(1, 2.0, ls=0.6)
    J, d = np.arange(12.0), np.array([0.0, 0.3, 1.1])
    variances, k = evaluate(
        [function.power_spectral_density_approx(J), function([[0.0]], d[:, None])]
    )
    np.testing.assert_allclose((variances * np.cos(np.pi * d[:, None] * J)).sum(1), k[0], rtol=1e-6)


def test_gradients_at_the_same_place():
    ls = pt.scalar("ls")
    for kind in (cov.Matern12, cov.Matern32, cov.Matern52, cov.ExpQuad):
        (slope,) = evaluate([pytensor.grad(kind(1, ls)([[0.0], [0.0]]).sum(), ls)], {ls: 1.0})
        assert abs(slope) < 1e-4


def test_means():
    made = mean.Linear([1.0, 2.0], 3.0) + mean.Constant(2.0) * mean.Constant(0.5)
    line, zero = evaluate([made(X), mean.Zero()(X)])
    np.testing.assert_allclose(line, X @ [1, 2] + 4)
    np.testing.assert_array_equal(zero, np.zeros(3))


def test_what_is_wrong_is_told():
    with pytest.raises(ValueError, match="ExpQuad: give either ls or ls_inv"):
        cov.ExpQuad(1)
    with pytest.raises(ShapeError, match="X has 2 columns, input_dim is 1"):
        cov.ExpQuad(1, 1.0)(X)
    with pytest.raises(ValueError, match="active_dims must be a whole number from 0 to 1"):
        cov.ExpQuad(2, 1.0, active_dims=[2])
    with pytest.raises(NotImplementedError, match="spectral density of RatQuad is not known"):
        cov.RatQuad(1, 1.0, 1.0).power_spectral_density(np.ones((1, 1)))
    with pytest.raises(ShapeError, match="must be one number"):
        cov.ExpQuad(1, 1.0) * np.ones(2)
    assert vb.gp.cov is cov
