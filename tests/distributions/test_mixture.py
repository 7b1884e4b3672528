import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from scipy import special, stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logcdf, logp
from vibayes.distributions.censoring import Censored, Truncated
from vibayes.distributions.continuous import Exponential, Gamma, HalfNormal, Normal, Uniform
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.mixture import Mixture, NormalMixture
from vibayes.distributions.multivariate import Dirichlet, MvNormal
from vibayes.distributions.timeseries import AR, GaussianRandomWalk
from vibayes.distributions.transforms import Interval, log
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model

W, MU, SIGMA = np.array([0.2, 0.8]), np.array([-0.3, 0.5]), np.array([0.1, 0.2])
GRID = np.array([-1.0, -0.3, 0.0, 0.11, 0.5, 2.0, 40.0, -1e6, 1e6])
INFINITE = np.array([1e300, -1e300, np.inf, -np.inf])


def reference_logp(x, w=W, mu=MU, sigma=SIGMA):
    terms = stats.norm.logpdf(np.asarray(x)[..., None], mu, sigma)
    return special.logsumexp(terms, b=w, axis=-1)


def reference_cdf(x, w=W, mu=MU, sigma=SIGMA):
    return (w * stats.norm.cdf(np.asarray(x)[..., None], mu, sigma)).sum(axis=-1)


def unknown(value):
    """Return a tensor of which PyTensor does not know that it is constant."""
    return pytensor.shared(np.asarray(value)) + 0.0


FORMS = {
    "constants": lambda: NormalMixture.dist(W, MU, SIGMA),
    "variables": lambda: NormalMixture.dist(unknown(W), unknown(MU), sigma=unknown(SIGMA)),
    "tau": lambda: NormalMixture.dist(W, MU, tau=SIGMA**-2.0),
    "sd": lambda: NormalMixture.dist(W, MU, sd=SIGMA, dtype="floatX"),
    "list": lambda: Mixture.dist(W, [Normal.dist(m, s) for m, s in zip(MU, SIGMA, strict=True)]),
    "batched": lambda: Mixture.dist(W, Normal.dist(MU, SIGMA)),
    "one in a list": lambda: Mixture.dist(unknown(W), [Normal.dist(MU, SIGMA)]),
}


def draw(rv, seed=1):
    return evaluate(reseeded([rv], seed)[0])[0]


@pytest.mark.parametrize("form", FORMS)
def test_normal_components(form):
    """All ways to write the same mixture agree with SciPy, vectorized or not."""
    rv = FORMS[form]()
    x, xs = pt.scalar("x"), pt.vector("xs")
    assert rv.type.shape == ()
    scalar = logp(rv, x)
    assert scalar.type.ndim == 0
    density = vectorize_graph(scalar, {x: xs})
    probability = vectorize_graph(logcdf(rv, x), {x: xs})
    tail = vectorize_graph(distribution_of(rv).logccdf(x), {x: xs})
    gradient = pytensor.grad(density.sum(), xs)
    f = pytensor.function([xs], [density, gradient, probability, tail], mode=EVALUATE_MODE)
    with np.errstate(all="ignore"):
        value, slope, below, above = f(GRID)
        at_end = f(INFINITE)
    np.testing.assert_allclose(value, reference_logp(GRID), rtol=1e-12, atol=1e-14)
    terms = stats.norm.logpdf(GRID[:, None], MU, SIGMA) + np.log(W)
    expected = -(special.softmax(terms, axis=1) * (GRID[:, None] - MU) / SIGMA**2).sum(axis=1)
    np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.exp(below), reference_cdf(GRID), rtol=1e-12)
    np.testing.assert_allclose(np.exp(above), reference_cdf(-GRID, W, -MU), rtol=1e-12)
    np.testing.assert_array_equal(at_end[0], -np.inf)
    assert not np.isnan(at_end[1]).any()
    np.testing.assert_allclose(draw(distribution_of(rv).support_point()), W @ MU)


@pytest.mark.parametrize("form", ["constants", "list", "batched"])
def test_draws_follow_the_mixture(form):
    rv = distribution_of(FORMS[form]()).make_rv((4000,))
    assert rv.type.shape == (4000,)
    assert stats.kstest(draw(rv), reference_cdf).pvalue > 1e-4


