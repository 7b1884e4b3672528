import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logcdf, logp
from vibayes.distributions.continuous import HalfNormal, Normal
from vibayes.distributions.custom import CustomDist
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.mixture import Mixture
from vibayes.distributions.multivariate import MvNormal
from vibayes.exceptions import ShapeError
from vibayes.model.core import Model


def laplace_logp(value, mu, b):
    return -pt.abs(value - mu) / b - pt.log(2 * b)


def laplace_random(mu, b, rng=None, size=None):
    return rng.laplace(mu, b, size=size)


def walk_random(mu, rng=None, size=None):
    batch = mu.shape[:-1] if size is None else size
    return mu + rng.normal(size=(*batch, mu.shape[-1])).cumsum(axis=-1)


def triple_random(mu, rng=None, size=None):
    return rng.normal(mu, size=(*(size or ()), 3))


def draw(rv, seed=1):
    return evaluate(reseeded([rv], seed)[0])[0]


def test_log_density_in_a_model():
    y = np.array([1.0, 2.5, -0.3])
    with Model() as model:
        mu = Normal("mu", 0, 10)
        CustomDist("y", mu, 2.0, logp=laplace_logp, random=laplace_random, observed=y)
    value = model.compile_fn(model.observedlogp, backend="py")({"mu": 0.5})
    np.testing.assert_allclose(value, stats.laplace(0.5, 2.0).logpdf(y).sum(), rtol=1e-12)
    assert "CustomDist(p0=mu, p1=2)" in repr(model)


def test_free_variable():
    with Model() as model:
        CustomDist("x", 1.0, 2.0, logp=laplace_logp, shape=(2, 3))
        CustomDist(
            "y",
            3.0,
            2.0,
            logp=laplace_logp,
            support_point=lambda rv, size, mu, b: pt.full(size, mu),
            shape=4,
            class_name="Laplacian",
        )
    point = model.initial_point()
    np.testing.assert_array_equal(point["x"], np.zeros((2, 3)))
    np.testing.assert_array_equal(point["y"], np.full(4, 3.0))
    expected = stats.laplace(1, 2).logpdf(np.zeros(6)).sum() + 4 * stats.laplace(3, 2).logpdf(3)
    np.testing.assert_allclose(model.compile_logp(backend="py")(point), expected, rtol=1e-12)
    assert "Laplacian(p0=3, p1=2)" in repr(model)


def test_draws_of_a_numpy_function():
    rv = CustomDist.dist([0.0, 100.0], 2.0, random=laplace_random, size=(2000, 2))
    assert rv.type.shape == (2000, 2)
    x = draw(rv)
    for column, mu in zip(x.T, (0.0, 100.0), strict=True):
        assert stats.kstest(column, stats.laplace(mu, 2.0).cdf).pvalue > 1e-4
    np.testing.assert_array_equal(x, draw(rv))
    assert (x != draw(rv, 2)).all()
    assert draw(CustomDist.dist([0.0, 1.0], 2.0, random=laplace_random)).shape == (2,)


def test_functions_are_not_mixed_up():
    """Two variables that differ only in their function are not merged into one."""
    rng = pytensor.shared(np.random.default_rng(1))
    up = CustomDist.dist(0.0, random=lambda mu, rng, size: rng.uniform(1, 2, size), size=3, rng=rng)
    rng = pytensor.shared(np.random.default_rng(1))
    down = CustomDist.dist(0.0, random=lambda mu, rng, size: -rng.uniform(1, 2, size), size=3)
    x, y = evaluate([up, down])
    assert (x > 0).all()
    assert (y < 0).all()


def test_events_with_axes():
    by_params = CustomDist.dist([1.0, 2.0, 50.0], random=walk_random, signature="(n)->(n)", size=4)
    assert by_params.type.shape == (4, 3)
    assert draw(by_params).shape == (4, 3)
    assert draw(
        CustomDist.dist(np.ones((2, 5)), random=walk_random, signature="(n)->(n)")
    ).shape == (
        2,
        5,
    )
    by_shape = CustomDist.dist(5.0, random=triple_random, ndim_supp=1, shape=(2, 3))
    assert by_shape.type.shape == (2, 3)
    assert stats.norm(5, 1).logpdf(draw(by_shape)).min() > -15

    def total(value, mu):
        return -(value**2).sum(axis=-1) - mu

    with Model() as model:
        CustomDist("x", 5.0, logp=total, ndim_supp=1, observed=np.ones((4, 3)))
        CustomDist("z", 1.0, logp=total, ndim_supp=1, shape=3)
    point = model.initial_point()
    assert point["z"].shape == (3,)
    terms = model.logp(sum=False)
    assert [t.type.ndim for t in terms] == [1, 0]
    np.testing.assert_allclose(model.compile_logp(backend="py")(point), -4 * (3 + 5) - 1)


