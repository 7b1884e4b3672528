from decimal import Decimal, localcontext

import numpy as np
import pytest
from helpers.checks import ALL_CHECKS, Case, check_logcdf, draws, values_at
from scipy import optimize, special, stats

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import logp
from vibayes.distributions.polya_gamma import GAMMAS, PolyaGamma, rest

PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899863"
)


class Levy:
    """The series of Polson, Scott and Windle in double precision, which is enough for small h.

    Each term is the density, times a number of either sign, of an inverse Gaussian distribution.
    """

    def __init__(self, h, z):
        n = np.arange(400.0)
        self.places, self.z = n + h / 2, abs(z)
        logs = special.gammaln(n + h) - special.gammaln(h) - special.gammaln(n + 1)
        logs += h * np.log(2 * np.cosh(z / 2)) - self.places * self.z
        self.shares = (-1) ** n * np.exp(logs)
        self.parts = (
            stats.invgauss(1 / (self.places * self.z), scale=self.places**2)
            if z
            else stats.levy(scale=self.places**2)
        )

    def total(self, function, x):
        return (self.shares * function(np.asarray(x, dtype=float)[..., None])).sum(axis=-1)

    def logpdf(self, x):
        return np.log(self.total(self.parts.pdf, x))

    def cdf(self, x):
        return self.total(self.parts.cdf, x)

    def ppf(self, p):
        def find(q):
            return np.exp(optimize.brentq(lambda log_x: self.cdf(np.exp(log_x)) - q, -18, 3))

        return np.vectorize(find)(p)


CASES = [
    Case(
        PolyaGamma,
        {"h": h, "z": z},
        Levy(h, z),
        support=(0.0, np.inf),
        has_logcdf=False,
        finite=(1e-100, 1e100),
    )
    for h, z in ((1.0, 0.0), (0.4, 0.0), (2.5, 3.0), (3.0, -1.0), (1.0, 12.0))
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", [c for c in ALL_CHECKS if c is not check_logcdf])
def test_density(case, check):
    with np.errstate(all="ignore"):
        check(case)


def precise(x, h, digits):
    """Return the log density for z = 0 by the series, with more digits than cancel in it."""
    with localcontext() as context:
        context.prec = digits
        x, h = Decimal(x), Decimal(h)
        total, rising, n, exponent = Decimal(0), Decimal(1), 0, Decimal(0)
        while n < 10 or exponent > -3 * digits:
            exponent = -((2 * n + h) ** 2) / (8 * x)
            total += (-1) ** n * rising * (2 * n + h) * exponent.exp()
            n += 1
            rising *= (n - 1 + h) / n
        return float((2 ** (h - 1) * total / (2 * PI * x**3).sqrt()).ln())


@pytest.mark.parametrize("h", [0.001, 0.1, 1.0, 7.3, 40.0])
def test_every_region(h):
    """Wherever the series cancels, and about where one formula follows the other."""
    border = (h + 1) / (2 * np.log(2 * (h + 2)))
    x = border * np.array([0.01, 0.3, 0.99, 1.01, 1.6, 4.0])
    expected = [precise(v, h, 80) for v in x]
    found = evaluate([logp(PolyaGamma.dist(h), x)])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_far_tail():
    """Where for h = 1 the first of the terms by residues is left: Polson et al., section 4."""
    x = np.array([10.0, 1e3, 1e8])
    expected = np.log(np.pi * 2) - np.pi**2 * x / 2
    found = evaluate([logp(PolyaGamma.dist(1.0), x)])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("h", "z"), [(1e6, 0.0), (1e5, 40.0), (1e4, 1e3)])
def test_large_shapes_are_normal(h, z):
    """To the third cumulant's order, with the moments in closed form."""
    tanh = np.tanh(z / 2)
    mean = h / 4 if z == 0 else h * tanh / (2 * z)
    variance = h / 24 if z == 0 else h * (tanh / z - 0.5 * (1 - tanh**2)) / (2 * z**2)
    grid = np.linspace(-8, 8, 801)
    x = mean + grid * variance**0.5
    mass = np.exp(evaluate([logp(PolyaGamma.dist(h, z), x)])[0]) * np.gradient(x)
    assert mass.sum() == pytest.approx(1, rel=1e-6)
    assert (mass * grid).sum() == pytest.approx(0, abs=1e-5)
    assert (mass * grid**2).sum() == pytest.approx(1, rel=1e-5)


def test_sign_of_the_tilt_does_not_matter():
    a, b = evaluate([logp(PolyaGamma.dist(2.0, z), [0.1, 3.0]) for z in (5.0, -5.0)])
    np.testing.assert_array_equal(a, b)


def test_gradient_at_no_tilt():
    case = CASES[0]
    np.testing.assert_array_equal(values_at(case, [0.1, 2.0]).grads["z"], 0.0)


@pytest.mark.parametrize("c", [0.0, 1.0, 6.0, 7.0, 500.0])
def test_what_is_left_of_the_sum(c):
    k = np.arange(GAMMAS, 4_000_000) + 0.5
    term = 1 / (k**2 + c**2)
    mean, square = (float(v) for v in evaluate(list(rest(np.float64(c)))))
    beyond = 1 / k[-1]
    assert mean == pytest.approx(term.sum() + beyond, rel=1e-8)
    assert square == pytest.approx((term**2).sum(), rel=2e-4)


@pytest.mark.parametrize("z", [0.0, 4.0])
def test_draws_of_small_shapes(z):
    """Of which many are small, and made by what stands for the rest of the sum."""
    x = draws(PolyaGamma.dist(0.01, z, size=20_000))
    assert stats.kstest(x, Levy(0.01, z).cdf).pvalue > 1e-3
