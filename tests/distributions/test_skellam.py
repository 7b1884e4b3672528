import numpy as np
import pytest
from helpers.checks import ALL_CHECKS, Case, check_logcdf
from scipy import special, stats

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import logp
from vibayes.distributions.skellam import Skellam, debye_coefficients


class Difference:
    """SciPy's, with a log mass of our own by its scaled Bessel function."""

    def __init__(self, mu1, mu2):
        self.mu1, self.mu2 = mu1, mu2
        self.frozen = stats.skellam(mu1, mu2)

    def logpmf(self, x):
        argument = 2 * np.sqrt(self.mu1 * self.mu2)
        bessel = np.log(special.ive(np.abs(x), argument)) + argument
        return -self.mu1 - self.mu2 + 0.5 * x * np.log(self.mu1 / self.mu2) + bessel

    def cdf(self, x):
        return self.frozen.cdf(np.asarray(x, dtype=float))

    def ppf(self, p):
        return self.frozen.ppf(p)


CASES = [
    Case(
        Skellam,
        {"mu1": mu1, "mu2": mu2},
        Difference(mu1, mu2),
        has_logcdf=False,
        finite=(-1e18, 1e18),
    )
    for mu1, mu2 in ((3.0, 2.0), (0.2, 0.05), (40.0, 25.0), (20.0, 300.0))
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", [c for c in ALL_CHECKS if c is not check_logcdf])
def test_density(case, check):
    with np.errstate(all="ignore"):
        check(case)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 8.0, 12.0, 1e3])
def test_masses_sum_to_one(scale):
    mu1, mu2 = 1.5 * scale, 0.7 * scale
    reach = int(15 * np.sqrt(mu1 + mu2) + 40)
    x = np.arange(-reach, reach + 1) + int(mu1 - mu2)
    mass = np.exp(evaluate([logp(Skellam.dist(mu1, mu2), x)])[0])
    assert mass.sum() == pytest.approx(1, rel=1e-10)
    assert (mass * x).sum() == pytest.approx(mu1 - mu2, rel=1e-8, abs=1e-12)


def test_large_means_are_normal():
    """Where everything that grows has cancelled."""
    mu1, mu2 = 3e14, 1e14
    x = np.array([2 * 10**14, 2 * 10**14 + 10**7])
    found = evaluate([logp(Skellam.dist(mu1, mu2), x)])[0]
    expected = stats.norm.logpdf(x, mu1 - mu2, np.sqrt(mu1 + mu2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_symmetry():
    x = np.array([0, 1, 7, 400])
    a, b = evaluate([logp(Skellam.dist(3.0, 11.0), x), logp(Skellam.dist(11.0, 3.0), -x)])
    np.testing.assert_array_equal(a, b)


def test_polynomials_of_the_asymptotic_series():
    """DLMF 10.41.10."""
    expected = np.array([[1, 3 / 24, 81 / 1152], [0, -5 / 24, -462 / 1152], [0, 0, 385 / 1152]])
    np.testing.assert_allclose(debye_coefficients(2), expected)