def test_discrete():
    def geometric(value, p):
        return pt.log(p) + value * pt.log1p(-p)

    rv = CustomDist.dist(
        0.25,
        logp=geometric,
        random=lambda p, rng, size: rng.geometric(p, size) - 1,
        dtype="int64",
        size=2000,
    )
    assert distribution_of(rv).discrete
    x = draw(rv)
    assert x.dtype == rv.dtype == "int64"
    assert abs(x.mean() - 3) < 0.5
    k = np.arange(5)
    expected = stats.geom(0.25, loc=-1).logpmf(k)
    np.testing.assert_allclose(evaluate([logp(rv, k)])[0], expected, rtol=1e-12)
    with Model(), pytest.raises(ValueError, match="whole numbers"):
        CustomDist("y", 0.25, logp=geometric, dtype="int64", observed=[0.5])


def test_whole_parameters_stay_whole():
    table = np.array([3.0, 4.0, 5.0])
    rv = CustomDist.dist(np.array([0, 2]), logp=lambda v, i: -v * pt.as_tensor(table)[i])
    np.testing.assert_allclose(evaluate([logp(rv, [1.0, 1.0])])[0], [-3, -5])


def test_expression_of_other_distributions():
    """Draws come from the expression, its parts independent of each other."""

    def difference(mu, size):
        return Normal.dist(mu, 3.0, size=size) - Normal.dist(0.0, 4.0, size=size)

    rv = CustomDist.dist([0.0, 20.0], dist=difference, size=(2000, 2))
    assert rv.type.shape == (2000, 2)
    x = draw(rv)
    assert stats.kstest(x[:, 0], stats.norm(0, 5).cdf).pvalue > 1e-4
    assert stats.kstest(x[:, 1], stats.norm(20, 5).cdf).pvalue > 1e-4
    np.testing.assert_array_equal(x, draw(rv))
    assert CustomDist.dist([0.0, 20.0], dist=difference).type.shape == (2,)
    with pytest.raises(NotImplementedError, match=r"give a logp function.*not just a variable"):
        logp(rv, x)
    known = CustomDist.dist(0.0, dist=difference, logp=lambda v, mu: -((v - mu) ** 2) / 50)
    np.testing.assert_allclose(evaluate([logp(known, 5.0)])[0], -0.5)


def test_expression_keeps_the_draws_of_its_parameters():
    scale = HalfNormal.dist(1.0)
    rv = CustomDist.dist(scale, dist=lambda s, size: s + 1e-12 * Normal.dist(0, 1, size=size))
    np.testing.assert_allclose(*evaluate([rv, scale]), atol=1e-9)


