import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.checks import ALL_CHECKS, Case, draws
from scipy import stats

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import logp
from vibayes.distributions.interpolated import Interpolated
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.model.core import Model

X, PDF = [-1.0, 0.0, 0.5, 3.0], [0.2, 1.0, 1.0, 0.1]


def interpolated(x, pdf):
    """Return a class whose parameters are these points, and its reference."""

    class Given(Interpolated):
        def __init__(self):
            super().__init__(x, pdf)

    return Given, Mixture(np.asarray(x), np.asarray(pdf))


class Mixture:
    """A density that is linear between points: a mixture of trapezoids, of which SciPy has each."""

    def __init__(self, x, pdf):
        self.x, self.widths = x, np.diff(x)
        areas = 0.5 * (pdf[1:] + pdf[:-1]) * self.widths
        self.weights = areas / areas.sum()
        self.pdf = pdf / areas.sum()

    def logpdf(self, x):
        return np.log(np.interp(x, self.x, self.pdf))

    def cdf(self, x):
        total = 0.0
        for weight, left, width, a, b in zip(
            self.weights, self.x, self.widths, self.pdf, self.pdf[1:], strict=False
        ):
            t = np.clip((np.asarray(x) - left) / width, 0, 1)
            total = total + weight * 2 / (a + b) * (a * t + (b - a) * t**2 / 2)
        return total

    def logcdf(self, x):
        return np.log(self.cdf(x))

    def ppf(self, p):
        grid = np.linspace(self.x[0], self.x[-1], 20_001)
        return np.interp(p, self.cdf(grid), grid)


CASES = []
for points, support in (((X, PDF), (-1.0, 3.0)), (([0.0, 2.0], [0.5, 1.0]), (0.0, 2.0))):
    dist, reference = interpolated(*points)
    CASES.append(Case(dist, {}, reference, support=support, finite=support, rtol=1e-9))


@pytest.mark.parametrize("case", CASES, ids=["four points", "two points"])
@pytest.mark.parametrize("check", ALL_CHECKS)
def test_density(case, check):
    with np.errstate(all="ignore"):
        check(case)


def test_density_of_scipy():
    x = np.linspace(0, 40, 4001)
    rv = Interpolated.dist(x, 7 * stats.gamma(3.0).pdf(x))
    at = np.array([0.31, 2.2, 11.0])
    np.testing.assert_allclose(evaluate([logp(rv, at)])[0], stats.gamma(3.0).logpdf(at), atol=1e-4)
    drawn = draws(Interpolated.dist(x, stats.gamma(3.0).pdf(x), size=4000))
    assert stats.kstest(drawn, stats.gamma(3.0).cdf).pvalue > 1e-4


def test_pieces_without_density_are_never_drawn():
    rv = Interpolated.dist([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 0.0, 1.0], size=(2, 1000))
    x = draws(rv)
    assert x.shape == (2, 1000)
    assert not ((x > 1) & (x < 3)).any()
    assert evaluate([logp(rv, 1.5)])[0].tolist() == np.full((), -np.inf).tolist()


def test_a_free_variable_stays_between_the_points():
    with Model() as model:
        x = Interpolated("x", X, PDF)
    assert model.rvs_to_transforms[x] is not None
    ends = model.rvs_to_transforms[x].backward(np.array([-800.0, 0.0, 800.0]))
    np.testing.assert_allclose(evaluate([ends])[0], [-1.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("x", "pdf", "error", "message"),
    [
        ([0.0, 0.0, 1.0], [1.0, 1.0, 1.0], ParameterError, "increase, got 0.0 before 0.0"),
        ([0.0, 1.0], [0.0, 0.0], ParameterError, "area above 0"),
        ([0.0, 1.0], [1.0, -1.0], ParameterError, "pdf_points must be zero or more, got -1"),
        ([0.0, 1.0, 2.0], [1.0, 1.0], ShapeError, "same length"),
        ([[0.0, 1.0]], [[1.0, 1.0]], ShapeError, "must be a vector"),
    ],
)
def test_points_that_make_no_density(x, pdf, error, message):
    with pytest.raises(error, match=message):
        Interpolated.dist(x, pdf)


def test_symbolic_points_are_refused():
    with pytest.raises(TypeError, match="x_points must be an array"):
        Interpolated.dist(pt.vector(), [1.0, 1.0])
