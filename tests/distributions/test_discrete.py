from functools import cache
from types import SimpleNamespace

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers import checks
from helpers.checks import Case
from helpers.in_jax import of_shared
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.special import softmax
from scipy import special, stats

import vibayes.distributions.discrete as vd
from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.distributions.base import distribution_of, logcdf, logp
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model

INF = np.inf


class ZeroInflated:
    """Reference: zeros with probability 1 - psi, else a frozen distribution of SciPy."""

    def __init__(self, psi, base):
        self.psi, self.base = psi, base

    def pmf(self, x):
        return (1 - self.psi) * (np.asarray(x) == 0) + self.psi * self.base.pmf(x)

    def logpmf(self, x):
        return np.log(self.pmf(x))

    def cdf(self, x):
        return (1 - self.psi) * (np.asarray(x) >= 0) + self.psi * self.base.cdf(x)

    def logcdf(self, x):
        return np.log(self.cdf(x))

    def ppf(self, q):
        return self.base.ppf(np.maximum(0, (q - 1 + self.psi) / self.psi))


def nbinom(mu, alpha):
    return stats.nbinom(alpha, alpha / (alpha + mu))


COUNTS = (0, INF)
CASES = [
    Case(vd.Bernoulli, {"p": 0.3}, stats.bernoulli(0.3), support=(0, 1), points=(0, 1)),
    Case(
        vd.Bernoulli,
        {"p": 1e-12},
        stats.bernoulli(1e-12),
        support=(0, 1),
        points=(0, 1),
        has_logcdf=False,
    ),
    Case(
        vd.Bernoulli,
        {"logit_p": -2.5},
        stats.bernoulli(special.expit(-2.5)),
        support=(0, 1),
        points=(0, 1),
    ),
    Case(
        vd.Binomial,
        {"n": 12, "p": 0.3},
        stats.binom(12, 0.3),
        support=(0, 12),
        points=range(13),
        fixed=("n",),
    ),
    Case(vd.Binomial, {"n": 1, "p": 0.8}, stats.binom(1, 0.8), support=(0, 1), fixed=("n",)),
    Case(
        vd.Binomial,
        {"n": 1000, "logit_p": 3.0},
        stats.binom(1000, special.expit(3.0)),
        support=(0, 1000),
        fixed=("n",),
    ),
    Case(
        vd.BetaBinomial,
        {"alpha": 0.7, "beta": 2.5, "n": 20},
        stats.betabinom(20, 0.7, 2.5),
        support=(0, 20),
        points=range(21),
        fixed=("n",),
        has_logcdf=False,
    ),
    Case(
        vd.BetaBinomial,
        {"alpha": 300.0, "beta": 150.0, "n": 40},
        stats.betabinom(40, 300.0, 150.0),
        support=(0, 40),
        fixed=("n",),
        has_logcdf=False,
    ),
    Case(vd.Poisson, {"mu": 3.5}, stats.poisson(3.5), support=COUNTS),
    Case(
        vd.Poisson,
        {"mu": 1e-8},
        stats.poisson(1e-8),
        support=COUNTS,
        points=(0, 1, 5),
        has_logcdf=False,
    ),
    Case(vd.Poisson, {"mu": 300.0}, stats.poisson(300.0), support=COUNTS),
    Case(vd.NegativeBinomial, {"mu": 4.0, "alpha": 0.6}, nbinom(4.0, 0.6), support=COUNTS),
    Case(vd.NegativeBinomial, {"mu": 30.0, "alpha": 250.0}, nbinom(30.0, 250.0), support=COUNTS),
    Case(vd.NegativeBinomial, {"p": 0.2, "n": 3.5}, stats.nbinom(3.5, 0.2), support=COUNTS),
    Case(vd.Geometric, {"p": 0.15}, stats.geom(0.15), support=(1, INF)),
    Case(vd.Geometric, {"p": 1e-6}, stats.geom(1e-6), support=(1, INF)),
    Case(
        vd.HyperGeometric,
        {"N": 30, "k": 12, "n": 20},
        stats.hypergeom(30, 12, 20),
        support=(2, 12),
        points=range(2, 13),
        fixed=("N", "k", "n"),
        has_logcdf=False,
    ),
    Case(
        vd.DiscreteUniform,
        {"lower": -3, "upper": 8},
        stats.randint(-3, 9),
        support=(-3, 8),
        points=range(-3, 9),
        fixed=("lower", "upper"),
    ),
    Case(
        vd.ZeroInflatedPoisson,
        {"psi": 0.7, "mu": 4.0},
        ZeroInflated(0.7, stats.poisson(4.0)),
        support=COUNTS,
        points=range(12),
    ),
    Case(
        vd.ZeroInflatedBinomial,
        {"psi": 0.2, "n": 9, "p": 0.4},
        ZeroInflated(0.2, stats.binom(9, 0.4)),
        support=(0, 9),
        points=range(10),
        fixed=("n",),
    ),
    Case(
        vd.ZeroInflatedNegativeBinomial,
        {"psi": 0.6, "mu": 5.0, "alpha": 1.3},
        ZeroInflated(0.6, nbinom(5.0, 1.3)),
        support=COUNTS,
        points=range(15),
    ),
    Case(
        vd.ZeroInflatedNegativeBinomial,
        {"psi": 0.6, "p": 0.3, "n": 2.0},
        ZeroInflated(0.6, stats.nbinom(2.0, 0.3)),
        support=COUNTS,
        points=range(15),
    ),
]
cases = pytest.mark.parametrize("case", CASES, ids=str)


