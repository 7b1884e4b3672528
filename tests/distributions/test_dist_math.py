"""Special functions against SciPy, quadrature, finite differences and closed forms."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.checks import EVALUATE_MODE
from scipy import special, stats
from scipy.integrate import quad

from vibayes.distributions import dist_math as dm

INF = np.inf


def values_and_slopes(function, *args, wrt=0, dtype="float64"):
    """Return a function of vectors, and its derivative by one of them."""
    with pytensor.config.change_flags(floatX=dtype):
        inputs = [pt.vector(dtype=dtype) for _ in args]
        out = function(*inputs)
        outputs = [out, pytensor.grad(out.sum(), inputs[wrt], disconnected_inputs="ignore")]
        compiled = pytensor.function(inputs, outputs, mode=EVALUATE_MODE, on_unused_input="ignore")
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    with np.errstate(all="ignore"):
        return compiled(*(np.broadcast_to(a, shape).astype(dtype) for a in args))


def slope_of(function, x, step=1e-6):
    """Return the derivative of a NumPy function, by central differences."""
    h = step * np.maximum(np.abs(x), step)
    return (function(x + h) - function(x - h)) / ((x + h) - (x - h))


def test_log_ndtr():
    x = np.array([-30.0, -3.0, -0.1, 0.0, 0.4, 5.0])
    value, slope = values_and_slopes(dm.log_ndtr, x)
    np.testing.assert_allclose(value, stats.norm.logcdf(x), rtol=1e-13)
    np.testing.assert_allclose(
        slope, np.exp(stats.norm.logpdf(x) - stats.norm.logcdf(x)), rtol=1e-12
    )


def test_log_ndtr_slope_in_the_tails():
    """Mills' ratio: the derivative is -x - 1/x + 2/x^3 there."""
    x = np.array([-INF, -1e300, -1e10, -1e3, 40.0, 1e300, INF])
    _, slope = values_and_slopes(dm.log_ndtr, x)
    expected = np.where(x < 0, -x - 1 / x, 0.0)
    expected[3] += 2 / x[3] ** 3
    np.testing.assert_allclose(slope, expected, rtol=1e-14, atol=1e-300)


def test_ndtri_exp():
    y = np.array([-1e4, -700.0, -5.0, -np.log(2), -1e-3])
    value, slope = values_and_slopes(dm.ndtri_exp, y)
    np.testing.assert_allclose(special.log_ndtr(value), y, rtol=1e-11)
    _, inverse_slope = values_and_slopes(dm.log_ndtr, value)
    np.testing.assert_allclose(slope, 1 / inverse_slope, rtol=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [(dm.i0e, special.i0e), (dm.i1e, special.i1e)])
def test_bessel(ours, theirs):
    x = np.array([1e-2, 0.5, 3.0, 40.0, 1e4])
    value, slope = values_and_slopes(ours, x)
    np.testing.assert_allclose(value, theirs(x), rtol=1e-14)
    np.testing.assert_allclose(slope, slope_of(theirs, x), rtol=1e-7)
    at_zero = values_and_slopes(ours, np.zeros(1))[1]
    assert at_zero == {special.i0e: -1.0, special.i1e: 0.5}[theirs]


def test_log_i0():
    x = np.array([0.0, 1.0, 30.0, 1e5, 1e300])
    value, slope = values_and_slopes(dm.log_i0, x)
    np.testing.assert_allclose(value[:3], np.log(special.i0(x[:3])) - x[:3], rtol=1e-12)
    np.testing.assert_allclose(value[3:], -0.5 * np.log(2 * np.pi * x[3:]) + 1 / (8 * x[3:]))
    np.testing.assert_allclose(slope[:2], [-1, special.i1(1.0) / special.i0(1.0) - 1])
    np.testing.assert_allclose(slope[3:], [-5.0000125e-6, 0.0], rtol=1e-9, atol=1e-15)


def test_betaln():
    a, b = np.array([1e-10, 0.5, 3.0, 1e8, 1e15]), np.array([2.0, 0.5, 4.0, 1e8, 0.5])
    exact = np.array([-np.log(1e-10), np.log(np.pi), -np.log(60), np.nan, np.nan])
    # Gamma(a + 1/2) / Gamma(a) is about sqrt(a); B(n, n) about 2 sqrt(pi / n) / 4^n
    exact[4] = 0.5 * np.log(np.pi) - 0.5 * np.log(1e15)
    exact[3] = 0.5 * np.log(np.pi / 1e8) + np.log(2) - 1e8 * np.log(4)
    value, slope = values_and_slopes(dm.betaln, a, b)
    np.testing.assert_allclose(value, exact, rtol=1e-9)
    np.testing.assert_allclose(slope, special.psi(a) - special.psi(a + b), rtol=1e-12)


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


@pytest.mark.parametrize(
    "function", [dm.log_ndtr, dm.i0e, dm.i1e, dm.log_i0, dm.log_abs, dm.log_or_minus_inf]
)
def test_float32_stays_float32(function):
    value, slope = values_and_slopes(function, np.array([0.5, 2.0]), dtype="float32")
    double, _ = values_and_slopes(function, np.array([0.5, 2.0]))
    assert value.dtype == slope.dtype == "float32"
    np.testing.assert_allclose(value, double, rtol=1e-5, atol=1e-6)


def test_c_backend_has_the_operations():
    """They have no C code: PyTensor falls back to their Python implementation."""
    x = pt.vector("x", dtype="float64")
    outputs = [dm.log_ndtr(x), dm.i0e(x), dm.betaln(x, x), dm.ndtri_exp(-x)]
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
