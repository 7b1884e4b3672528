import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import clone_replace, vectorize_graph
from scipy import sparse, stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import logp
from vibayes.distributions.continuous import Beta, Gamma
from vibayes.distributions.spatial import CAR, ICAR
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model
from vibayes.model.data import Data

W = np.array([[0, 1, 1, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0]])
WEIGHTED = W * np.array([[1, 2, 1, 1, 1]]) * np.array([[1, 2, 1, 1, 1]]).T
RNG = np.random.default_rng(3)
MU, X = RNG.normal(size=5), RNG.normal(size=(3, 2, 5))


def car(alpha, tau, w=W, mu=MU):
    precision = tau * (np.diag(w.sum(axis=0)) - alpha * w)
    return stats.multivariate_normal(mu, np.linalg.inv(precision))


def icar(sigma, s=0.001, w=W):
    laplacian = np.diag(w.sum(axis=0)) - w
    precision = laplacian / sigma**2 + 1 / (s * len(w)) ** 2
    return stats.multivariate_normal(np.zeros(len(w)), np.linalg.inv(precision))


@pytest.mark.parametrize("w", [W, WEIGHTED, sparse.csr_array(W)], ids=["01", "weights", "sparse"])
def test_car_is_multivariate_normal(w):
    alpha, tau, mu = pt.vector("alpha", shape=(2,)), pt.scalar("tau"), pt.vector("mu", shape=(5,))
    z = pt.tensor3("z", shape=(3, 2, 5))
    density = logp(CAR.dist(mu, w, alpha, tau), z)
    grads = pytensor.grad(density.sum(), [alpha, tau, mu, z])
    f = pytensor.function([alpha, tau, mu, z], [density, *grads], mode=EVALUATE_MODE)
    alphas = np.array([0.9, -0.4])
    dense = w.toarray() if sparse.issparse(w) else w

    def reference(alphas, tau, mu):
        return np.stack([car(a, tau, dense, mu).logpdf(X[:, i]) for i, a in enumerate(alphas)], 1)

    value, by_alpha, by_tau, by_mu, by_value = f(alphas, 2.5, MU, X)
    np.testing.assert_allclose(value, reference(alphas, 2.5, MU), rtol=1e-10)
    np.testing.assert_allclose(by_mu, -by_value.sum(axis=(0, 1)), rtol=1e-10)
    h = 1e-6
    up, down = (reference(alphas, 2.5 + s * h, MU).sum() for s in (1, -1))
    np.testing.assert_allclose(by_tau, (up - down) / (2 * h), rtol=1e-6)
    for i, step in enumerate(h * np.eye(2)):
        up, down = (reference(alphas + s * step, 2.5, MU).sum() for s in (1, -1))
        np.testing.assert_allclose(by_alpha[i], (up - down) / (2 * h), rtol=1e-6)
    step = np.zeros_like(X)
    step[1, 1, 3] = h
    up, down = (f(alphas, 2.5, MU, X + s * step)[0].sum() for s in (1, -1))
    np.testing.assert_allclose(by_value[1, 1, 3], (up - down) / (2 * h), rtol=1e-6)


def test_car_of_symbolic_neighbours():
    with Model() as model:
        w = Data("w", W)
        alpha, tau = Beta("alpha", 2, 2), Gamma("tau", 2, 2)
        x = CAR("x", MU, w, alpha, tau)
        given = CAR.dist(MU, W, alpha, tau)
    values = {alpha: 0.6, tau: 1.5}
    a, b = evaluate(clone_replace([logp(x, X[0, 0]), logp(given, X[0, 0])], values))
    np.testing.assert_allclose(a, b, rtol=1e-10)
    assert model.rvs_to_values[x].type.shape == (5,)


def test_car_beyond_its_bounds_has_no_nan():
    alpha = pt.scalar("alpha")
    density = logp(CAR.dist(MU, W, alpha, 1.0), X[0, 0])
    f = pytensor.function([alpha], [density, pytensor.grad(density, alpha)], mode=EVALUATE_MODE)
    for a in (-1.5, 1.0, 3.0):
        value, gradient = f(a)
        assert value == -np.inf
        assert np.isfinite(gradient)


@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (lambda size: CAR.dist(MU, W, 0.9, 2.5, size=size), car(0.9, 2.5)),
        (lambda size: CAR.dist(MU, Data("w", W), 0.9, 2.5, size=size), car(0.9, 2.5)),
        (lambda size: ICAR.dist(W, 0.7, 0.3, size=size), icar(0.7, 0.3)),
    ],
    ids=["CAR", "CAR, symbolic", "ICAR"],
)
def test_draws(make, reference):
    with Model():
        rv = make(20_000)
    x = evaluate(reseeded([rv], 1)[0])[0]
    assert x.shape == (20_000, 5)
    sd = np.sqrt(np.diag(reference.cov))
    assert (np.abs(x.mean(axis=0) - reference.mean) < 5 * sd / np.sqrt(len(x))).all()
    whitened = (x - reference.mean) @ np.linalg.inv(np.linalg.cholesky(reference.cov)).T
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(5), atol=0.05)


