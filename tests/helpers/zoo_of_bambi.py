"""Formulas of Bambi: its families, links and terms, by name."""

import bambi
import numpy as np
import pandas as pd

N = 60
rng = np.random.default_rng(7)
X = rng.normal(size=N)
Z = rng.uniform(0, 3, size=N)
GROUP = np.repeat(list("abcdef"), N // 6)
ETA = 0.4 + 0.5 * X + 0.3 * rng.normal(size=6)[np.repeat(np.arange(6), N // 6)]
TRIALS = rng.integers(5, 12, size=N)
DATA = pd.DataFrame(
    {
        "x": X,
        "z": Z,
        "g": GROUP,
        "h": np.tile(list("uvw"), N // 3),
        "n": TRIALS,
        "y": ETA + 0.5 * rng.normal(size=N),
        "wave": np.sin(2 * Z) + 0.3 * rng.normal(size=N),
        "yes": rng.random(N) < 1 / (1 + np.exp(-ETA)),
        "count": rng.poisson(np.exp(ETA)),
        "zeros": rng.poisson(np.exp(ETA)) * (rng.random(N) < 0.7),
        "wins": rng.binomial(TRIALS, 1 / (1 + np.exp(-ETA))),
        "positive": rng.gamma(3.0, np.exp(ETA) / 3),
        "share": rng.beta(4 * 0.6, 4 * 0.4, size=N),
        "angle": rng.vonmises(0.3, 3.0, size=N),
        "grade": pd.Categorical(np.digitize(ETA, [0.0, 0.8]).astype(str), ordered=True),
        "kind": rng.permutation(np.repeat(list("pqr"), N // 3)),
    }
)
DATA["yes"] = DATA["yes"].astype(int)
DATA["some"] = np.where(DATA["positive"] < 0.7, 0.0, DATA["positive"])

FORMULAS = {
    "linear": ("y ~ x + z", {}),
    "interaction": ("y ~ x * h", {}),
    "varying_intercepts": ("y ~ x + (1|g)", {}),
    "varying_slopes": ("y ~ x + (x|g)", {}),
    "centred_groups": ("y ~ x + (1|g)", {"noncentered": False}),
    "two_groupings": ("y ~ x + (1|g) + (1|h)", {}),
    "no_intercept": ("y ~ 0 + h + x", {}),
    "spline": ("wave ~ bs(z, df=6)", {}),
    "process": ("wave ~ hsgp(z, m=8, c=1.5)", {}),
    "offset": ("count ~ x + offset(z)", {"family": "poisson"}),
    "robust": ("y ~ x", {"family": "t"}),
    "logistic": ("yes ~ x + (1|g)", {"family": "bernoulli"}),
    "probit": ("yes ~ x", {"family": "bernoulli", "link": "probit"}),
    "cloglog": ("yes ~ x", {"family": "bernoulli", "link": "cloglog"}),
    "poisson": ("count ~ x + (1|g)", {"family": "poisson"}),
    "negative_binomial": ("count ~ x", {"family": "negativebinomial"}),
    "binomial": ("p(wins, n) ~ x", {"family": "binomial"}),
    "beta_binomial": ("p(wins, n) ~ x", {"family": "beta_binomial"}),
    "gamma": ("positive ~ x", {"family": "gamma", "link": "log"}),
    "inverse_gaussian": ("positive ~ x", {"family": "wald", "link": "log"}),
    "exponential": ("positive ~ x", {"family": "exponential", "link": "log"}),
    "weibull": ("positive ~ x", {"family": "weibull", "link": "log"}),
    "beta": ("share ~ x", {"family": "beta"}),
    "von_mises": ("angle ~ x", {"family": "vonmises"}),
    "laplace": ("y ~ x", {"family": "laplace"}),
    "quantile": ("y ~ x", {"family": "asymmetriclaplace"}),
    "categories": ("kind ~ x", {"family": "categorical"}),
    "cumulative": ("grade ~ x", {"family": "cumulative"}),
    "stopping_ratio": ("grade ~ x", {"family": "sratio"}),
    "zero_inflated": ("zeros ~ x", {"family": "zero_inflated_poisson"}),
    "zero_inflated_negative_binomial": ("zeros ~ x", {"family": "zero_inflated_negativebinomial"}),
    "hurdle_counts": ("zeros ~ x", {"family": "hurdle_poisson"}),
    "hurdle_amounts": ("some ~ x", {"family": "hurdle_gamma", "link": "log"}),
    "distributional": (("y ~ x", "sigma ~ x"), {}),
}


def model(name):
    """Return a model of Bambi, as yet not built."""
    formula, options = FORMULAS[name]
    formula = formula if isinstance(formula, str) else bambi.Formula(*formula)
    return bambi.Model(formula, DATA, **options)
