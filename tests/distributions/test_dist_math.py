"""Special functions against SciPy, quadrature, finite differences and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.slopes import values_and_slopes
from scipy import special, stats
from scipy.integrate import quad

from vibayes.distributions import dist_math as dm

INF = np.inf


def test_log_i0():
    x = np.array([0.0, 1.0, 30.0, 1e5, 1e300])
    value, slope = values_and_slopes(dm.log_i0, x)
    np.testing.assert_allclose(value[:3], np.log(special.i0(x[:3])) - x[:3], rtol=1e-12)
    np.testing.assert_allclose(value[3:], -0.5 * np.log(2 * np.pi * x[3:]) + 1 / (8 * x[3:]))
    np.testing.assert_allclose(slope[:2], [-1, special.i1(1.0) / special.i0(1.0) - 1])
    np.testing.assert_allclose(slope[3:], [-5.0000125e-6, 0.0], rtol=1e-9, atol=1e-15)


def test_log_abs():
    x = np.array([-1e300, -2.0, 0.0, 1e-300, 3.0, INF])
    value, slope = values_and_slopes(dm.log_abs, x)
    np.testing.assert_allclose(value[[0, 1, 3, 4, 5]], np.log(np.abs(x[[0, 1, 3, 4, 5]])))
    assert value[2] < -700
    np.testing.assert_allclose(slope, [-1e-300, -0.5, 0.0, 1e300, 1 / 3, 0.0])


def test_log_or_minus_inf():
    value, slope = values_and_slopes(dm.log_or_minus_inf, [-1.0, 0.0, 1e-300, 2.0, INF])
    np.testing.assert_array_equal(value, [-INF, -INF, np.log(1e-300), np.log(2), INF])
    np.testing.assert_allclose(slope, [0, 0, 1e300, 0.5, 0])


def test_log_share():
    share = np.array([0.0, 1e-200, 0.3, 0.7, 1.0, 1.0])
    rest = np.array([1.0, 1.0, 0.7, 0.3, 1e-200, 0.0])
    value, slope = values_and_slopes(dm.log_share, share, rest)
    np.testing.assert_allclose(value, [-INF, np.log(1e-200), np.log(0.3), np.log(0.7), -1e-200, 0])
    assert not np.isnan(slope).any()


@pytest.mark.parametrize("wrt", [0, 1])
@pytest.mark.parametrize(
    ("ours", "theirs", "start"), [(dm.xlogy, special.xlogy, 0), (dm.xlog1py, special.xlog1py, -1)]
)
def test_xlogy(ours, theirs, start, wrt):
    x = np.array([-1.0, 0.0, 2.0, -1.0, 0.0, 2.0])
    y = np.array([0.0, 0.0, 0.0, 3.0, 3.0, 3.0]) + start
    value, slope = values_and_slopes(ours, x, y, wrt=wrt)
    np.testing.assert_allclose(value, theirs(x, y))
    inner = np.array([np.log(3)] * 3) if wrt == 0 else x[3:] / 3
    np.testing.assert_allclose(slope[3:], inner)
    np.testing.assert_array_equal(slope[:3], 0)


def test_log_power_at_zero():
    value, slope = values_and_slopes(dm.log_power_at_zero, [-0.5, 0.0, 2.0])
    np.testing.assert_array_equal(value, [INF, 0.0, -INF])
    np.testing.assert_array_equal(slope, np.zeros(3))


def test_logdiffexp():
    value, slope = values_and_slopes(dm.logdiffexp, [0.0, -1e3, 5.0], [-1e-12, -1e3 - 1, -INF])
    np.testing.assert_allclose(value, [np.log(1e-12), -1e3 + np.log1p(-np.exp(-1)), 5.0], rtol=1e-9)
    np.testing.assert_allclose(slope, [1e12, 1 / (1 - np.exp(-1)), 1.0], rtol=1e-3)


def test_log_erfcx_half():
    x = np.array([0.0, 0.5, 5.0, 1e8])
    value, slope = values_and_slopes(dm.log_erfcx_half, x)
    np.testing.assert_allclose(value[:3], stats.norm.logsf(x[:3]) + x[:3] ** 2 / 2, rtol=1e-12)
    np.testing.assert_allclose(value[3], -0.5 * np.log(2 * np.pi) - np.log(1e8), rtol=1e-14)
    hazard = np.exp(stats.norm.logpdf(x[:3]) - stats.norm.logsf(x[:3]))
    np.testing.assert_allclose(slope[:3], x[:3] - hazard, rtol=1e-9)


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1.0, 2.0), (3.0, 3.5), (-40.0, -39.0), (20.0, 50.0), (1.0, 1.0 + 1e-4), (-9.0, 9.0)],
)
def test_log_ndtr_diff(low, high):
    """Against quadrature of the density, relative to its largest value in the interval."""
    peak = -0.5 * min(low**2, high**2) if low * high > 0 else 0.0
    area, _ = quad(lambda t: np.exp(-0.5 * t**2 - peak), low, min(high, low + 30), epsrel=1e-12)
    log_area = np.log(area) + peak - dm.LOG_SQRT_2PI
    for wrt, end, sign in ((0, low, -1), (1, high, 1)):
        value, slope = values_and_slopes(dm.log_ndtr_diff, [low], [high], wrt=wrt)
        np.testing.assert_allclose(value, log_area, rtol=1e-10, atol=1e-14)
        expected = sign * np.exp(stats.norm.logpdf(end) - log_area)
        np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-250)


def test_log_ndtr_diff_of_narrow_intervals():
    width = 10.0 ** np.arange(-300, -3)
    value, slope = values_and_slopes(dm.log_ndtr_diff, 0.0, width, wrt=1)
    np.testing.assert_allclose(value, np.log(width) - dm.LOG_SQRT_2PI, rtol=1e-8)
    np.testing.assert_allclose(slope, 1 / width, rtol=1e-6)


@pytest.mark.parametrize("function", [dm.log_i0, dm.log_abs, dm.log_or_minus_inf])
def test_float32_stays_float32(function):
    value, slope = values_and_slopes(function, np.array([0.5, 2.0]), dtype="float32")
    double, _ = values_and_slopes(function, np.array([0.5, 2.0]))
    assert value.dtype == slope.dtype == "float32"
    np.testing.assert_allclose(value, double, rtol=1e-5, atol=1e-6)
