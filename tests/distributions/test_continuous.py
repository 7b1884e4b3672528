"""Continuous distributions against SciPy, closed forms and quadrature."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.checks import (
    EVALUATE_MODE,
    Case,
    check_draws,
    check_extremes,
    check_float32,
    check_gradients,
    check_logcdf,
    check_logp,
    check_outside,
    check_shapes,
    check_support_point,
    draws,
)
from helpers.in_jax import of_shared
from pytensor.compile.mode import Mode
from scipy import special, stats
from scipy.integrate import quad

from vibayes.backend.modes import evaluate
from vibayes.distributions import continuous as c
from vibayes.distributions.base import distribution_of, logcdf, logp
from vibayes.exceptions import ParameterError
from vibayes.model.core import Model

INF = np.inf
POSITIVE = {"support": (0.0, INF), "finite": (1e-300, 1e300)}
CLOSED_POSITIVE = {"support": (0.0, INF), "finite": (0.0, 1e6)}
UNIT = {"support": (0.0, 1.0), "finite": (1e-300, 1 - 1e-10)}


@dataclass(frozen=True)
class Transformed:
    """The distribution of ``inverse(y)`` for y of a reference, ``forward`` being increasing."""

    base: Any
    forward: Any
    inverse: Any
    log_derivative: Any

    def logpdf(self, x):
        return self.base.logpdf(self.forward(x)) + self.log_derivative(x)

    def logcdf(self, x):
        return self.base.logcdf(self.forward(x))

    def cdf(self, x):
        return self.base.cdf(self.forward(x))

    def ppf(self, p):
        return self.inverse(self.base.ppf(p))


def logit_normal(mu, sigma):
    return Transformed(
        stats.norm(mu, sigma),
        special.logit,
        special.expit,
        lambda x: -np.log(x) - np.log1p(-x),
    )


def kumaraswamy(a, b):
    """Kumaraswamy(a, b): the power 1 / a of a Beta(1, b) variable."""
    return Transformed(
        stats.beta(1, b),
        lambda x: x**a,
        lambda y: y ** (1 / a),
        lambda x: np.log(a) + (a - 1) * np.log(x),
    )


def half(frozen):
    """The absolute value of a variable that is symmetric about 0."""

    class Half:
        logpdf = staticmethod(lambda x: frozen.logpdf(x) + np.log(2))
        cdf = staticmethod(lambda x: frozen.cdf(x) - frozen.cdf(-x))
        logcdf = staticmethod(lambda x: np.log(frozen.cdf(x) - frozen.cdf(-x)))
        ppf = staticmethod(lambda p: frozen.ppf((1 + np.asarray(p)) / 2))

    return Half()


CASES = [
    Case(c.Uniform, {"lower": -1.0, "upper": 3.0}, stats.uniform(-1, 4), support=(-1, 3)),
    Case(c.Normal, {"mu": 1.0, "sigma": 2.0}, stats.norm(1, 2)),
    Case(c.Normal, {"mu": 1.0, "tau": 4.0}, stats.norm(1, 0.5)),
    Case(
        c.TruncatedNormal,
        {"mu": 0.5, "sigma": 2.0, "lower": -1.0, "upper": 3.0},
        stats.truncnorm(-0.75, 1.25, 0.5, 2),
        support=(-1, 3),
    ),
    Case(  # both bounds far in a tail
        c.TruncatedNormal,
        {"mu": 0.0, "sigma": 1.0, "lower": 8.0, "upper": 9.0},
        stats.truncnorm(8, 9),
        support=(8, 9),
    ),
    Case(
        c.TruncatedNormal,
        {"mu": 0.5, "sigma": 2.0, "lower": 1.0},
        stats.truncnorm(0.25, INF, 0.5, 2),
        support=(1, INF),
    ),
    Case(
        c.TruncatedNormal,
        {"mu": 0.5, "sigma": 2.0, "upper": 1.0},
        stats.truncnorm(-INF, 0.25, 0.5, 2),
        support=(-INF, 1),
    ),
    Case(c.TruncatedNormal, {"mu": 0.5, "sigma": 2.0}, stats.norm(0.5, 2)),
    Case(c.HalfNormal, {"sigma": 2.0}, stats.halfnorm(scale=2), **CLOSED_POSITIVE),
    Case(
        c.SkewNormal, {"alpha": 3.0, "mu": 1.0, "sigma": 2.0}, stats.skewnorm(3, 1, 2), rtol=1e-8
    ),
    Case(c.SkewNormal, {"alpha": -0.5, "mu": 1.0, "tau": 0.25}, stats.skewnorm(-0.5, 1, 2)),
    Case(c.LogNormal, {"mu": 0.5, "sigma": 0.8}, stats.lognorm(0.8, scale=np.exp(0.5)), **POSITIVE),
    Case(c.LogitNormal, {"mu": 0.5, "sigma": 1.5}, logit_normal(0.5, 1.5), **UNIT),
    Case(
        c.StudentT,
        {"nu": 3.5, "mu": 1.0, "sigma": 2.0},
        stats.t(3.5, 1, 2),
        finite=(-1e300, 1e300),
    ),
    Case(c.StudentT, {"nu": 1e10, "mu": 1.0, "lam": 0.25}, stats.norm(1, 2),
         has_logcdf=False, finite=(-1e300, 1e300), rtol=1e-8),
    Case(c.HalfStudentT, {"nu": 3.5, "sigma": 2.0}, half(stats.t(3.5, 0, 2)), **CLOSED_POSITIVE),
    Case(c.Cauchy, {"alpha": 1.0, "beta": 2.0}, stats.cauchy(1, 2), finite=(-1e300, 1e300)),
    Case(
        c.HalfCauchy, {"beta": 2.0}, stats.halfcauchy(scale=2), support=(0, INF), finite=(0, 1e300)
    ),
    Case(c.Laplace, {"mu": 1.0, "b": 2.0}, stats.laplace(1, 2), finite=(-1e300, 1e300)),
    Case(
        c.AsymmetricLaplace,
        {"kappa": 1.5, "mu": 1.0, "b": 0.5},
        stats.laplace_asymmetric(1.5, 1, 2),
        finite=(-1e300, 1e300),
    ),
    Case(
        c.AsymmetricLaplace,
        {"mu": 1.0, "b": 0.5, "q": 0.2},
        stats.laplace_asymmetric(0.5, 1, 2),
    ),
    Case(c.Logistic, {"mu": 1.0, "s": 2.0}, stats.logistic(1, 2), finite=(-1e300, 1e300)),
    Case(c.Gumbel, {"mu": 1.0, "beta": 2.0}, stats.gumbel_r(1, 2), finite=(-1e3, 1e300)),
    Case(c.Moyal, {"mu": 1.0, "sigma": 2.0}, stats.moyal(1, 2), finite=(-1e3, 1e300)),
    Case(c.Exponential, {"lam": 0.5}, stats.expon(scale=2), support=(0, INF), finite=(0, 1e300)),
    Case(c.Exponential, {"scale": 0.5}, stats.expon(scale=0.5), **CLOSED_POSITIVE),
    Case(c.Gamma, {"alpha": 2.5, "beta": 0.5}, stats.gamma(2.5, scale=2), **POSITIVE),
    Case(c.Gamma, {"alpha": 0.3, "beta": 2.0}, stats.gamma(0.3, scale=0.5), **POSITIVE),
    Case(c.Gamma, {"mu": 3.0, "sigma": 1.5}, stats.gamma(4, scale=0.75), **POSITIVE),
    Case(c.InverseGamma, {"alpha": 2.5, "beta": 0.5}, stats.invgamma(2.5, scale=0.5),
         support=(0, INF), finite=(1e-150, 1e300)),
    Case(c.InverseGamma, {"mu": 3.0, "sigma": 1.5}, stats.invgamma(6, scale=15),
         support=(0, INF), finite=(1e-150, 1e300)),
    Case(c.ChiSquared, {"nu": 3.0}, stats.chi2(3), **POSITIVE),
    Case(c.Weibull, {"alpha": 2.5, "beta": 1.5}, stats.weibull_min(2.5, scale=1.5),
         support=(0, INF), finite=(1e-300, 1e6)),
    Case(c.Weibull, {"alpha": 0.5, "beta": 1.5}, stats.weibull_min(0.5, scale=1.5), **POSITIVE),
    Case(c.Beta, {"alpha": 2.5, "beta": 0.5}, stats.beta(2.5, 0.5), **UNIT),
    Case(c.Beta, {"mu": 0.4, "sigma": 0.2}, stats.beta(2, 3), **UNIT),
    Case(c.Beta, {"mu": 0.4, "nu": 0.5}, stats.beta(0.2, 0.3), **UNIT),
    Case(c.Kumaraswamy, {"a": 2.5, "b": 0.5}, kumaraswamy(2.5, 0.5), **UNIT),
    Case(c.Kumaraswamy, {"a": 0.4, "b": 3.0}, kumaraswamy(0.4, 3.0), **UNIT),
    Case(c.Triangular, {"lower": -1.0, "upper": 3.0, "c": 0.5}, stats.triang(1.5 / 4, -1, 4),
         support=(-1, 3), finite=(-1 + 1e-10, 3 - 1e-10)),
    Case(c.VonMises, {"mu": 0.5, "kappa": 2.0}, stats.vonmises(2, 0.5), has_logcdf=False,
         support=(-np.pi, np.pi), points=(-3.0, -1.0, 0.0, 0.5, 1.0, 3.1)),
    Case(c.VonMises, {"mu": 0.5, "kappa": 1e6}, stats.vonmises(1e6, 0.5), has_logcdf=False,
         support=(-np.pi, np.pi), points=(0.49, 0.499, 0.5, 0.501), rtol=1e-8),
    Case(c.Wald, {"mu": 1.5, "lam": 2.0}, stats.invgauss(0.75, scale=2),
         support=(0, INF), finite=(1e-150, 1e300)),
    Case(c.Wald, {"mu": 1.5, "phi": 2.0, "alpha": -1.0}, stats.invgauss(0.5, -1, 3),
         support=(-1, INF), finite=(-1 + 1e-10, 1e300)),
    Case(c.Pareto, {"alpha": 1.5, "m": 2.0}, stats.pareto(1.5, scale=2),
         support=(2, INF), finite=(2, 1e300)),
    Case(c.ExGaussian, {"mu": 1.0, "sigma": 2.0, "nu": 3.0}, stats.exponnorm(1.5, 1, 2)),
    Case(c.ExGaussian, {"mu": 1.0, "sigma": 3.0, "nu": 0.1}, stats.exponnorm(1 / 30, 1, 3)),
    Case(c.Rice, {"nu": 1.5, "sigma": 2.0}, stats.rice(0.75, scale=2), has_logcdf=False,
         support=(0, INF), finite=(1e-300, 1e6)),
    Case(c.Rice, {"b": 20.0, "sigma": 0.5}, stats.rice(20, scale=0.5), has_logcdf=False,
         support=(0, INF), finite=(1e-300, 1e6)),
]  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
def test_logp(case):
    check_logp(case)


@every_case
def test_logcdf(case):
    check_logcdf(case)


@every_case
def test_gradients(case):
    check_gradients(case)


@every_case
@pytest.mark.parametrize("float_x", ["float64", "float32"])
def test_extremes(case, float_x):
    check_extremes(case, float_x)


@every_case
def test_outside(case):
    check_outside(case)


@every_case
def test_float32(case):
    check_float32(case)


@every_case
def test_draws(case):
    check_draws(case)


@every_case
def test_shapes(case):
    check_shapes(case)


@every_case
def test_support_point(case):
    check_support_point(case)


def test_every_distribution_has_a_case():
    improper = {"Flat", "HalfFlat"}
    tested = {case.dist.__name__ for case in CASES} | improper | {"Lognormal"}
    assert tested == set(c.__all__)
    assert c.Lognormal is c.LogNormal


def label(parameter):
    return repr(distribution_of(parameter)) if hasattr(parameter, "owner") else f"{parameter:.4g}"


# -- edges of the support ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rv", "value", "expected"),
    [
        (c.Gamma.dist(2.0, 3.0), 0.0, -INF),
        (c.Gamma.dist(1.0, 3.0), 0.0, np.log(3.0)),
        (c.Gamma.dist(0.5, 3.0), 0.0, INF),
        (c.ChiSquared.dist(2.0), 0.0, np.log(0.5)),
        (c.Weibull.dist(1.0, 4.0), 0.0, -np.log(4.0)),
        (c.Weibull.dist(0.5, 4.0), 0.0, INF),
        (c.Exponential.dist(3.0), 0.0, np.log(3.0)),
        (c.HalfCauchy.dist(3.0), 0.0, np.log(2 / (3 * np.pi))),
        (c.HalfStudentT.dist(1.0, 3.0), 0.0, np.log(2 / (3 * np.pi))),
        (c.Beta.dist(1.0, 3.0), 0.0, np.log(3.0)),
        (c.Beta.dist(3.0, 1.0), 1.0, np.log(3.0)),
        (c.Beta.dist(3.0, 0.5), 1.0, INF),
        (c.Beta.dist(3.0, 2.0), 1.0, -INF),
        (c.Kumaraswamy.dist(1.0, 3.0), 0.0, np.log(3.0)),
        (c.Kumaraswamy.dist(3.0, 1.0), 1.0, np.log(3.0)),
        (c.Triangular.dist(0.0, 2.0, 2.0), 2.0, 0.0),
        (c.Triangular.dist(0.0, 2.0, 0.0), 0.0, 0.0),
        (c.Triangular.dist(0.0, 2.0, 1.0), 0.0, -INF),
        (c.Pareto.dist(3.0, 2.0), 2.0, np.log(1.5)),
    ],
    ids=label,
)
def test_logp_at_the_edge(rv, value, expected):
    (density,) = evaluate([logp(rv, value)])
    np.testing.assert_allclose(density, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dist", [c.Gamma, c.Weibull])
def test_zeros_inform_a_parameter(dist):
    """With alpha = 1 both are exponential: zeros are ordinary data, also for the gradient."""
    beta = pt.scalar("beta", dtype="float64")
    density = logp(dist.dist(1.0, beta), np.zeros(2)).sum()
    (slope,) = evaluate([pytensor.grad(density, beta)], {beta: 4.0})
    np.testing.assert_allclose(slope, 0.5 if dist is c.Gamma else -0.5)


# -- far tails, and parameters at their ends --------------------------------------------------


def value_and_slope(rv, at):
    value = pt.scalar("value", dtype="float64")
    density = logp(rv, value)
    with np.errstate(all="ignore"):
        return [float(v) for v in evaluate([density, pytensor.grad(density, value)], {value: at})]


@pytest.mark.parametrize(
    ("rv", "at", "expected", "slope"),
    [
        # Mills' ratio: Phi(-u) = phi(u) / u (1 - 1 / u^2 + ...)
        (
            c.SkewNormal.dist(2.0, 0.0, 1.0),
            -1e4,
            -0.5 * 5e8 - np.log(2e4) - np.log(np.pi) + np.log1p(-1 / 4e8),
            5e4 + 1e-4,
        ),
        (c.Logistic.dist(0.0, 2.0), 1e6, -5e5 - np.log(2), -0.5),
        (c.Logistic.dist(0.0, 2.0), -1e6, -5e5 - np.log(2), 0.5),
        (c.Gumbel.dist(0.0, 2.0), 1e6, -5e5 - np.log(2), -0.5),
        (c.Moyal.dist(0.0, 2.0), 1e6, -2.5e5 - np.log(2) - 0.5 * np.log(2 * np.pi), -0.25),
        (c.Cauchy.dist(0.0, 1e-10), 1e300, np.log(1e-10 / np.pi) - 600 * np.log(10), -2e-300),
        (
            c.StudentT.dist(2.0, 0.0, 1.0),
            -1e300,
            -900 * np.log(10),  # the density is (2 + x^2)^(-3/2)
            3e-300,
        ),
        (c.StudentT.dist(1e20), 1.0, stats.norm.logpdf(1.0), -1.0),
        (c.Pareto.dist(1.5, 1e-300), 1e300, np.log(1.5) - (450 + 750) * np.log(10), -2.5e-300),
        # (log f)(x) + x^2 / 2 for x > lower >> 0 is that of the hazard, about lower
        (
            c.TruncatedNormal.dist(0.0, 1.0, lower=1e3),
            1e3,
            np.log(1e3) + 1e-6,
            -1e3,
        ),
        (c.TruncatedNormal.dist(0.0, 1e30, lower=1.0, upper=3.0), 2.0, -np.log(2.0), 0.0),
        (
            c.TruncatedNormal.dist(0.0, 1.0, lower=-2e3, upper=-1e3),
            -1e3,
            np.log(1e3) + 1e-6,
            1e3,
        ),
        # sigma >> nu: a normal distribution, whose mean is shifted by nu
        (
            c.ExGaussian.dist(0.0, 1.0, nu=1e-9),
            -3.0,
            stats.norm.logpdf(-3.0, 1e-9),
            3.0 + 1e-9,
        ),
        # sigma << nu: an exponential distribution
        (c.ExGaussian.dist(0.0, 1e-9, nu=2.0), 3.0, -1.5 - np.log(2), -0.5),
        (c.VonMises.dist(0.0, 1e12), 1e-6, stats.norm.logpdf(1.0) + np.log(1e6), -1e6),
        (
            c.Rice.dist(1e6, 1.0),
            1e6 + 1,
            stats.norm.logpdf(1.0) + 0.5 * np.log1p(1e-6),
            -1 + 0.5 / (1e6 + 1),
        ),
        (c.Wald.dist(1.0, 1.0), 1e300, -5e299, -0.5),
        (
            c.Beta.dist(0.5, 1e12),
            1e-300,
            150 * np.log(10) + 6 * np.log(10) - 0.5 * np.log(np.pi),
            -0.5e300,
        ),
    ],
    ids=label,
)
def test_far_out(rv, at, expected, slope):
    got = value_and_slope(rv, at)
    np.testing.assert_allclose(got, [expected, slope], rtol=1e-8, atol=1e-12)


def test_narrow_truncation_is_uniform_for_every_scale():
    sigma = 10.0 ** np.arange(0, 25, 2)
    rv = c.TruncatedNormal.dist(0.3, sigma, lower=1.0, upper=1.0 + 1e-6)
    (density,) = evaluate([logp(rv, np.full(sigma.shape, 1.0 + 3e-7))])
    np.testing.assert_allclose(density, np.log(1e6), rtol=1e-7)


def test_exgaussian_cdf_is_the_integral_of_its_density():
    """In the far left tail, where the CDF is the difference of nearly equal terms."""
    rv = c.ExGaussian.dist(0.0, 1.0, nu=0.5)
    at = pt.scalar("at", dtype="float64")
    density = pytensor.function([at], pt.exp(logp(rv, at)), mode=EVALUATE_MODE)
    for x in (-20.0, -8.0, -1.0, 3.0):
        area, _ = quad(lambda t: float(density(t)), x - 12, x, epsrel=1e-10, epsabs=0, limit=200)
        (value,) = evaluate([logcdf(rv, x)])
        np.testing.assert_allclose(value, np.log(area), rtol=1e-8)


# -- improper distributions -------------------------------------------------------------------


def test_flat():
    rv = c.Flat.dist(shape=3)
    value = pt.vector("value", dtype="float64")
    density = logp(rv, value)
    x = [-INF, -1e300, 0.0, 5.0, INF]
    density, cdf = evaluate([density, logcdf(rv, value)], {value: x})
    np.testing.assert_array_equal(density, np.zeros(5))
    np.testing.assert_array_equal(cdf, [-INF, *[np.log(0.5)] * 3, 0.0])
    assert rv.type.shape == (3,)


def test_half_flat():
    value = pt.vector("value", dtype="float64")
    rv = c.HalfFlat.dist(shape=3)
    density, cdf = evaluate([logp(rv, value), logcdf(rv, value)], {value: [-1.0, 1e-300, 1e300]})
    np.testing.assert_array_equal(density, [-INF, 0.0, 0.0])
    np.testing.assert_array_equal(cdf, [-INF, -INF, -INF])
    assert rv.type.shape == (3,)


@pytest.mark.parametrize("dist", [c.Flat, c.HalfFlat])
def test_improper_distributions_cannot_be_drawn(dist):
    with pytest.raises(NotImplementedError, match=r"improper.*initval="):
        evaluate([dist.dist(shape=2)])


def test_improper_distributions_in_a_model():
    with Model() as model:
        c.Flat("a", shape=3)
        c.HalfFlat("b", shape=(2,))
        c.Flat("c")
    point = model.initial_point()
    assert {name: value.shape for name, value in point.items()} == {
        "a": (3,),
        "b_log__": (2,),
        "c": (),
    }
    assert all((value == 0).all() for value in point.values())
    (total,) = evaluate([model.logp()], {v: point[v.name] for v in model.value_vars})
    assert total == 0


# -- in a model -------------------------------------------------------------------------------


def test_default_transforms():
    """All start within their support, and densities of transformed variables integrate to one."""
    seen = set()
    for case in CASES:
        if case.dist in seen:
            continue
        seen.add(case.dist)
        with Model() as model:
            case.dist("x", **case.params)
        (value,) = model.value_vars
        start = model.initial_point()[value.name]
        density = pytensor.function([value], pt.exp(model.logp()), mode=EVALUATE_MODE)
        assert 0 < density(start) < INF, case
        if case.dist in (c.VonMises, c.StudentT, c.Cauchy, c.HalfCauchy):  # circle, heavy tails
            continue
        pieces = start + np.array([-30.0, -4.0, 0.0, 4.0, 30.0])
        area = sum(
            quad(lambda z, f=density: float(f(z)), a, b, limit=200)[0] for a, b in pairwise(pieces)
        )
        np.testing.assert_allclose(area, 1, rtol=2e-3, err_msg=str(case))


@pytest.mark.parametrize(
    ("dist", "params", "expected"),
    [
        # Beta(1/2, 1/2) and its Jacobian: sqrt(s(z) s(-z)) / pi
        (c.Beta, (0.5, 0.5), lambda z: -np.abs(z) / 2 - np.log(np.pi)),
        (c.Gamma, (0.1, 1.0), lambda z: z / 10 - np.exp(z) - special.gammaln(0.1)),
        (c.InverseGamma, (0.1, 1.0), lambda z: -z / 10 - np.exp(-z) - special.gammaln(0.1)),
        (c.Weibull, (0.1, 1.0), lambda z: np.log(0.1) + z / 10 - np.exp(z / 10)),
        (c.LogNormal, (0.0, 10.0), lambda z: stats.norm.logpdf(z, 0, 10)),
        (c.HalfCauchy, (1.0,), lambda z: np.log(2 / np.pi) - np.abs(z)),
        (c.Uniform, (2.0, 5.0), lambda z: -np.abs(z)),
    ],
    ids=lambda p: p.__name__ if isinstance(p, type) else "",
)  # fmt: skip
def test_transform_that_under_or_overflows(dist, params, expected):
    """Values that are 0, 1 or infinity after rounding still have the right density."""
    with Model() as model:
        dist("x", *params, shape=5)
    (value,) = model.value_vars
    z = np.array([-900.0, -100.0, 100.0, 700.0, 900.0])
    total = model.logp(sum=False)[0]
    outputs = [total, pytensor.grad(total.sum(), value)]
    # the rewrites that a fit has, without compiling
    function = pytensor.function([value], outputs, mode=Mode(linker="py", optimizer="fast_run"))
    with np.errstate(all="ignore"):
        density, slope = function(z)
        np.testing.assert_allclose(density, expected(z), rtol=1e-12)
    assert not np.isnan(slope).any()


def test_random_bounds():
    with Model() as model:
        low = c.Normal("low")
        width = c.HalfNormal("width")
        c.Uniform("x", low, low + width)
    point = {"low": 0.7, "width_log__": 0.2, "x_interval__": -0.4}
    total = evaluate([model.logp()], {v: point[v.name] for v in model.value_vars})[0]
    share = special.expit(-0.4)
    # The width cancels from the density of x and its Jacobian.
    expected = stats.norm.logpdf(0.7) + stats.halfnorm.logpdf(np.exp(0.2)) + 0.2
    np.testing.assert_allclose(total, expected + np.log(share * (1 - share)), rtol=1e-12)


def test_shifted_wald_starts_above_its_bound():
    with Model() as model:
        shift = c.Normal("shift")
        c.Wald("x", 1.0, 2.0, alpha=shift)
        c.Wald("y", 1.0, 2.0)
    assert list(model.initial_point()) == ["shift", "x_interval__", "y_log__"]
    assert np.isfinite(list(model.point_logps().values())).all()


# -- parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dist", "params", "error", "match"),
    [
        (c.Normal, {"sigma": -1.0}, ParameterError, "sigma must be positive, got -1"),
        (c.Normal, {"sigma": 1.0, "tau": 1.0}, ValueError, "sigma or tau"),
        (c.Normal, {"sigma": 1.0, "sd": 1.0}, TypeError, "sd is another name of sigma"),
        (c.StudentT, {"nu": 0.0}, ParameterError, "nu must be positive"),
        (c.StudentT, {"nu": 1.0, "sigma": 1.0, "lam": 1.0}, ValueError, "sigma or lam"),
        (c.Uniform, {"lower": 1.0, "upper": 0.0}, ParameterError, "lower must be below upper"),
        (c.Uniform, {"lower": [0, 1], "upper": 1}, ParameterError, "lower must be below upper"),
        (c.TruncatedNormal, {"lower": 2, "upper": 2}, ParameterError, "lower must be below"),
        (c.Triangular, {"c": 2.0}, ParameterError, "c must be between"),
        (c.Gamma, {"alpha": 1.0}, ValueError, "give alpha and beta, or mu and sigma; got alpha"),
        (c.Gamma, {"alpha": 1.0, "beta": 1.0, "mu": 1.0}, ValueError, "alpha and beta and mu"),
        (c.InverseGamma, {}, ValueError, "none of them"),
        (c.Beta, {"mu": 0.5, "sigma": 0.6}, ParameterError, r"sqrt\(mu"),
        (c.Beta, {"mu": 1.0, "nu": 2.0}, ParameterError, "strictly between 0 and 1"),
        (c.Wald, {"lam": 1.0}, ValueError, "or lam and phi; got lam"),
        (c.Exponential, {"lam": 1.0, "scale": 1.0}, ValueError, "lam or scale"),
        (c.AsymmetricLaplace, {"mu": 1.0}, ValueError, "kappa or q"),
        (c.AsymmetricLaplace, {"kappa": 1.0, "q": 0.5}, ValueError, "kappa or q"),
        (c.Rice, {"nu": 1.0, "b": 1.0}, ValueError, "give nu, or b"),
    ],
)  # fmt: skip
def test_impossible_parameters(dist, params, error, match):
    with pytest.raises(error, match=rf"^{dist.__name__}.*{match}"):
        dist.dist(**params)


def test_sd_is_sigma():
    densities = [
        logp(c.Normal.dist(1.0, sd=3.0), 0.5),
        logp(c.Normal.dist(1.0, 3.0), 0.5),
        logp(c.HalfNormal.dist(sd=3.0), 0.5),
        logp(c.HalfNormal.dist(3.0), 0.5),
    ]
    a, b, d, e = evaluate(densities)
    assert a == b
    assert d == e


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: c.Normal.dist(0.0, tau=3.0), lambda: c.Normal.dist(0.0, 3.0**-0.5)),
        (lambda: c.Exponential.dist(scale=3.0), lambda: c.Exponential.dist(1 / 3)),
        (lambda: c.Gamma.dist(mu=3.0, sigma=1.5), lambda: c.Gamma.dist(4.0, 4 / 3)),
        (lambda: c.InverseGamma.dist(mu=3.0, sigma=1.5), lambda: c.InverseGamma.dist(6.0, 15.0)),
        (lambda: c.Beta.dist(mu=0.25, sigma=0.25), lambda: c.Beta.dist(0.5, 1.5)),
        (lambda: c.Wald.dist(mu=3.0, phi=0.1), lambda: c.Wald.dist(3.0, 0.1 * 3.0)),
    ],
)
def test_alternatives_are_not_rounded_to_single_precision(one, other):
    """PyTensor takes Python's 3.0 for single precision, which 1 / 3.0 is not to be."""
    a, b = evaluate([logp(one(), 0.7), logp(other(), 0.7)])
    np.testing.assert_allclose(a, b, rtol=1e-13)


