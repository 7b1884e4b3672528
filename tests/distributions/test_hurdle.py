from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from helpers.checks import ALL_CHECKS, Case, check_draws, draws
from scipy import stats

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import distribution_of, logp
from vibayes.distributions.hurdle import (
    HurdleGamma,
    HurdleLogNormal,
    HurdleNegativeBinomial,
    HurdlePoisson,
)
from vibayes.exceptions import ParameterError
from vibayes.model.core import Model

INF = np.inf


@dataclass(frozen=True)
class Hurdle:
    """Zero with probability 1 - psi, else a draw above zero of a distribution of SciPy."""

    psi: float
    above: Any

    def logpmf(self, x):
        mass = self.above.logpmf(x) - self.above.logsf(0)
        return np.where(x == 0, np.log1p(-self.psi), np.log(self.psi) + mass)

    def logpdf(self, x):
        return np.where(x == 0, np.log1p(-self.psi), np.log(self.psi) + self.above.logpdf(x))

    def cdf(self, x):
        share = 1 - self.above.sf(x) / self.above.sf(0)
        return np.where(np.asarray(x) < 0, 0.0, 1 - self.psi + self.psi * share)

    def logcdf(self, x):
        return np.log(self.cdf(x))

    def ppf(self, p):
        share = np.maximum(0.0, (np.asarray(p) - 1 + self.psi) / self.psi)
        return np.where(share == 0, 0.0, self.above.isf((1 - share) * self.above.sf(0)))


def nbinom(mu, alpha):
    return stats.nbinom(alpha, alpha / (alpha + mu))


COUNTS = {"support": (0, INF), "points": range(12)}
CASES = [
    Case(HurdlePoisson, {"psi": 0.7, "mu": 4.0}, Hurdle(0.7, stats.poisson(4.0)), **COUNTS),
    Case(
        HurdlePoisson,
        {"psi": 0.3, "mu": 0.05},
        Hurdle(0.3, stats.poisson(0.05)),
        has_logcdf=False,
        **COUNTS,
    ),
    Case(
        HurdleNegativeBinomial,
        {"psi": 0.6, "mu": 5.0, "alpha": 1.3},
        Hurdle(0.6, nbinom(5.0, 1.3)),
        **COUNTS,
    ),
    Case(
        HurdleNegativeBinomial,
        {"psi": 0.9, "p": 0.7, "n": 0.4},
        Hurdle(0.9, stats.nbinom(0.4, 0.7)),
        **COUNTS,
    ),
    Case(
        HurdleGamma,
        {"psi": 0.7, "alpha": 2.5, "beta": 0.5},
        Hurdle(0.7, stats.gamma(2.5, scale=2.0)),
        support=(0.0, INF),
    ),
    Case(
        HurdleLogNormal,
        {"psi": 0.8, "mu": 0.5, "sigma": 0.7},
        Hurdle(0.8, stats.lognorm(0.7, scale=np.exp(0.5))),
        support=(0.0, INF),
    ),
]
CONTINUOUS = [case for case in CASES if not case.dist.discrete]
cases = pytest.mark.parametrize("case", CASES, ids=str)


@cases
@pytest.mark.parametrize("check", [c for c in ALL_CHECKS if c is not check_draws])
def test_density(case, check):
    with np.errstate(all="ignore"):
        check(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.dist.discrete], ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_counts(case, seed):
    check_draws(case, n=20_000, seed=seed)


@pytest.mark.parametrize("case", CONTINUOUS, ids=str)
def test_draws_above_zero_are_of_the_distribution(case):
    x = draws(case.rv(size=4000))
    share = np.mean(x > 0)
    assert stats.binomtest((x > 0).sum(), len(x), case.params["psi"]).pvalue > 1e-4
    assert stats.kstest(x[x > 0], case.reference.above.cdf).pvalue > 1e-4
    assert 0 < share < 1


def test_psi_may_be_zero_or_one():
    values = evaluate(
        [
            logp(HurdlePoisson.dist(1.0, 2.0), [0, 1]),
            logp(HurdlePoisson.dist(0.0, 2.0), [0, 1]),
            logp(HurdleGamma.dist(1.0, 2.0, 1.0), [0.0, 1.0]),
        ]
    )
    zero_truncated = stats.poisson(2.0).logpmf(1) - stats.poisson(2.0).logsf(0)
    np.testing.assert_allclose(values[0], [-INF, zero_truncated], rtol=1e-12)
    np.testing.assert_array_equal(values[1], [0.0, -INF])
    np.testing.assert_allclose(values[2], [-INF, -1.0], rtol=1e-12)


def test_mean_and_standard_deviation_of_a_gamma():
    by_mean, by_shape = (
        HurdleGamma.dist(0.5, **params)
        for params in ({"mu": 3.0, "sigma": 1.5}, {"alpha": 4.0, "beta": 4 / 3})
    )
    a, b = evaluate([logp(by_mean, [0.0, 2.0]), logp(by_shape, [0.0, 2.0])])
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("dist", [HurdleGamma, HurdleLogNormal])
def test_a_free_continuous_hurdle_is_refused(dist):
    with Model(), pytest.raises(TypeError, match="zero a probability of its own"):
        dist("x", 0.5, 1.0, 1.0)


def test_a_mean_of_zero_has_no_counts_above_zero():
    with pytest.raises(ParameterError, match="HurdlePoisson: mu must be positive"):
        HurdlePoisson.dist(0.5, 0.0)


def test_support_points_are_possible():
    for psi in (0.2, 0.9):
        rv = HurdlePoisson.dist(psi, 0.1)
        point = evaluate([distribution_of(rv).support_point()])[0]
        assert point == (psi > 0.5)
