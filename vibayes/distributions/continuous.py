"""Continuous distributions of one dimension.

Formulas are those of Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions", 2nd
edition (1994, 1995), where no other source is named. They are arranged such that neither they nor
their gradients overflow or cancel where the result can be represented.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import (
    BoundedContinuous,
    Continuous,
    PositiveContinuous,
    UnitContinuous,
    draw_from,
    to_float,
)
from vibayes.distributions.constraints import (
    Constraints,
    constant_value,
    finite,
    nonnegative,
    number,
    open_unit,
    positive,
)
from vibayes.distributions.dist_math import (
    LOG_SQRT_2PI,
    betaln,
    log_abs,
    log_erfcx_half,
    log_i0,
    log_ndtr,
    log_ndtr_diff,
    log_or_minus_inf,
    log_power_at_zero,
    log_share,
    logdiffexp,
    ndtri_exp,
    safe_log1mexp,
)
from vibayes.distributions.parameters import check_order, chosen, only_one
from vibayes.distributions.standard_forms import LocationScale
from vibayes.distributions.transforms import Interval, Transform, circular, closed_bound
from vibayes.distributions.transforms import log as log_transform
from vibayes.exceptions import ParameterError
from vibayes.ops.random import improper

__all__ = [
    "AsymmetricLaplace",
    "Beta",
    "Cauchy",
    "ChiSquared",
    "ExGaussian",
    "Exponential",
    "Flat",
    "Gamma",
    "Gumbel",
    "HalfCauchy",
    "HalfFlat",
    "HalfNormal",
    "HalfStudentT",
    "InverseGamma",
    "Kumaraswamy",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LogitNormal",
    "Lognormal",
    "Moyal",
    "Normal",
    "Pareto",
    "Rice",
    "SkewNormal",
    "StudentT",
    "Triangular",
    "TruncatedNormal",
    "Uniform",
    "VonMises",
    "Wald",
    "Weibull",
]

LOG_2 = math.log(2)
LOG_PI = math.log(math.pi)
EULER_GAMMA = float(np.euler_gamma)
GAMMA_PARAMS = (("alpha", "beta"), ("mu", "sigma"))
BETA_PARAMS = (*GAMMA_PARAMS, ("mu", "nu"))


def sigma_from(sigma: Any = None, **precision: Any) -> Any:
    """Return the scale, given as such or as the precision (``tau`` or ``lam``), 1 / sigma**2."""
    only_one(sigma=sigma, **precision)
    (value,) = precision.values()
    if value is not None:
        return 1 / pt.sqrt(to_float(value))
    return 1.0 if sigma is None else sigma


class Flat(Continuous):
    r"""Improper distribution with log density 0 everywhere. It cannot be drawn from.

    .. math:: f(x) \propto 1
    """

    @behind_new
    def __init__(self) -> None:
        self.set_params()

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(improper, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return the limit of the log CDF of ever wider uniform distributions around 0."""
        return pt.switch(
            pt.isinf(value), pt.switch(value > 0, 0.0, -np.inf), pt.full_like(value, -LOG_2)
        )

    def support_point(self) -> TensorVariable:
        return pt.constant(0.0, dtype=pytensor.config.floatX)


class HalfFlat(PositiveContinuous):
    r"""Improper distribution with log density 0 for positive numbers. It cannot be drawn from.

    .. math:: f(x) \propto 1, \quad x > 0
    """

    @behind_new
    def __init__(self) -> None:
        self.set_params()

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(improper, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return the limit of the log CDF of ever wider uniform distributions from 0."""
        return pt.full_like(value, -np.inf)

    def support_point(self) -> TensorVariable:
        return pt.constant(1.0, dtype=pytensor.config.floatX)


class Uniform(BoundedContinuous):
    r"""Uniform distribution on an interval.

    .. math:: f(x \mid l, u) = \frac{1}{u - l}, \quad l \le x \le u

    Parameters
    ----------
    lower : array_like, default 0
        Lower bound. Bounds may be random variables.
    upper : array_like, default 1
        Upper bound, above ``lower``.
    """

    constraints: ClassVar[Constraints] = {"lower": finite, "upper": finite}
    closed: ClassVar[tuple[bool, bool]] = (True, True)
    lower: TensorVariable
    upper: TensorVariable

    @behind_new
    def __init__(self, lower: Any = 0.0, upper: Any = 1.0) -> None:
        check_order(lower, upper, strict=True)
        self.set_params(lower=lower, upper=upper)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.lower, self.upper

    @cached_property
    def default_transform(self) -> Transform:
        """The interval between the bounds."""
        return Interval(self.lower, self.upper)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.uniform, self.lower, self.upper, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value) - pt.log(self.upper - self.lower)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return pt.log(value - self.lower) - pt.log(self.upper - self.lower)

    def support_point(self) -> TensorVariable:
        return 0.5 * (self.lower + self.upper)


class Normal(Continuous):
    r"""Normal distribution.

    .. math:: f(x \mid \mu, \sigma) =
        \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{(x - \mu)^2}{2\sigma^2}\right)

    Parameters
    ----------
    mu : array_like, default 0
        Mean.
    sigma : array_like, optional
        Standard deviation, positive; 1 by default.
    tau : array_like, optional
        Precision, ``1 / sigma**2``, instead of ``sigma``.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.draw(vb.Normal.dist(10, 0.1, shape=3), random_seed=1).round()
    array([10., 10., 10.])
    >>> vb.logp(vb.Normal.dist(0, 1), 0.0).eval()
    array(-0.91893853)
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive, "tau": positive}
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(mu=mu, sigma=sigma_from(sigma, tau=tau))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.normal, self.mu, self.sigma, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        return -0.5 * ((value - self.mu) / self.sigma) ** 2 - pt.log(self.sigma) - LOG_SQRT_2PI

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return log_ndtr((value - self.mu) / self.sigma)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return log_ndtr((self.mu - value) / self.sigma)

    def support_point(self) -> TensorVariable:
        return self.mu

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.sigma)