def test_infinite_bounds_are_no_bounds():
    free = distribution_of(c.TruncatedNormal.dist(lower=-np.inf, upper=np.inf))
    assert free.default_transform is None
    assert set(free.params) == {"mu", "sigma"}


def test_far_truncated_draws_are_within_the_bounds():
    x = draws(c.TruncatedNormal.dist(0.0, 1.0, lower=30.0, upper=31.0, size=500))
    assert ((x >= 30) & (x <= 31)).all()
    assert stats.kstest(x - 30, lambda t: -np.expm1(-30 * t - t**2 / 2)).pvalue > 1e-4


@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=str)
def test_pickle(case):
    rv = case.rv()
    again = pickle.loads(pickle.dumps(rv))
    x = case.grid()
    np.testing.assert_array_equal(*evaluate([logp(rv, x), logp(again, x)]))


# -- the numba backend ------------------------------------------------------------------------

NUMBA_CASES = list({(case.dist, frozenset(case.params)): case for case in CASES}.values())


def all_densities():
    """Return log densities and gradients of all distributions at four points, and draws."""
    rvs = [random_variable(case)[0] for case in NUMBA_CASES]
    return [density_and_gradients(case, slice(4)) for case in NUMBA_CASES], rvs


def random_variable(case):
    """Return a random variable, and its parameters as shared variables."""
    params = [pytensor.shared(float(p)) for p in case.params.values()]
    return case.dist.dist(**dict(zip(case.params, params, strict=True)), size=1), params


def density_and_gradients(case, part=slice(None)):
    """Return the log density at a part of the grid, and its gradients, as one vector."""
    rv, params = random_variable(case)
    grid = case.grid()[part]
    value = pytensor.shared(grid, shape=grid.shape)
    density = logp(rv, value)
    grads = pytensor.grad(density.sum(), [value, *params], disconnected_inputs="ignore")
    return pt.concatenate([density, *(pt.atleast_1d(g) for g in grads)])


@pytest.mark.slow
def test_numba_agrees_with_numpy():
    densities, rvs = all_densities()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*object mode.*")
        compiled = pytensor.function(
            [], [pt.concatenate(densities), pt.concatenate(rvs)], mode="NUMBA"
        )
    got, draw = compiled()
    (expected,) = evaluate([pt.concatenate(densities)])
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    assert np.isfinite(draw).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", NUMBA_CASES, ids=str)
def test_jax_agrees_with_numpy(case):
    pytest.importorskip("jax")
    density = density_and_gradients(case)
    np.testing.assert_allclose(of_shared([density])[0], evaluate([density])[0], 1e-8, 1e-10)
