"""Special functions against SciPy, finite differences and closed forms."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.slopes import slope_of, values_and_slopes
from scipy import special, stats

from vibayes.ops.special import betaln, i0e, i1e, log_ndtr, ndtri_exp

INF = np.inf


def test_log_ndtr():
    x = np.array([-30.0, -3.0, -0.1, 0.0, 0.4, 5.0])
    value, slope = values_and_slopes(log_ndtr, x)
    np.testing.assert_allclose(value, stats.norm.logcdf(x), rtol=1e-13)
    np.testing.assert_allclose(
        slope, np.exp(stats.norm.logpdf(x) - stats.norm.logcdf(x)), rtol=1e-12
    )


def test_log_ndtr_slope_in_the_tails():
    """Mills' ratio: the derivative is -x - 1/x + 2/x^3 there."""
    x = np.array([-INF, -1e300, -1e10, -1e3, 40.0, 1e300, INF])
    _, slope = values_and_slopes(log_ndtr, x)
    expected = np.where(x < 0, -x - 1 / x, 0.0)
    expected[3] += 2 / x[3] ** 3
    np.testing.assert_allclose(slope, expected, rtol=1e-14, atol=1e-300)


def test_ndtri_exp():
    y = np.array([-1e4, -700.0, -5.0, -np.log(2), -1e-3])
    value, slope = values_and_slopes(ndtri_exp, y)
    np.testing.assert_allclose(special.log_ndtr(value), y, rtol=1e-11)
    _, inverse_slope = values_and_slopes(log_ndtr, value)
    np.testing.assert_allclose(slope, 1 / inverse_slope, rtol=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [(i0e, special.i0e), (i1e, special.i1e)])
def test_bessel(ours, theirs):
    x = np.array([1e-2, 0.5, 3.0, 40.0, 1e4])
    value, slope = values_and_slopes(ours, x)
    np.testing.assert_allclose(value, theirs(x), rtol=1e-14)
    np.testing.assert_allclose(slope, slope_of(theirs, x), rtol=1e-7)
    at_zero = values_and_slopes(ours, np.zeros(1))[1]
    assert at_zero == {special.i0e: -1.0, special.i1e: 0.5}[theirs]


def test_betaln():
    a, b = np.array([1e-10, 0.5, 3.0, 1e8, 1e15]), np.array([2.0, 0.5, 4.0, 1e8, 0.5])
    exact = np.array([-np.log(1e-10), np.log(np.pi), -np.log(60), np.nan, np.nan])
    # Gamma(a + 1/2) / Gamma(a) is about sqrt(a); B(n, n) about 2 sqrt(pi / n) / 4^n
    exact[4] = 0.5 * np.log(np.pi) - 0.5 * np.log(1e15)
    exact[3] = 0.5 * np.log(np.pi / 1e8) + np.log(2) - 1e8 * np.log(4)
    value, slope = values_and_slopes(betaln, a, b)
    np.testing.assert_allclose(value, exact, rtol=1e-9)
    np.testing.assert_allclose(slope, special.psi(a) - special.psi(a + b), rtol=1e-12)


@pytest.mark.parametrize("function", [log_ndtr, i0e, i1e])
def test_float32_stays_float32(function):
    value, slope = values_and_slopes(function, np.array([0.5, 2.0]), dtype="float32")
    double, _ = values_and_slopes(function, np.array([0.5, 2.0]))
    assert value.dtype == slope.dtype == "float32"
    np.testing.assert_allclose(value, double, rtol=1e-5, atol=1e-6)


def test_c_backend_has_the_operations():
    """They have no C code: PyTensor falls back to their Python implementation."""
    x = pt.vector("x", dtype="float64")
    outputs = [log_ndtr(x), i0e(x), betaln(x, x), ndtri_exp(-x)]
    if not pytensor.config.cxx:
        pytest.skip("there is no C compiler")
    function = pytensor.function([x], outputs, mode="CVM")
    at = np.array([0.5, 2.0])
    expected = [
        special.log_ndtr(at),
        special.i0e(at),
        special.betaln(at, at),
        special.ndtri_exp(-at),
    ]
    np.testing.assert_allclose(function(at), expected, rtol=1e-12)