@cases
def test_logp(case):
    checks.check_logp(case)


@cases
def test_logcdf(case):
    with np.errstate(divide="ignore"):
        checks.check_logcdf(case)


def test_tails():
    """Tails whose complement is 1 in floating point."""
    x = np.array([0, 1, 5])
    poisson, bernoulli = vd.Poisson.dist(1e-8), vd.Bernoulli.dist(1e-12)
    negative, binomial = vd.NegativeBinomial.dist(1e-8, 2.0), vd.Binomial.dist(6, 1e-8)
    out = evaluate(
        [distribution_of(rv).logccdf(x) for rv in (poisson, negative, binomial)]
        + [distribution_of(bernoulli).logccdf(0), logcdf(vd.Poisson.dist(600.0), 0)]
    )
    k = x + 1  # the first term of each sum is all of it
    power = k * np.log(1e-8) - special.gammaln(k + 1)
    np.testing.assert_allclose(out[0], power, rtol=1e-9)
    np.testing.assert_allclose(out[1], power + np.log(special.poch(2, k) / 2.0**k), rtol=1e-9)
    np.testing.assert_allclose(out[2], k * np.log(1e-8) + np.log(special.comb(6, k)), rtol=1e-8)
    np.testing.assert_allclose(out[3:], [np.log(1e-12), -600.0], rtol=1e-12)


@cases
def test_gradients(case):
    checks.check_gradients(case)


@cases
@pytest.mark.parametrize("float_x", ["float64", "float32"])
def test_extreme_values(case, float_x):
    checks.check_extremes(case, float_x)


@cases
def test_outside(case):
    checks.check_outside(case)


@cases
def test_float32(case):
    checks.check_float32(case)


@cases
def test_draws(case):
    checks.check_draws(case)


@cases
def test_support_point(case):
    checks.check_support_point(case)


@pytest.mark.parametrize(
    "case", {case.dist: case for case in reversed(CASES)}.values(), ids=lambda c: c.dist.__name__
)
def test_shapes(case):
    checks.check_shapes(case)


# -- values that are no counts ------------------------------------------------------------------

OTHERS = {  # what the cases have no parameters for that allow a 1
    vd.HyperGeometric: {"N": 30, "k": 12, "n": 10},
    vd.Categorical: {"p": [0.2, 0.5, 0.3]},
    vd.OrderedLogistic: {"eta": 0.3, "cutpoints": [-1.0, 1.0]},
    vd.OrderedProbit: {"eta": 0.3, "cutpoints": [-1.0, 1.0], "sigma": 0.5},
}
VALUED = {case.dist: case.params for case in CASES} | OTHERS
OTHER_DTYPES = "float32", "uint8"


@cache
def logp_of_counts(dist):
    """Return the log mass of a few counts of 64 bits."""
    params = VALUED[dist]
    return evaluate([logp(dist.dist(**params), np.array([1, 2, 3, 1, 4]))])[0]


