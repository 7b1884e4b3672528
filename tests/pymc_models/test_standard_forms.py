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
    return vb.from_pymc(original)


def test_which_have_a_form(model):
    without = {"mu", "s", "positive", "truncated"}
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