class TruncatedNormal(BoundedContinuous):
    r"""Normal distribution, conditioned on lying between two bounds.

    .. math:: f(x \mid \mu, \sigma, l, u) =
        \frac{\varphi\left((x - \mu)/\sigma\right)}
        {\sigma\left[\Phi\left((u - \mu)/\sigma\right) - \Phi\left((l - \mu)/\sigma\right)\right]},
        \quad l \le x \le u

    Parameters
    ----------
    mu : array_like, default 0
        Mean of the normal distribution before truncation.
    sigma : array_like, optional
        Its standard deviation, positive; 1 by default.
    tau : array_like, optional
        Its precision, ``1 / sigma**2``, instead of ``sigma``.
    lower, upper : array_like, optional
        Bounds; None or infinite for an open side.
    """

    constraints: ClassVar[Constraints] = {
        "mu": finite,
        "sigma": positive,
        "tau": positive,
        "lower": number,
        "upper": number,
    }
    closed: ClassVar[tuple[bool, bool]] = (True, True)
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self,
        mu: Any = 0.0,
        sigma: Any = None,
        tau: Any = None,
        lower: Any = None,
        upper: Any = None,
    ) -> None:
        check_order(
            -np.inf if lower is None else lower, np.inf if upper is None else upper, strict=True
        )
        self.lower, self.upper = closed_bound(lower, -np.inf), closed_bound(upper, np.inf)
        sides = {"lower": self.lower, "upper": self.upper}
        self.set_params(
            mu=mu,
            sigma=sigma_from(sigma, tau=tau),
            **{name: bound for name, bound in sides.items() if bound is not None},
        )

    @property
    def bounds(self) -> tuple[Any, Any]:
        open_side = -np.inf if self.upper is None else None
        return open_side if self.lower is None else self.lower, self.upper

    @cached_property
    def default_transform(self) -> Transform | None:
        """The interval between the bounds, None if there are none."""
        if self.lower is None and self.upper is None:
            return None
        return Interval(self.lower, self.upper)

    def standardized(self, value: TensorVariable) -> TensorVariable:
        return (value - self.mu) / self.sigma

    def log_mass(self) -> TensorVariable | float:
        """Return the log of the probability that the normal distribution gives to the interval."""
        if self.lower is None and self.upper is None:
            return 0.0
        if self.upper is None:
            return log_ndtr(-self.standardized(self.lower))
        if self.lower is None:
            return log_ndtr(self.standardized(self.upper))
        return log_ndtr_diff(self.standardized(self.lower), self.standardized(self.upper))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Draw by inversion, in the tail in which the log CDF is precise."""
        size = self.size_or_batch(size)
        rng, share = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        log_u = self.log_mass() - share
        if self.lower is None:
            draw = ndtri_exp(log_u)
        elif self.upper is None:
            draw = -ndtri_exp(log_u)
        else:
            low, high = self.standardized(self.lower), self.standardized(self.upper)
            flip = low + high > 0
            draw = ndtri_exp(pt.logaddexp(log_ndtr(pt.switch(flip, -high, low)), log_u))
            draw = pt.clip(pt.switch(flip, -draw, draw), low, high)
        return rng, self.within(self.mu + self.sigma * draw)

    def within(self, draw: TensorVariable) -> TensorVariable:
        """Move a draw that rounding has put beyond a bound back onto it."""
        draw = draw if self.lower is None else pt.maximum(draw, self.lower)
        return draw if self.upper is None else pt.minimum(draw, self.upper)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        square = self.standardized(value) ** 2
        return -0.5 * square - pt.log(self.sigma) - LOG_SQRT_2PI - self.log_mass()

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        z = self.standardized(value)
        if self.lower is None:
            return log_ndtr(z) - self.log_mass()
        return log_ndtr_diff(self.standardized(self.lower), z) - self.log_mass()

    def support_point(self) -> TensorVariable:
        if self.lower is None and self.upper is None:
            return self.mu
        if self.upper is None:
            return pt.maximum(self.mu, self.lower + self.sigma)
        if self.lower is None:
            return pt.minimum(self.mu, self.upper - self.sigma)
        return 0.5 * (self.lower + self.upper)


class HalfNormal(PositiveContinuous):
    r"""Distribution of the absolute value of a centred normal variable.

    .. math:: f(x \mid \sigma) =
        \sqrt{\frac{2}{\pi\sigma^2}} \exp\left(-\frac{x^2}{2\sigma^2}\right), \quad x \ge 0

    Parameters
    ----------
    sigma : array_like, optional
        Standard deviation of the normal variable, positive; 1 by default.
    tau : array_like, optional
        Its precision, ``1 / sigma**2``, instead of ``sigma``.
    """

    constraints: ClassVar[Constraints] = {"sigma": positive, "tau": positive}
    bounds: tuple[Any, Any] = (0.0, None)
    closed: ClassVar[tuple[bool, bool]] = (True, False)
    sigma: TensorVariable

    @behind_new
    def __init__(self, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(sigma=sigma_from(sigma, tau=tau))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, draw = draw_from(pt.random.normal, 0.0, self.sigma, rng=rng, size=size)
        return rng, pt.abs(draw)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        return -0.5 * (value / self.sigma) ** 2 - pt.log(self.sigma) + (LOG_2 - LOG_SQRT_2PI)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return pt.log(pt.erf(value / self.sigma * math.sqrt(0.5)))

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return LOG_2 + log_ndtr(-value / self.sigma)

    def support_point(self) -> TensorVariable:
        return self.sigma


class SkewNormal(BoundedContinuous):
    r"""Skew-normal distribution.

    .. math:: f(x \mid \alpha, \mu, \sigma) =
        \frac{2}{\sigma} \varphi(z) \Phi(\alpha z), \quad z = \frac{x - \mu}{\sigma}

    Parameters
    ----------
    alpha : array_like, default 1
        Skewness parameter; 0 gives the normal distribution.
    mu : array_like, default 0
        Location.
    sigma : array_like, optional
        Scale, positive; 1 by default.
    tau : array_like, optional
        ``1 / sigma**2``, instead of ``sigma``.

    References
    ----------
    Azzalini (1985), "A class of distributions which includes the normal ones", Scandinavian
    Journal of Statistics 12, 171-178.
    """

    constraints: ClassVar[Constraints] = {
        "alpha": finite,
        "mu": finite,
        "sigma": positive,
        "tau": positive,
    }
    bounds: tuple[Any, Any] = (-np.inf, np.inf)
    alpha: TensorVariable
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, alpha: Any = 1.0, mu: Any = 0.0, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(alpha=alpha, mu=mu, sigma=sigma_from(sigma, tau=tau))

    @property
    def correlation(self) -> TensorVariable:
        """Correlation of the two normal variables, one of which is conditioned to be positive."""
        return self.alpha / pt.sqrt(1 + self.alpha**2)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, shared = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=size)
        rng, own = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=size)
        share = 1 / pt.sqrt(1 + self.alpha**2)
        return rng, self.mu + self.sigma * (self.correlation * pt.abs(shared) + share * own)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        z = (value - self.mu) / self.sigma
        normal = -0.5 * z**2 - pt.log(self.sigma) + (LOG_2 - LOG_SQRT_2PI)
        return normal + log_ndtr(self.alpha * z)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return the log CDF, from a CDF with an absolute error of about 1e-16."""
        z = (value - self.mu) / self.sigma
        return log_or_minus_inf(0.5 * pt.erfc(z * -math.sqrt(0.5)) - 2 * pt.owens_t(z, self.alpha))

    def support_point(self) -> TensorVariable:
        return self.mu + self.sigma * self.correlation * math.sqrt(2 / math.pi)

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.sigma)


