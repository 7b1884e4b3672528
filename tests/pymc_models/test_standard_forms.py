"""Variables of PyMC that have a location and a scale are searched in coordinates of ours, too."""

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import graph_replace

pm = pytest.importorskip("pymc")

import vibayes as vb  # noqa: E402
from vibayes.backend.modes import evaluate  # noqa: E402
from vibayes.distributions.base import distribution_of  # noqa: E402
from vibayes.model.coordinates import has_form  # noqa: E402

ROOT = np.array([[2.0, 0.0], [0.6, 0.8]])


def covariance(s):
    return {
        "cov": {"cov": s**2 * (ROOT @ ROOT.T)},
        "chol": {"chol": s * ROOT},
        "tau": {"tau": np.linalg.inv(ROOT @ ROOT.T) / s**2},
    }


# by what to make a series in PyMC or vibayes, of a location and a scale
SERIES = {
    "walk": lambda lib, name, mu, s: lib.GaussianRandomWalk(
        name, mu, s, init_dist=lib.Normal.dist(0.5, s), shape=5
    ),
    "walks": lambda lib, name, mu, s: lib.GaussianRandomWalk(
        name, pt.stack([mu, 1]), s, init_dist=lib.StudentT.dist(4, mu=mu, sigma=2), shape=(2, 4)
    ),
    "student steps": lambda lib, name, mu, s: lib.RandomWalk(
        name, init_dist=lib.Normal.dist(0.5, 2),
        innovation_dist=lib.StudentT.dist(4, mu=mu, sigma=s), shape=5,
    ),
    "lag": lambda lib, name, mu, s: lib.AR(name, mu, s, init_dist=lib.Normal.dist(0, s), shape=5),
    "lags": lambda lib, name, mu, s: lib.AR(
        name, pt.stack([mu, 0.4, -0.2]), s, constant=True, init_dist=lib.Normal.dist([0, 1], s),
        shape=(2, 6),
    ),
}  # fmt: skip
WITHOUT_FORM = {
    "uneven steps": lambda name, s: pm.GaussianRandomWalk(
        name, 0, s * np.arange(1, 4), init_dist=start(), shape=4
    ),
    "vectors": lambda name, s: pm.MvGaussianRandomWalk(
        name, np.zeros(2), chol=s * ROOT, init_dist=pm.MvNormal.dist(np.zeros(2), chol=ROOT),
        shape=(4, 2),
    ),
    "positive walk": lambda name, s: pm.GaussianRandomWalk(
        name, 0, s, init_dist=pm.Exponential.dist(1), shape=4
    ),
    "positive lags": lambda name, s: pm.AR(
        name, [0.5], s, init_dist=pm.Exponential.dist(1), shape=4
    ),
    "vector of first values": lambda name, s: pm.AR(
        name, [0.5, 0.1], s, init_dist=pm.MvNormal.dist(np.zeros(2), chol=ROOT), shape=4
    ),
}  # fmt: skip


def start():
    return pm.Normal.dist(0.5, 2)


@pytest.fixture(scope="module")
def model():
    with pm.Model() as original:
        mu, s = pm.Normal("mu"), pm.HalfNormal("s")
        pm.Normal("normal", mu, s, shape=2)
        pm.StudentT("student", nu=3, mu=mu, sigma=s, shape=2)
        pm.Laplace("laplace", mu, s, shape=2)
        pm.Cauchy("cauchy", mu, s, shape=2)
        pm.Logistic("logistic", mu, s, shape=2)
        for name, given in covariance(s).items():
            pm.MvNormal(name, mu + np.array([0.0, 1.0]), **given)
        pm.HalfNormal("positive", s)
        pm.TruncatedNormal("truncated", mu, s, lower=0)
        pm.Deterministic("sum", mu + s)
        for name, make in SERIES.items():
            make(pm, name, mu, s)
        for name, make in WITHOUT_FORM.items():
            make(name, s)
    return vb.from_pymc(original)


def test_which_have_a_form(model):
    without = {"mu", "s", "positive", "truncated", *WITHOUT_FORM}
    for rv in model.free_RVs:
        assert has_form(model, rv) == (rv.name not in without), rv.name


@pytest.mark.parametrize(
    "name", ["normal", "student", "laplace", "cauchy", "logistic", "cov", "chol", "tau"]
)
def test_the_standard_variable_has_no_parameters(model, name):
    """Density of x times the map's derivative is the same, whatever location and scale are."""
    rv = model[name]
    dist, u = distribution_of(rv), np.array([0.3, -1.2])
    form = dist.standard_form()
    nothing = np.zeros(form.information_shape((2,)))
    x, log_slope = form.conditional(*(pt.as_tensor(v) for v in (u, nothing, np.zeros(2))))
    graphs = [dist.logp(x).sum() + log_slope, x]
    found = []
    for mu, s in ((0.0, 1.0), (2.5, 0.3)):
        given = {
            model[n]: pt.constant(value, dtype="float64") for n, value in (("mu", mu), ("s", s))
        }
        found.append(evaluate(graph_replace(graphs, given, strict=False)))
    (first, one), (second, other) = found
    assert first == pytest.approx(second, abs=1e-9)
    shift = np.array([0.0, 1.0]) if name in covariance(1.0) else 0.0
    np.testing.assert_allclose(other - 2.5 - shift, 0.3 * (one - shift), atol=1e-9)


@pytest.mark.parametrize("name", SERIES)
def test_a_series_has_the_form_of_ours(model, name):
    """The same map and density, whatever is known of it, as if the model were of vibayes."""
    rng = np.random.default_rng(4)
    with vb.Model() as ours:
        SERIES[name](vb, name, vb.Normal("mu"), vb.HalfNormal("s"))
    shape = ours[name].type.shape
    u, information, pull = rng.normal(size=shape), rng.gamma(2, size=shape), rng.normal(size=shape)
    found = []
    for owner in (model, ours):
        dist = distribution_of(owner[name])
        form = dist.standard_form()
        x, log_slope = form.conditional(*(pt.as_tensor(v) for v in (u, information, pull)))
        given = {owner["mu"]: pt.constant(0.7), owner["s"]: pt.constant(1.3)}
        graphs = [x, log_slope, dist.logp(x)]
        found.append(evaluate(graph_replace(graphs, given, strict=False)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-9)  # as far as PyMC's log gamma function


@pytest.mark.slow
def test_a_local_level_is_fitted_as_ours_is():
    rng = np.random.default_rng(5)
    y = 8 + 0.4 * rng.normal(size=50).cumsum() + rng.normal(size=50)
    found = []
    for lib in (pm, vb):
        with lib.Model() as level_model:
            s, noise = lib.HalfNormal("s", 1), lib.HalfNormal("noise", 2)
            first = lib.Normal.dist(8, 5)
            level = lib.GaussianRandomWalk("level", sigma=s, init_dist=first, shape=len(y))
            lib.Normal("y", level, noise, observed=y)
        approx = vb.fit(method="auto", model=level_model, random_seed=1, progressbar=False)
        assert approx.diagnosis.good
        assert "non-centred" in str(approx.diagnosis)
        found.append(approx.sample(2000, random_seed=1).posterior)
    for one, other in zip(found[0].data_vars.values(), found[1].data_vars.values(), strict=True):
        a, b = (np.asarray(x)[0] for x in (one, other))
        np.testing.assert_array_less(np.abs(a.mean(axis=0) - b.mean(axis=0)), 0.2 * b.std(axis=0))
