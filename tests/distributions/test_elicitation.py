import numpy as np
import pytest
from scipy import stats

import vibayes as vb


@pytest.mark.parametrize(
    ("distribution", "guess", "reference", "ends"),
    [
        (vb.Gamma, [1, 10], lambda a, b: stats.gamma(a, scale=1 / b), (0.1, 0.4)),
        (vb.Normal, [0, 1], stats.norm, (-4.0, 10.0)),
        (vb.Beta, [1, 1], stats.beta, (0.2, 0.6)),
        (vb.StudentT, [0, 1], lambda mu, sigma, nu: stats.t(nu, mu, sigma), (0.0, 1.0)),
    ],
)
@pytest.mark.parametrize("mass", [0.5, 0.95])
def test_the_mass_is_where_it_is_to_be(distribution, guess, reference, ends, mass):
    fixed = {"nu": 7} if distribution is vb.StudentT else None
    names = ("alpha", "beta") if distribution in (vb.Gamma, vb.Beta) else ("mu", "sigma")
    guess = dict(zip(names, guess, strict=True))
    found = vb.find_constrained_prior(distribution, *ends, guess, mass, fixed)
    cdf = reference(*found.values()).cdf(ends)
    np.testing.assert_allclose(cdf, [(1 - mass) / 2, (1 + mass) / 2], atol=2e-4)


def test_one_parameter_has_the_mass_alone():
    found = vb.find_constrained_prior(vb.Exponential, 0, 1, {"lam": 1.0}, 0.7, mass_below_lower=0.0)
    np.testing.assert_allclose(found["lam"], -np.log(0.3), rtol=1e-3)
    found = vb.find_constrained_prior(vb.Poisson, 1, 3, {"mu": 3.0}, 0.4)
    cdf = stats.poisson(found["mu"]).cdf
    np.testing.assert_allclose(cdf(3) - cdf(0), 0.4, atol=1e-3)


def test_mass_below_the_lower_end():
    found = vb.find_constrained_prior(
        vb.Normal, 0, 2, {"mu": 0, "sigma": 1}, 0.5, mass_below_lower=0.1
    )
    np.testing.assert_allclose(stats.norm(*found.values()).cdf([0, 2]), [0.1, 0.6], atol=2e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 1.5}, "mass must be between 0 and 1"),
        ({"upper": -1}, "lower must be below upper"),
        ({"init_guess": {}}, "init_guess names no parameter"),
        ({"lower": -1.0}, "between lower=-1.0 and upper=0.4"),
        ({"mass_below_lower": 0.3}, "mass_below_lower must be at most 1 - mass = 0.2"),
        ({"fixed_params": {"beta": 1e6}, "init_guess": {"alpha": 1.0}}, "no parameters alpha"),
    ],
)
def test_what_cannot_be_is_told(arguments, message):
    given = {"lower": 0.1, "upper": 0.4, "init_guess": {"alpha": 1, "beta": 10}, "mass": 0.8}
    with pytest.raises(ValueError, match=message):
        vb.find_constrained_prior(vb.Gamma, **{**given, **arguments})


@pytest.mark.parametrize(
    ("distribution", "arguments", "message"),
    [
        (float, {}, "distribution must be a class, such as vb.Gamma, got <class 'float'>"),
        (vb.Gamma, {"init_guess": {"shape": 1.0}}, "init_guess must be parameters of Gamma"),
        (vb.Gamma, {"fixed_params": {"a": 1.0}}, "fixed_params must be parameters of Gamma"),
        (vb.Gamma, {"init_guess": {"alpha": "1"}}, "init_guess: alpha must be a number, got '1'"),
    ],
)
def test_what_is_no_parameter_is_told(distribution, arguments, message):
    given = {"lower": 0.1, "upper": 0.4, "init_guess": {"alpha": 1.0, "beta": 10.0}}
    with pytest.raises(TypeError, match=message):
        vb.find_constrained_prior(distribution, **{**given, **arguments})