class LogNormal(PositiveContinuous):
    r"""Distribution of the exponential of a normal variable.

    .. math:: f(x \mid \mu, \sigma) = \frac{1}{x \sigma \sqrt{2\pi}}
        \exp\left(-\frac{(\log x - \mu)^2}{2\sigma^2}\right), \quad x > 0

    Parameters
    ----------
    mu : array_like, default 0
        Mean of the normal variable.
    sigma : array_like, optional
        Its standard deviation, positive; 1 by default.
    tau : array_like, optional
        Its precision, ``1 / sigma**2``, instead of ``sigma``.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive, "tau": positive}
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(mu=mu, sigma=sigma_from(sigma, tau=tau))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.lognormal, self.mu, self.sigma, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        log_x = pt.log(value)
        z = (log_x - self.mu) / self.sigma
        return -0.5 * z**2 - log_x - pt.log(self.sigma) - LOG_SQRT_2PI

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return log_ndtr((pt.log(value) - self.mu) / self.sigma)

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return log_ndtr((self.mu - pt.log(value)) / self.sigma)

    def support_point(self) -> TensorVariable:
        return pt.exp(self.mu)

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.sigma)


Lognormal = LogNormal


class LogitNormal(UnitContinuous):
    r"""Distribution of a number between 0 and 1 whose log odds are normal.

    .. math:: f(x \mid \mu, \sigma) = \frac{1}{x (1 - x) \sigma \sqrt{2\pi}}
        \exp\left(-\frac{(\mathrm{logit}(x) - \mu)^2}{2\sigma^2}\right), \quad 0 < x < 1

    Parameters
    ----------
    mu : array_like, default 0
        Mean of the log odds.
    sigma : array_like, optional
        Their standard deviation, positive; 1 by default.
    tau : array_like, optional
        Their precision, ``1 / sigma**2``, instead of ``sigma``.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive, "tau": positive}
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(mu=mu, sigma=sigma_from(sigma, tau=tau))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, draw = draw_from(pt.random.normal, self.mu, self.sigma, rng=rng, size=size)
        return rng, pt.sigmoid(draw)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        log_x, log_rest = pt.log(value), pt.log1p(-value)
        z = (log_x - log_rest - self.mu) / self.sigma
        return -0.5 * z**2 - log_x - log_rest - pt.log(self.sigma) - LOG_SQRT_2PI

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return log_ndtr((pt.log(value) - pt.log1p(-value) - self.mu) / self.sigma)

    def support_point(self) -> TensorVariable:
        return pt.sigmoid(self.mu)

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.sigma)


class StudentT(Continuous):
    r"""Student's t distribution.

    .. math:: f(x \mid \nu, \mu, \sigma) =
        \frac{1}{\sigma \sqrt{\nu}\, B(\nu/2, 1/2)}
        \left(1 + \frac{1}{\nu}\left(\frac{x - \mu}{\sigma}\right)^2\right)^{-(\nu + 1)/2}

    Parameters
    ----------
    nu : array_like
        Degrees of freedom, positive.
    mu : array_like, default 0
        Location.
    sigma : array_like, optional
        Scale, positive; 1 by default.
    lam : array_like, optional
        ``1 / sigma**2``, instead of ``sigma``.
    """

    constraints: ClassVar[Constraints] = {
        "nu": positive,
        "mu": finite,
        "sigma": positive,
        "lam": positive,
    }
    nu: TensorVariable
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, nu: Any, mu: Any = 0.0, sigma: Any = None, lam: Any = None) -> None:
        self.set_params(nu=nu, mu=mu, sigma=sigma_from(sigma, lam=lam))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.t, self.nu, self.mu, self.sigma, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        return log_t(log_abs(value - self.mu), self.nu, self.sigma)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return the log CDF; its error grows with ``nu``, to 1e-6 at ``nu = 1e10``."""
        z = value - self.mu
        log_scale = pt.log(self.sigma) + 0.5 * pt.log(self.nu)
        share = pt.sigmoid(2 * (log_scale - log_abs(z)))  # of nu sigma^2 in nu sigma^2 + z^2
        tail = 0.5 * pt.betainc(0.5 * self.nu, 0.5, share)
        return pt.switch(z < 0, log_or_minus_inf(tail), pt.log1p(-tail))

    def support_point(self) -> TensorVariable:
        return self.mu

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.sigma)


def log_t(log_z: TensorVariable, nu: TensorVariable, sigma: TensorVariable) -> TensorVariable:
    """Return the log density of Student's t distribution at the distance z from its location.

    From log(z), since the square of z would overflow.
    """
    log_scale = pt.log(sigma) + 0.5 * pt.log(nu)
    norm = betaln(0.5 * nu, 0.5) + log_scale
    return -0.5 * (nu + 1) * pt.softplus(2 * (log_z - log_scale)) - norm


class HalfStudentT(PositiveContinuous):
    r"""Distribution of the absolute value of a centred Student's t variable.

    .. math:: f(x \mid \nu, \sigma) =
        \frac{2}{\sigma \sqrt{\nu}\, B(\nu/2, 1/2)}
        \left(1 + \frac{x^2}{\nu\sigma^2}\right)^{-(\nu + 1)/2}, \quad x \ge 0

    Parameters
    ----------
    nu : array_like
        Degrees of freedom, positive.
    sigma : array_like, optional
        Scale, positive; 1 by default.
    lam : array_like, optional
        ``1 / sigma**2``, instead of ``sigma``.
    """

    constraints: ClassVar[Constraints] = {"nu": positive, "sigma": positive, "lam": positive}
    nu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, nu: Any, sigma: Any = None, lam: Any = None) -> None:
        self.set_params(nu=nu, sigma=sigma_from(sigma, lam=lam))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, draw = draw_from(pt.random.t, self.nu, 0.0, self.sigma, rng=rng, size=size)
        return rng, pt.abs(draw)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        return log_t(pt.log(value), self.nu, self.sigma) + LOG_2

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        at_zero = log_t(-np.inf, self.nu, self.sigma) + LOG_2
        return pt.switch(pt.eq(value, 0), at_zero, -np.inf)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        share = pt.sigmoid(2 * pt.log(value / self.sigma) - pt.log(self.nu))  # z^2 / (nu + z^2)
        return log_or_minus_inf(pt.betainc(0.5, 0.5 * self.nu, share))

    def support_point(self) -> TensorVariable:
        return self.sigma


class Cauchy(Continuous):
    r"""Cauchy distribution.

    .. math:: f(x \mid \alpha, \beta) =
        \frac{1}{\pi\beta} \left[1 + \left(\frac{x - \alpha}{\beta}\right)^2\right]^{-1}

    Parameters
    ----------
    alpha : array_like
        Location: the median.
    beta : array_like
        Scale, positive: half of the interquartile range.
    """

    constraints: ClassVar[Constraints] = {"alpha": finite, "beta": positive}
    alpha: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(self, alpha: Any, beta: Any) -> None:
        self.set_params(alpha=alpha, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.cauchy, self.alpha, self.beta, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        log_beta = pt.log(self.beta)
        square = 2 * (log_abs(value - self.alpha) - log_beta)  # its log: it would overflow
        return -pt.softplus(square) - log_beta - LOG_PI

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        angle = pt.arctan2(1.0, (self.alpha - value) / self.beta)
        return pt.minimum(pt.log(angle) - LOG_PI, 0.0)

    def support_point(self) -> TensorVariable:
        return self.alpha

    def standard_form(self) -> LocationScale:
        return LocationScale(self.alpha, self.beta)


class HalfCauchy(PositiveContinuous):
    r"""Distribution of the absolute value of a centred Cauchy variable.

    .. math:: f(x \mid \beta) =
        \frac{2}{\pi\beta} \left[1 + \left(\frac{x}{\beta}\right)^2\right]^{-1}, \quad x \ge 0

    Parameters
    ----------
    beta : array_like
        Scale, positive: the median.
    """

    constraints: ClassVar[Constraints] = {"beta": positive}
    beta: TensorVariable

    @behind_new
    def __init__(self, beta: Any) -> None:
        self.set_params(beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, draw = draw_from(pt.random.cauchy, 0.0, self.beta, rng=rng, size=size)
        return rng, pt.abs(draw)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        log_beta = pt.log(self.beta)
        return -pt.softplus(2 * (pt.log(value) - log_beta)) - log_beta + (LOG_2 - LOG_PI)

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        return pt.switch(pt.eq(value, 0), (LOG_2 - LOG_PI) - pt.log(self.beta), -np.inf)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return pt.minimum(pt.log(pt.arctan(value / self.beta)) + (LOG_2 - LOG_PI), 0.0)

    def support_point(self) -> TensorVariable:
        return self.beta


class Laplace(Continuous):
    r"""Laplace (double exponential) distribution.

    .. math:: f(x \mid \mu, b) = \frac{1}{2b} \exp\left(-\frac{|x - \mu|}{b}\right)

    Parameters
    ----------
    mu : array_like
        Location: mean and median.
    b : array_like
        Scale, positive.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "b": positive}
    mu: TensorVariable
    b: TensorVariable

    @behind_new
    def __init__(self, mu: Any, b: Any) -> None:
        self.set_params(mu=mu, b=b)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.laplace, self.mu, self.b, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        return -pt.abs((value - self.mu) / self.b) - pt.log(self.b) - LOG_2

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        z = (value - self.mu) / self.b
        distance = pt.abs(z)
        return pt.switch(z < 0, -distance - LOG_2, pt.log1p(-0.5 * pt.exp(-distance)))

    def support_point(self) -> TensorVariable:
        return self.mu

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.b)


