import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from pytensor.graph.replace import vectorize_graph
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logcdf, logp
from vibayes.distributions.censoring import Censored, Truncated, least_number, middle_number
from vibayes.distributions.continuous import (
    Beta,
    Exponential,
    Gamma,
    HalfNormal,
    Logistic,
    Normal,
    Uniform,
)
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.multivariate import MvNormal
from vibayes.distributions.transforms import Interval, log
from vibayes.exceptions import ParameterError
from vibayes.model.core import Model

INF = np.inf


def draw(rv, seed=1):
    return evaluate(reseeded([rv], seed)[0])[0]


def numeric_slope(f, at):
    step = 1e-6 * max(1.0, abs(at))
    return (f(at + step) - f(at - step)) / (2 * step)


# -- censored -------------------------------------------------------------------------------------


def test_censored_logp():
    lower, upper = -1.0, 2.0
    x = np.array([-1e6, -1.5, -1.0, 0.3, 1.9, 2.0, 2.1, INF, -INF])
    ref = stats.norm(0.5, 1.5)
    inside = (x > lower) & (x < upper)
    expected = np.where(inside, ref.logpdf(x), -INF)
    expected[x == lower] = ref.logcdf(lower)
    expected[x == upper] = ref.logsf(upper)
    rv = Censored.dist(Normal.dist(0.5, 1.5), lower, upper)
    np.testing.assert_allclose(evaluate([logp(rv, x)])[0], expected, rtol=1e-12)
    below = np.where(x < lower, -INF, np.where(x >= upper, 0.0, ref.logcdf(x)))
    np.testing.assert_allclose(evaluate([logcdf(rv, x)])[0], below, rtol=1e-12)
    above = np.where(x < lower, 0.0, np.where(x >= upper, -INF, ref.logsf(x)))
    np.testing.assert_allclose(evaluate([distribution_of(rv).logccdf(x)])[0], above, rtol=1e-12)


def test_censored_discrete():
    k = np.arange(0, 9)
    ref = stats.poisson(3.0)
    rv = Censored.dist(Poisson.dist(3.0), 2, 6, size=4000)
    expected = np.where((k > 2) & (k < 6), ref.logpmf(k), -INF)
    expected[2], expected[6] = ref.logcdf(2), ref.logsf(5)
    np.testing.assert_allclose(evaluate([logp(rv, k)])[0], expected, rtol=1e-12)
    assert distribution_of(rv).discrete
    drawn = draw(rv)
    assert drawn.dtype == rv.dtype == "int64"
    observed = np.bincount(drawn, minlength=9)
    assert observed[[0, 1, 7, 8]].sum() == 0
    assert stats.chisquare(observed[2:7], 4000 * np.exp(expected[2:7])).pvalue > 1e-4


def test_bounds_that_differ_between_observations():
    lower = np.array([-INF, 0.0, -INF, 1.0])
    upper = np.array([INF, INF, 1.0, 2.0])
    x = np.array([0.5, 0.0, 1.0, 1.5])
    mu = pt.scalar("mu")
    density = logp(Censored.dist(Normal.dist(mu, 1.0), lower, upper), x)
    outputs = [density, pytensor.grad(density.sum(), mu)]
    value, slope = evaluate(outputs, {mu: 0.2})

    def reference(mu):
        ref = stats.norm(mu)
        return np.array([ref.logpdf(0.5), ref.logcdf(0), ref.logsf(1), ref.logpdf(1.5)])

    np.testing.assert_allclose(value, reference(0.2), rtol=1e-12)
    np.testing.assert_allclose(slope, numeric_slope(lambda m: reference(m).sum(), 0.2), rtol=1e-7)


