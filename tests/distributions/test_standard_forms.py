"""Variables as maps of standard ones, seen through models that are made of them."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.distributions.base import distribution_of
from vibayes.distributions.standard_forms import MOST_JOINT
from vibayes.model.coordinates import Coordinates
from vibayes.model.target import Target

CORRELATED = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.3, 0.4, 0.9]])
LARGE = MOST_JOINT + 2
NEAR = np.exp(-0.5 * np.abs(np.subtract.outer(np.arange(LARGE), np.arange(LARGE))))

# by what to make x of a location m and a positive scale s, both free
FAMILIES = {
    "Normal": lambda m, s: vb.Normal("x", m, s, shape=3),
    "Normal of a precision": lambda m, s: vb.Normal("x", m, tau=s, shape=3),
    "StudentT": lambda m, s: vb.StudentT("x", 4, m, s, shape=3),
    "Cauchy": lambda m, s: vb.Cauchy("x", m, s),
    "Laplace": lambda m, s: vb.Laplace("x", m, s, shape=2),
    "AsymmetricLaplace": lambda m, s: vb.AsymmetricLaplace("x", 1.5, m, s),
    "Logistic": lambda m, s: vb.Logistic("x", m, s),
    "Gumbel": lambda m, s: vb.Gumbel("x", m, s),
    "Moyal": lambda m, s: vb.Moyal("x", m, s),
    "SkewNormal": lambda m, s: vb.SkewNormal("x", 2, m, s),
    "LogNormal": lambda m, s: vb.LogNormal("x", m, s, shape=2),
    "LogitNormal": lambda m, s: vb.LogitNormal("x", m, s),
    "ZeroSumNormal": lambda m, s: vb.ZeroSumNormal("x", s, shape=(2, 4)),
    "ZeroSumNormal along two axes": lambda m, s: vb.ZeroSumNormal(
        "x", s, n_zerosum_axes=2, shape=(3, 4)
    ),
    "MvNormal of a factor": lambda m, s: vb.MvNormal("x", m, chol=s * CORRELATED, shape=(2, 3)),
    "MvNormal of an upper factor": lambda m, s: vb.MvNormal(
        "x", m, chol=s * CORRELATED.T, lower=False, shape=3
    ),
    "MvNormal of covariances": lambda m, s: vb.MvNormal(
        "x", m, cov=s * np.array([CORRELATED @ CORRELATED.T, np.eye(3)]), shape=(2, 3)
    ),
    "MvNormal of a precision": lambda m, s: vb.MvNormal(
        "x", m, tau=s * CORRELATED @ CORRELATED.T, shape=(2, 3)
    ),
    "MvNormal of long vectors": lambda m, s: vb.MvNormal("x", m, cov=s * NEAR),
    "MvNormal of a long precision": lambda m, s: vb.MvNormal("x", m, tau=s * NEAR),
    "MvStudentT": lambda m, s: vb.MvStudentT("x", 5, mu=m, chol=s * CORRELATED),
    "GaussianRandomWalk": lambda m, s: vb.GaussianRandomWalk(
        "x", m, s, init_dist=vb.Normal.dist(1, 2), shape=6
    ),
    "GaussianRandomWalk from elsewhere": lambda m, s: vb.GaussianRandomWalk(
        "x", m, s, init_dist=vb.Cauchy.dist(1, 2), shape=(2, 4)
    ),
    "RandomWalk": lambda m, s: vb.RandomWalk(
        "x", vb.Normal.dist(1, 2), vb.StudentT.dist(5, mu=m, sigma=s), shape=(2, 4)
    ),
    "AR": lambda m, s: vb.AR("x", m, s, init_dist=vb.Normal.dist(0, s), shape=6),
    "AR of two lags": lambda m, s: vb.AR(
        "x", pt.stack([m, 0.4, -0.2]), s, constant=True, init_dist=vb.Normal.dist([0, m], 2),
        shape=(2, 6),
    ),
    "AR without steps": lambda m, s: vb.AR("x", [0.5, 0.1], s, shape=(2,)),
}  # fmt: skip
NORMAL = [
    name
    for name in FAMILIES
    if name.startswith(("Normal", "ZeroSum", "MvNormal", "GaussianRandomWalk", "AR"))
    and name != "GaussianRandomWalk from elsewhere"
]


SLOW = [
    "MvNormal of covariances",
    "MvNormal of a precision",
    "MvNormal of a long precision",
    "MvStudentT",
    "MvNormal of an upper factor",
    "MvNormal of long vectors",
    "Normal of a precision",
    "ZeroSumNormal along two axes",
    "AR without steps",
    *("AsymmetricLaplace", "Gumbel", "Moyal"),  # of the same form as Cauchy and Logistic
]  # to rewrite
DEAR = {"MvNormal of a factor", "AR", "AR of two lags"}  # for the lane
SD = 0.7  # of the data of x


def marked(names, dear=()):
    """Return names to parametrize a test by, those marked whose models take long."""
    names = by_default(names, {*names} - {*dear} | {*SLOW})
    return [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in names]


@cache
def target_of(name):
    """Return the posterior of x and its parameters, given normal data of x, non-centred."""
    with vb.Model() as model:
        m, s = vb.Normal("m", 0.5, 1), vb.HalfNormal("s", 2)
        x = FAMILIES[name](m, s)
        y = np.random.default_rng(3).normal(size=x.type.shape)
        for axis in distribution_of(x).axes if "ZeroSum" in name else ():
            y -= y.mean(axis=axis, keepdims=True)
        vb.Normal("y", x, SD, observed=y)
    return Target(model, coordinates=Coordinates.non_centred(model, [x]))


def on_own_scale(target, values):
    """Return x, given unconstrained values of it."""
    model = target.model
    transform = model.rvs_to_transforms[model["x"]]
    values = values.reshape(model.rvs_to_values[model["x"]].type.shape)
    return values if transform is None else evaluate([transform.backward(pt.constant(values))])[0]


def prior_of(Z):
    of_s = stats.halfnorm(scale=2).logpdf(np.exp(Z[:, 1])) + Z[:, 1]
    return stats.norm(0.5, 1).logpdf(Z[:, 0]) + of_s


def data_of(target):
    return target.model.rvs_to_values[target.model["y"]].get_value()


@pytest.mark.ci
@pytest.mark.parametrize("name", marked(n for n in FAMILIES if "from elsewhere" not in n))
def test_the_standard_variable_does_not_depend_on_parameters(name, rng):
    target = target_of(name)
    u = rng.normal(size=target.ddim - 2)
    Z = np.column_stack([0.5 * rng.normal(size=(4, 2)), np.tile(u, (4, 1))])
    y = data_of(target)
    likelihood = [
        stats.norm(on_own_scale(target, x), SD).logpdf(y).sum()
        for x in target.unstandardized(Z)[:, 2:]
    ]
    standard = target.logp(Z) - prior_of(Z) - likelihood
    np.testing.assert_allclose(standard, standard[0], rtol=1e-8)
    if name in NORMAL:
        np.testing.assert_allclose(standard[0], stats.norm.logpdf(u).sum(), rtol=1e-8)


@pytest.mark.ci
@pytest.mark.parametrize("name", marked(FAMILIES))
def test_whatever_is_known_it_is_the_same_posterior(name, rng):
    """The log Jacobian is that of the map, and the gradient that of the log density."""
    own = Target(target_of(name).model)
    target = target_of(name).with_coordinates(known(target_of(name).coordinates, rng))
    z = 0.5 * rng.normal(size=target.ddim)
    J = differences(lambda v: target.unstandardized(v[None])[0], z)
    expected = own.logp(target.unstandardized(z[None]))[0] + np.linalg.slogdet(J)[1]
    logp, gradient = target(z[None])
    np.testing.assert_allclose(logp[0], expected, rtol=1e-6)
    slope = differences(lambda v: target.logp(v[None])[0], z)
    np.testing.assert_allclose(gradient[0], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", marked(NORMAL, DEAR))
def test_given_normal_data_it_is_standard_normal_whatever_the_parameters(name, rng):
    """What is left is a function of the parameters alone: their marginal density."""
    target = target_of(name)
    y, about, pull = (
        data_of(target),
        target.coordinates.information[0],
        target.coordinates.pull[0],
    )
    transform = target.model.rvs_to_transforms[target.model["x"]]
    if transform is not None:  # an isometry
        y = evaluate([transform.forward(pt.constant(y))])[0]
    unit = np.eye(pull.shape[-1]) if about.ndim > pull.ndim else 1.0
    known = replace(
        target.coordinates, information=(about + unit / SD**2,), pull=(pull + y / SD**2,)
    )
    target = target.with_coordinates(known)
    Z = np.column_stack([0.5 * rng.normal(size=(4, 2)), rng.normal(size=(4, target.ddim - 2))])
    Z[2:, :2] = Z[:2, :2]  # the same parameters, another u
    marginal = target.logp(Z) - stats.norm.logpdf(Z[:, 2:]).sum(axis=1)
    np.testing.assert_allclose(marginal[2:], marginal[:2], rtol=1e-8)


def known(coordinates, rng):
    """Return coordinates by some positive information, which depends on the parameters."""
    information = []
    for none, pull in zip(coordinates.information, coordinates.pull, strict=True):
        found = rng.gamma(2.0, size=none.shape)
        information.append(found @ found.mT if found.ndim > pull.ndim else found)
    pull = tuple(rng.normal(size=p.shape) for p in coordinates.pull)
    slopes = np.zeros_like(coordinates.slopes)
    slopes[:, :2] = rng.normal(size=(len(slopes), 2))
    lines = tuple(rng.normal(size=line.shape) for line in coordinates.lines)
    offsets = rng.normal(size=len(slopes))
    return Coordinates(coordinates.variables, tuple(information), pull, lines, slopes, offsets)


def differences(f, z, width=1e-5):
    shifts = width * np.eye(len(z))
    return np.array([(f(z + s) - f(z - s)) / (2 * width) for s in shifts])


def test_a_series_from_a_distribution_without_location_has_no_form():
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        vb.GaussianRandomWalk("x", 0, s, init_dist=vb.Exponential.dist(1), shape=3)
        vb.AR("z", 0.5, s, init_dist=vb.Exponential.dist(1), shape=3)
        vb.RandomWalk("w", vb.Normal.dist(), vb.LogNormal.dist(0, s), shape=3)
        vb.RandomWalk("v", vb.HalfNormal.dist(), vb.Normal.dist(0, s), shape=3)
    for name in "wv":
        assert distribution_of(model[name]).standard_form() is None
    assert distribution_of(model["x"]).standard_form() is None
    assert distribution_of(model["z"]).standard_form() is None