class AsymmetricLaplace(Continuous):
    r"""Asymmetric Laplace distribution.

    .. math:: f(x \mid \kappa, \mu, b) = \frac{b}{\kappa + 1/\kappa}
        \begin{cases}
        \exp\left(-b \kappa (x - \mu)\right) & x \ge \mu \\
        \exp\left(b (x - \mu) / \kappa\right) & x < \mu
        \end{cases}

    Parameters
    ----------
    kappa : array_like, optional
        Asymmetry, positive; 1 gives the Laplace distribution.
    mu : array_like, default 0
        Location: the mode.
    b : array_like, default 1
        Rate, positive: the inverse of a scale.
    q : array_like, optional
        Quantile that ``mu`` is, instead of ``kappa``: ``kappa = sqrt(q / (1 - q))``. With it the
        likelihood is that of quantile regression.
    """

    constraints: ClassVar[Constraints] = {
        "kappa": positive,
        "mu": finite,
        "b": positive,
        "q": open_unit,
    }
    kappa: TensorVariable
    mu: TensorVariable
    b: TensorVariable

    @behind_new
    def __init__(self, kappa: Any = None, mu: Any = 0.0, b: Any = 1.0, q: Any = None) -> None:
        only_one(kappa=kappa, q=q)
        if kappa is None and q is None:
            raise ValueError("give kappa or q")
        if q is not None:
            q = to_float(q)
            kappa = pt.sqrt(q / (1 - q))
        self.set_params(kappa=kappa, mu=mu, b=b)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, above = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        rng, below = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        return rng, self.mu + (above / self.kappa - below * self.kappa) / self.b

    def logp(self, value: TensorVariable) -> TensorVariable:
        z = self.b * (value - self.mu)
        rate = pt.switch(z < 0, -1 / self.kappa, self.kappa)
        return pt.log(self.b) - pt.log(self.kappa + 1 / self.kappa) - z * rate

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        z = self.b * (value - self.mu)
        below = z < 0
        decay = pt.exp(-pt.abs(z) * self.kappa)
        log_below = z / self.kappa - pt.log1p(self.kappa**-2)
        return pt.switch(below, log_below, pt.log1p(-decay / (1 + self.kappa**2)))

    def support_point(self) -> TensorVariable:
        return self.mu + (1 / self.kappa - self.kappa) / self.b

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, 1 / self.b)