def test_one_sided_and_absent_bounds():
    x = np.array([-2.0, 0.0, 3.0])
    ref = stats.norm(0, 1)
    for bounds in ({}, {"lower": -INF, "upper": None}):
        rv = Censored.dist(Normal.dist(0.0, 1.0), **bounds)
        np.testing.assert_allclose(evaluate([logp(rv, x)])[0], ref.logpdf(x))
    left = Censored.dist(Normal.dist(0.0, 1.0), lower=0)
    np.testing.assert_allclose(
        evaluate([logp(left, x)])[0], [-INF, ref.logcdf(0), ref.logpdf(3.0)], rtol=1e-12
    )


def test_censored_far_from_the_bounds():
    """Whatever the parameters, a censored likelihood is a number, and so are its gradients."""
    mu, sigma = pt.vectors("mu", "sigma")
    x = np.array([-1.0, 0.0, 2.0])
    rv = Censored.dist(Normal.dist(mu[:, None], sigma[:, None]), -1.0, 2.0)
    density = logp(rv, x)
    outputs = [density, *pytensor.grad(density.sum(), [mu, sigma])]
    f = pytensor.function([mu, sigma], outputs, mode=EVALUATE_MODE)
    mus = np.array([0.0, 30.0, -30.0, 1e6, -1e6, 0.0])
    sigmas = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1e-3])
    value, *gradients = f(mus, sigmas)
    assert np.isfinite(value).all()
    assert all(np.isfinite(g).all() for g in gradients)
    ref = stats.norm(mus, sigmas)
    expected = np.stack([ref.logcdf(-1), ref.logpdf(0), ref.logsf(2)], axis=-1)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_censored_draws_and_start():
    rv = Censored.dist(Normal.dist(5.0, 1.0), -1.0, 5.5, size=4000)
    assert rv.type.shape == (4000,)
    drawn = draw(rv)
    assert drawn.max() == 5.5
    share = (drawn == 5.5).sum()
    assert stats.binomtest(int(share), 4000, stats.norm.sf(0.5)).pvalue > 1e-4
    rest = drawn[drawn < 5.5]
    assert stats.kstest(rest, stats.truncnorm(-INF, 0.5, loc=5).cdf).pvalue > 1e-4
    outside = Censored.dist(Normal.dist(9.0, 1.0), -1.0, 5.5)
    assert evaluate([distribution_of(outside).support_point()])[0] == 5.5
    assert distribution_of(rv).default_transform is None


def test_censored_in_a_model():
    y = np.array([1.2, 3.0, 2.5, 3.0])
    with Model() as model:
        mu = Normal("mu", 0, 10)
        Censored("y", Normal.dist(mu, 1), lower=None, upper=3, observed=y)
    value = model.compile_fn(model.observedlogp, backend="py")({"mu": 2.0})
    ref = stats.norm(2.0)
    np.testing.assert_allclose(value, ref.logpdf([1.2, 2.5]).sum() + 2 * ref.logsf(3), rtol=1e-12)
    assert "Censored(upper=3, Normal(mu=mu" in repr(model)


# -- truncated ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper"),
    by_default(
        [(-1, 2), (None, 0.5), (0.5, None), (6, 7), (-7, -6), (20, 30), (30, None), (-31, -30)],
        {(-1, 2), (None, 0.5), (20, 30), (-31, -30)},
    ),
)
def test_truncated_normal(lower, upper):
    """Precise in both tails, with gradients that know the bounds and the parameters."""
    low, high = -INF if lower is None else lower, INF if upper is None else upper
    ref = stats.truncnorm(low, high)
    x = ref.ppf([0.001, 0.3, 0.9])
    mu, sigma = pt.scalars("mu", "sigma")
    rv = Truncated.dist(Normal.dist(mu, sigma), lower, upper)
    density, cumulative = logp(rv, x), logcdf(rv, x)
    outputs = [density, cumulative, *pytensor.grad(density.sum(), [mu, sigma])]
    value, below, by_mu, by_sigma = evaluate(outputs, {mu: 0.0, sigma: 1.0})
    np.testing.assert_allclose(value, ref.logpdf(x), rtol=1e-9)
    np.testing.assert_allclose(below, ref.logcdf(x), rtol=1e-6)

    def reference(mu, sigma):
        scaled = stats.truncnorm((low - mu) / sigma, (high - mu) / sigma, loc=mu, scale=sigma)
        return scaled.logpdf(x).sum()

    np.testing.assert_allclose(by_mu, numeric_slope(lambda m: reference(m, 1.0), 0.0), rtol=1e-4)
    np.testing.assert_allclose(by_sigma, numeric_slope(lambda s: reference(0.0, s), 1.0), rtol=1e-4)


