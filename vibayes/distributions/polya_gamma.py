"""The Pólya-Gamma distribution, by which logistic likelihoods become normal ones."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import PositiveContinuous, draw_from, to_float
from vibayes.distributions.constraints import Constraints, finite, positive
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.distributions.multivariate import standard_gamma

__all__ = ["PolyaGamma"]

SERIES_TERMS = 15
NEGLIGIBLE = 160.0  # twice the exponent of a share that is none in either precision
SERIES_SHARE = 0.5  # up to where the second term of the alternating series may be of the first
NODES, STEP = 40, 0.2  # on half of the contour: what is left out is below rounding
EXTRA = 3.0  # by which the contour keeps its distance from the singularity where h is small
NEWTON_STEPS = 3
GAMMAS = 64  # terms of the sum of draws, before the rest
EDGE = math.pi**2 / 4  # the singularity nearest to 0, in units of twice the exponent


class PolyaGamma(PositiveContinuous):
    r"""Pólya-Gamma distribution: an infinite sum of gamma variables of shape h.

    .. math:: x = \frac{1}{2 \pi^2} \sum_{k=1}^\infty
        \frac{g_k}{(k - 1/2)^2 + z^2 / (4 \pi^2)}, \quad g_k \sim \mathrm{Gamma}(h, 1)

    .. math:: f(x \mid h, z) = \cosh^h(z/2) \, e^{-z^2 x / 2} \; \frac{2^{h-1}}{\Gamma(h)}
        \sum_{n=0}^\infty (-1)^n \frac{\Gamma(n + h)}{n!} \frac{2n + h}{\sqrt{2 \pi x^3}}
        \exp\left(-\frac{(2n + h)^2}{8 x}\right)

    Its mean is :math:`h \tanh(z/2) / (2z)`, in the limit h / 4 for z = 0.

    Parameters
    ----------
    h : array_like, default 1
        Shape, positive; need not be a whole number.
    z : array_like, default 0
        Exponential tilt, of either sign.

    Notes
    -----
    The series is used where its terms do not cancel: where the second one is at most half of the
    first. Elsewhere the density at z = 0 is the integral by which the Laplace transform
    :math:`\cosh^{-h}(\sqrt{t/2})` is inverted, by the trapezoidal rule on a parabola through the
    saddle point, where the error falls exponentially with the number of nodes (Weideman and
    Trefethen 2007). It has 10 digits or more for h above 0.001, of which it loses as many as h has
    zeros below that. The contour takes no part in the gradient, since the integral is the same on
    any other.

    Draws are the sum of the first 64 terms, and an inverse Gaussian variable with the mean and the
    variance of the rest, whose lower tail has the right form. Their Laplace transform is everywhere
    within 1e-10 of the exact one for h of at least 1 and abs(z) up to 10, within 1e-6 for h of 0.1
    or abs(z) of 500, and within 0.001 for h of 0.01. Below, the rest is no longer inverse Gaussian,
    and they are off: by up to 0.03 for h of 0.001, and 0.06 for h of 0.0001, where t is about 1e7.

    References
    ----------
    Polson, Scott and Windle (2013), Bayesian inference for logistic models using Pólya-Gamma latent
    variables. Journal of the American Statistical Association 108, 1339: equations 1 and 5.

    Weideman and Trefethen (2007), Parabolic and hyperbolic contours for computing the Bromwich
    integral. Mathematics of Computation 76, 1341.
    """

    constraints: ClassVar[Constraints] = {"h": positive, "z": finite}
    h: TensorVariable
    z: TensorVariable

    @behind_new
    def __init__(self, h: Any = 1.0, z: Any = 0.0) -> None:
        self.set_params(h=h, z=z)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        h, c = (pt.broadcast_to(p, size) for p in (self.h, pt.abs(self.z) / (2 * math.pi)))
        places = to_float(np.arange(GAMMAS) + 0.5)
        rng, gammas = draw_from(standard_gamma, h[..., None], rng=rng, size=(*tuple(size), GAMMAS))
        first = (gammas / (places**2 + c[..., None] ** 2)).sum(axis=-1)
        mean, variance = rest(c)
        rng, last = draw_from(
            pt.random.wald, h * mean, h**2 * mean**3 / variance, rng=rng, size=size
        )
        return rng, (first + last) / (2 * math.pi**2)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        h, z = self.h, pt.abs(self.z)
        near = (h + 2) * pt.exp(-(h + 1) / (2 * value)) < SERIES_SHARE
        harmless = h + 1  # where the integral is used
        by_series = series(pt.switch(near, value, 0.1 * (h + 1)), h, z)
        by_integral = integral(pt.switch(near, harmless, value), h) + h * log_cosh(z / 2)
        return pt.switch(near, by_series, by_integral - 0.5 * z * (z * value))

    def support_point(self) -> TensorVariable:
        """Return the mean."""
        half = self.z / 2
        small = pt.abs(half) < 1e-3
        ratio = pt.tanh(half) / pt.switch(small, 1.0, half)
        return self.h / 4 * pt.switch(small, 1.0 - half**2 / 3, ratio)


def log_cosh(x: TensorVariable) -> TensorVariable:
    """Return the log of the hyperbolic cosine of x >= 0."""
    return x + pt.log1p(pt.exp(-2 * x)) - math.log(2)


def series(x: TensorVariable, h: TensorVariable, z: TensorVariable) -> TensorVariable:
    """Return the log density by the alternating series.

    The tilt is part of the first term's exponent, of which it makes a square.
    """
    one = x < (h + 1) / NEGLIGIBLE  # is the first term alone
    y = pt.switch(one, h + 1, x)
    rising, terms = pt.zeros_like(h), []
    for n in range(1, SERIES_TERMS):
        exponent = pt.log1p((n + h) / n) + rising - n * (n + h) / (2 * y)
        terms.append((-1) ** n * pt.exp(exponent))
        rising += pt.log1p(h / n)
    more = pt.switch(one, 0.0, reduce(add, terms))
    distance = (h - 2 * z * x) / pt.sqrt(8 * x)
    # PyTensor 3.0 makes of log(h / 2) a difference with the log of an int8: in single precision
    leading = pt.log(h) - math.log(2) - 1.5 * pt.log(x) - LOG_SQRT_2PI - distance**2
    return leading + h * pt.log1p(pt.exp(-z)) + pt.log1p(more)


def integral(x: TensorVariable, h: TensorVariable) -> TensorVariable:
    """Return the log density for z = 0 by inversion of the Laplace transform."""
    saddle, width = (disconnected_grad(v) for v in saddle_point(x, h + EXTRA))
    tau = to_float(np.arange(NODES) * STEP)
    at = disconnected_grad(x)[..., None]
    right, up = tau**2 / at, width[..., None] * tau  # along the contour, from the saddle point
    size, angle = (disconnected_grad(v) for v in log_cos(saddle[..., None] - right / 2, up / 2))
    x, h = x[..., None], h[..., None]
    height = -h * (size - size[..., :1]) - right * x
    phase = -h * angle - up * x
    weights = np.full(NODES, STEP / math.pi)
    weights[0] /= 2
    slope = width[..., None], 2 * tau / at
    sides = pt.exp(height) * (slope[0] * pt.cos(phase) + slope[1] * pt.sin(phase))
    total = (sides * to_float(weights)).sum(axis=-1)
    first = -h[..., 0] * size[..., 0] - 2 * (EDGE - saddle) * x[..., 0]
    return first + pt.log(total)


def saddle_point(x: TensorVariable, h: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
    r"""Return where the integrand has its saddle point, and its standard deviation there.

    With :math:`w = s / 2` and :math:`v = h / (4 x)`, it is where
    :math:`\sqrt w \cot \sqrt w = v`, with the hyperbolic cotangent for w < 0. What is returned is
    the distance :math:`\pi^2 / 4 - w`, which is precise for large x, too.
    """
    v = h / (4 * x)
    distance = v**2 + EDGE * pt.tanh(2 / EDGE * v)  # right at both ends
    far = v < 0.05  # good enough as it is, and cotangents are not
    for _ in range(NEWTON_STEPS):
        w = EDGE - pt.switch(far, EDGE, distance)
        step = (root_cot(w) - v) / slope_of_root_cot(w, root_cot(w))
        distance = pt.switch(far, distance, distance + step)
    return distance, v * pt.sqrt(-8 / (h * slope_of_root_cot(EDGE - distance, v)))


def root_cot(w: TensorVariable) -> TensorVariable:
    """Return sqrt(w) * cot(sqrt(w)), continued to w < 0."""
    small = pt.abs(w) < 1e-3
    u = pt.sqrt(pt.switch(small, 1.0, pt.abs(w)))
    return pt.switch(small, 1 - w / 3 - w**2 / 45, u / pt.switch(w > 0, pt.tan(u), pt.tanh(u)))


def slope_of_root_cot(w: TensorVariable, value: TensorVariable) -> TensorVariable:
    """Return the derivative of ``root_cot`` at w, where it has a value."""
    small = pt.abs(w) < 1e-3
    divisor = pt.switch(small, 1.0, 2 * w)
    return pt.switch(small, -1 / 3 - 2 * w / 45, (value - value**2 - w) / divisor)


def log_cos(
    distance: TensorVariable, height: TensorVariable
) -> tuple[TensorVariable, TensorVariable]:
    """Return real and imaginary part of log(cos(sqrt(w))), continuous in the upper half plane.

    At w = pi^2 / 4 - distance + 1j * height. With sqrt(w) = a + b 1j, the cosine is
    exp(b - a 1j) / 2 times 1 + exp(2 (a 1j - b)), whose real part is positive.
    """
    real = EDGE - distance
    modulus = pt.sqrt(real**2 + height**2)
    larger = pt.sqrt(pt.maximum((modulus + pt.abs(real)) / 2, 1e-30))
    smaller = height / (2 * larger)
    a, b = (pt.switch(real > 0, *pair) for pair in ((larger, smaller), (smaller, larger)))
    below = math.pi / 2 + a  # pi / 2 - a from the distance, without cancellation
    angle = 2 * (distance * below - height * b) / (below**2 + b**2)
    shrunk = pt.exp(-2 * b)
    cosine = 2 * pt.sin(angle / 2) ** 2 - pt.expm1(-2 * b) * pt.cos(angle)
    sine = shrunk * pt.sin(angle)
    larger = pt.maximum(cosine, pt.abs(sine))  # whose square may be too small for a number
    size = b + pt.log(larger / 2) + 0.5 * pt.log((cosine / larger) ** 2 + (sine / larger) ** 2)
    return size, pt.arctan2(sine, cosine) - a


def rest(c: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
    """Return the sums of 1 / (k^2 + c^2) and of its square over half integers k above ``GAMMAS``.

    As integrals, of which the first has the next term of the midpoint rule, too.
    """
    ratio = c / GAMMAS
    small = ratio < 0.1
    r = pt.switch(small, 1.0, ratio)
    square = pt.switch(small, ratio, 0.0) ** 2
    arc = pt.arctan(r) / r
    mean = pt.switch(small, 1 - square * (1 / 3 - square * (1 / 5 - square / 7)), arc)
    mean -= 1 / (12 * (GAMMAS * (1 + ratio**2)) ** 2)
    series_of_squares = 1 / 3 - square * (2 / 5 - square * (3 / 7 - square * 4 / 9))
    variance = pt.switch(small, series_of_squares, (arc - 1 / (1 + r**2)) / (2 * r**2))
    return mean / GAMMAS, variance / GAMMAS**3
