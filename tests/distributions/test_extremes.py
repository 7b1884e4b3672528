import numpy as np
import pytest
from helpers.checks import ALL_CHECKS, Case, check_extremes, check_gradients
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.distributions.base import distribution_of, logccdf, logp
from vibayes.distributions.continuous import Gumbel
from vibayes.distributions.extremes import GenExtreme


def case(mu, sigma, xi, **kwargs):
    bound = mu - sigma / xi if xi else np.inf
    support = (bound, np.inf) if xi > 0 else (-np.inf, bound)
    params = {"mu": mu, "sigma": sigma, "xi": xi}
    reference = stats.genextreme(-xi, loc=mu, scale=sigma)
    return Case(GenExtreme, params, reference, support=support, **kwargs)


CASES = [case(0.5, 2.0, 0.3), case(-1.0, 0.4, -0.5), case(0.0, 1.0, 1e-5, rtol=1e-7)]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", [c for c in ALL_CHECKS if c is not check_extremes])
def test_density(case, check):
    with np.errstate(all="ignore"):
        if case.params["xi"] == 1e-5 and check is check_gradients:
            check(case, rtol=1e-4)  # numerically there are few digits at a shape near 0
        else:
            check(case)


def test_shape_zero_is_gumbels():
    x = np.array([-30.0, -1.0, 0.0, 2.0, 1e3, 1e300])
    with np.errstate(all="ignore"):
        a, b = evaluate([logp(GenExtreme.dist(0.5, 2.0, 0.0), x), logp(Gumbel.dist(0.5, 2.0), x)])
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("xi", [-0.5, 0.0, 0.7])
def test_nothing_is_nan(xi):
    check_extremes(case(0.5, 2.0, xi, finite=(-1.0, 1.0)))


def test_the_upper_tail_goes_on():
    x = np.array([10.0, 100.0, 700.0, 1e5])
    tail = evaluate([logccdf(GenExtreme.dist(0.0, 1.0, 0.0), x)])[0]
    np.testing.assert_allclose(tail, -x, rtol=1e-4)


def test_shapes_about_zero_join():
    """The series and the formula agree where one takes over from the other."""
    x, xi = np.array([0.7, -1.3]), 1e-3 / np.array([0.7, 1.3])
    near, far = (
        evaluate([logp(GenExtreme.dist(0.0, 1.0, xi * factor), x)])[0]
        for factor in (1 - 1e-12, 1 + 1e-12)
    )
    np.testing.assert_allclose(near, far, rtol=1e-12)


@pytest.mark.parametrize(("xi", "side"), [(0.5, "lower"), (-0.5, "upper"), (0.0, None)])
def test_free_variables_stay_in_the_support(xi, side):
    rv = GenExtreme.dist(1.0, 2.0, xi)
    transform = distribution_of(rv).default_transform
    if side is None:
        assert transform is None
        return
    value = transform.backward(vb.math.constant(np.array([-30.0, 0.0, 5.0])))
    assert np.isfinite(evaluate([logp(rv, value)])[0][1:]).all()
    bound = evaluate([getattr(transform, side)])[0]
    assert bound == 1.0 - 2.0 / xi
