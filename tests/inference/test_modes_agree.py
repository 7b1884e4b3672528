"""Steps that are compiled as one function, beside those of PyTensor's own Numba mode."""

import numpy as np
import pytest

import vibayes as vb

pytestmark = pytest.mark.ci
rng = np.random.default_rng(8)
X = rng.normal(size=(60, 3))
COUNTS = rng.poisson(2, size=60)
VALUES = X @ [1.0, -2.0, 0.5] + rng.normal(size=60)


def gamma():
    alpha, beta = vb.Exponential("alpha", 0.1), vb.Exponential("beta", 0.1)
    vb.Gamma("y", alpha, beta, observed=np.abs(VALUES) + 0.1)


def logistic_of_minibatches():
    x, y = vb.Minibatch(X, (VALUES > 0).astype("int64"), batch_size=20)
    slope = vb.Normal("slope", 0, 1, shape=3)
    vb.Bernoulli("y", logit_p=x @ slope, observed=y, total_size=60)


def hierarchy_of_counts():
    group = np.arange(60) % 5
    mu, sd = vb.Normal("mu"), vb.HalfNormal("sd")
    level = vb.Normal("level", mu, sd, shape=5)
    alpha = vb.Exponential("alpha", 1)
    vb.NegativeBinomial("y", mu=vb.math.exp(level[group]), alpha=alpha, observed=COUNTS)


def mixture():
    w = vb.Dirichlet("w", np.ones(2))
    mu = vb.Normal("mu", [-1.0, 1.0], 1, shape=2)
    vb.NormalMixture("y", w=w, mu=mu, sigma=0.5, observed=VALUES)


def robust_regression():
    slope, sd = vb.Normal("slope", 0, 2, shape=3), vb.HalfCauchy("sd", 1)
    vb.StudentT("y", nu=vb.Gamma("nu", 2, 0.1), mu=X @ slope, sigma=sd, observed=VALUES)


def correlations():
    chol, *_ = vb.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=vb.HalfNormal.dist(1))
    vb.MvNormal("y", np.zeros(3), chol=chol, observed=X)


# PyTensor compiles a function of each operation, half a minute of them for a model
CASES = [
    pytest.param(write, method, options, id=write.__name__, marks=[pytest.mark.slow] * is_slow)
    for write, method, options, is_slow in [
        (gamma, "advi", {"obj_n_mc": 3}, True),
        (logistic_of_minibatches, "fullrank_advi", {}, False),
        (hierarchy_of_counts, "lowrank_advi", {}, False),
        (mixture, "svgd", {"inf_kwargs": {"n_particles": 20}}, True),
        (robust_regression, "nfvi=planar*2", {}, True),
        (correlations, "advi", {}, False),
    ]
]


@pytest.mark.parametrize(("write", "method", "options"), CASES)
def test_both_take_the_same_steps(write, method, options):
    with vb.Model() as model:
        write()
    fits = [
        vb.fit(
            30,
            method,
            model=model,
            random_seed=3,
            progressbar=False,
            diagnose=False,
            **how,
            **options,
        )
        for how in ({"backend": "numba"}, {"fn_kwargs": {"mode": "NUMBA"}})
    ]
    one, other = ([p.get_value() for p in approx.params] for approx in fits)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fits[0].hist, fits[1].hist, rtol=1e-9)
