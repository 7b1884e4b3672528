import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb
from vibayes.approximations.base import Approximation
from vibayes.approximations.empirical import Empirical
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.families.empirical import EmpiricalGroup
from vibayes.objectives.kernels import imq, rbf
from vibayes.objectives.stein import KSD

COV = np.array([[1.0, 0.6], [0.6, 2.0]])
MEAN = np.array([0.5, -1.0])


@pytest.fixture(scope="module")
def gaussian():
    with vb.Model() as model:
        vb.MvNormal("x", MEAN, cov=COV)
    return model


def phi(X, score, h2=None):
    """Return the direction of Liu and Wang (2016), equation 8, written out."""
    squared = ((X[:, None] - X) ** 2).sum(axis=-1)
    h2 = 0.5 * np.median(squared) / np.log(len(X) + 1) if h2 is None else h2
    result = np.zeros_like(X)
    for i in range(len(X)):
        for j in range(len(X)):
            k = np.exp(-0.5 * squared[i, j] / h2)
            result[i] += k * score[j] + k * (X[i] - X[j]) / h2
    return result / len(X)


def gradients(operator, replace=list, params=None, n_mc=1):
    params = operator.approx.params if params is None else params
    grads, loss, updates = operator.gradients(params, n_mc, replace)
    assert loss is None
    return pytensor.function([], grads, updates=updates, mode=EVALUATE_MODE)()


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_direction_for_a_gaussian(gaussian, temperature):
    approx = Empirical(size=11, model=gaussian, random_seed=3)
    X = approx.histogram.get_value()
    score = -np.linalg.solve(COV, (X - MEAN).T).T
    (grad,) = gradients(KSD(approx, temperature=temperature))
    np.testing.assert_allclose(-grad, phi(X, score / temperature), rtol=1e-9, atol=1e-12)
    (fixed,) = gradients(KSD(approx, rbf(h=0.3)))
    np.testing.assert_allclose(-fixed, phi(X, score, h2=0.09), rtol=1e-9, atol=1e-12)


def test_transformed_and_several_variables():
    """The score is that of the unconstrained space, log Jacobians included."""
    with vb.Model() as model:
        s = vb.HalfNormal("s", 2.0)
        vb.Normal("x", 0, s, shape=(2, 2))
    approx = Empirical(size=4, model=model, random_seed=3)
    X = approx.histogram.get_value()

    def logp(flat):
        s, x = np.exp(flat[0]), flat[1:]
        return stats.halfnorm(scale=2).logpdf(s) + flat[0] + stats.norm(0, s).logpdf(x).sum()

    steps = 1e-6 * np.eye(5)
    score = np.array([[(logp(x + e) - logp(x - e)) / 2e-6 for e in steps] for x in X])
    (grad,) = gradients(KSD(approx))
    np.testing.assert_allclose(-grad, phi(X, score), rtol=1e-6, atol=1e-8)


def test_several_groups_move_together(gaussian):
    with vb.Model() as model:
        x = vb.Normal("x", 1, 2, shape=2)
        vb.Normal("y", x.sum(), 1)
    one = Empirical(size=6, model=model, random_seed=1)
    values = one.histogram.get_value()
    with model:
        groups = [
            EmpiricalGroup([model["y"]], trace={"y": values[:, 2]}),
            EmpiricalGroup([x], trace={"x": values[:, :2]}),
        ]
    several = Approximation(groups, model=model)
    (expected,) = gradients(KSD(one))
    dy, dx = gradients(KSD(several))
    np.testing.assert_allclose(np.c_[dx, dy], expected, rtol=1e-10)


def test_replacements_reach_the_density():
    with vb.Model() as model:
        data = vb.Data("data", np.zeros(3))
        x = vb.Normal("x")
        vb.Normal("y", x, 1, observed=data)
    approx = Empirical(size=5, model=model, random_seed=1)
    other = pt.constant(np.array([1.0, 2.0, 6.0]))

    def replace(graphs):
        return pytensor.graph.replace.graph_replace(graphs, {data: other}, strict=False)

    X = approx.histogram.get_value()
    for swap, total in [(list, 0.0), (replace, 9.0)]:
        (grad,) = gradients(KSD(approx), swap)
        np.testing.assert_allclose(-grad, phi(X, total - 4 * X), rtol=1e-9)


def test_parameters_behind_the_draws_follow(gaussian):
    """For draws of another family the direction goes through to the parameters."""
    approx = vb.MeanField(model=gaussian)  # its mean is right, its standard deviations too small
    d_mu, d_rho = gradients(KSD(approx), n_mc=2000)
    assert (d_rho < 0).all()
    assert np.abs(d_mu).max() < 0.2 * np.abs(d_rho).min()
    approx.shared_params["mu"].set_value(MEAN + np.array([1.0, 0.0]))
    d_mu, _ = gradients(KSD(approx), n_mc=2000)
    assert d_mu[0] > 100


def test_other_parameters_do_not_move(gaussian):
    approx = Empirical(size=5, model=gaussian, random_seed=1)
    other = pytensor.shared(np.ones(3))
    grad, none = gradients(KSD(approx), params=[*approx.params, other])
    assert np.abs(grad).min() > 0
    np.testing.assert_array_equal(none, np.zeros(3))


def test_own_kernel(gaussian):
    approx = Empirical(size=5, model=gaussian, random_seed=1)

    def alone(X):
        """Each particle for itself: plain gradient ascent."""
        return pt.eye(X.shape[0]), pt.zeros_like(X)

    X = approx.histogram.get_value()
    (grad,) = gradients(KSD(approx, alone))
    np.testing.assert_allclose(-grad, -np.linalg.solve(COV, (X - MEAN).T).T / 5, rtol=1e-9)


def test_key_and_errors(gaussian):
    approx = Empirical(size=5, model=gaussian)
    assert KSD(approx).key == KSD(approx, "rbf").key
    assert KSD(approx).key != KSD(approx, imq).key
    assert KSD(approx).key != KSD(approx, rbf(h=1.0)).key
    assert KSD(approx).key != KSD(approx, temperature=2).key
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"temperature must be a positive (finite )?number"):
            KSD(approx, temperature=bad)