@pytest.mark.parametrize("kind", [NormalMixture, Mixture])
def test_gradients_by_parameters(kind):
    w, mu, sigma = pt.vectors("w", "mu", "sigma")
    rv = kind.dist(w, mu, sigma) if kind is NormalMixture else kind.dist(w, Normal.dist(mu, sigma))
    x = np.array([-0.5, 0.1, 30.0])
    total = logp(rv, x).sum()
    f = pytensor.function(
        [w, mu, sigma], [total, *pytensor.grad(total, [w, mu, sigma])], mode=EVALUATE_MODE
    )
    point = [np.array([0.3, 0.1, 0.6]), np.array([-1.0, 0.0, 20.0]), np.array([0.5, 1.0, 2.0])]
    value, *gradients = f(*point)
    np.testing.assert_allclose(value, reference_logp(x, *point).sum(), rtol=1e-12)
    for i, gradient in enumerate(gradients):
        for k in range(3):
            step = np.zeros(3)
            step[k] = 1e-6
            up, down = (
                reference_logp(x, *(p + sign * step * (j == i) for j, p in enumerate(point))).sum()
                for sign in (1, -1)
            )
            np.testing.assert_allclose(gradient[k], (up - down) / 2e-6, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("form", ["normal", "list", "batched"])
def test_weight_of_zero(form, known):
    w = pt.vector("w")
    given = np.array([0.0, 1.0])
    weights = given if known else w
    if form == "normal":
        rv = NormalMixture.dist(weights, MU, SIGMA)
    elif form == "batched":
        rv = Mixture.dist(weights, Normal.dist(MU, SIGMA))
    else:
        rv = Mixture.dist(weights, [Normal.dist(MU[k], SIGMA[k]) for k in range(2)])
    x = pt.vector("x")
    density = logp(rv, x)
    wrt = [x] if known else [x, w]
    outputs = [density, *pytensor.grad(density.sum(), wrt)]
    f = pytensor.function([x, w], outputs, mode=EVALUATE_MODE, on_unused_input="ignore")
    value, *gradients = f(GRID, given)
    np.testing.assert_allclose(value, stats.norm.logpdf(GRID, MU[1], SIGMA[1]), rtol=1e-12)
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(gradients[0], -(GRID - MU[1]) / SIGMA[1] ** 2, rtol=1e-12)


def test_components_of_different_support():
    a, b = pt.scalars("a", "b")
    rv = Mixture.dist([0.25, 0.75], [Uniform.dist(0, a), Exponential.dist(b)])
    x = np.array([-1.0, 0.5, 3.0, 1e6, np.inf])
    density = logp(rv, x)
    gradients = pytensor.grad(density[1:4].sum(), [a, b])
    value, *slopes = evaluate([density, *gradients], {a: 2.0, b: 1.5})
    with np.errstate(divide="ignore"):
        expected = np.log(
            0.25 * stats.uniform(0, 2).pdf(x) + 0.75 * stats.expon(scale=1 / 1.5).pdf(x)
        )
    expected[3] = np.log(0.75) + stats.expon(scale=1 / 1.5).logpdf(x[3])
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    assert np.isfinite(slopes).all()
    everywhere = pytensor.grad(density.sum(), [a, b])
    assert not np.isnan(evaluate(everywhere, {a: 2.0, b: 1.5})).any()


def test_component_of_infinite_density():
    x = pt.vector("x")
    rv = Mixture.dist([0.5, 0.5], [Gamma.dist(0.5, 1.0), Normal.dist(0.0, 1.0)])
    density = logp(rv, x)
    value, slope = evaluate([density, pytensor.grad(density.sum(), x)], {x: [0.0, 1e-300]})
    assert value[0] == np.inf
    np.testing.assert_allclose(value[1], np.log(0.5) + stats.gamma(0.5).logpdf(1e-300))
    assert not np.isnan(slope).any()


def test_discrete_components():
    w, rates = np.array([0.4, 0.6]), np.array([2.0, 15.0])
    k = np.arange(0, 40)
    expected = np.log(stats.poisson.pmf(k[:, None], rates) @ w)
    for components in (Poisson.dist(rates), [Poisson.dist(rate) for rate in rates]):
        rv = Mixture.dist(w, components, size=4000)
        dist = distribution_of(rv)
        assert dist.discrete
        assert dist.default_transform is None
        np.testing.assert_allclose(evaluate([logp(rv, k)])[0], expected, rtol=1e-12)
        drawn = draw(rv)
        assert drawn.dtype == rv.dtype == "int64"
        observed = np.bincount(np.minimum(drawn, 20), minlength=21)
        mass = np.exp(expected[:21])
        mass[20] = 1 - mass[:20].sum()
        assert stats.chisquare(observed, mass * 4000).pvalue > 1e-4
        point = evaluate([dist.support_point()])[0]
        assert point.dtype == "int64"
        assert point == round(w @ rates)
    with Model(), pytest.raises(ValueError, match="whole numbers"):
        Mixture("x", w, Poisson.dist(rates), observed=[0.5])


def test_multivariate_components():
    w = np.array([0.3, 0.7])
    means = np.array([[0.0, 0.0], [20.0, -20.0]])
    covs = np.array([[[1.0, 0.5], [0.5, 2.0]], [[1.0, 0.0], [0.0, 0.25]]])
    x = np.array([[0.5, 1.0], [19.0, -21.0], [10.0, -10.0]])
    log_densities = [
        stats.multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covs, strict=True)
    ]
    expected = special.logsumexp(np.stack(log_densities, -1), b=w, axis=-1)
    one, many = pt.vector("one"), pt.matrix("many")
    for components in (
        [MvNormal.dist(m, cov=c) for m, c in zip(means, covs, strict=True)],
        MvNormal.dist(means, cov=covs),
    ):
        rv = Mixture.dist(w, components, size=(500,))
        assert rv.type.shape == (500, 2)
        density = vectorize_graph(logp(rv, one), {one: many})
        np.testing.assert_allclose(evaluate([density], {many: x})[0], expected, rtol=1e-10)
        drawn = draw(rv)
        near_second = drawn[:, 0] > 10
        # Both coordinates come from the same component.
        np.testing.assert_array_equal(near_second, drawn[:, 1] < -10)
        assert stats.binomtest(int(near_second.sum()), 500, 0.7).pvalue > 1e-4
        point = evaluate([distribution_of(rv).support_point()])[0]
        np.testing.assert_allclose(point, w @ means)


