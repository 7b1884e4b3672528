import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logp
from vibayes.distributions.continuous import Laplace, Normal, StudentT
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.multivariate import MvNormal
from vibayes.distributions.timeseries import GaussianRandomWalk
from vibayes.distributions.walks import MvGaussianRandomWalk, MvStudentTRandomWalk, RandomWalk
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model

RNG = np.random.default_rng(5)
SERIES = RNG.normal(size=(3, 2, 6))
PATHS = RNG.normal(size=(3, 2, 6, 2))
COV, MU = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.1, -0.4])
CHOL = np.linalg.cholesky(COV)
WIDE = stats.multivariate_normal(np.zeros(2), 100 * np.eye(2))


def walk_logp(x, init, innovation):
    return init.logpdf(x[0]) + sum(innovation.logpdf(step) for step in np.diff(x, axis=0))


def each(values, init, *innovations):
    return np.array(
        [[walk_logp(x, init, i) for x, i in zip(pair, innovations, strict=True)] for pair in values]
    )


NORMAL_STEPS, T_STEPS = stats.multivariate_normal(MU, COV), stats.multivariate_t(MU, COV, 4.0)
CASES = {
    "Laplace steps": (
        lambda: RandomWalk.dist(
            Normal.dist(1.0, 2.0), Laplace.dist([0.1, -1.0], [1.0, 0.5]), steps=5
        ),
        SERIES,
        lambda: each(
            SERIES, stats.norm(1.0, 2.0), stats.laplace(0.1, 1.0), stats.laplace(-1.0, 0.5)
        ),
    ),
    "several starts": (
        lambda: RandomWalk.dist(Normal.dist([1.0, 1.0], 2.0), StudentT.dist(3.0), shape=(2, 6)),
        SERIES,
        lambda: each(SERIES, stats.norm(1.0, 2.0), stats.t(3.0), stats.t(3.0)),
    ),
    "normal vectors": (
        lambda: MvGaussianRandomWalk.dist(MU, cov=COV, shape=(2, 6, 2)),
        PATHS,
        lambda: each(PATHS, WIDE, NORMAL_STEPS, NORMAL_STEPS),
    ),
    "normal vectors, factors for each": (
        lambda: MvGaussianRandomWalk.dist(
            MU,
            chol=np.stack([CHOL, np.eye(2)]),
            init_dist=MvNormal.dist(MU, cov=COV),
            steps=5,
        ),
        PATHS,
        lambda: each(PATHS, NORMAL_STEPS, NORMAL_STEPS, stats.multivariate_normal(MU, np.eye(2))),
    ),
    "t vectors": (
        lambda: MvStudentTRandomWalk.dist(4.0, MU, scale=COV, shape=(2, 6, 2)),
        PATHS,
        lambda: each(PATHS, WIDE, T_STEPS, T_STEPS),
    ),
    "t vectors, precision": (
        lambda: MvStudentTRandomWalk.dist(
            nu=4.0, mu=MU, tau=np.linalg.inv(COV), init_dist=MvNormal.dist(MU, COV), shape=(2, 6, 2)
        ),
        PATHS,
        lambda: each(PATHS, NORMAL_STEPS, T_STEPS, T_STEPS),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_logp(case):
    """Densities are those of the steps, and the graph can be batched."""
    make, values, reference = CASES[case]
    rv = make()
    assert rv.type.shape == values.shape[1:]
    x, z = (pt.tensor(shape=shape) for shape in (values.shape[1:], values.shape))
    density = vectorize_graph(logp(rv, x), {x: z})
    gradient = pytensor.grad(density.sum(), z)
    f = pytensor.function([z], [density, gradient], mode=EVALUATE_MODE)
    value, slope = f(values)
    np.testing.assert_allclose(value, reference(), rtol=1e-10)
    for at in np.argwhere(np.ones(values.shape))[::29]:
        step = np.zeros(values.shape)
        step[tuple(at)] = 1e-5
        numeric = (f(values + step)[0].sum() - f(values - step)[0].sum()) / 2e-5
        np.testing.assert_allclose(slope[tuple(at)], numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_draws_have_the_steps_of_the_distribution(case):
    make, values, _ = CASES[case]
    dist = distribution_of(make())
    walk = RandomWalk.dist(dist.init.rv, dist.innovation.rv, dist.steps, size=(4000, 2))
    x, expected, start = evaluate(
        reseeded([walk, dist.innovation.make_rv((4000, 2)), dist.init.make_rv((4000, 2))], 2)[0]
    )
    assert x.shape == (4000, *values.shape[1:])
    steps = np.diff(x, axis=2)
    pairs = [(x[:, :, 0], start), (steps[:, :, 0], expected), (steps[:, :, 4], expected)]
    for drawn, wanted in pairs:
        drawn, wanted = drawn.reshape(4000, -1), wanted.reshape(4000, -1)
        for k in range(drawn.shape[1]):
            assert stats.ks_2samp(drawn[:, k], wanted[:, k]).pvalue > 1e-5
    assert abs(stats.spearmanr(steps[:, 0, 0].ravel(), steps[:, 0, 1].ravel())[0]) < 0.1


def test_normal_steps_are_those_of_the_gaussian_walk():
    general = RandomWalk.dist(Normal.dist(0.0, 1.0), Normal.dist(0.2, 0.5), steps=5)
    special = GaussianRandomWalk.dist(0.2, 0.5, init_dist=Normal.dist(0.0, 1.0), steps=5)
    a, b = evaluate([logp(general, SERIES), logp(special, SERIES)])
    np.testing.assert_allclose(a, b, rtol=1e-12)
    points = [
        pt.broadcast_to(distribution_of(rv).support_point(), (6,)) for rv in (general, special)
    ]
    np.testing.assert_allclose(*evaluate(points))


def test_the_form_of_a_walk_is_made_of_its_steps():
    """The map of standard variables has the mean and the covariance of a normal walk."""
    steps, time, nothing = StudentT.dist(5.0, mu=0.7, sigma=1.3), np.arange(4), np.zeros((5, 4))
    walk = distribution_of(RandomWalk.dist(Normal.dist(1.0, 2.0), steps, shape=4))
    u = pt.constant(np.vstack([np.zeros(4), np.eye(4)]))
    mean, *rows = evaluate([walk.standard_form().conditional(u, nothing, nothing)[0]])[0]
    np.testing.assert_allclose(mean, 1 + 0.7 * time)
    root = np.array(rows) - mean
    np.testing.assert_allclose(root.T @ root, 4 + 1.3**2 * np.minimum.outer(time, time))


def test_a_free_walk_of_vectors_starts_along_its_drift():
    with Model(coords={"time": range(4), "way": ["x", "y"]}) as model:
        x = MvGaussianRandomWalk("x", MU, cov=COV, dims=("time", "way"))
    assert x.type.shape == (4, 2)
    start = model.initial_point()["x"]
    np.testing.assert_allclose(start, MU * np.arange(4)[:, None], atol=1e-12)


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        rv = MvGaussianRandomWalk.dist(MU, cov=COV, shape=(2, 6, 2))
        density = logp(rv, PATHS)
        draw = reseeded([rv], 1)[0][0]
    value, x = evaluate([density, draw])
    assert value.dtype == x.dtype == "float32"
    np.testing.assert_allclose(value, each(PATHS, WIDE, NORMAL_STEPS, NORMAL_STEPS), rtol=1e-5)


def test_wrong_arguments():
    normal, vector = Normal.dist(), MvNormal.dist(np.zeros(2), np.eye(2))
    with pytest.raises(ShapeError, match="init_dist has 0 axes, one of innovation_dist 1"):
        RandomWalk.dist(normal, vector, steps=3)
    with pytest.raises(ValueError, match="innovation_dist must be continuous"):
        RandomWalk.dist(normal, Poisson.dist(1.0), steps=3)
    with pytest.raises(ValueError, match="length of the walk is not known"):
        RandomWalk.dist(normal, normal)
    with pytest.raises(ShapeError, match="does not fit into"):
        MvGaussianRandomWalk.dist(MU, cov=COV, shape=(5, 3))
    with pytest.raises(ShapeError, match="3 steps make a series of length 4"):
        RandomWalk.dist(normal, normal, steps=3, shape=7)
    with pytest.raises(ParameterError, match="positive definite"):
        MvGaussianRandomWalk.dist(MU, cov=-COV, steps=3)
    with pytest.raises(TypeError, match="not a random variable"):
        RandomWalk.dist(normal, pt.scalar(), steps=3)
    with pytest.raises(ValueError, match="either scale or cov"):
        MvStudentTRandomWalk.dist(4.0, MU, scale=COV, cov=COV, steps=3)
    with Model():
        named = Normal("named")
        with pytest.raises(ValueError, match="'named' is a variable of a model"):
            RandomWalk("walk", named, normal, steps=3)
