import numpy as np
import pytest

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import logccdf, logcdf, logp
from vibayes.distributions.discrete import Poisson, ZeroInflatedPoisson
from vibayes.distributions.mixture import Mixture
from vibayes.distributions.point_mass import DiracDelta
from vibayes.exceptions import ParameterError
from vibayes.model.core import Model

INF = np.inf


@pytest.mark.parametrize(("c", "dtype"), [(3, "int64"), (2.5, "float64"), ([1, 2], "int64")])
def test_draws_are_the_number(c, dtype):
    drawn = evaluate([DiracDelta.dist(c, size=(4, 2))])[0]
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, np.broadcast_to(c, (4, 2)))


def test_probabilities():
    rv, x = DiracDelta.dist(2.0), [1.0, 2.0, 3.0]
    density, below, above = evaluate([logp(rv, x), logcdf(rv, x), logccdf(rv, x)])
    np.testing.assert_array_equal(density, [-INF, 0.0, -INF])
    np.testing.assert_array_equal(below, [-INF, 0.0, 0.0])
    np.testing.assert_array_equal(above, [0.0, -INF, -INF])


def test_a_mixture_with_zero_is_zero_inflated():
    mixed = Mixture.dist([0.3, 0.7], [DiracDelta.dist(0), Poisson.dist(2.0)])
    x = np.arange(5)
    a, b = evaluate([logp(mixed, x), logp(ZeroInflatedPoisson.dist(0.7, 2.0), x)])
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("c", [0, 1.5])
def test_a_free_variable_is_refused(c):
    with Model(), pytest.raises(TypeError, match="DiracDelta has no density"):
        DiracDelta("x", c)


def test_an_infinite_number_is_refused():
    with pytest.raises(ParameterError, match="c must be finite"):
        DiracDelta.dist(INF)