def test_batches_of_weights_and_components():
    rng = np.random.default_rng(3)
    w = rng.dirichlet(np.ones(3), size=5)
    mu, sigma = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, size=3)
    x = rng.normal(size=(4, 5))
    expected = reference_logp(x, w, mu, sigma)
    rvs = [
        NormalMixture.dist(w, mu, sigma),
        Mixture.dist(w, Normal.dist(mu, sigma)),
        Mixture.dist(w, [Normal.dist(mu[:, k], sigma[k]) for k in range(3)]),
    ]
    for rv in rvs:
        assert rv.type.shape == (5,)
        assert draw(rv).shape == (5,)
        np.testing.assert_allclose(evaluate([logp(rv, x)])[0], expected, rtol=1e-12)
        assert distribution_of(rv).make_rv((4, 5)).type.shape == (4, 5)
    # Components without an axis of their own count by their shape; a scale can be common to all.
    shared = Mixture.dist([0.5, 0.5], Normal.dist(0.0, 1.0, shape=2))
    common = NormalMixture.dist([0.5, 0.5], 0.0)
    for rv in (shared, common):
        np.testing.assert_allclose(evaluate([logp(rv, 1.0)])[0], stats.norm.logpdf(1.0))
        assert draw(rv).shape == ()


def test_draws_use_every_component_of_a_batch():
    rv = Mixture.dist([[1.0, 0.0], [0.0, 1.0]], Normal.dist([-100.0, 100.0], 1.0), size=(50, 2))
    drawn = draw(rv)
    assert (drawn[:, 0] < -50).all()
    assert (drawn[:, 1] > 50).all()


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        x = pt.vector("x")
        for form in ("constants", "variables", "list", "batched"):
            rv = FORMS[form]()
            density = logp(rv, x)
            slope = pytensor.grad(density.sum(), x)
            assert rv.dtype == density.dtype == slope.dtype == "float32"
            at = np.array([-0.5, 0.1, 0.6, 1e6, np.inf], dtype="float32")
            with np.errstate(over="ignore"):
                value, slope = evaluate([density, slope], {x: at})
            np.testing.assert_allclose(value, reference_logp(at), rtol=1e-5)
            assert not np.isnan(slope).any()


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        (lambda: [HalfNormal.dist(1.0), Gamma.dist(2.0, 1.0)], log),
        (lambda: HalfNormal.dist([1.0, 2.0]), log),
        (lambda: [HalfNormal.dist(1.0), Normal.dist(0.0, 1.0)], None),
        (lambda: [Uniform.dist(0, 1), Uniform.dist(0.0, 1.0)], Interval(0, 1)),
        (lambda: [Uniform.dist(0, 1), Uniform.dist(0, 2)], None),
        (lambda: Uniform.dist([0, 0], 1), Interval(0, 1)),
        (lambda: Uniform.dist(0, [1, 2]), None),
        (lambda: Normal.dist([1, 2], 1), None),
    ],
)
def test_default_transform(components, expected):
    transform = distribution_of(Mixture.dist([0.5, 0.5], components())).default_transform
    if not isinstance(expected, Interval):
        assert transform is expected
        return
    bounds = evaluate([transform.lower, transform.upper])
    np.testing.assert_array_equal(bounds, evaluate([expected.lower, expected.upper]))
    assert bounds[0].ndim == 0


