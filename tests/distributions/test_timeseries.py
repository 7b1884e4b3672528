import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import distribution_of, logp
from vibayes.distributions.continuous import HalfNormal, Normal
from vibayes.distributions.multivariate import MvNormal
from vibayes.distributions.timeseries import AR, GaussianRandomWalk
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model
from vibayes.model.data import Data, set_data

RNG = np.random.default_rng(5)
SERIES = RNG.normal(size=(3, 2, 6))


def draw(rv, seed=1):
    return evaluate(reseeded([rv], seed)[0])[0]


def walk_logp(x, mu, sigma, init):
    total = init.logpdf(x[0])
    for t in range(1, len(x)):
        total += stats.norm(x[t - 1] + mu, sigma).logpdf(x[t])
    return total


def ar_logp(x, rho, sigma, init, constant=0.0):
    p = len(rho)
    total = init.logpdf(x[:p]).sum()
    for t in range(p, len(x)):
        mean = constant + sum(rho[i] * x[t - 1 - i] for i in range(p))
        total += stats.norm(mean, sigma).logpdf(x[t])
    return total


def by_series(f, *params):
    """Return f of each series of SERIES, with its own parameters."""
    return np.array(
        [[f(x, *(p[i] for p in params)) for i, x in enumerate(pair)] for pair in SERIES]
    )