def test_renamed_distribution():
    """A function that returns a plain variable inherits all that its distribution knows."""
    rv = CustomDist.dist(2.0, dist=lambda s, size: HalfNormal.dist(s, size=size), size=3)
    dist = distribution_of(rv)
    assert dist.default_transform is distribution_of(HalfNormal.dist(1.0)).default_transform
    x, ref = np.array([0.5, 1.0, 3.0]), stats.halfnorm(scale=2.0)
    value, below = evaluate([logp(rv, x), logcdf(rv, x)])
    np.testing.assert_allclose(value, ref.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(below, ref.logcdf(x), rtol=1e-12)
    assert evaluate([dist.support_point()])[0] > 0
    counts = CustomDist.dist(3.0, dist=lambda mu, size: Poisson.dist(mu, size=size))
    assert distribution_of(counts).discrete
    vector = CustomDist.dist(
        np.zeros(2), dist=lambda mu, size: MvNormal.dist(mu, cov=np.eye(2), size=size), size=4
    )
    assert distribution_of(vector).ndim_supp == 1
    assert draw(vector).shape == vector.type.shape == (4, 2)


def test_as_a_part_of_another_distribution():
    parts = [
        CustomDist.dist(mu, 1.0, logp=laplace_logp, random=laplace_random) for mu in (0.0, 50.0)
    ]
    rv = Mixture.dist([0.5, 0.5], parts, size=400)
    assert 100 < (draw(rv) > 25).sum() < 300
    expected = np.log(0.5 * stats.laplace.pdf(1.0) + 0.5 * stats.laplace(50).pdf(1.0))
    np.testing.assert_allclose(evaluate([logp(rv, 1.0)])[0], expected)


def test_vectorized():
    x, z = pt.vector("x"), pt.matrix("z")
    rv = CustomDist.dist([0.0, 1.0], 2.0, logp=laplace_logp)
    density = vectorize_graph(logp(rv, x), {x: z})
    at = np.arange(6.0).reshape(3, 2)
    expected = stats.laplace([0.0, 1.0], 2.0).logpdf(at)
    np.testing.assert_allclose(evaluate([density], {z: at})[0], expected)


def test_can_be_pickled():
    rv = CustomDist.dist(1.0, 2.0, logp=laplace_logp, random=laplace_random)
    again = pickle.loads(pickle.dumps(rv))
    np.testing.assert_allclose(*(evaluate([logp(v, 0.5)])[0] for v in (rv, again)))
    np.testing.assert_array_equal(draw(rv), draw(again))


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
def test_numba_calls_back():
    rv = CustomDist.dist([0.0, 100.0], 2.0, random=laplace_random, size=(500, 2))
    x = pytensor.function([], 2 * rv, mode="NUMBA")()
    assert stats.kstest(x[:, 0], stats.laplace(0, 4).cdf).pvalue > 1e-4
    assert stats.kstest(x[:, 1], stats.laplace(200, 4).cdf).pvalue > 1e-4


def test_missing_functions():
    rv = CustomDist.dist(1.0, 2.0, logp=laplace_logp)
    with pytest.raises(NotImplementedError, match="neither a random nor a dist function"):
        draw(rv)
    silent = CustomDist.dist(1.0, random=lambda mu, rng, size: rng.normal(mu, size=size))
    with pytest.raises(NotImplementedError, match="CustomDist: give a logp function"):
        logp(silent, 0.0)
    with pytest.raises(NotImplementedError, match="give a logcdf function"):
        logcdf(silent, 0.0)
    with Model() as model:
        CustomDist("lost", 1.0)
    with pytest.raises(NotImplementedError, match=r"CustomDist\('lost'\): give a logp function"):
        model.logp()


def test_draws_of_a_wrong_shape():
    rv = CustomDist.dist(1.0, random=lambda mu, rng, size: np.zeros(7), size=(2, 3))
    with pytest.raises(ShapeError, match=r"shape \(7,\) for size=\(2, 3\)"):
        draw(rv)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"logp": 3}, TypeError, "logp must be a callable or None, got 3"),
        ({"random": max, "dist": max}, ValueError, "either dist or random"),
        ({"dist": lambda mu, size: 3.0}, TypeError, "dist must return a PyTensor variable"),
        ({"signature": "(n)"}, ValueError, "a signature looks like"),
        ({"signature": "(n)->(n)"}, ShapeError, "parameter 0 has 0 axes"),
        ({"signature": "(),()->()"}, ShapeError, "1 parameters"),
        ({"signature": "()->()", "ndim_supp": 0}, ValueError, "leave out ndim_supp"),
        ({"random": max, "ndim_supp": 1}, ShapeError, "shape of an event is not known"),
        ({"dtype": "nonsense"}, TypeError, "nonsense"),
    ],
)
def test_errors(kwargs, error, match):
    with pytest.raises(error, match=match):
        CustomDist.dist(1.0, **kwargs)


@pytest.mark.parametrize("make", [vb.CustomDist, vb.DensityDist])
def test_a_function_in_the_place_of_parameters_is_told(make):
    with vb.Model(), pytest.raises(TypeError, match=r"\('y'\): a function is given by its name"):
        make("y", lambda value: -(value**2))