def test_support_point_is_in_the_support():
    rv = Mixture.dist([0.4, 0.6], [Uniform.dist(0, 1), Uniform.dist(10, 12)])
    point = distribution_of(rv).support_point()
    value, density = evaluate([point, logp(rv, point)])
    assert value == 11
    np.testing.assert_allclose(density, np.log(0.6 / 2))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Mixture.dist([0.5, 0.6], Normal.dist([0, 1], 1)), ParameterError, "sum to 1"),
        (lambda: NormalMixture.dist([1.5, -0.5], [0, 1]), ParameterError, "w must be weights"),
        (lambda: NormalMixture.dist([0.5, 0.5], [0, 1], [1, 0]), ParameterError, "sigma must be"),
        (lambda: NormalMixture.dist(1.0, [0, 1]), ShapeError, "w must be a vector"),
        (lambda: NormalMixture.dist([0.5, 0.5], [0, 1, 2]), ShapeError, "2 weights for 3 comp"),
        (lambda: NormalMixture.dist([0.5, 0.5], 0, dtype="int64"), ValueError, "dtype must be"),
        (lambda: NormalMixture.dist([0.5, 0.5], 0, 1, 1), ValueError, "tau"),
        (lambda: Mixture.dist([0.5, 0.5], Normal.dist([0, 1, 2], 1)), ShapeError, "2 weights"),
        (lambda: Mixture.dist([1.0], Normal.dist(0, 1)), ShapeError, "needs a batch axis"),
        (lambda: Mixture.dist([0.5, 0.5], []), ValueError, "empty"),
        (lambda: Mixture.dist([0.5, 0.5], [Normal.dist(), 3.0]), TypeError, "list of PyTensor"),
        (lambda: Mixture.dist([0.5, 0.5], [Normal.dist(), Normal]), TypeError, "list of PyTensor"),
        (lambda: Mixture.dist([0.5, 0.5], [Normal.dist(), Poisson.dist(1)]), ValueError, "agree"),
        (
            lambda: Mixture.dist([0.5, 0.5], [Normal.dist(), MvNormal.dist([0, 0], cov=np.eye(2))]),
            ValueError,
            "ndim_supp",
        ),
    ],
)  # fmt: skip
def test_errors(make, error, match):
    with pytest.raises(error, match=match) as caught:
        make()
    assert "Mixture" in str(caught.value)