INIT = stats.norm(1.0, 2.0)
CASES = {
    "walk": (
        lambda: GaussianRandomWalk.dist(
            [0.1, -1.0], [1.0, 0.5], init_dist=Normal.dist(1.0, 2.0), steps=5
        ),
        lambda: by_series(lambda x, m, s: walk_logp(x, m, s, INIT), [0.1, -1.0], [1.0, 0.5]),
    ),
    "walk, default start": (
        lambda: GaussianRandomWalk.dist(sigma=0.7, shape=(2, 6)),
        lambda: by_series(lambda x: walk_logp(x, 0.0, 0.7, stats.norm(0, 100))),
    ),
    "order 1": (
        lambda: AR.dist(0.5, init_dist=Normal.dist(1.0, 2.0), shape=(2, 6)),
        lambda: by_series(lambda x: ar_logp(x, [0.5], 1.0, INIT)),
    ),
    "order 3, constant": (
        lambda: AR.dist(
            [[2.0, 0.5, 0.2, -0.1], [0.0, 0.1, 0.0, 0.3]],
            sigma=[1.0, 2.0],
            init_dist=Normal.dist(1.0, 2.0),
            constant=True,
            steps=3,
        ),
        lambda: by_series(
            lambda x, rho, s: ar_logp(x, rho[1:], s, INIT, rho[0]),
            [[2.0, 0.5, 0.2, -0.1], [0.0, 0.1, 0.0, 0.3]],
            [1.0, 2.0],
        ),
    ),
    "order 2, tau, start for each lag": (
        lambda: AR.dist([0.5, 0.2], tau=4.0, init_dist=Normal.dist([0, 3], 1), shape=(2, 6)),
        lambda: by_series(lambda x: ar_logp(x, [0.5, 0.2], 0.5, stats.norm([0, 3], 1))),
    ),
    "order 2, vector start": (
        lambda: AR.dist(
            [0.5, 0.2], init_dist=MvNormal.dist([0, 3], cov=np.diag([1.0, 4.0])), shape=(2, 6)
        ),
        lambda: by_series(lambda x: ar_logp(x, [0.5, 0.2], 1.0, stats.norm([0, 3], [1, 2]))),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_logp(case):
    """Densities are those of the recursion, and the graph can be batched."""
    make, reference = CASES[case]
    rv = make()
    assert rv.type.shape == (2, 6)
    x, z = pt.matrix("x", shape=(2, 6)), pt.tensor3("z", shape=(3, 2, 6))
    density = vectorize_graph(logp(rv, x), {x: z})
    gradient = pytensor.grad(density.sum(), z)
    f = pytensor.function([z], [density, gradient], mode=EVALUATE_MODE)
    value, slope = f(SERIES)
    np.testing.assert_allclose(value, reference(), rtol=1e-11)
    for at in [(0, 0, 0), (0, 1, 3), (2, 1, 5)]:
        step = np.zeros(SERIES.shape)
        step[at] = 1e-5
        numeric = (f(SERIES + step)[0].sum() - f(SERIES - step)[0].sum()) / 2e-5
        np.testing.assert_allclose(slope[at], numeric, rtol=1e-6, atol=1e-7)
    with np.errstate(over="ignore"):
        far = f(SERIES * 1e6), f(np.full(SERIES.shape, 1e300))
    assert np.isfinite(far[0][0]).all()
    assert not any(np.isnan(r).any() for results in far for r in results)


def test_gradients_by_parameters():
    rho, sigma, mu = pt.vector("rho"), pt.scalar("sigma"), pt.scalar("mu")
    x = SERIES[0, 0]
    walk = GaussianRandomWalk.dist(mu, sigma, init_dist=Normal.dist(mu, 2.0), shape=6)
    auto = AR.dist(rho, sigma, ar_order=2, constant=True, init_dist=Normal.dist(mu, 2), shape=6)
    total = logp(walk, x) + logp(auto, x)
    f = pytensor.function(
        [rho, sigma, mu], [total, *pytensor.grad(total, [rho, sigma, mu])], mode=EVALUATE_MODE
    )
    point = [np.array([0.3, 0.5, -0.2]), 1.3, 0.4]

    def reference(rho, sigma, mu):
        init = stats.norm(mu, 2.0)
        return walk_logp(x, mu, sigma, init) + ar_logp(x, rho[1:], sigma, init, rho[0])

    value, by_rho, by_sigma, by_mu = f(*point)
    np.testing.assert_allclose(value, reference(*point), rtol=1e-12)
    h = 1e-6
    for k in range(3):
        step = h * np.eye(3)[k]
        up, down = (reference(point[0] + s * step, *point[1:]) for s in (1, -1))
        np.testing.assert_allclose(by_rho[k], (up - down) / (2 * h), rtol=1e-6)
    up, down = (reference(point[0], 1.3 + s * h, 0.4) for s in (1, -1))
    np.testing.assert_allclose(by_sigma, (up - down) / (2 * h), rtol=1e-6)
    up, down = (reference(point[0], 1.3, 0.4 + s * h) for s in (1, -1))
    np.testing.assert_allclose(by_mu, (up - down) / (2 * h), rtol=1e-6)


def test_walk_draws():
    """First values and steps of the draws are what they were asked to be."""
    mu, sigma = np.array([0.5, -20.0]), np.array([1.0, 3.0])
    rv = GaussianRandomWalk.dist(mu, sigma, init_dist=Normal.dist(10.0, 2.0), shape=(500, 2, 8))
    assert rv.type.shape == (500, 2, 8)
    x = draw(rv)
    assert stats.kstest(x[..., 0].ravel(), stats.norm(10, 2).cdf).pvalue > 1e-4
    noise = (np.diff(x) - mu[:, None]) / sigma[:, None]
    assert stats.kstest(noise.ravel(), stats.norm.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(noise.reshape(-1, 7).T) - np.eye(7)).max() < 0.2


def test_ar_draws():
    """The innovations that the draws imply are independent normal ones."""
    rho, sigma = np.array([[1.0, 0.5, 0.2], [-2.0, 0.0, -0.9]]), np.array([1.0, 3.0])
    rv = AR.dist(
        rho, sigma, init_dist=Normal.dist([0.0, 50.0], 1.0), constant=True, shape=(400, 2, 9)
    )
    assert rv.type.shape == (400, 2, 9)
    x = draw(rv)
    first = x[..., :2] - np.array([0.0, 50.0])
    assert stats.kstest(first.ravel(), stats.norm.cdf).pvalue > 1e-4
    mean = rho[:, :1] + rho[:, 1:2] * x[..., 1:-1] + rho[:, 2:] * x[..., :-2]
    noise = (x[..., 2:] - mean) / sigma[:, None]
    assert stats.kstest(noise.ravel(), stats.norm.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(noise.reshape(-1, 7).T) - np.eye(7)).max() < 0.2
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.1


def test_ar_draw_of_order_one():
    x = draw(AR.dist([2.0], sigma=1e-9, init_dist=Normal.dist(3.0, 1e-9), steps=4))
    np.testing.assert_allclose(x, 3.0 * 2.0 ** np.arange(5), rtol=1e-6)


def test_where_the_length_comes_from():
    coords = {"time": range(7), "series": ["a", "b"]}
    data = np.zeros((2, 7))
    with Model(coords=coords) as model:
        rvs = [
            GaussianRandomWalk("steps", steps=6),
            GaussianRandomWalk("numpy", steps=np.int64(6)),
            GaussianRandomWalk("shape", shape=7),
            GaussianRandomWalk("both", steps=6, shape=7),
            GaussianRandomWalk("dims", dims="time"),
            GaussianRandomWalk("batch", mu=[0.0, 1.0], dims=("series", "time")),
            GaussianRandomWalk("observed", observed=data),
            GaussianRandomWalk("all", observed=data, dims=("series", "time")),
            AR("ar", [0.1, 0.2], dims="time"),
            AR("ar_observed", [0.1, 0.2], observed=data),
        ]
    lengths = [int(n) for n in evaluate([rv.shape[-1] for rv in rvs])]
    assert lengths == [7] * len(rvs)
    assert [rv.type.shape for rv in rvs[:6]] == [(7,)] * 5 + [(2, 7)]
    point = model.initial_point()
    np.testing.assert_array_equal(point["batch"], [np.zeros(7), np.arange(7)])
    assert np.isfinite(model.compile_logp(backend="py")(point))


def test_length_follows_the_data():
    with Model() as model:
        data = Data("data", np.zeros(5), dims="time")
        sigma = HalfNormal("sigma", 1)
        y = GaussianRandomWalk("y", 0.0, sigma, observed=data, dims="time")
    f = model.compile_fn(model.observedlogp, backend="py")
    new = np.array([0.0, 1.0, 3.0])
    with model:
        set_data({"data": new})
    expected = walk_logp(new, 0.0, 1.0, stats.norm(0, 100))
    np.testing.assert_allclose(f({"sigma_log__": 0.0}), expected, rtol=1e-12)
    assert draw(y).shape == (3,)


def test_support_points():
    walk = GaussianRandomWalk.dist([1.0, 2.0], init_dist=Normal.dist(10.0, 1.0), steps=3)
    auto = AR.dist([0.5, 0.1], init_dist=Normal.dist([2.0, 4.0], 1.0), shape=(2, 4))
    for rv, expected in ((walk, [[10, 11, 12, 13], [10, 12, 14, 16]]), (auto, np.full((2, 4), 3))):
        point = pt.broadcast_to(distribution_of(rv).support_point(), (2, 4))
        value, density = evaluate([point, logp(rv, point)])
        np.testing.assert_allclose(value, expected)
        assert np.isfinite(density).all()


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        x = pt.vector("x")
        for rv in (GaussianRandomWalk.dist(0, 1, steps=4), AR.dist([0, 1], 2, shape=5)):
            density = logp(rv, x)
            assert rv.dtype == density.dtype == pytensor.grad(density, x).dtype == "float32"
            assert draw(rv).dtype == "float32"


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: GaussianRandomWalk.dist(), ValueError, "length of the series is not known"),
        (lambda: GaussianRandomWalk.dist(steps=3, shape=7), ShapeError, "3 steps make a series"),
        (lambda: GaussianRandomWalk.dist(steps=-1), ValueError, "whole number of at least 0"),
        (lambda: GaussianRandomWalk.dist(steps=2.5), ValueError, "got 2.5"),
        (lambda: GaussianRandomWalk.dist(sigma=-1, steps=3), ParameterError, "sigma must be"),
        (lambda: GaussianRandomWalk.dist(shape=()), ShapeError, "one event has 1 axes"),
        (lambda: GaussianRandomWalk.dist(init_dist=3.0, steps=3), TypeError, "not a random"),
        (
            lambda: GaussianRandomWalk.dist(
                init_dist=MvNormal.dist([0, 0], cov=np.eye(2)), steps=3
            ),
            ValueError,
            "univariate",
        ),
        (lambda: AR.dist([0.5, 0.1], shape=1), ShapeError, "too short"),
        (lambda: AR.dist([0.5], constant=True, steps=3), ShapeError, "at least one lag"),
        (lambda: AR.dist([0.5, 0.1], ar_order=3, steps=3), ShapeError, "rho has 2 elements"),
        (lambda: AR.dist(pt.vector(), steps=3), ValueError, "give ar_order"),
        (
            lambda: AR.dist([0.5, 0.1], init_dist=Normal.dist(0, 1, shape=3), steps=3),
            ShapeError,
            "init_dist has length 3",
        ),
        (lambda: AR.dist([0.5], sigma=1, tau=1, steps=3), ValueError, "tau"),
    ],
)
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()
