"""INLA of pymc-extras beside ``vb.fit(method="auto")``, on five latent Gaussian models.

    python benchmarks/latent_gaussian.py MODEL nutpie|auto|INLA [SEED]

prints one line of JSON: seconds, and mean, standard deviation and width from 5 % to 95 % of each
number. Needs PyMC, pymc-extras and nutpie. INLA takes the latent field ``x`` with its precision,
and gives draws of the other variables alone, by NUTS.
"""

import json
import sys
import time
import warnings

import numpy as np
import nutpie
import pymc as pm
import pymc_extras as pmx
import pytensor.tensor as pt

import vibayes as vb


def field(precision, n):
    """Return the latent field and its precision, which INLA has to find in the model."""
    precision = pm.Deterministic("Q", precision)
    return pm.MvNormal("x", mu=pt.zeros(n), tau=precision), precision


def intercepts():
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(20), 6)
    y = rng.normal(0.5 + rng.normal(0, 1, 20)[groups], 1.0)
    s, noise, mu = pm.HalfNormal("s", 2.0), pm.HalfNormal("noise", 2.0), pm.Normal("mu", 0, 5)
    x, Q = field(pt.eye(20) / s**2, 20)
    pm.Normal("y", mu + x[groups], noise, observed=y)
    return x, Q


def counts():
    rng = np.random.default_rng(2)
    y = rng.poisson(np.exp(0.8 + rng.normal(0, 0.7, 30)))
    s, b = pm.HalfNormal("s", 1.0), pm.Normal("b", 0, 2)
    x, Q = field(pt.eye(30) / s**2, 30)
    pm.Poisson("y", pt.exp(b + x), observed=y)
    return x, Q


def autoregression():
    rng, n = np.random.default_rng(3), 50
    f = np.zeros(n)
    for t in range(1, n):
        f[t] = 0.8 * f[t - 1] + 0.5 * rng.normal()
    y = rng.poisson(np.exp(1 + f))
    beside = np.eye(n, k=1) + np.eye(n, k=-1)
    inner = np.diag(np.r_[0, np.ones(n - 2), 0.0])
    s, r, b = pm.HalfNormal("s", 1.0), pm.Beta("r", 8, 2), pm.Normal("b", 0, 2)
    x, Q = field((np.eye(n) + r**2 * inner - r * beside) / s**2, n)
    pm.Poisson("y", pt.exp(b + x), observed=y)
    return x, Q


def areas():
    rng, side = np.random.default_rng(4), 6
    n = side**2
    i, j = np.divmod(np.arange(n), side)
    W = (np.abs(i[:, None] - i) + np.abs(j[:, None] - j) == 1).astype(float)
    D = np.diag(W.sum(axis=1))
    root = np.linalg.cholesky(np.linalg.inv(D - 0.95 * W))
    expected = rng.uniform(3, 10, n)
    y = rng.poisson(expected * np.exp(0.1 + 0.8 * root @ rng.normal(size=n)))
    s, a, b = pm.HalfNormal("s", 1.0), pm.Beta("a", 4, 1), pm.Normal("b", 0, 2)
    x, Q = field((D - a * W) / s**2, n)
    pm.Poisson("y", expected * pt.exp(b + x), observed=y)
    return x, Q


def process():
    rng, n = np.random.default_rng(5), 40
    t = np.sort(rng.uniform(0, 10, n))
    square = (t[:, None] - t) ** 2
    root = np.linalg.cholesky(np.exp(-square / 2 / 1.5**2) + 1e-6 * np.eye(n))
    y = rng.poisson(np.exp(1 + 0.7 * root @ rng.normal(size=n)))
    s, ell = pm.HalfNormal("s", 1.0), pm.InverseGamma("ell", 5, 8)
    b = pm.Normal("b", 0, 2)
    cov = s**2 * pt.exp(-square / (2 * ell**2)) + 1e-3 * np.eye(n)
    x, Q = field(pt.linalg.inv(cov), n)
    pm.Poisson("y", pt.exp(b + x), observed=y)
    return x, Q


MODELS = {f.__name__: f for f in (intercepts, counts, autoregression, areas, process)}


def moments(posterior, names):
    """Return mean, standard deviation and width of each number, by name and place."""
    found = {}
    for name in names:
        draws = np.asarray(posterior[name])
        for i, d in enumerate(draws.reshape(draws.shape[0] * draws.shape[1], -1).T):
            low, high = np.quantile(d, [0.05, 0.95])
            found[f"{name}[{i}]"] = [float(v) for v in (d.mean(), d.std(), high - low)]
    return found


def run(name, method, seed):
    with pm.Model() as model:
        x, Q = MODELS[name]()
    names = [v.name for v in model.free_RVs]
    begin, facts = time.perf_counter(), {}
    if method == "nutpie":
        compiled = nutpie.compile_pymc_model(model, var_names=names)
        result = nutpie.sample(
            compiled,
            tune=1500,
            draws=5000,
            chains=4,
            seed=seed,
            progress_bar=False,
            target_accept=0.95,
        )
    elif method == "auto":
        approx = vb.fit(model=model, method="auto", random_seed=seed, progressbar=False)
        facts["good"] = bool(approx.diagnosis.good)
        result = approx.sample(4000, random_seed=seed)
    else:
        names.remove("x")
        with model:
            result = pmx.fit(method="INLA", x=x, Q=Q, random_seed=seed, progressbar=False)
    seconds = time.perf_counter() - begin
    return facts | {
        "model": name,
        "what": method,
        "seconds": round(seconds, 1),
        "moments": moments(result.posterior, names),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(run(sys.argv[1], sys.argv[2], int((*sys.argv, "1")[3]))))