def test_components_of_a_model_are_refused():
    with Model():
        x = Normal("x", 0, 1)
        with pytest.raises(ValueError, match=r"Mixture\('y'\): 'x' is a variable of a model"):
            Mixture("y", [0.5, 0.5], [x, Normal.dist(0, 1)])


def test_in_a_model():
    """Weights, means and data in a model: the joint density is that of the formula."""
    data = np.array([-1.0, 0.2, 2.0, 5.0])
    with Model() as model:
        w = Dirichlet("w", np.ones(2))
        mu = Normal("mu", [0.0, 3.0], 1.0)
        components = [Normal.dist(mu[0], 0.5), Normal.dist(mu[1], 2.0)]
        like = Mixture("like", w=w, comp_dists=components, observed=data)
    assert "Mixture(w=w, " in repr(model)
    point = model.initial_point()
    value = model.compile_logp([like], backend="py")(point)
    expected = reference_logp(data, np.full(2, 0.5), np.array([0.0, 3.0]), np.array([0.5, 2.0]))
    np.testing.assert_allclose(value, expected.sum(), rtol=1e-12)
    gradient = model.compile_dlogp(backend="py")(point)
    assert np.isfinite(gradient).all()


def test_free_mixture_in_a_model():
    with Model() as model:
        NormalMixture("x", W, MU, SIGMA)
        Mixture("y", W, [HalfNormal.dist(1.0), Gamma.dist(2.0, 1.0)], shape=3)
    assert [v.name for v in model.value_vars] == ["x", "y_log__"]
    point = model.initial_point()
    np.testing.assert_allclose(point["x"], W @ MU)
    assert point["y_log__"].shape == (3,)
    assert np.isfinite(model.compile_logp(backend="py")(point))


def test_the_mixture_of_constants_is_one_loop():
    """All that is to be compiled for density and gradient is a single fused operation."""
    x = pt.vector("x")
    density = logp(NormalMixture.dist(W, MU, SIGMA), x)
    f = pytensor.function([x], [density, pytensor.grad(density.sum(), x)], mode="NUMBA")
    assert len(f.maker.fgraph.apply_nodes) == 1
    expected = evaluate([density, pytensor.grad(density.sum(), x)], {x: GRID})
    for compiled, interpreted in zip(f(GRID), expected, strict=True):
        np.testing.assert_allclose(compiled, interpreted, rtol=1e-10, atol=1e-12)


def built_from_others():
    return [
        Mixture.dist(W, [Normal.dist(m, 1.0) for m in MU], size=6),
        Mixture.dist(W, Normal.dist(MU, SIGMA), size=6),
        Censored.dist(Normal.dist(0.0, 1.0), -1.0, 1.0, size=6),
        Truncated.dist(Normal.dist(0.0, 1.0), -2.0, 2.0, size=6),
        GaussianRandomWalk.dist(0.1, 2.0, shape=6),
        AR.dist([0.1, 0.5, 0.2], 2.0, constant=True, shape=6),
    ]


@pytest.mark.ci
def test_numba_agrees():
    """One compiled function for densities and gradients of what is built from others."""
    x, z = pt.vector("x", shape=(6,)), pt.matrix("z", shape=(3, 6))
    total = pt.add(*(vectorize_graph(logp(rv, x).sum(), {x: z}) for rv in built_from_others()))
    outputs = [total, pytensor.grad(total.sum(), z)]
    at = np.linspace(-1.5, 1.8, 18).reshape(3, 6)
    compiled = pytensor.function([z], outputs, mode="NUMBA")(at)
    for result, reference in zip(compiled, evaluate(outputs, {z: at}), strict=True):
        np.testing.assert_allclose(result, reference, rtol=1e-9)


@pytest.mark.slow
def test_numba_draws():
    drawn = pytensor.function([], built_from_others(), mode="NUMBA")()
    assert all(d.shape == (6,) and np.isfinite(d).all() for d in drawn)
    assert (np.abs(drawn[2]) <= 1).all()
    assert (np.abs(drawn[3]) <= 2).all()