@pytest.mark.parametrize(
    "dtype",
    [
        "float64",
        pytest.param("int8", marks=pytest.mark.ci),
        *(pytest.param(d, marks=pytest.mark.slow) for d in OTHER_DTYPES),
    ],
)
@pytest.mark.parametrize(
    ("dist", "params"),
    VALUED.items(),
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_value_of_any_dtype(dist, params, dtype):
    x = np.array([1, 2, 3, 1, 4])
    if dtype.startswith("float"):
        x = np.concatenate([x, [0.5, 1.5, -INF, INF, -1e300 if dtype == "float64" else -1e30]])
    free = {name: pt.vector() if np.ndim(p) else pt.scalar() for name, p in params.items()}
    value = pt.vector("value", dtype=dtype)
    density = logp(dist.dist(**free), value)
    grads = []
    if dtype != "int8":  # by parameters; they are the same, whatever the type of the counts
        finite = pt.switch(pt.isinf(density), 0, density)
        grads = pytensor.grad(finite.sum(), list(free.values()))
    out = evaluate([density, *grads], {value: x, **{free[n]: p for n, p in params.items()}})
    whole = logp_of_counts(dist)
    np.testing.assert_allclose(out[0][:5], whole, rtol=1e-12)
    assert np.isfinite(whole[0])
    np.testing.assert_array_equal(out[0][5:], -INF)
    for grad in out[1:]:
        assert np.isfinite(grad).all()


# -- extreme parameters -------------------------------------------------------------------------

TINY_TO_HUGE = np.array([1e-300, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e300])


@cache
def compiled(dist, names, ndim):
    free = [pt.tensor(name, shape=(None,) * ndim) for name in names]
    value = pt.lvector("value")
    density = logp(dist.dist(**dict(zip(names, free, strict=True))), value)
    grads = pytensor.grad(density.sum(), free, disconnected_inputs="ignore")
    return pytensor.function([value, *free], [density, *grads], mode=EVALUATE_MODE)


def at(dist, x, **params):
    """Return log density and gradients; scalar and elementwise parameters must agree."""
    x, names = np.asarray(x), tuple(params)
    scalars, vectors = compiled(dist, names, 0), compiled(dist, names, 1)
    with np.errstate(all="ignore"):
        out = vectors(x, *(np.broadcast_to(np.float64(p), x.shape) for p in params.values()))
        rows = [scalars(x[i : i + 1], *params.values()) for i in range(x.size)]
    for i, of_vector in enumerate(out):
        of_scalar = np.hstack([row[i] for row in rows])
        np.testing.assert_allclose(of_scalar, of_vector, rtol=1e-5, atol=1e-24)
        assert not np.isnan(of_vector).any(), out
    return SimpleNamespace(logp=out[0], **dict(zip(names, out[1:], strict=True)))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_events(p):
    bernoulli = at(vd.Bernoulli, [0, 1, 2], p=p)
    np.testing.assert_array_equal(bernoulli.logp, [0, -INF, -INF] if p == 0 else [-INF, 0, -INF])
    assert bernoulli.p[int(p)] == (-1 if p == 0 else 1)
    binomial = at(vd.Binomial, [0, 2, 4, 5], n=4.0, p=p)
    np.testing.assert_allclose(binomial.logp, stats.binom(4, p).logpmf([0, 2, 4, 5]), atol=1e-14)
    np.testing.assert_allclose(binomial.p[0 if p == 0 else 2], -4 if p == 0 else 4)
    inflated = at(vd.ZeroInflatedPoisson, [0, 3], psi=p, mu=2.0)
    np.testing.assert_allclose(
        inflated.logp, ZeroInflated(p, stats.poisson(2.0)).logpmf([0, 3]) if p else [0, -INF]
    )
    f0 = np.exp(-2.0)
    np.testing.assert_allclose(inflated.psi[0], (f0 - 1) / (1 - p + p * f0))


def test_certain_success():
    np.testing.assert_array_equal(at(vd.Geometric, [0, 1, 2], p=1.0).logp, [-INF, 0, -INF])
    np.testing.assert_array_equal(at(vd.NegativeBinomial, [0, 1], p=1.0, n=2.0).logp, [0, -INF])


def test_no_trials():
    np.testing.assert_array_equal(at(vd.Binomial, [-1, 0, 1], n=0.0, p=0.3).logp, [-INF, 0, -INF])
    np.testing.assert_array_equal(
        at(vd.BetaBinomial, [0, 1], alpha=0.3, beta=2.0, n=0.0).logp, [0, -INF]
    )


def test_zero_rate():
    poisson = at(vd.Poisson, [0, 1], mu=0.0)
    np.testing.assert_array_equal(poisson.logp, [0, -INF])
    assert poisson.mu[0] == -1
    np.testing.assert_array_equal(
        at(vd.NegativeBinomial, [0, 1], mu=0.0, alpha=2.0).logp, [0, -INF]
    )


@pytest.mark.parametrize("logit", [-1e6, -800.0, -40.0, 0.0, 40.0, 800.0, 1e6])
def test_extreme_log_odds(logit):
    bernoulli = at(vd.Bernoulli, [0, 1], logit_p=logit)
    np.testing.assert_allclose(bernoulli.logp, [-np.logaddexp(0, logit), -np.logaddexp(0, -logit)])
    np.testing.assert_allclose(bernoulli.logit_p, [-special.expit(logit), special.expit(-logit)])
    binomial = at(vd.Binomial, [0, 3, 4], n=4.0, logit_p=logit)
    lose, win = bernoulli.logp
    np.testing.assert_allclose(binomial.logp, [4 * lose, 3 * win + lose + np.log(4), 4 * win])
    p = special.expit(logit)
    expected = [-4 * p, 3 * special.expit(-logit) - p, 4 * special.expit(-logit)]
    np.testing.assert_allclose(binomial.logit_p, expected, atol=1e-15)
    categorical = evaluate([logp(vd.Categorical.dist(logit_p=[0.0, logit]), np.array([0, 1]))])[0]
    np.testing.assert_allclose(categorical, bernoulli.logp, atol=1e-15)


@pytest.mark.parametrize(
    ("dist", "params", "plain"),
    [
        (vd.Bernoulli, lambda z: {"p": pt.sigmoid(z)}, lambda z: {"logit_p": z}),
        (vd.Binomial, lambda z: {"n": 3, "p": pt.sigmoid(z)}, lambda z: {"n": 3, "logit_p": z}),
    ],
)
def test_sigmoid_is_seen(dist, params, plain):
    z = pt.vector("z")
    named = {k: pt.tensor_copy(v) if k == "p" else v for k, v in params(z).items()}
    out = [logp(dist.dist(**p), 1) for p in (params(z), named, plain(z))]
    out += [pytensor.grad(o.sum(), z) for o in out]
    values = evaluate(out, {z: [-900.0, -40.0, 0.3, 40.0, 900.0]})
    for i in range(2):
        np.testing.assert_array_equal(values[i], values[2])
        np.testing.assert_array_equal(values[3 + i], values[5])
    assert np.isfinite(values).all()


def test_exponential_is_seen():
    z = pt.vector("z")
    at_z = np.array([-900.0, -40.0, 0.3, 6.0])
    poisson = logp(vd.Poisson.dist(pt.exp(z)), 3)
    negative = logp(vd.NegativeBinomial.dist(pt.exp(z), 2.0), 3)
    out = evaluate(
        [poisson, pytensor.grad(poisson.sum(), z), negative, pytensor.grad(negative.sum(), z)],
        {z: at_z},
    )
    np.testing.assert_allclose(out[0], 3 * at_z - np.exp(at_z) - np.log(6))
    np.testing.assert_allclose(out[1], 3 - np.exp(at_z))
    log_odds = at_z - np.log(2)
    expected = np.log(4) - 2 * np.logaddexp(0, log_odds) - 3 * np.logaddexp(0, -log_odds)
    np.testing.assert_allclose(out[2], expected)
    np.testing.assert_allclose(
        out[3], 3 * special.expit(-log_odds) - 2 * special.expit(log_odds), rtol=1e-10
    )


def test_softmax_is_seen():
    z = pt.matrix("z")
    values = np.array([[0.0, 900.0, -50.0], [1e6, -1e6, 0.0]])
    x = np.array([0, 2])
    out = [logp(vd.Categorical.dist(p), x) for p in (softmax(z, axis=-1), softmax(z, axis=0))]
    seen, other = evaluate(out, {z: values})
    expected = special.log_softmax(values, axis=-1)[[0, 1], x]
    np.testing.assert_allclose(seen, expected)
    np.testing.assert_allclose(np.exp(other), special.softmax(values, axis=0)[[0, 1], x])


@pytest.mark.parametrize("mu", TINY_TO_HUGE)
def test_extreme_rates(mu):
    x = np.array([0, 1, 7])
    poisson = at(vd.Poisson, x, mu=mu)
    np.testing.assert_allclose(poisson.logp, x * np.log(mu) - mu - special.gammaln(x + 1))
    np.testing.assert_allclose(poisson.mu, x / mu - 1)
    for alpha in TINY_TO_HUGE:
        negative = at(vd.NegativeBinomial, x, mu=mu, alpha=alpha)
        assert np.isfinite(negative.logp).all()
        assert np.isfinite(negative.mu).all()
        # log[alpha (alpha + 1) ... (alpha + x - 1)], and the log odds of the two chances
        ways = np.array([np.log(alpha + np.arange(k)).sum() for k in x]) - special.gammaln(x + 1)
        odds = np.log(mu) - np.log(alpha)
        expected = ways - alpha * np.logaddexp(0, odds) - x * np.logaddexp(0, -odds)
        np.testing.assert_allclose(negative.logp, expected, rtol=1e-10, atol=1e-9)
        if alpha >= 1e30 > mu:  # the limit
            np.testing.assert_allclose(negative.logp, poisson.logp, rtol=1e-10, atol=1e-20)


@pytest.mark.parametrize("alpha", TINY_TO_HUGE)
@pytest.mark.parametrize("beta", TINY_TO_HUGE)
def test_extreme_beta_binomial(alpha, beta):
    x, n = np.array([0, 2, 5]), 5
    out = at(vd.BetaBinomial, x, alpha=alpha, beta=beta, n=float(n))

    def rising(a, k):
        return np.log(a + np.arange(k)).sum()

    expected = [
        np.log(special.comb(n, k))
        + rising(alpha, k)
        + rising(beta, n - k)
        - rising(alpha + beta, n)
        for k in x
    ]
    np.testing.assert_allclose(out.logp, expected, rtol=1e-10, atol=1e-10)
    assert np.isfinite(out.logp).all()
    assert np.isfinite(out.alpha).all()
    assert np.isfinite(out.beta).all()


@pytest.mark.parametrize("p", [1e-300, 1e-30, 1e-10])
def test_tiny_probabilities(p):
    x = np.array([0, 1])
    np.testing.assert_allclose(at(vd.Bernoulli, x, p=p).logp, [-p, np.log(p)])
    np.testing.assert_allclose(at(vd.Bernoulli, x, p=p).p, [-1, 1 / p])
    np.testing.assert_allclose(at(vd.Binomial, x, n=2.0, p=p).logp, [-2 * p, np.log(2 * p)])
    np.testing.assert_allclose(at(vd.Geometric, [1, 5], p=p).logp, [np.log(p)] * 2)
    inflated = at(vd.ZeroInflatedPoisson, x, psi=p, mu=1.0).logp
    np.testing.assert_allclose(inflated, [0, np.log(p) - 1], atol=1e-9)


def test_zero_inflation_of_what_is_never_zero():
    out = at(vd.ZeroInflatedPoisson, [0], psi=1.0, mu=2000.0)
    np.testing.assert_allclose(out.logp, -2000)
    np.testing.assert_allclose(out.mu, -1)


def test_huge_counts():
    n = 9_007_199_254_740_992
    out = evaluate([logp(vd.Binomial.dist(n=n, p=0.5), np.array([0, 1, n - 1]))])[0]
    np.testing.assert_allclose(out + n * np.log(2), [0, np.log(n), np.log(n)], atol=2)
    combinations = vd.log_binomial(pt.constant(float(n)), pt.constant([0.0, 1.0, 2.0, n - 1.0]))
    expected = [0, np.log(n), np.log(n) + np.log((n - 1) / 2), np.log(n)]
    np.testing.assert_allclose(evaluate([combinations])[0], expected, rtol=1e-14)


# -- categories ---------------------------------------------------------------------------------

rng = np.random.default_rng(3)
TABLES = [  # shapes of the value, and of the table without its last axis
    ((), ()),
    ((6,), ()),
    ((6,), (6,)),
    ((), (6,)),
    ((2, 6), (6,)),
    ((2, 6), (2, 1)),
    ((6,), (2, 6)),
]


@pytest.mark.parametrize(("value_shape", "batch"), TABLES)
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("name", ["p", "logit_p"])
def test_categorical(value_shape, batch, static, name):
    logits = rng.normal(size=(*batch, 4)) * 3
    table = special.softmax(logits, axis=-1) if name == "p" else logits
    x = rng.integers(0, 4, size=value_shape)
    shape = table.shape if static else tuple(1 if n == 1 else None for n in table.shape)
    free = pt.tensor("table", shape=shape)
    rv = vd.Categorical.dist(**{name: free})
    density = logp(rv, x)
    grad = pytensor.grad(density.sum(), free)
    log_tails = [logcdf(rv, x), distribution_of(rv).logccdf(x)]
    density, grad, *log_tails = evaluate([density, grad, *log_tails], {free: table})
    full = np.broadcast_shapes(value_shape, batch)
    hits = np.broadcast_to(x, full)[..., None] == np.arange(4)
    expected = (np.broadcast_to(special.log_softmax(logits, axis=-1), (*full, 4)) * hits).sum(-1)
    np.testing.assert_allclose(density, expected)
    cumulative = np.broadcast_to(special.softmax(logits, axis=-1).cumsum(-1), (*full, 4))
    cumulative = np.minimum((cumulative * hits).sum(-1), 1)
    np.testing.assert_allclose(np.exp(log_tails), [cumulative, 1 - cumulative], atol=1e-14)
    elementwise = hits / table if name == "p" else hits - special.softmax(logits, axis=-1)
    axes = tuple(range(len(full) - len(batch)))
    reduced = elementwise.sum(axis=axes)
    reduced = reduced.sum(axis=tuple(i for i, n in enumerate(batch) if n == 1), keepdims=True)
    np.testing.assert_allclose(grad, reduced, atol=1e-12)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("rows", [(), (6,)])
def test_categorical_batched(static, rows):
    """A batch axis of Monte Carlo samples on the parameter, put there by ``vectorize_graph``."""
    x = rng.integers(0, 4, size=6)
    samples = rng.normal(size=(5, *rows, 4))
    for name in ("p", "logit_p"):
        table = special.softmax(samples, axis=-1) if name == "p" else samples
        free = pt.tensor("table", shape=table.shape[1:] if static else (None,) * (table.ndim - 1))
        batched = pt.tensor("batched", shape=table.shape if static else (None,) * table.ndim)
        density = vectorize_graph(logp(vd.Categorical.dist(**{name: free}), x), {free: batched})
        grad = pytensor.grad(density.sum(), batched)
        density, grad = evaluate([density, grad], {batched: table})
        full = np.broadcast_to(samples if rows else samples[:, None], (5, 6, 4))
        hits = x[:, None] == np.arange(4)
        np.testing.assert_allclose(density, (special.log_softmax(full, axis=-1) * hits).sum(-1))
        probs = special.softmax(full, axis=-1)
        expected = hits / probs if name == "p" else hits - probs
        np.testing.assert_allclose(grad, expected if rows else expected.sum(1), atol=1e-12)


def test_impossible_category():
    p = pt.vector("p")
    density = logp(vd.Categorical.dist(p), np.array([0, 1, 2, -1, 3]))
    grad = pytensor.grad(density[1:].sum(), p)
    density, grad = evaluate([density, grad], {p: [0.0, 1.0, 0.0]})
    np.testing.assert_array_equal(density, [-INF, 0, -INF, -INF, -INF])
    assert np.isfinite(grad).all()


def test_impossible_logit():
    out = evaluate([logp(vd.Categorical.dist(logit_p=[0.0, -INF, 0.0]), np.array([0, 1]))])[0]
    np.testing.assert_allclose(out, [-np.log(2), -INF])


def test_categorical_constants():
    with pytest.warns(UserWarning, match="sums to 10") as warned:
        rv = vd.Categorical.dist([2, 3, 5])
    assert warned[0].filename == __file__
    np.testing.assert_allclose(evaluate([logp(rv, [0, 1, 2])])[0], np.log([0.2, 0.3, 0.5]))
    with pytest.raises(ParameterError, match="p must be zero or more"):
        vd.Categorical.dist([0.5, -0.5, 1.0])
    with pytest.raises(ParameterError, match="positive element"):
        vd.Categorical.dist([[0.0, 0.0], [0.5, 0.5]])
    with pytest.raises(ShapeError, match="at least one axis"):
        vd.Categorical.dist(0.5)
    with pytest.raises(ValueError, match="either p or logit_p"):
        vd.Categorical.dist()


@pytest.mark.parametrize("params", [{"p": [0.1, 0.6, 0.3]}, {"logit_p": np.log([1, 6, 3])}])
def test_categorical_draws(params):
    rv = vd.Categorical.dist(**params, size=5000)
    draws = checks.draws(rv)
    assert draws.dtype == "int64"
    assert stats.chisquare(np.bincount(draws), [500, 3000, 1500]).pvalue > 1e-4
    assert evaluate([distribution_of(rv).support_point()])[0] == 1
    rows = vd.Categorical.dist(p=np.eye(3)[[2, 0, 1, 1]])
    assert rows.type.shape == (4,)
    np.testing.assert_array_equal(checks.draws(rows), [2, 0, 1, 1])


# -- ordered categories -------------------------------------------------------------------------

CUTPOINTS = np.array([-1.5, 0.2, 1.0, 3.0])
ETA = np.array([-3.0, -0.4, 0.0, 0.7, 2.5, 8.0])
ORDERED = {
    "logistic": (vd.OrderedLogistic, {}, stats.logistic),
    "probit": (vd.OrderedProbit, {"sigma": 0.7}, stats.norm(scale=0.7)),
}
ordered = pytest.mark.parametrize(("dist", "more", "noise"), ORDERED.values(), ids=ORDERED)


def log_chance(noise, eta, cutpoints, x):
    """Return the log probability of a category, taken in the tail in which it is small."""
    edges = np.concatenate([[-INF], cutpoints, [INF]])
    low, high = edges[x] - eta, edges[x + 1] - eta
    return np.log(
        np.where(low > 0, noise.sf(low) - noise.sf(high), noise.cdf(high) - noise.cdf(low))
    )


@ordered
def test_ordered_logp(dist, more, noise):
    eta, cutpoints, value = pt.vector("eta"), pt.vector("cutpoints"), pt.lvector("value")
    rv = dist.dist(eta, cutpoints, **more)
    density = logp(rv, value)
    grads = pytensor.grad(density.sum(), [eta, cutpoints])
    log_tails = [logcdf(rv, value), distribution_of(rv).logccdf(value)]
    function = pytensor.function(
        [eta, cutpoints, value], [density, *grads, *log_tails], mode=EVALUATE_MODE
    )
    for k in range(5):
        x = np.full(ETA.shape, k)
        density, g_eta, g_cut, log_cdf, log_sf = function(ETA, CUTPOINTS, x)
        np.testing.assert_allclose(density, log_chance(noise, ETA, CUTPOINTS, x), 1e-9, 1e-12)
        below = np.append(CUTPOINTS, INF)[k] - ETA
        np.testing.assert_allclose(log_cdf, noise.logcdf(below), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(log_sf, noise.logsf(below), rtol=1e-9, atol=1e-12)

        def numeric(shift, x=x, h=1e-5):
            up, down = (log_chance(noise, *shift(by), x) for by in (h, -h))
            return (up - down) / (2 * h)

        np.testing.assert_allclose(
            g_eta, numeric(lambda h: (ETA + h, CUTPOINTS)), rtol=1e-5, atol=1e-7
        )
        for j, unit in enumerate(np.eye(4)):
            expected = numeric(lambda h, unit=unit: (ETA, CUTPOINTS + h * unit)).sum()
            np.testing.assert_allclose(g_cut[j], expected, rtol=1e-5, atol=1e-6)
    outside = evaluate([logp(dist.dist(0.0, CUTPOINTS, **more), np.array([-1, 5]))])[0]
    np.testing.assert_array_equal(outside, -INF)


@ordered
@pytest.mark.parametrize("static", [True, False])
def test_ordered_batched(dist, more, noise, static):
    """Samples of predictor and cutpoints, put there by ``vectorize_graph``."""
    x = np.array([0, 4, 2, 1, 3, 2])
    etas = ETA + rng.normal(size=(3, 6))
    cuts = CUTPOINTS + rng.normal(size=(3, 1)) + np.arange(4) * 0.3
    eta = pt.vector("eta", shape=(6,) if static else (None,))
    cutpoints = pt.vector("cutpoints", shape=(4,) if static else (None,))
    new_eta, new_cuts = pt.matrix("new_eta"), pt.matrix("new_cuts")
    density = logp(dist.dist(eta, cutpoints, **more), x)
    batched = vectorize_graph(density, {eta: new_eta, cutpoints: new_cuts})
    grads = pytensor.grad(batched.sum(), [new_eta, new_cuts])
    single = [density, *pytensor.grad(density.sum(), [eta, cutpoints])]
    together = evaluate([batched, *grads], {new_eta: etas, new_cuts: cuts})
    one = pytensor.function([eta, cutpoints], single, mode=EVALUATE_MODE)
    each = [one(e, c) for e, c in zip(etas, cuts, strict=True)]
    for i, got in enumerate(together):
        np.testing.assert_allclose(got, [row[i] for row in each], rtol=1e-12)
    expected = [
        [log_chance(noise, e, c, k) for e, k in zip(row, x, strict=True)]
        for row, c in zip(etas, cuts, strict=True)
    ]
    np.testing.assert_allclose(together[0], expected, rtol=1e-8)


@ordered
def test_ordered_extremes(dist, more, noise):
    eta, cutpoints = pt.vector("eta"), pt.vector("cutpoints")
    density = logp(dist.dist(eta, cutpoints, **more), np.array([0, 1, 2, -1, 3]))
    function = pytensor.function(
        [eta, cutpoints],
        [density, *pytensor.grad(density[:3].sum(), [eta, cutpoints])],
        mode=EVALUATE_MODE,
    )
    with np.errstate(all="ignore"):
        for e in (-1e6, -50.0, 0.0, 50.0, 1e6):
            for gap in (1e-12, 1.0, 1e6):
                out = function(np.full(5, e), [0.0, gap])
                assert np.isfinite(out[0][:3]).all(), (e, gap)
                np.testing.assert_array_equal(out[0][3:], -INF)
                assert np.isfinite(out[1]).all(), (e, gap)
                assert np.isfinite(out[2]).all(), (e, gap)
        narrow = function(np.full(5, 0.3), [0.0, 1e-300])[0][1]
    np.testing.assert_allclose(narrow, noise.logpdf(-0.3) + np.log(1e-300), rtol=1e-10)


def test_ordered_logistic_far_tail():
    eta = np.array([1e6, -1e6])
    out = evaluate([logp(vd.OrderedLogistic.dist(eta, [0.0, 2.0]), 1)])[0]
    # exp(-(eta - 2)) - exp(-eta), and its mirror image
    np.testing.assert_allclose(
        out, [-1e6 + 2 + np.log1p(-np.exp(-2)), -1e6 + np.log1p(-np.exp(-2))]
    )


@ordered
def test_ordered_draws(dist, more, noise):
    rv = dist.dist(0.4, CUTPOINTS, **more, size=5000)
    assert rv.type.shape == (5000,)
    expected = np.exp([log_chance(noise, 0.4, CUTPOINTS, k) for k in range(5)])
    draws = checks.draws(rv)
    assert draws.dtype == "int64"
    observed = np.bincount(draws, minlength=5)
    kept = expected > 1e-3
    assert (
        stats.chisquare(
            observed[kept], expected[kept] / expected[kept].sum() * observed[kept].sum()
        ).pvalue
        > 1e-4
    )
    probabilities = evaluate([distribution_of(rv).probabilities()])[0]
    np.testing.assert_allclose(probabilities, expected, atol=1e-14)
    assert evaluate([distribution_of(rv).support_point()])[0] == 2


@ordered
def test_ordered_shapes(dist, more, noise):
    rv = dist.dist(ETA[:, None], np.stack([CUTPOINTS, CUTPOINTS + 1]), **more)
    assert rv.type.shape == (6, 2)
    draw, density = evaluate([rv, logp(rv, np.full((6, 2), 3))])
    assert draw.shape == (6, 2)
    for j in range(2):
        expected = log_chance(noise, ETA, CUTPOINTS + j, np.full(6, 3))
        np.testing.assert_allclose(density[:, j], expected, rtol=1e-9)


@ordered
def test_ordered_float32(dist, more, noise):
    with pytensor.config.change_flags(floatX="float32"):
        density = logp(dist.dist(ETA, CUTPOINTS, **more), np.array([0, 1, 2, 3, 4, 4]))
        categorical = logp(vd.Categorical.dist(logit_p=ETA), np.array([0, 5]))
    assert density.dtype == categorical.dtype == "float32"
    x = np.array([0, 1, 2, 3, 4, 4])
    expected = log_chance(noise, ETA, CUTPOINTS, x)
    np.testing.assert_allclose(evaluate([density])[0], expected, rtol=1e-4)


def test_ordered_records_probabilities():
    with Model() as model:
        vd.OrderedLogistic("y", ETA, CUTPOINTS, observed=[0, 1, 2, 3, 4, 4])
        vd.OrderedProbit("z", ETA, CUTPOINTS, compute_p=False, observed=[0, 1, 2, 3, 4, 4])
    assert [d.name for d in model.deterministics] == ["y_probs"]
    assert model["y_probs"].type.shape == (6, 5)
    np.testing.assert_allclose(evaluate([model["y_probs"].sum(-1)])[0], 1)


def test_ordered_constants():
    with pytest.raises(ParameterError, match="increase"):
        vd.OrderedLogistic.dist(0.0, [1.0, 0.0])
    with pytest.raises(ShapeError, match="at least one axis"):
        vd.OrderedProbit.dist(0.0, 1.0)


# -- in models ----------------------------------------------------------------------------------


def test_free_discrete_variable():
    with Model() as model:
        k = vd.Poisson("k", 3.0, shape=2)
        vd.Binomial("y", n=k, p=0.5, observed=[0, 1])
    assert model.rvs_to_values[k].dtype == "int64"
    assert model.rvs_to_transforms[k] is None
    np.testing.assert_array_equal(model.initial_point()["k"], [3, 3])
    value = evaluate([model.logp()], {model.rvs_to_values[k]: [4, 2]})[0]
    expected = stats.poisson(3).logpmf([4, 2]).sum() + stats.binom([4, 2], 0.5).logpmf([0, 1]).sum()
    np.testing.assert_allclose(value, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vd.Bernoulli.dist(1.2), "p must be between 0 and 1"),
        (lambda: vd.Bernoulli.dist(), "either p or logit_p"),
        (lambda: vd.Binomial.dist(3, p=0.2, logit_p=0.1), "either p or logit_p"),
        (lambda: vd.Binomial.dist(-1, 0.5), "n must be a whole number"),
        (lambda: vd.BetaBinomial.dist(0.0, 1.0, 3), "alpha must be positive"),
        (lambda: vd.Poisson.dist([1.0, -1.0]), "mu must be zero or more"),
        (lambda: vd.NegativeBinomial.dist(mu=1.0), "either alpha or n"),
        (lambda: vd.NegativeBinomial.dist(mu=1.0, p=0.5, n=1), "either mu or p"),
        (lambda: vd.Geometric.dist(0.0), "above 0"),
        (lambda: vd.HyperGeometric.dist(5, 6, 2), "k must be at most N"),
        (lambda: vd.DiscreteUniform.dist(3, 2), "lower must be at most upper"),
        (lambda: vd.DiscreteUniform.dist(0.5, 2), "lower must be a whole number"),
        (lambda: vd.ZeroInflatedPoisson.dist(-0.1, 2), "psi must be between 0 and 1"),
    ],
)
def test_impossible_constants(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- numba --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_numba_agrees():
    """Log densities, log CDFs and gradients of all distributions, in one compiled function."""
    chosen = list({(case.dist, *case.params): case for case in CASES}.values())
    inputs, values, outputs = [], [], []

    def add(rv, x, params, cdf=True):
        value = pt.lvector()
        density = logp(rv, value)
        outputs.append(density)
        if cdf:
            outputs.extend([logcdf(rv, value), distribution_of(rv).logccdf(value)])
        outputs.extend(pytensor.grad(density.sum(), [p for p in params if p.name != "fixed"]))
        inputs.extend([value, *params])
        values.append(x)

    for case in chosen:
        params = {name: pt.scalar("fixed" if name in case.fixed else name) for name in case.params}
        add(case.dist.dist(**params), case.grid(), params.values(), case.has_logcdf)
        values.extend(np.float64(p) for p in case.params.values())
    x = np.array([0, 4, 2, 1, 3, 2])
    for dist in (vd.OrderedLogistic, vd.OrderedProbit):
        eta, cutpoints = pt.vector("eta"), pt.vector("cutpoints")
        add(dist.dist(eta, cutpoints), x, [eta, cutpoints])
        values.extend([ETA, CUTPOINTS])
    for name in ("p", "logit_p"):
        for table in (rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5), size=6)):
            free = pt.tensor(name, shape=(None,) * table.ndim)
            add(vd.Categorical.dist(**{name: free}), x, [free])
            values.append(table)
    results = []
    for mode in ("NUMBA", EVALUATE_MODE):
        function = pytensor.function(inputs, outputs, mode=mode)
        results.append(function(*values))
    for output, compiled, evaluated in zip(outputs, *results, strict=True):
        np.testing.assert_allclose(
            compiled, evaluated, rtol=1e-9, atol=1e-12, err_msg=str(output.owner)
        )


@pytest.mark.slow
@pytest.mark.parametrize("case", {(c.dist, *c.params): c for c in CASES}.values(), ids=str)
def test_jax_agrees_with_numpy(case):
    pytest.importorskip("jax")
    params = {name: pytensor.shared(float(p)) for name, p in case.params.items()}
    rv = case.dist.dist(**params)
    value = pytensor.shared(case.grid())
    density = logp(rv, value)
    free = [param for name, param in params.items() if name not in case.fixed]
    outputs = [density, *pytensor.grad(density.sum(), free)]
    outputs += [logcdf(rv, value)] if case.has_logcdf else []
    for found, expected in zip(of_shared(outputs), evaluate(outputs), strict=True):
        np.testing.assert_allclose(found, expected, 1e-8, 1e-10)
