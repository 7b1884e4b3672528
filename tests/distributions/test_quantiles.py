import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import evaluate

LEVELS = np.array([1e-300, 1e-10, 0.01, 0.3, 0.5, 0.8, 0.999, 1 - 1e-6])


@pytest.mark.parametrize(
    ("rv", "reference"),
    [
        (lambda: vb.StudentT.dist(3, 1, 2), stats.t(3, 1, 2)),
        (lambda: vb.Gamma.dist(0.5, 3), stats.gamma(0.5, scale=1 / 3)),
        (lambda: vb.Beta.dist(2, 0.7), stats.beta(2, 0.7)),
        (lambda: vb.Cauchy.dist(0, 1), stats.cauchy()),
    ],
)
def test_quantiles_are_those_of_scipy(rv, reference):
    levels = LEVELS[1:] if reference.dist.name in ("t", "beta") else LEVELS
    (found,) = evaluate([vb.icdf(rv(), levels)])
    np.testing.assert_allclose(found, reference.ppf(levels), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("rv", "reference"),
    [
        (lambda: vb.Poisson.dist(3.0), stats.poisson(3)),
        (lambda: vb.DiscreteUniform.dist(-2, 5), stats.randint(-2, 6)),
    ],
)
def test_counts_are_the_smallest_that_reach_the_level(rv, reference):
    levels = np.array([0.01, 0.25, 0.5, 0.9, 0.999])
    counts = np.arange(2, 5)
    found, back = evaluate([vb.icdf(rv(), levels), vb.icdf(rv(), reference.cdf(counts))])
    np.testing.assert_array_equal(found, reference.ppf(levels))
    np.testing.assert_array_equal(back, counts)


def test_ends_and_what_is_no_probability():
    (found,) = evaluate([vb.icdf(vb.Gamma.dist(2, 1), [0.0, 1.0, -0.1, 1.1])])
    np.testing.assert_array_equal(found, [0, np.inf, np.nan, np.nan])


def test_gradients_are_those_of_the_inverse():
    p, mu, sigma = pt.scalar("p"), pt.scalar("mu"), pt.scalar("sigma")
    quantile = vb.icdf(vb.Normal.dist(mu, sigma), p)
    slopes = evaluate(pytensor.grad(quantile, [p, mu, sigma]), {p: 0.9, mu: 1.0, sigma: 2.0})
    z = stats.norm.ppf(0.9)
    np.testing.assert_allclose(slopes, [2 / stats.norm.pdf(z), 1, z], rtol=1e-8)


def test_parameters_broadcast():
    (found,) = evaluate([vb.icdf(vb.Exponential.dist([1.0, 2.0]), [[0.5], [0.9]])])
    np.testing.assert_allclose(found, stats.expon(scale=[1, 0.5]).ppf([[0.5], [0.9]]))


def test_vectors_have_no_quantiles():
    with pytest.raises(NotImplementedError, match="a Dirichlet has no quantiles"):
        vb.icdf(vb.Dirichlet.dist([1.0, 1.0]), 0.5)
