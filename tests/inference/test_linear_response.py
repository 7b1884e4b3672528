import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError


def correlated(d=6, rho=0.9):
    cov = (
        rho ** np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
        * np.outer(10.0 ** np.arange(d), 10.0 ** np.arange(d)) ** 0.5
    )
    with vb.Model() as model:
        vb.MvNormal("x", np.arange(d), cov=cov)
        vb.Normal("other", 0, 2)
    return model, cov


@pytest.fixture(scope="module")
def fitted():
    model, cov = correlated()
    approx = vb.fit(model=model, method="advi", random_seed=1, progressbar=False, diagnose=False)
    return approx, cov


def test_covariances_of_a_normal_are_exact(fitted):
    approx, cov = fitted
    found = vb.linear_response(approx)
    np.testing.assert_allclose(found.cov[:6, :6], cov, rtol=1e-3, atol=1e-3 * cov.max() ** 0.5)
    np.testing.assert_allclose(found.cov[6], [0] * 6 + [4], atol=1e-3)
    np.testing.assert_allclose(found.mean[:6], np.arange(6), atol=1e-2)
    assert found.names[0] == "x[0]"
    assert (found.mean_field_sd[:6] < 0.7 * found.sd[:6]).all()
    assert "x[0]" in repr(found)


def test_covariances_of_some_variables_are_those_of_all(fitted):
    approx, _ = fitted
    some, whole = vb.linear_response(approx, "other"), vb.linear_response(approx)
    np.testing.assert_allclose(some.cov, whole.cov[6:, 6:], rtol=1e-6)
    with pytest.raises(ValueError, match="covariances are known of 1 of 7 dimensions"):
        some.to_full_rank()
    with pytest.raises(KeyError, match="no free variable 'z'; there are x, other"):
        vb.linear_response(approx, "z")


def test_they_make_an_approximation(fitted):
    approx, cov = fitted
    normal = vb.linear_response(approx).to_full_rank(random_seed=1)
    np.testing.assert_allclose(
        np.sqrt(normal.cov.eval().diagonal()[:6]), cov.diagonal() ** 0.5, 1e-3
    )
    assert normal.diagnose(random_seed=1).khat < 0.5


def test_a_regression_whose_posterior_is_not_normal():
    rng = np.random.default_rng(3)
    x = rng.normal(3, 1, size=60)
    y = rng.random(60) < 1 / (1 + np.exp(-(x - 3)))
    with vb.Model() as model:
        a, b = vb.Normal("a", 0, 5), vb.Normal("b", 0, 5)
        vb.Bernoulli("y", logit_p=a + b * x, observed=y)
    options = dict(model=model, random_seed=1, progressbar=False, diagnose=False)
    mean_field, full = (vb.fit(method=m, **options) for m in ("advi", "fullrank_advi"))
    sd = np.sqrt(full.cov.eval().diagonal())
    assert (mean_field.std.eval() < 0.5 * sd).all()
    np.testing.assert_allclose(vb.linear_response(mean_field).sd, sd, rtol=0.15)


def test_what_it_is_not_for(fitted):
    with vb.Model() as model:
        vb.Normal("x", shape=2)
        full = vb.FullRank()
        with pytest.raises(TypeError, match="approx must be a mean field"):
            vb.linear_response(full)
        u = vb.Normal("u", 0, 1)
        vb.Potential("valley", u**2)
        with pytest.raises(ModelError, match="the loss has no minimum"):
            vb.linear_response(vb.MeanField(model=model))
