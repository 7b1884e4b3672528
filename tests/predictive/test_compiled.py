"""Predictive draws and log likelihood of every distribution, against those of one draw."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from scipy import stats

import vibayes as vb
from vibayes.backend.numpy_linker import NumpyLinker
from vibayes.backend.seeds import reseeded
from vibayes.predictive import compiled
from vibayes.predictive.batching import over_draws
from vibayes.predictive.compiled import compile_over_draws

DRAWS = 400
VALUES = (0.8, 1.6)
COV = np.array([[2.0, 0.5], [0.5, 1.0]])
NEIGHBOURS = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]])

# what each distribution is made of, given a positive number
CASES = {
    "AR": lambda t: args(rho=[0.2 * t, 0.1], sigma=t, init_dist=normal(t), steps=4),
    "CAR": lambda t: args(mu=[0.0, t, 1.0], W=NEIGHBOURS, alpha=t / 2, tau=t),
    "AsymmetricLaplace": lambda t: args(b=t, kappa=1.5, mu=0.5),
    "Bernoulli": lambda t: args(p=t / 2),
    "Beta": lambda t: args(alpha=t, beta=2.0),
    "BetaBinomial": lambda t: args(n=10, alpha=t, beta=2.0),
    "Binomial": lambda t: args(n=10, p=t / 2),
    "Categorical": lambda t: args(p=pt.stack([0.1 * t, 0.3, 0.7 - 0.1 * t])),
    "Cauchy": lambda t: args(alpha=t, beta=1.0),
    "Censored": lambda t: args(normal(t), lower=-0.5, upper=1.0),
    "ChiSquared": lambda t: args(nu=3 * t),
    "CustomDist": lambda t: args(t, random=laplace, logp=laplace_logp),
    "Dirichlet": lambda t: args(a=pt.stack([t, 2.0, 3.0])),
    "DirichletMultinomial": lambda t: args(n=10, a=pt.stack([t, 2.0, 3.0])),
    "DiracDelta": lambda t: args(t),
    "DiscreteUniform": lambda t: args(lower=0, upper=pt.floor(5 * t)),
    "DiscreteWeibull": lambda t: args(q=t / 2, beta=0.8),
    "EulerMaruyama": lambda t: args(0.1, drift_and_noise, (t, 1.0), init_dist=normal(t), steps=4),
    "ExGaussian": lambda t: args(mu=0.0, sigma=1.0, nu=t),
    "Exponential": lambda t: args(t),
    "GARCH11": lambda t: args(0.5, t / 4, 0.3, t, steps=4),
    "Gamma": lambda t: args(alpha=2.0, beta=t),
    "GaussianRandomWalk": lambda t: args(sigma=t, init_dist=normal(0.0), steps=4),
    "GenExtreme": lambda t: args(mu=t, sigma=2.0, xi=0.3),
    "Geometric": lambda t: args(p=t / 2),
    "Gumbel": lambda t: args(mu=0.0, beta=t),
    "HalfCauchy": lambda t: args(beta=t),
    "HalfNormal": lambda t: args(sigma=t),
    "HalfStudentT": lambda t: args(nu=4.0, sigma=t),
    "HurdleGamma": lambda t: args(psi=0.6, alpha=t, beta=2.0),
    "HurdleLogNormal": lambda t: args(psi=t / 2, mu=0.0, sigma=t),
    "HurdleNegativeBinomial": lambda t: args(psi=0.6, mu=5 * t, alpha=2.0),
    "HurdlePoisson": lambda t: args(psi=t / 2, mu=4.0),
    "HyperGeometric": lambda t: args(N=20, k=pt.floor(10 * t), n=6),
    "ICAR": lambda t: args(NEIGHBOURS, sigma=t, zero_sum_stdev=0.1),
    "Interpolated": lambda t: args([0.0, 1.0, 3.0], [0.2, 1.0, 0.1]),
    "InverseGamma": lambda t: args(alpha=3.0, beta=t),
    "KroneckerNormal": lambda t: args(pt.stack([t] * 4), covs=[COV, np.eye(2)], sigma=t),
    "Kumaraswamy": lambda t: args(a=t, b=2.0),
    "LKJCholeskyCov": lambda t: args(eta=t, n=2, sd_dist=vb.HalfNormal.dist(t), compute_corr=False),
    "LKJCorr": lambda t: args(n=3, eta=t),
    "Laplace": lambda t: args(mu=0.0, b=t),
    "LogNormal": lambda t: args(mu=0.0, sigma=t),
    "Logistic": lambda t: args(mu=0.0, s=t),
    "LogitNormal": lambda t: args(mu=0.0, sigma=t),
    "MatrixNormal": lambda t: args(pt.stack([t, 0.0, 1.0]), rowcov=COV, colcov=np.eye(3)),
    "Mixture": lambda t: args(w=[0.3, 0.7], comp_dists=[normal(-3.0), normal(3 * t)]),
    "Moyal": lambda t: args(mu=0.0, sigma=t),
    "Multinomial": lambda t: args(n=10, p=pt.stack([0.1 * t, 0.3, 0.7 - 0.1 * t])),
    "MvGaussianRandomWalk": lambda t: args(pt.stack([t, 0.0]), cov=COV, steps=3),
    "MvNormal": lambda t: args(mu=[0.0, 1.0], cov=t * COV),
    "MvStudentT": lambda t: args(nu=5.0, mu=pt.stack([t, 1.0]), scale=np.eye(2)),
    "MvStudentTRandomWalk": lambda t: args(5.0, [0.0, 1.0], scale=t * COV, steps=3),
    "NegativeBinomial": lambda t: args(mu=5 * t, alpha=2.0),
    "Normal": lambda t: args(0.0, t),
    "NormalMixture": lambda t: args(w=[0.3, 0.7], mu=[-3.0, 3.0], sigma=t),
    "OrderedLogistic": lambda t: args(eta=t, cutpoints=[-1.0, 1.0]),
    "OrderedMultinomial": lambda t: args(eta=t, cutpoints=[-1.0, 1.0], n=10),
    "OrderedProbit": lambda t: args(eta=t, cutpoints=[-1.0, 1.0]),
    "Pareto": lambda t: args(alpha=3.0, m=t),
    "Poisson": lambda t: args(5 * t),
    "PolyaGamma": lambda t: args(h=t, z=t),
    "RandomWalk": lambda t: args(normal(t), vb.Laplace.dist(0.0, t), steps=4),
    "Rice": lambda t: args(nu=t, sigma=1.0),
    "Skellam": lambda t: args(5 * t, 3.0),
    "SkewNormal": lambda t: args(mu=0.0, sigma=1.0, alpha=3 * t),
    "SkewStudentT": lambda t: args(a=3 * t, b=2.0, sigma=t),
    "StickBreakingWeights": lambda t: args(t, K=3),
    "StudentT": lambda t: args(nu=4.0, mu=0.0, sigma=t),
    "Triangular": lambda t: args(lower=0.0, c=t, upper=2.0),
    "Truncated": lambda t: args(normal(t), lower=0.0),
    "TruncatedNormal": lambda t: args(mu=t, sigma=1.0, lower=0.0, upper=2.0),
    "Uniform": lambda t: args(lower=-t, upper=t),
    "VonMises": lambda t: args(mu=0.0, kappa=t),
    "Wald": lambda t: args(mu=1.0, lam=t),
    "Wishart": lambda t: args(3.0 + t, t * COV),
    "Weibull": lambda t: args(alpha=2.0, beta=t),
    "ZeroInflatedBinomial": lambda t: args(psi=0.6, n=10, p=t / 2),
    "ZeroInflatedNegativeBinomial": lambda t: args(psi=0.6, mu=5 * t, alpha=2.0),
    "ZeroInflatedPoisson": lambda t: args(psi=t / 2, mu=4.0),
    "ZeroSumNormal": lambda t: args(sigma=t, support_shape=(3,)),
}
LEFT_OUT = {
    *("Continuous", "Discrete", "Distribution"),  # bases
    *("Flat", "HalfFlat"),  # improper
    *("DensityDist", "Lognormal"),  # other names
}


def args(*args, **kwargs):
    return args, kwargs


def normal(mu):
    return vb.Normal.dist(mu, 1.0)


def laplace(b, rng=None, size=None):
    return rng.laplace(0.0, b, size=size)


def laplace_logp(value, b):
    return -pt.abs(value) / b - pt.log(2 * b)


def drift_and_noise(x, rate, noise):
    return -rate * x, noise


def variable(name, t, size):
    positional, named = CASES[name](t)
    return getattr(vb, name).dist(*positional, **named, size=size)


# as it is written, but for what a graph needs to run: another road to the same numbers
PLAIN = Mode(NumpyLinker(), "fast_compile")


@pytest.fixture(scope="module")
def plain_draws():
    """For each number, draws by name without an axis of draws."""
    t = pt.dscalar("t")
    variables = reseeded([variable(name, t, (3000,)) for name in CASES], 2)[0]
    function = pytensor.function([t], variables, mode=PLAIN)
    return {value: dict(zip(CASES, function(value), strict=True)) for value in VALUES}


@pytest.fixture(scope="module")
def data(plain_draws):
    """Three observations of each distribution."""
    return {name: plain_draws[VALUES[0]][name][:3] for name in CASES}


@pytest.fixture(scope="module")
def results(data):
    with vb.Model():
        t = vb.HalfNormal("t")
        for name, case in CASES.items():
            positional, named = case(t)
            getattr(vb, name)(name, *positional, **named, observed=data[name])
        t = np.repeat(VALUES, DRAWS)[None]
        posterior = xr.Dataset({"t": (("chain", "draw"), t)})
        results = vb.sample_posterior_predictive(
            posterior, random_seed=1, extend_inferencedata=True
        )
        return vb.compute_log_likelihood(results)


@pytest.fixture(scope="module")
def expected(data):
    """For each number, log densities by name, without an axis of draws."""
    t = pt.dscalar("t")
    logps = [vb.logp(variable(name, t, (3,)), data[name]) for name in CASES]
    function = pytensor.function([t], logps, mode=PLAIN)
    return {value: dict(zip(CASES, function(value), strict=True)) for value in VALUES}


def test_no_distribution_is_missing():
    names = {
        name
        for name, value in vars(vb).items()
        if isinstance(value, type) and issubclass(value, vb.Distribution)
    }
    assert names - LEFT_OUT == set(CASES)


@pytest.mark.ci
@pytest.mark.parametrize("name", CASES)
def test_predictive_draws(results, plain_draws, name):
    drawn = results.posterior_predictive[name].values[0]
    assert drawn.shape[1] == 3
    for i, t in enumerate(VALUES):
        part = drawn[i * DRAWS : (i + 1) * DRAWS].reshape(DRAWS, 3, -1)
        others = plain_draws[t][name].reshape(3000, -1)
        for k in range(part.shape[2]):
            if np.ptp(others[:, k]) > 0:
                assert stats.ks_2samp(part[:, :, k].ravel(), others[:, k]).pvalue > 1e-5
                assert abs(stats.spearmanr(part[:, 0, k], part[:, 1, k])[0]) < 0.25


@pytest.mark.ci
@pytest.mark.parametrize("name", CASES)
def test_log_likelihood(results, expected, name):
    values = results.log_likelihood[name].values[0]
    assert values.shape == (2 * DRAWS, 3)
    for i, t in enumerate(VALUES):
        part = values[i * DRAWS : (i + 1) * DRAWS]
        np.testing.assert_allclose(part, np.tile(expected[t][name], (DRAWS, 1)), rtol=1e-10)


def test_what_is_for_one_draw_alone_is_drawn_one_by_one():
    """A loop that draws at random, and an operation that takes no more axes than it says."""

    def step(last, rng, mu):
        next_rng, noise = pt.random.normal(mu, 0.1, rng=rng).owner.outputs
        return last + noise, next_rng

    mu, rng = pt.dscalar("mu"), pytensor.shared(np.random.default_rng(0))
    path, _ = pytensor.scan(
        step, outputs_info=[pt.zeros(()), rng], non_sequences=mu, n_steps=5, return_updates=False
    )
    function = compile_over_draws([path, pt.exp(mu)], [mu], {})
    values = np.array([0.0, 10.0, 20.0, 0.0])
    paths, powers = function(4, [values], 1)
    assert paths.shape == (4, 5)
    np.testing.assert_allclose(powers, np.exp(values))
    assert (np.abs(paths[:, -1] - 5 * values) < 3).all()
    assert not np.array_equal(paths[0], paths[3])
    again = function(4, [values], 1)[0]
    np.testing.assert_array_equal(paths, again)


def test_graphs_within_operations_are_drawn_anew():
    """Of which distributions of other libraries are made."""
    mu, rng = pt.dscalar("mu"), pytensor.shared(np.random.default_rng(0))
    size = pt.TensorType("int64", (1,))("size")
    own = rng.type("own")
    inner_mu = pt.dscalar("inner")
    next_rng, noise = pt.random.normal(0, 1, size=size, rng=own).owner.outputs
    op = OpFromGraph([own, size, inner_mu], [next_rng, inner_mu + noise])
    _, draw = op(rng, pt.constant([3]), mu)
    constant = op(rng, pt.constant([3]), pt.constant(5.0, dtype="float64"))[1]
    (together,) = over_draws([draw], {mu: pt.dvector("stack")}, pt.lscalar("draws"), {})
    assert together.type.ndim == 2  # not one by one
    function = compile_over_draws([draw, constant], [mu], {})
    draws, others = function(300, [np.arange(300.0)], 1)
    assert draws.shape == others.shape == (300, 3)
    assert np.unique(others).size == 900
    assert others.std() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(draws.mean(axis=1), np.arange(300), atol=3)


def test_operations_that_say_so_when_they_run():
    class OfOneNumber(Op):
        def make_node(self, x):
            return Apply(self, [x], [x.type()])

        def perform(self, node, inputs, outputs):
            if np.ndim(inputs[0]):
                raise TypeError("must be one number")
            outputs[0][0] = np.asarray(2 * inputs[0])

    x = pt.dscalar("x")
    (doubled,) = compile_over_draws([OfOneNumber()(x)], [x], {})(3, [np.arange(3.0)], 1)
    np.testing.assert_array_equal(doubled, [0, 2, 4])


def test_the_draws_of_each_part_are_others(monkeypatch):
    monkeypatch.setattr(compiled, "MOST_NUMBERS", 3)  # draws at a time, after the first
    function = compile_over_draws(
        [pt.random.normal(rng=pytensor.shared(np.random.default_rng(0)))], [], {}
    )
    (draws,) = function(10, [], 1)
    assert np.unique(draws).size == 10


def test_a_first_attempt_that_fails_takes_no_numbers():
    def of_one_number(mu, rng=None, size=None):
        if np.ndim(mu):
            raise TypeError("must be one number")
        return rng.normal(mu, size=size)

    x = pt.dscalar("x")
    noise = vb.CustomDist.dist(x, random=of_one_number)
    function = compile_over_draws([noise], [x], {})
    values = [np.arange(3.0)]
    first, second = function(3, values, 1), function(3, values, 1)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, function(3, values, 2))