def test_truncated_support():
    x = np.array([-INF, -1e6, -1.01, -1.0, 2.0, 2.01, INF])
    inside = (x >= -1) & (x <= 2)
    rv = Truncated.dist(Normal.dist(0.0, 1.0), -1, 2)
    value, below = evaluate([logp(rv, x), logcdf(rv, x)])
    expected = np.where(inside, stats.truncnorm(-1, 2).logpdf(x), -INF)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_array_equal(below, np.where(x <= -1, -INF, 0.0))


@pytest.mark.parametrize("bounds", [(-1, 2), (None, 2), (-1, None)])
def test_truncated_far_from_the_bounds(bounds):
    mu, x = pt.vector("mu"), pt.vector("x")
    density = logp(Truncated.dist(Normal.dist(mu, 1.0), *bounds), x)
    outputs = [density, *pytensor.grad(density.sum(), [mu, x])]
    at = np.array([0.0, 100.0, -100.0, 1e6, -1e6])
    results = evaluate(outputs, {mu: at, x: np.zeros(5)})
    for result in results:
        assert np.isfinite(result).all()
    low, high = (sign * INF if b is None else b for sign, b in zip((-1, 1), bounds, strict=True))
    expected = stats.truncnorm(low - at[:3], high - at[:3], loc=at[:3]).logpdf(0.0)
    np.testing.assert_allclose(results[0][:3], expected, rtol=1e-8)


def test_truncated_bounds_can_be_random():
    lower = pt.scalar("lower")
    density = logp(Truncated.dist(Exponential.dist(2.0), lower), np.array([3.0, 3.5]))
    value, slope = evaluate([density, pytensor.grad(density.sum(), lower)], {lower: 2.5})
    np.testing.assert_allclose(value, stats.expon(2.5, 0.5).logpdf([3.0, 3.5]), rtol=1e-12)
    np.testing.assert_allclose(slope, 2 * 2.0)


@pytest.mark.parametrize(("lower", "upper"), [(2, 6), (None, 2), (5, None), (1.5, 6.5)])
def test_truncated_discrete(lower, upper):
    k = np.arange(0, 30)
    ref = stats.poisson(4.0)
    possible = (k >= (-1 if lower is None else lower)) & (k <= (99 if upper is None else upper))
    mass = np.where(possible, ref.pmf(k), 0.0)
    rv = Truncated.dist(Poisson.dist(4.0), lower, upper, size=2000)
    with np.errstate(divide="ignore"):
        expected = np.log(mass / mass.sum())
    np.testing.assert_allclose(evaluate([logp(rv, k)])[0], expected, rtol=1e-7)
    cumulative = np.exp(evaluate([logcdf(rv, k)])[0])
    np.testing.assert_allclose(cumulative, np.cumsum(mass) / mass.sum(), rtol=1e-7)
    point = evaluate([distribution_of(rv).support_point()])[0]
    assert possible[int(point)]
    assert point == int(point)
    assert distribution_of(rv).default_transform is None


def test_truncated_discrete_draws():
    ref = stats.poisson(4.0)
    drawn = draw(Truncated.dist(Poisson.dist(4.0), 2, 6, size=4000))
    assert drawn.dtype == "int64"
    observed = np.bincount(drawn, minlength=8)
    mass = ref.pmf(np.arange(2, 7))
    assert observed[[0, 1, 7]].sum() == 0
    assert stats.chisquare(observed[2:7], 4000 * mass / mass.sum()).pvalue > 1e-4