class Logistic(Continuous):
    r"""Logistic distribution.

    .. math:: f(x \mid \mu, s) = \frac{e^{-z}}{s \left(1 + e^{-z}\right)^2},
        \quad z = \frac{x - \mu}{s}

    Parameters
    ----------
    mu : array_like, default 0
        Mean.
    s : array_like, default 1
        Scale, positive.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "s": positive}
    mu: TensorVariable
    s: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, s: Any = 1.0) -> None:
        self.set_params(mu=mu, s=s)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.logistic, self.mu, self.s, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        distance = pt.abs((value - self.mu) / self.s)  # the density is symmetric
        return -distance - 2 * pt.softplus(-distance) - pt.log(self.s)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return -pt.softplus((self.mu - value) / self.s)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return -pt.softplus((value - self.mu) / self.s)

    def support_point(self) -> TensorVariable:
        return self.mu

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.s)


class Gumbel(BoundedContinuous):
    r"""Gumbel distribution: the limit of maxima.

    .. math:: f(x \mid \mu, \beta) = \frac{1}{\beta} \exp\left(-z - e^{-z}\right),
        \quad z = \frac{x - \mu}{\beta}

    Parameters
    ----------
    mu : array_like
        Location: the mode.
    beta : array_like
        Scale, positive.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "beta": positive}
    bounds: tuple[Any, Any] = (-np.inf, None)
    mu: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(self, mu: Any, beta: Any) -> None:
        self.set_params(mu=mu, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.gumbel, self.mu, self.beta, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        z = (value - self.mu) / self.beta
        return -z - pt.exp(-z) - pt.log(self.beta)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return -pt.exp((self.mu - value) / self.beta)

    def support_point(self) -> TensorVariable:
        return self.mu + self.beta * EULER_GAMMA

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.beta)


class Moyal(BoundedContinuous):
    r"""Moyal distribution.

    .. math:: f(x \mid \mu, \sigma) = \frac{1}{\sigma\sqrt{2\pi}}
        \exp\left(-\frac{1}{2}\left(z + e^{-z}\right)\right), \quad z = \frac{x - \mu}{\sigma}

    Parameters
    ----------
    mu : array_like, default 0
        Location: the mode.
    sigma : array_like, default 1
        Scale, positive.

    References
    ----------
    Moyal (1955), "Theory of ionization fluctuations", Philosophical Magazine 46, 263-280.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive}
    bounds: tuple[Any, Any] = (-np.inf, None)
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, sigma: Any = 1.0) -> None:
        self.set_params(mu=mu, sigma=sigma)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Draw by the fact that exp(-z) is a squared standard normal variable."""
        size = self.size_or_batch(size)
        rng, draw = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=size)
        return rng, self.mu - self.sigma * pt.log(draw**2)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        z = (value - self.mu) / self.sigma
        return -0.5 * (z + pt.exp(-z)) - pt.log(self.sigma) - LOG_SQRT_2PI

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return LOG_2 + log_ndtr(-pt.exp((self.mu - value) / (2 * self.sigma)))

    def support_point(self) -> TensorVariable:
        return self.mu + self.sigma * (EULER_GAMMA + LOG_2)

    def standard_form(self) -> LocationScale:
        return LocationScale(self.mu, self.sigma)


class Exponential(PositiveContinuous):
    r"""Exponential distribution.

    .. math:: f(x \mid \lambda) = \lambda e^{-\lambda x}, \quad x \ge 0

    Parameters
    ----------
    lam : array_like, optional
        Rate, positive; 1 by default.
    scale : array_like, optional
        Mean, ``1 / lam``, instead of ``lam``.
    """

    constraints: ClassVar[Constraints] = {"lam": positive, "scale": positive}
    bounds: tuple[Any, Any] = (0.0, None)
    closed: ClassVar[tuple[bool, bool]] = (True, False)
    lam: TensorVariable

    @behind_new
    def __init__(self, lam: Any = None, *, scale: Any = None) -> None:
        only_one(lam=lam, scale=scale)
        if scale is not None:
            lam = 1 / to_float(scale)
        self.set_params(lam=1.0 if lam is None else lam)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.exponential, 1 / self.lam, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        return pt.log(self.lam) - self.lam * value

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return safe_log1mexp(-self.lam * value)

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return -self.lam * value

    def support_point(self) -> TensorVariable:
        return 1 / self.lam


def standard_gamma(alpha: Any, **kwargs: Any) -> TensorVariable:
    """Return draws of the gamma distribution of rate 1."""
    return pt.random.gamma(alpha, scale=1.0, **kwargs)


def gamma_params(alpha: Any, beta: Any, mu: Any, sigma: Any) -> tuple[Any, Any]:
    """Return shape and rate, given as such or as mean and standard deviation."""
    if chosen(*GAMMA_PARAMS, alpha=alpha, beta=beta, mu=mu, sigma=sigma) == ("alpha", "beta"):
        return alpha, beta
    mu, variance = to_float(mu), to_float(sigma) ** 2
    return mu**2 / variance, mu / variance


