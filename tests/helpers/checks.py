"""Checks that every distribution must pass, driven by a table of cases in each test module.

A case names a distribution, its parameters and an independent reference, usually a frozen
distribution of ``scipy.stats``. The checks take a case and assert. All of them evaluate with NumPy,
by one function for each distribution and set of parameter names, which takes value and parameters
as vectors: the gradient of the summed log density then is the gradient at each element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import Distribution, distribution_of, logcdf, logp

__all__ = [
    "ALL_CHECKS",
    "Case",
    "Values",
    "check_draws",
    "check_extremes",
    "check_float32",
    "check_gradients",
    "check_logcdf",
    "check_logp",
    "check_outside",
    "check_shapes",
    "check_support_point",
    "draws",
    "values_at",
]

INF = np.inf
PROBABILITIES = (1e-6, 1e-3, 0.02, 0.1, 0.25, 0.45, 0.6, 0.8, 0.95, 0.999)
EXTREMES = (0.0, 1e-300, 1e-30, 1e-10, 1e-3, 0.5, 1.0 - 1e-10, 1.0, 2.0, 1e3, 1e6, 1e30, 1e300, INF)


@dataclass(frozen=True)
class Case:
    """A distribution with parameters, and what to compare it with.

    Parameters
    ----------
    dist
        The class.
    params
        Its parameters, scalars.
    reference
        Object with ``logpdf`` (or ``logpmf``), ``logcdf``, ``cdf`` and ``ppf``, such as a frozen
        distribution of SciPy.
    points
        Where to compare; by default some quantiles of the reference.
    support
        Least and greatest value, both of which count as inside.
    finite
        Range of values in which log density and gradients must be finite, not only no NaN.
    fixed
        Parameters without gradient, such as counts.
    has_logcdf
        Whether the distribution knows its log CDF.
    rtol
        Relative (and absolute) tolerance of log density and log CDF.
    """

    dist: type[Distribution]
    params: Mapping[str, float]
    reference: Any = None
    points: Sequence[float] = ()
    support: tuple[float, float] = (-INF, INF)
    finite: tuple[float, float] = (-1e6, 1e6)
    fixed: Sequence[str] = ()
    has_logcdf: bool = True
    rtol: float = 1e-9
    label: str = field(default="")

    def __str__(self) -> str:
        inner = ",".join(f"{name}={value:g}" for name, value in self.params.items())
        return self.label or f"{self.dist.__name__}({inner})"

    def grid(self, probabilities: Sequence[float] = PROBABILITIES) -> np.ndarray:
        """Return the points at which to compare."""
        points = self.points if len(self.points) else np.unique(self.reference.ppf(probabilities))
        return np.asarray(points, dtype="int64" if self.dist.discrete else "float64")

    def rv(self, **kwargs: Any) -> Any:
        """Return a random variable of this case."""
        return self.dist.dist(**self.params, **kwargs)

    def inside(self, x: np.ndarray) -> np.ndarray:
        """Tell which values belong to the support."""
        return (x >= self.support[0]) & (x <= self.support[1]) & np.isfinite(x)


@dataclass(frozen=True)
class Values:
    """Log density, gradients by value and parameters, log CDF and its complement, at each point."""

    logp: np.ndarray
    grads: dict[str, np.ndarray]
    logcdf: np.ndarray | None = None
    logccdf: np.ndarray | None = None


@cache
def compiled(
    dist: type[Distribution],
    names: tuple[str, ...],
    fixed: tuple[str, ...],
    has_logcdf: bool,
    float_x: str,
) -> tuple[Callable, tuple[str, ...]]:
    """Return a function of value and parameters (vectors), and the names of the gradients."""
    with pytensor.config.change_flags(floatX=float_x):
        value = pt.vector("value", dtype="int64" if dist.discrete else float_x)
        params = {name: pt.vector(name, dtype=float_x) for name in names}
        rv = dist.dist(**params)
        density = logp(rv, value)
        wrt = {name: p for name, p in params.items() if name not in fixed}
        if not dist.discrete:
            wrt = {"value": value, **wrt}
        grads = (
            pytensor.grad(density.sum(), list(wrt.values()), disconnected_inputs="ignore")
            if wrt
            else []
        )
        outputs = [density, *grads]
        if has_logcdf:
            outputs += [logcdf(rv, value), distribution_of(rv).logccdf(value)]
        function = pytensor.function(
            [value, *params.values()], outputs, mode=EVALUATE_MODE, on_unused_input="ignore"
        )
    return function, tuple(wrt)


def values_at(
    case: Case, x: Any, float_x: str = "float64", params: Mapping[str, Any] | None = None
) -> Values:
    """Evaluate a case at the points ``x``, with other values of its parameters if given."""
    params = {**case.params, **(params or {})}
    function, wrt = compiled(case.dist, tuple(params), tuple(case.fixed), case.has_logcdf, float_x)
    x = np.asarray(x, dtype="int64" if case.dist.discrete else float_x)
    with np.errstate(all="ignore"):
        out = function(x, *(np.broadcast_to(p, x.shape).astype(float_x) for p in params.values()))
    grads = dict(zip(wrt, out[1 : 1 + len(wrt)], strict=True))
    return Values(out[0], grads, *out[1 + len(wrt) :])


def check_logp(case: Case) -> None:
    """The log density is that of the reference."""
    x = case.grid()
    log_density = case.reference.logpmf if case.dist.discrete else case.reference.logpdf
    expected = log_density(x)
    np.testing.assert_allclose(values_at(case, x).logp, expected, rtol=case.rtol, atol=case.rtol)


def check_logcdf(case: Case) -> None:
    """The log CDF and its complement are those of the reference, also outside of the support."""
    if not case.has_logcdf:
        return
    x = case.grid()
    values, expected = values_at(case, x), case.reference.logcdf(x)
    tolerance = {"rtol": case.rtol, "atol": case.rtol}
    np.testing.assert_allclose(values.logcdf, expected, **tolerance)
    np.testing.assert_allclose(values.logccdf, np.log(-np.expm1(expected)), **tolerance)
    beyond = np.array([b + s for b, s in zip(case.support, (-2, 2), strict=True) if np.isfinite(b)])
    values = values_at(case, beyond)
    below = beyond < case.support[0]
    np.testing.assert_array_equal(values.logcdf, np.where(below, -INF, 0.0))
    np.testing.assert_array_equal(values.logccdf, np.where(below, 0.0, -INF))


def check_gradients(case: Case, rtol: float = 1e-5) -> None:
    """Gradients agree with central differences of the log density."""
    x = case.grid(PROBABILITIES[2:-1])  # further out the step might leave the support
    values = values_at(case, x)
    for name, grad in values.grads.items():
        at = x if name == "value" else np.full(x.shape, float(case.params[name]))
        step = 1e-6 * np.where(at == 0, 1.0, np.abs(at))
        above, below = at + step, at - step
        if name == "value":
            change = values_at(case, above).logp - values_at(case, below).logp
        else:
            shifted = (values_at(case, x, params={name: p}).logp for p in (above, below))
            change = next(shifted) - next(shifted)
        numeric = change / (above - below)
        rounding = 1e-14 * (1 + np.abs(values.logp)) / step
        bad = np.abs(grad - numeric) > rtol * (0.1 + np.abs(numeric)) + rounding
        assert not bad.any(), f"{name}: {grad[bad]} but numerically {numeric[bad]} at {x[bad]}"


def check_extremes(case: Case, float_x: str = "float64") -> None:
    """Nothing is NaN anywhere, and all is finite in the range that the case promises.

    In float32 that is where the same in float64 is far from overflowing in float32.
    """
    x = extremes(case, float_x)
    values = values_at(case, x, float_x)
    quantities = {"logp": values.logp, **values.grads}
    if float_x == "float32":
        params = {name: np.float32(p) for name, p in case.params.items()}
        precise = values_at(case, x.astype(values.logp.dtype).astype("float64"), params=params)
        reference = {"logp": precise.logp, **precise.grads}
        finite = {name: np.abs(q) < 1e30 for name, q in reference.items()}
    else:
        promised = case.inside(x) & (x >= case.finite[0]) & (x <= case.finite[1])
        finite = dict.fromkeys(quantities, promised)
    for name, quantity in quantities.items():
        assert not np.isnan(quantity).any(), f"{name} is NaN at {x[np.isnan(quantity)]}"
        bad = finite[name] & ~np.isfinite(quantity)
        assert not bad.any(), f"{name} is {quantity[bad]} at {x[bad]}"
    np.testing.assert_array_equal(values.logp[~case.inside(x)], -INF)
    for log_probability in (values.logcdf, values.logccdf) if case.has_logcdf else ():
        assert not np.isnan(log_probability).any(), x[np.isnan(log_probability)]
        assert (log_probability <= 0).all(), x[log_probability > 0]


def extremes(case: Case, float_x: str) -> np.ndarray:
    """Return values as far out as they get, and the bounds of the support."""
    x = [sign * size for size in EXTREMES for sign in (-1, 1)]
    x = np.array(x + [bound for bound in case.support if np.isfinite(bound)])
    if case.dist.discrete:
        return np.unique(np.clip(x, -1e18, 1e18).astype("int64"))
    with np.errstate(over="ignore"):
        return np.unique(x.astype(float_x))


def check_outside(case: Case) -> None:
    """The log density is minus infinity outside of the support, with gradients that are numbers."""
    scale = np.array([1e-6, 0.5, 1.0, 30.0, 1e6])
    lower, upper = case.support
    x = np.concatenate(
        [lower - scale if np.isfinite(lower) else [], upper + scale if np.isfinite(upper) else []]
    )
    if case.dist.discrete:
        x = np.unique(np.where(x < lower, np.floor(x), np.ceil(x)))
    values = values_at(case, x)
    np.testing.assert_array_equal(values.logp, np.full(x.shape, -INF))
    for name, grad in values.grads.items():
        assert np.isfinite(grad).all(), name


def check_float32(case: Case, rtol: float = 2e-4) -> None:
    """Everything stays float32 when ``floatX`` is, with the accuracy that this allows."""
    x = case.grid()
    x = x if case.dist.discrete else x.astype("float32").astype("float64")
    params = {name: np.float32(p) for name, p in case.params.items()}
    double, single = values_at(case, x, params=params), values_at(case, x, "float32", params)
    assert single.logp.dtype == "float32"
    scale = 1 + np.abs(double.logp)
    representable = scale < 1e30
    error = np.abs(single.logp[representable] - double.logp[representable])
    assert (error < rtol * scale[representable]).all(), error
    for name, grad in single.grads.items():
        assert grad.dtype == "float32", name
        assert not np.isnan(grad).any(), name


def draws(rv: Any, seed: int = 1) -> np.ndarray:
    """Return the value of a random variable under a seed."""
    with np.errstate(all="ignore"):
        return evaluate(reseeded([rv], seed)[0])[0]


def check_draws(case: Case, n: int = 4000, seed: int = 1) -> None:
    """Draws follow the reference: a Kolmogorov-Smirnov, or for whole numbers a chi-square, test."""
    x = draws(case.rv(size=n), seed)
    assert x.shape == (n,)
    assert x.dtype == ("int64" if case.dist.discrete else "float64")
    assert case.inside(x).all()
    if case.dist.discrete:
        assert chi_square_p(x, case.reference) > 1e-4
    else:
        assert stats.kstest(x, case.reference.cdf).pvalue > 1e-4


def chi_square_p(x: np.ndarray, reference: Any) -> float:
    """Return the p-value of whole numbers under a discrete reference, in cells of some mass."""
    cells = np.unique(reference.ppf(np.linspace(0.05, 0.95, 15)))
    edges = np.concatenate([[-INF], cells, [INF]])
    mass = np.diff(reference.cdf(edges))
    # Right edges are inside: shift so that histogram's half-open bins mean the same.
    observed, _ = np.histogram(x - 0.5, edges)
    kept = mass > 1e-12
    assert observed[~kept].sum() == 0
    if kept.sum() < 2:
        return 1.0
    expected = mass[kept] / mass[kept].sum() * observed.sum()
    return stats.chisquare(observed[kept], expected).pvalue


def check_shapes(case: Case) -> None:
    """Parameters of several shapes broadcast, in draws, log density and static types."""
    names = list(case.params)
    given = dict(case.params)
    if names:
        given[names[0]] = np.full((3, 1), given[names[0]])
        given[names[-1]] = np.full((3, 4) if len(names) == 1 else 4, case.params[names[-1]])
    else:
        given["size"] = (3, 4)
    rv = case.dist.dist(**given)
    assert rv.type.shape == (3, 4)
    x = case.grid()[0]
    draw, density = evaluate([reseeded([rv], 2)[0][0], logp(rv, np.full((3, 4), x))])
    assert draw.shape == (3, 4)
    assert np.unique(draw).size > 1
    np.testing.assert_allclose(density, np.full((3, 4), values_at(case, [x]).logp[0]), rtol=1e-12)
    sized = case.rv(size=(2, 5))
    assert sized.type.shape == (2, 5)
    assert draws(sized).shape == (2, 5)


def check_support_point(case: Case) -> None:
    """The support point broadcasts to the variable's shape and has a finite log density."""
    rv = case.rv(size=(2,))
    point = pt.broadcast_to(distribution_of(rv).support_point(), (2,))
    point, density = evaluate([point, logp(rv, point)])
    assert np.isfinite(point).all()
    assert np.isfinite(density).all()
    assert case.inside(point).all()


ALL_CHECKS = (
    check_logp,
    check_logcdf,
    check_gradients,
    check_extremes,
    check_outside,
    check_float32,
    check_draws,
    check_shapes,
    check_support_point,
)