def test_truncated_draws():
    """In the middle, in both tails and on a scale of 1e-200, all in the shape asked for."""
    scale = 1e-200
    lower, upper = np.array([-1.0, 6.0, 9.0, -40.0]), np.array([2.0, 7.0, 10.0, -39.0])
    rv = Truncated.dist(Normal.dist(0.0, scale), lower * scale, upper * scale, size=(2000, 4))
    assert rv.type.shape == (2000, 4)
    drawn = draw(rv) / scale
    for column, low, high in zip(drawn.T, lower, upper, strict=True):
        assert stats.kstest(column, stats.truncnorm(low, high).cdf).pvalue > 1e-4
    one_sided = draw(Truncated.dist(Normal.dist(0.0, 1.0), 8.0, size=2000))
    assert stats.kstest(one_sided, stats.truncnorm(8.0, INF).cdf).pvalue > 1e-4


def test_least_number_is_exact():
    """The search finds any floating-point number, to the last bit."""
    limits = np.array(
        [0.0, 5e-324, 1e-308, 1e-300, 1e-5, 1 / 3, np.pi, 1e6 + 0.1, 1.7e308, -5e-324, -1e-300,
         -np.pi, -1e300]
    )  # fmt: skip
    low, high = pt.vector("low", shape=limits.shape), pt.vector("high", shape=limits.shape)
    found = least_number(lambda x: x >= limits, low, high)
    ends = np.full(limits.shape, np.finfo("float64").max)
    np.testing.assert_array_equal(evaluate([found], {low: -ends, high: ends})[0], limits)


def test_middle_number_is_between():
    numbers = np.array([-1e308, -3.0, -1e-310, 0.0, 1e-320, 1e-300, 1.0, 1.0 + 1e-12, 1e308])
    low, high = np.meshgrid(numbers, numbers)
    low, high = low[low < high], high[low < high]
    with np.errstate(over="ignore"):
        middle = evaluate([middle_number(pt.as_tensor(low), pt.as_tensor(high))])[0]
        wide = high - low > 1e-300
    assert ((low <= middle) & (middle <= high)).all()
    assert ((low < middle) & (middle < high))[wide].all()


@pytest.mark.parametrize(
    ("base", "bounds", "expected"),
    [
        (lambda: Normal.dist(0, 1), (-1, 2), (-1, 2)),
        (lambda: Normal.dist(0, 1), (1, None), (1, None)),
        (lambda: Normal.dist(0, 1), (None, 1), (None, 1)),
        (lambda: Normal.dist(0, 1), (0, INF), log),
        (lambda: HalfNormal.dist(1), (None, 2), (0, 2)),
        (lambda: HalfNormal.dist(1), (-3, None), log),
        (lambda: HalfNormal.dist(1), (0.5, None), (0.5, None)),
        (lambda: Beta.dist(2, 2), (0.25, None), (0.25, 1)),
        (lambda: Uniform.dist(0, 4), (-1, 3), (0, 3)),
    ],
)
def test_truncated_transform_and_start(base, bounds, expected):
    rv = Truncated.dist(base(), *bounds)
    dist = distribution_of(rv)
    transform = dist.default_transform
    if expected is log:
        assert transform is log
    else:
        for bound, number in zip((transform.lower, transform.upper), expected, strict=True):
            assert (bound is None) == (number is None)
            assert bound is None or evaluate([bound])[0] == number
    point = dist.support_point()
    point, density, free = evaluate([point, logp(rv, point), transform.forward(point)])
    assert np.isfinite([point, density, free]).all()