class Gamma(PositiveContinuous):
    r"""Gamma distribution.

    .. math:: f(x \mid \alpha, \beta) =
        \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x}, \quad x > 0

    Parameters
    ----------
    alpha : array_like, optional
        Shape, positive.
    beta : array_like, optional
        Rate, positive.
    mu, sigma : array_like, optional
        Mean and standard deviation, both positive, instead of ``alpha`` and ``beta``:
        ``alpha = (mu / sigma)**2`` and ``beta = mu / sigma**2``.
    """

    constraints: ClassVar[Constraints] = dict.fromkeys(("alpha", "beta", "mu", "sigma"), positive)
    alpha: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(
        self, alpha: Any = None, beta: Any = None, mu: Any = None, sigma: Any = None
    ) -> None:
        alpha, beta = gamma_params(alpha, beta, mu, sigma)
        self.set_params(alpha=alpha, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, draw = draw_from(standard_gamma, self.alpha, rng=rng, size=size)
        return rng, draw / self.beta

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        norm = self.alpha * pt.log(self.beta) - pt.gammaln(self.alpha)
        return (self.alpha - 1) * pt.log(value) - self.beta * value + norm

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        at_zero = log_power_at_zero(self.alpha - 1) + pt.log(self.beta)
        return pt.switch(pt.eq(value, 0), at_zero, -np.inf)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        x = self.beta * value
        return log_share(pt.gammainc(self.alpha, x), pt.gammaincc(self.alpha, x))

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return log_or_minus_inf(pt.gammaincc(self.alpha, self.beta * value))

    def support_point(self) -> TensorVariable:
        return self.alpha / self.beta


class ChiSquared(Gamma):
    r"""Chi-squared distribution: the gamma distribution of shape nu / 2 and rate 1 / 2.

    .. math:: f(x \mid \nu) =
        \frac{x^{\nu/2 - 1} e^{-x/2}}{2^{\nu/2} \Gamma(\nu/2)}, \quad x > 0

    Parameters
    ----------
    nu : array_like
        Degrees of freedom, positive.
    """

    constraints: ClassVar[Constraints] = {"nu": positive}
    nu: TensorVariable

    @behind_new
    def __init__(self, nu: Any) -> None:
        self.set_params(nu=nu)
        self.alpha = 0.5 * self.nu
        self.beta = pt.constant(0.5, dtype=pytensor.config.floatX)


class InverseGamma(PositiveContinuous):
    r"""Distribution of the inverse of a gamma variable.

    .. math:: f(x \mid \alpha, \beta) =
        \frac{\beta^\alpha}{\Gamma(\alpha)} x^{-\alpha - 1} e^{-\beta / x}, \quad x > 0

    Parameters
    ----------
    alpha : array_like, optional
        Shape, positive.
    beta : array_like, optional
        Scale, positive; 1 by default.
    mu, sigma : array_like, optional
        Mean and standard deviation, both positive, instead of ``alpha`` and ``beta``:
        ``alpha = 2 + (mu / sigma)**2`` and ``beta = mu * (alpha - 1)``.
    """

    constraints: ClassVar[Constraints] = dict.fromkeys(("alpha", "beta", "mu", "sigma"), positive)
    bounds: tuple[Any, Any] = (0.0, None)
    alpha: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(
        self, alpha: Any = None, beta: Any = None, mu: Any = None, sigma: Any = None
    ) -> None:
        if alpha is not None and beta is None:
            beta = 1.0
        if chosen(*GAMMA_PARAMS, alpha=alpha, beta=beta, mu=mu, sigma=sigma) == ("mu", "sigma"):
            mu = to_float(mu)
            alpha = 2 + (mu / sigma) ** 2
            beta = mu * (alpha - 1)
        self.set_params(alpha=alpha, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.invgamma, self.alpha, self.beta, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        norm = self.alpha * pt.log(self.beta) - pt.gammaln(self.alpha)
        return norm - (self.alpha + 1) * pt.log(value) - self.beta / value

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        x = self.beta / value
        return log_share(pt.gammaincc(self.alpha, x), pt.gammainc(self.alpha, x))

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return log_or_minus_inf(pt.gammainc(self.alpha, self.beta / value))

    def support_point(self) -> TensorVariable:
        return self.beta / (self.alpha + 1)  # the mode: the mean need not exist


class Weibull(PositiveContinuous):
    r"""Weibull distribution.

    .. math:: f(x \mid \alpha, \beta) = \frac{\alpha}{\beta}
        \left(\frac{x}{\beta}\right)^{\alpha - 1} e^{-(x / \beta)^\alpha}, \quad x > 0

    Parameters
    ----------
    alpha : array_like
        Shape, positive.
    beta : array_like
        Scale, positive.
    """

    constraints: ClassVar[Constraints] = {"alpha": positive, "beta": positive}
    alpha: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(self, alpha: Any, beta: Any) -> None:
        self.set_params(alpha=alpha, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, draw = draw_from(pt.random.weibull, self.alpha, rng=rng, size=size)
        return rng, self.beta * draw

    def log_hazard(self, log_x: TensorVariable) -> TensorVariable:
        """Return the log of the cumulative hazard, (x / beta)**alpha."""
        return self.alpha * (log_x - pt.log(self.beta))

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        log_x = pt.log(value)
        log_hazard = self.log_hazard(log_x)
        return pt.log(self.alpha) - log_x + log_hazard - pt.exp(log_hazard)

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        at_zero = log_power_at_zero(self.alpha - 1) - pt.log(self.beta)
        return pt.switch(pt.eq(value, 0), at_zero, -np.inf)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return safe_log1mexp(self.interior_logccdf(value))

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return -pt.exp(self.log_hazard(pt.log(value)))

    def support_point(self) -> TensorVariable:
        return self.beta * LOG_2 ** (1 / self.alpha)  # the median


def beta_sample_size(mu: Any, sigma: Any) -> TensorVariable:
    """Return alpha + beta of the beta distribution of a mean and a standard deviation."""
    mean, deviation = constant_value(mu), constant_value(sigma)
    if mean is not None and deviation is not None and np.any(deviation**2 >= mean * (1 - mean)):
        raise ParameterError(f"sigma must be below sqrt(mu * (1 - mu)), got {sigma} for mu {mu}")
    mu = to_float(mu)
    return mu * (1 - mu) / to_float(sigma) ** 2 - 1


def unit_edges(value: TensorVariable, a: TensorVariable, b: TensorVariable) -> TensorVariable:
    """Return the log of the limit at 0 or 1 of a b x**(a - 1) (1 - x)**(b - 1), else -inf."""
    at_one = pt.switch(pt.eq(value, 1), log_power_at_zero(b - 1) + pt.log(a), -np.inf)
    return pt.switch(pt.eq(value, 0), log_power_at_zero(a - 1) + pt.log(b), at_one)


class Beta(UnitContinuous):
    r"""Beta distribution.

    .. math:: f(x \mid \alpha, \beta) =
        \frac{x^{\alpha - 1} (1 - x)^{\beta - 1}}{B(\alpha, \beta)}, \quad 0 < x < 1

    Parameters
    ----------
    alpha, beta : array_like, optional
        Shapes, positive.
    mu : array_like, optional
        Mean, between 0 and 1, together with one of the following, instead of ``alpha`` and
        ``beta``.
    sigma : array_like, optional
        Standard deviation, between 0 and ``sqrt(mu * (1 - mu))``.
    nu : array_like, optional
        Sample size, ``alpha + beta``, positive.
    """

    constraints: ClassVar[Constraints] = {
        **dict.fromkeys(("alpha", "beta", "sigma", "nu"), positive),
        "mu": open_unit,
    }
    alpha: TensorVariable
    beta: TensorVariable

    @behind_new
    def __init__(
        self,
        alpha: Any = None,
        beta: Any = None,
        mu: Any = None,
        sigma: Any = None,
        nu: Any = None,
    ) -> None:
        match chosen(*BETA_PARAMS, alpha=alpha, beta=beta, mu=mu, sigma=sigma, nu=nu):
            case ("mu", "sigma"):
                nu = beta_sample_size(mu, sigma)
                alpha, beta = mu * nu, (1 - mu) * nu
            case ("mu", "nu"):
                mu = to_float(mu)
                alpha, beta = mu * nu, (1 - mu) * nu
        self.set_params(alpha=alpha, beta=beta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.beta, self.alpha, self.beta, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        powers = (self.alpha - 1) * pt.log(value) + (self.beta - 1) * pt.log1p(-value)
        return powers - betaln(self.alpha, self.beta)

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        return unit_edges(value, self.alpha, self.beta)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return log_or_minus_inf(pt.betainc(self.alpha, self.beta, value))

    def support_point(self) -> TensorVariable:
        return self.alpha / (self.alpha + self.beta)


class Kumaraswamy(UnitContinuous):
    r"""Kumaraswamy distribution.

    .. math:: f(x \mid a, b) = a b x^{a - 1} (1 - x^a)^{b - 1}, \quad 0 < x < 1

    Parameters
    ----------
    a, b : array_like
        Shapes, positive.

    References
    ----------
    Jones (2009), "Kumaraswamy's distribution: a beta-type distribution with some tractability
    advantages", Statistical Methodology 6, 70-81.
    """

    constraints: ClassVar[Constraints] = {"a": positive, "b": positive}
    a: TensorVariable
    b: TensorVariable

    @behind_new
    def __init__(self, a: Any, b: Any) -> None:
        self.set_params(a=a, b=b)

    def quantile(self, log_survival: Any) -> TensorVariable:
        """Return the number that is exceeded with a probability of the given log."""
        return pt.exp(pt.log1mexp(log_survival / self.b) / self.a)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, draw = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        return rng, self.quantile(-draw)

    def log_rest(self, log_x: TensorVariable) -> TensorVariable:
        """Return log(1 - x**a)."""
        return pt.log1mexp(self.a * log_x)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        log_x = pt.log(value)
        powers = (self.a - 1) * log_x + (self.b - 1) * self.log_rest(log_x)
        return powers + pt.log(self.a) + pt.log(self.b)

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        return unit_edges(value, self.a, self.b)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return pt.log1mexp(self.b * self.log_rest(pt.log(value)))

    def support_point(self) -> TensorVariable:
        return self.quantile(-LOG_2)


class Triangular(BoundedContinuous):
    r"""Triangular distribution.

    .. math:: f(x \mid l, u, c) =
        \begin{cases}
        \frac{2 (x - l)}{(u - l)(c - l)} & l \le x < c \\
        \frac{2 (u - x)}{(u - l)(u - c)} & c \le x \le u
        \end{cases}

    Parameters
    ----------
    lower : array_like, default 0
        Lower bound.
    upper : array_like, default 1
        Upper bound.
    c : array_like, default 0.5
        Mode, between the bounds.
    """

    constraints: ClassVar[Constraints] = {"lower": finite, "upper": finite, "c": finite}
    lower: TensorVariable
    upper: TensorVariable
    c: TensorVariable

    @behind_new
    def __init__(self, lower: Any = 0.0, upper: Any = 1.0, c: Any = 0.5) -> None:
        check_order(lower, upper, strict=True)
        for low, high in ((lower, c), (c, upper)):
            low, high = constant_value(low), constant_value(high)
            if low is not None and high is not None and np.any(low > high):
                raise ParameterError(f"c must be between lower and upper, got {c}")
        self.set_params(lower=lower, upper=upper, c=c)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.lower, self.upper

    @cached_property
    def default_transform(self) -> Transform:
        """The interval between the bounds."""
        return Interval(self.lower, self.upper)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.triangular, self.lower, self.c, self.upper, rng=rng, size=size)

    def slope(self, value: TensorVariable) -> tuple[TensorVariable, TensorVariable, TensorVariable]:
        """Tell on which side of the mode a value is; its distance from that end, and the mode's."""
        left = value < self.c
        distance = pt.switch(left, value - self.lower, self.upper - value)
        return left, distance, pt.switch(left, self.c - self.lower, self.upper - self.c)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        _, distance, side = self.slope(value)
        return LOG_2 + pt.log(distance / side) - pt.log(self.upper - self.lower)

    def edge_logp(self, value: TensorVariable) -> TensorVariable:
        """Return the log density of the mode at a bound that is the mode, else -inf."""
        peak = LOG_2 - pt.log(self.upper - self.lower)
        inside = (value >= self.lower) & (value <= self.upper)
        return pt.switch(inside & pt.eq(value, self.c), peak, -np.inf)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        left, distance, side = self.slope(value)
        share = distance / side * distance / (self.upper - self.lower)
        return pt.switch(left, pt.log(share), pt.log1p(-share))

    def support_point(self) -> TensorVariable:
        return (self.lower + self.upper + self.c) / 3


class VonMises(BoundedContinuous):
    r"""Von Mises distribution: the normal distribution on a circle.

    .. math:: f(x \mid \mu, \kappa) = \frac{e^{\kappa\cos(x - \mu)}}{2\pi I_0(\kappa)},
        \quad -\pi \le x \le \pi

    Parameters
    ----------
    mu : array_like, default 0
        Mean direction.
    kappa : array_like, default 1
        Concentration, positive.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "kappa": positive}
    bounds: tuple[Any, Any] = (-math.pi, math.pi)
    closed: ClassVar[tuple[bool, bool]] = (True, True)
    mu: TensorVariable
    kappa: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, kappa: Any = 1.0) -> None:
        self.set_params(mu=mu, kappa=kappa)

    @property
    def default_transform(self) -> Transform:
        """Wrapping around the circle."""
        return circular

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.vonmises, self.mu, self.kappa, rng=rng, size=size)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        cosine = -2 * pt.sin(0.5 * (value - self.mu)) ** 2  # cos(x - mu) - 1, without cancelling
        return self.kappa * cosine - log_i0(self.kappa) - 2 * LOG_SQRT_2PI

    def support_point(self) -> TensorVariable:
        return pt.arctan2(pt.sin(self.mu), pt.cos(self.mu))


class Wald(BoundedContinuous):
    r"""Wald (inverse Gaussian) distribution.

    .. math:: f(x \mid \mu, \lambda, \alpha) =
        \sqrt{\frac{\lambda}{2\pi y^3}} \exp\left(-\frac{\lambda (y - \mu)^2}{2 \mu^2 y}\right),
        \quad y = x - \alpha > 0

    Parameters
    ----------
    mu : array_like, optional
        Mean of ``x - alpha``, positive.
    lam : array_like, optional
        Shape, positive. Without ``lam`` and ``phi`` it is 1.
    phi : array_like, optional
        ``lam / mu``, positive, instead of one of the two.
    alpha : array_like, default 0
        Shift: the lower bound.
    """

    constraints: ClassVar[Constraints] = {
        **dict.fromkeys(("mu", "lam", "phi"), positive),
        "alpha": finite,
    }
    mu: TensorVariable
    lam: TensorVariable
    alpha: TensorVariable

    @behind_new
    def __init__(self, mu: Any = None, lam: Any = None, phi: Any = None, alpha: Any = 0.0) -> None:
        match chosen(
            ("mu",), ("mu", "lam"), ("mu", "phi"), ("lam", "phi"), mu=mu, lam=lam, phi=phi
        ):
            case ("mu",):
                lam = 1.0
            case ("mu", "phi"):
                lam = to_float(mu) * phi
            case ("lam", "phi"):
                mu = to_float(lam) / phi
        self.set_params(mu=mu, lam=lam, alpha=alpha)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.alpha, np.inf

    @cached_property
    def default_transform(self) -> Transform:
        """The logarithm of the distance from the lower bound."""
        shift = constant_value(self.alpha)
        if shift is not None and not shift.any():
            return log_transform
        return Interval(lower=self.alpha)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, draw = draw_from(pt.random.wald, self.mu, self.lam, rng=rng, size=size)
        return rng, self.alpha + draw

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        y = value - self.alpha
        # The product of these two is (y - mu)^2 / (mu^2 y), without a square that may overflow.
        distance = (y / self.mu - 1) * (1 / self.mu - 1 / y)
        log_scale = 0.5 * pt.log(self.lam) - 1.5 * pt.log(y)
        return log_scale - 0.5 * self.lam * distance - LOG_SQRT_2PI

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        y = value - self.alpha
        root, ratio = pt.sqrt(self.lam / y), y / self.mu
        first = log_ndtr(root * (ratio - 1))
        second = 2 * self.lam / self.mu + log_ndtr(-root * (ratio + 1))
        return pt.minimum(pt.logaddexp(first, second), 0.0)

    def support_point(self) -> TensorVariable:
        return self.alpha + self.mu


class Pareto(BoundedContinuous):
    r"""Pareto distribution.

    .. math:: f(x \mid \alpha, m) = \frac{\alpha m^\alpha}{x^{\alpha + 1}}, \quad x \ge m

    Parameters
    ----------
    alpha : array_like
        Shape, positive.
    m : array_like
        Lower bound, positive.
    """

    constraints: ClassVar[Constraints] = {"alpha": positive, "m": positive}
    closed: ClassVar[tuple[bool, bool]] = (True, False)
    alpha: TensorVariable
    m: TensorVariable

    @behind_new
    def __init__(self, alpha: Any, m: Any) -> None:
        self.set_params(alpha=alpha, m=m)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.m, None

    @cached_property
    def default_transform(self) -> Transform:
        """The logarithm of the distance from the lower bound."""
        return Interval(lower=self.m)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, draw = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        return rng, self.m * pt.exp(draw / self.alpha)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        log_x = pt.log(value)
        return pt.log(self.alpha) - self.alpha * (log_x - pt.log(self.m)) - log_x

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        return safe_log1mexp(self.interior_logccdf(value))

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        return -self.alpha * (pt.log(value) - pt.log(self.m))

    def support_point(self) -> TensorVariable:
        return self.m * (1 + 1 / self.alpha)


class ExGaussian(BoundedContinuous):
    r"""Distribution of the sum of a normal and an exponential variable.

    .. math:: f(x \mid \mu, \sigma, \nu) =
        \frac{1}{\nu} \exp\left(\frac{r^2}{2} - r z\right) \Phi(z - r),
        \quad z = \frac{x - \mu}{\sigma}, \quad r = \frac{\sigma}{\nu}

    Parameters
    ----------
    mu : array_like, default 0
        Mean of the normal variable.
    sigma : array_like, default 1
        Its standard deviation, positive.
    nu : array_like
        Mean of the exponential variable, positive.

    References
    ----------
    Rigby and Stasinopoulos (2005), "Generalized additive models for location, scale and shape",
    Applied Statistics 54, 507-554.
    """

    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": positive, "nu": positive}
    bounds: tuple[Any, Any] = (-np.inf, np.inf)
    mu: TensorVariable
    sigma: TensorVariable
    nu: TensorVariable

    @behind_new
    def __init__(self, mu: Any = 0.0, sigma: Any = 1.0, *, nu: Any) -> None:
        self.set_params(mu=mu, sigma=sigma, nu=nu)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, normal = draw_from(pt.random.normal, self.mu, self.sigma, rng=rng, size=size)
        rng, waiting = draw_from(pt.random.exponential, self.nu, rng=rng, size=size)
        return rng, normal + waiting

    def log_tilted(self, z: TensorVariable, r: TensorVariable) -> TensorVariable:
        """Return r^2 / 2 - r z + log Phi(z - r).

        Where z < r, the squares in the first and in the last term cancel but for -z^2 / 2.
        """
        beyond = z - r
        low = log_erfcx_half(pt.maximum(-beyond, 0.0)) - 0.5 * z**2
        high = r * (0.5 * r - z) + log_ndtr(beyond)
        return pt.switch(beyond < 0, low, high)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        z, r = (value - self.mu) / self.sigma, self.sigma / self.nu
        return self.log_tilted(z, r) - pt.log(self.nu)

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return log(Phi(z) - exp(r^2 / 2 - r z) Phi(z - r)); the common exp(-z^2 / 2) apart."""
        z, r = (value - self.mu) / self.sigma, self.sigma / self.nu
        low, high = pt.minimum(z, 0.0), pt.maximum(z, 0.0)
        left = logdiffexp(log_erfcx_half(-low), log_erfcx_half(r - low)) - 0.5 * low**2
        right = logdiffexp(log_ndtr(high), self.log_tilted(high, r))
        return pt.switch(z < 0, left, right)

    def support_point(self) -> TensorVariable:
        return self.mu + self.nu


class Rice(PositiveContinuous):
    r"""Rice distribution: of the distance from the origin of a normal point in the plane.

    .. math:: f(x \mid \nu, \sigma) = \frac{x}{\sigma^2}
        \exp\left(-\frac{x^2 + \nu^2}{2\sigma^2}\right) I_0\left(\frac{x\nu}{\sigma^2}\right),
        \quad x > 0

    Parameters
    ----------
    nu : array_like, optional
        Distance of the point's mean from the origin, zero or more.
    sigma : array_like, optional
        Standard deviation of its coordinates, positive; 1 by default.
    b : array_like, optional
        ``nu / sigma``, instead of ``nu``.
    """

    constraints: ClassVar[Constraints] = {"nu": nonnegative, "sigma": positive, "b": nonnegative}
    nu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(self, nu: Any = None, sigma: Any = None, b: Any = None) -> None:
        sigma = 1.0 if sigma is None else sigma
        if chosen(("nu",), ("b",), nu=nu, b=b) == ("b",):
            nu = to_float(b) * sigma
        self.set_params(nu=nu, sigma=sigma)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, along = draw_from(pt.random.normal, self.nu, self.sigma, rng=rng, size=size)
        rng, across = draw_from(pt.random.normal, 0.0, self.sigma, rng=rng, size=size)
        return rng, pt.sqrt(along**2 + across**2)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        x, b = value / self.sigma, self.nu / self.sigma
        return pt.log(x) - pt.log(self.sigma) - 0.5 * (x - b) ** 2 + log_i0(x * b)

    def support_point(self) -> TensorVariable:
        return pt.sqrt(self.nu**2 + 2 * self.sigma**2)
