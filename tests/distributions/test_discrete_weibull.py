import numpy as np
import pytest
from helpers.checks import ALL_CHECKS, Case
from scipy import stats

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import logp
from vibayes.distributions.discrete import Geometric
from vibayes.distributions.discrete_weibull import DiscreteWeibull


class RoundedDown:
    """Weibull numbers of SciPy, rounded down."""

    def __init__(self, q, beta):
        self.whole = stats.weibull_min(beta, scale=(-np.log(q)) ** (-1 / beta))

    def logpmf(self, x):
        return np.log(self.whole.sf(x) - self.whole.sf(x + 1))

    def cdf(self, x):
        return self.whole.cdf(np.floor(x) + 1)

    def logcdf(self, x):
        return np.log(self.cdf(x))

    def ppf(self, p):
        return np.floor(self.whole.ppf(p))


CASES = [
    Case(
        DiscreteWeibull,
        {"q": q, "beta": beta},
        RoundedDown(q, beta),
        support=(0, np.inf),
        rtol=1e-7,
    )
    for q, beta in ((0.9, 1.3), (0.3, 0.6), (0.97, 3.0))
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", ALL_CHECKS)
def test_density(case, check):
    with np.errstate(all="ignore"):
        check(case)


def test_shape_one_is_geometric():
    """Also far out, where the two powers agree in all digits."""
    x = np.array([0, 3, 1000, 10**9])
    a, b = evaluate(
        [logp(DiscreteWeibull.dist(1 - 1e-7, 1.0), x), logp(Geometric.dist(1e-7), x + 1)]
    )
    np.testing.assert_allclose(a, b, rtol=1e-8)