@pytest.mark.parametrize("bounds", [(100, None), (None, -100), (100, 101), (0, None)])
def test_start_in_a_tail(bounds):
    """Where the base distribution's point is cut off, the start is a typical value of the tail."""
    rv = Truncated.dist(Normal.dist(0.0, 1.0), *bounds)
    low, high = -INF if bounds[0] is None else bounds[0], INF if bounds[1] is None else bounds[1]
    point = evaluate([distribution_of(rv).support_point()])[0]
    assert low < point < high
    if INF in (-low, high):
        assert 0.1 < stats.truncnorm(low, high).cdf(point) < 0.9


def test_truncated_in_a_model():
    with Model() as model:
        mu = Normal("mu", 0, 1)
        Truncated("x", Logistic.dist(mu, 1), lower=-1, upper=2, shape=3)
        Truncated("y", Gamma.dist(2, 1), lower=1, observed=[1.5, 2.5])
    assert [v.name for v in model.value_vars] == ["mu", "x_interval__"]
    point = model.initial_point()
    value = model.compile_fn(model.observedlogp, backend="py")(point)
    ref = stats.gamma(2)
    np.testing.assert_allclose(value, (ref.logpdf([1.5, 2.5]) - ref.logsf(1)).sum(), rtol=1e-10)
    assert np.isfinite(model.compile_dlogp(backend="py")(point)).all()


def test_vectorized():
    x, z = pt.vector("x", shape=(4,)), pt.matrix("z", shape=(3, 4))
    at = np.random.default_rng(0).uniform(-1, 2, size=(3, 4))
    at[0, 0] = 2.0
    for kind in (Censored, Truncated):
        density = logp(kind.dist(Normal.dist(np.arange(4.0), 1.0), -1.0, 2.0), x)
        whole = evaluate([vectorize_graph(density, {x: z})], {z: at})[0]
        rows = [evaluate([density], {x: row})[0] for row in at]
        np.testing.assert_allclose(whole, rows, rtol=1e-13)


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        x = pt.vector("x")
        for kind in (Censored, Truncated):
            rv = kind.dist(Normal.dist(0, 1), -1, 2)
            density = logp(rv, x)
            slope = pytensor.grad(density.sum(), x)
            assert rv.dtype == density.dtype == slope.dtype == "float32"
            at = np.array([-2.0, -1.0, 0.5, 2.0, 1e30], dtype="float32")
            with np.errstate(over="ignore"):
                value, slope = evaluate([density, slope], {x: at})
            assert np.isfinite(value[1:4]).all()
            np.testing.assert_array_equal(value[[0, 4]], -INF)
            assert not np.isnan(slope).any()
            assert np.isfinite(evaluate([distribution_of(rv).support_point()])[0])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Truncated.dist(Normal.dist(), 2, 1), ParameterError, "lower must be below"),
        (lambda: Truncated.dist(Normal.dist(), 1, 1), ParameterError, "lower must be below"),
        (lambda: Truncated.dist(Normal.dist()), ValueError, "give a finite bound"),
        (lambda: Truncated.dist(Normal.dist(), -INF, None), ValueError, "give a finite bound"),
        (lambda: Censored.dist(Normal.dist(), 2, 1), ParameterError, "lower must be at most"),
        (lambda: Censored.dist(MvNormal.dist([0, 0], cov=np.eye(2)), 0), ValueError, "1 axes"),
        (lambda: Censored.dist(3.0, 0), TypeError, "not a random variable"),
    ],
)
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_needs_a_log_cdf():
    class Strange(Normal):
        def logcdf(self, value):
            raise NotImplementedError("the log CDF of Strange is not known")

    rv = Censored.dist(Strange.dist(0, 1), 0)
    with pytest.raises(NotImplementedError, match="Strange"):
        logp(rv, 0.0)


def test_interval_of_random_bounds():
    upper = pt.scalar("upper")
    transform = distribution_of(Truncated.dist(Normal.dist(), 0, upper)).default_transform
    assert isinstance(transform, Interval)
    assert evaluate([transform.upper], {upper: 3.0})[0] == 3.0