@pytest.mark.parametrize("s", [0.001, 0.4])
def test_icar_is_multivariate_normal(s):
    """With its constraint on the level, the density of a connected graph is proper."""
    sigma, z = pt.vector("sigma", shape=(2,)), pt.tensor3("z", shape=(3, 2, 5))
    density = logp(ICAR.dist(W, sigma, s), z)
    grads = pytensor.grad(density.sum(), [sigma, z])
    f = pytensor.function([sigma, z], [density, *grads], mode=EVALUATE_MODE)
    x = X - X.mean(axis=-1, keepdims=True) + 1e-4
    value, by_sigma, by_value = f([0.5, 2.0], x)
    expected = np.stack([icar(sd, s).logpdf(x[:, i]) for i, sd in enumerate((0.5, 2.0))], axis=1)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    h = 1e-6
    up, down = (f([0.5 + t * h, 2.0], x)[0].sum() for t in (1, -1))
    np.testing.assert_allclose(by_sigma[0], (up - down) / (2 * h), rtol=1e-5)
    step = np.zeros_like(x)
    step[2, 0, 1] = h
    up, down = (f([0.5, 2.0], x + t * step)[0].sum() for t in (1, -1))
    np.testing.assert_allclose(by_value[2, 0, 1], (up - down) / (2 * h), rtol=1e-4)


def test_icar_of_a_graph_in_two_parts():
    """Differences within the parts count, and nothing that is not a number comes of it."""
    w = np.zeros((5, 5))
    w[:2, :2], w[2:, 2:] = W[:2, :2], W[2:, 2:]
    rv = ICAR.dist(w, 2.0)
    x = X[0, 0] - X[0, 0].mean()
    other = x + np.array([3.0, 3.0, -2.0, -2.0, -2.0])  # the sum stays, the parts move
    a, b = evaluate([logp(rv, x), logp(rv, other)])
    np.testing.assert_allclose(a, b, rtol=1e-9)
    with pytest.raises(NotImplementedError, match="parts without a connection"):
        ICAR.dist(w).eval()


def test_densities_are_batched():
    alpha, alphas = pt.scalar("alpha"), pt.vector("alphas", shape=(2,))
    both = [logp(CAR.dist(MU, W, alpha, 1.0), X[0, 0]), logp(ICAR.dist(W, alpha), X[0, 0])]
    f = pytensor.function([alphas], vectorize_graph(both, {alpha: alphas}), mode=EVALUATE_MODE)
    g = pytensor.function([alpha], both, mode=EVALUATE_MODE)
    np.testing.assert_allclose(f([0.3, 0.8]), np.transpose([g(0.3), g(0.8)]), rtol=1e-12)


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        densities = [logp(CAR.dist(MU, W, 0.9, 2.5), X[0]), logp(ICAR.dist(W, 0.7, 0.3), X[0])]
    for density, reference in zip(densities, (car(0.9, 2.5), icar(0.7, 0.3)), strict=True):
        assert density.dtype == "float32"
        np.testing.assert_allclose(evaluate([density])[0], reference.logpdf(X[0]), rtol=1e-4)


@pytest.mark.parametrize("dist", [lambda w: CAR.dist(np.zeros(len(w)), w, 0.5, 1.0), ICAR.dist])
@pytest.mark.parametrize(
    ("w", "error", "message"),
    [
        (np.ones((2, 3)), ShapeError, "square"),
        (np.triu(W), ParameterError, "symmetric"),
        (-W, ParameterError, "at least 0, got -1"),
        (W * np.nan, ParameterError, "at least 0, got nan"),
    ],
)
def test_wrong_neighbours(dist, w, error, message):
    with pytest.raises(error, match=message):
        dist(w)


def test_wrong_arguments():
    with pytest.raises(ParameterError, match="area 5 has none"):
        CAR.dist(0.0, np.pad(W, (0, 1)), 0.5, 1.0)
    with pytest.raises(ParameterError, match="alpha must be between -1 and 1, got"):
        CAR.dist(0.0, W, 1.2, 1.0)
    with pytest.raises(ShapeError, match="mu has length 4, but W has 5 rows"):
        CAR.dist(np.zeros(4), W, 0.5, 1.0)
    with pytest.raises(ParameterError, match="0 and 1, got 2"):
        ICAR.dist(2 * W)
    with pytest.raises(TypeError, match="graph has to be known"):
        ICAR.dist(pt.matrix())
