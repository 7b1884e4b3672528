"""Models to measure accuracy on, each written once for vibayes and PyMC alike.

``BUILDERS[name](lib)`` is called inside a model of the library ``lib``, which is ``vibayes`` or
``pymc``: their names and arguments are the same.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["BUILDERS"]

DATASETS = Path(__file__).resolve().parent.parent / "vibayes" / "datasets"


def columns(name: str) -> dict[str, np.ndarray]:
    """Return the columns of a data set that ships with vibayes."""
    with (DATASETS / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


def kidiq(lib: Any) -> None:
    """Test scores by the mother's IQ as it is, neither centred nor scaled."""
    data = columns("kidiq")
    intercept = lib.Normal("intercept", 0, 100)
    slope = lib.Normal("slope", 0, 10)
    sigma = lib.HalfCauchy("sigma", 5)
    lib.Normal("y", intercept + slope * data["mom_iq"], sigma, observed=data["kid_score"])


def kidiq_interaction(lib: Any) -> None:
    """The same with schooling and its interaction."""
    data = columns("kidiq")
    hs, iq = data["mom_hs"], data["mom_iq"]
    beta = lib.Normal("beta", 0, 50, shape=4)
    sigma = lib.HalfCauchy("sigma", 5)
    mu = beta[0] + beta[1] * hs + beta[2] * iq + beta[3] * hs * iq
    lib.Normal("y", mu, sigma, observed=data["kid_score"])


def nes2000(lib: Any) -> None:
    """Party identification by six attributes of a voter."""
    data = columns("nes2000")
    names = ["real_ideo", "race_adj", "age_discrete", "educ1", "gender", "income"]
    X = np.column_stack([data[name] for name in names])
    intercept = lib.Normal("intercept", 0, 10)
    beta = lib.Normal("beta", 0, 10, shape=6)
    sigma = lib.HalfNormal("sigma", 10)
    lib.Normal("y", intercept + X @ beta, sigma, observed=data["partyid7"])


def robust_line(lib: Any) -> None:
    """A line through 30 points, two of which are far off."""
    rng = np.random.default_rng(3)
    x = np.linspace(0, 10, 30)
    y = 20 + 3 * x + rng.normal(0, 2, size=30)
    y[[5, 20]] += 60
    intercept = lib.Normal("intercept", 0, 100)
    slope = lib.Normal("slope", 0, 100)
    sigma = lib.HalfNormal("sigma", 10)
    nu = lib.Gamma("nu", 2, 0.1)
    lib.StudentT("y", nu=nu, mu=intercept + slope * x, sigma=sigma, observed=y)


def eight_schools(lib: Any) -> None:
    """Effects of coaching in eight schools, centred around a standard normal."""
    effect = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    error = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    mu = lib.Normal("mu", 0, 5)
    tau = lib.HalfCauchy("tau", 5)
    z = lib.Normal("z", 0, 1, shape=8)
    lib.Normal("y", mu + tau * z, error, observed=effect)


def counties(lib: Any) -> None:
    """Levels of 30 counties with 2 to 15 measurements each, and a slope."""
    rng = np.random.default_rng(7)
    county = np.repeat(np.arange(30), rng.integers(2, 16, size=30))
    floor = rng.integers(0, 2, size=len(county))
    level = rng.normal(1.3, 1.0, size=30)
    y = level[county] - 0.7 * floor + rng.normal(0, 0.8, size=len(county))
    mu = lib.Normal("mu", 0, 10)
    tau = lib.HalfNormal("tau", 2)
    levels = lib.Normal("levels", mu, tau, shape=30)
    slope = lib.Normal("slope", 0, 10)
    sigma = lib.HalfNormal("sigma", 2)
    lib.Normal("y", levels[county] + slope * floor, sigma, observed=y)


def rates(lib: Any) -> None:
    """Rates of tumours in 20 groups of rats, by a beta-binomial distribution."""
    rng = np.random.default_rng(11)
    n = rng.integers(10, 40, size=20)
    y = rng.binomial(n, rng.beta(2, 12, size=20))
    mean = lib.Beta("mean", 1, 1)
    size = lib.HalfNormal("size", 50)
    lib.BetaBinomial("y", alpha=mean * size, beta=(1 - mean) * size, n=n, observed=y)


def counts(lib: Any) -> None:
    """Counts that vary more than a Poisson distribution, by two predictors."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(120, 2))
    mu = np.exp(2 + X @ np.array([0.6, -0.3]))
    y = rng.poisson(mu * rng.gamma(3, 1 / 3, size=120))
    intercept = lib.Normal("intercept", 0, 5)
    beta = lib.Normal("beta", 0, 2, shape=2)
    alpha = lib.Exponential("alpha", 0.2)
    rate = lib.math.exp(intercept + X @ beta)
    lib.NegativeBinomial("y", mu=rate, alpha=alpha, observed=y)


def dose(lib: Any) -> None:
    """Deaths of animals at four doses: a logistic curve by 20 animals."""
    x = np.array([-0.86, -0.30, -0.05, 0.73])
    alpha = lib.Normal("alpha", 0, 10)
    beta = lib.Normal("beta", 0, 10)
    deaths = np.array([0, 1, 3, 5])
    lib.Binomial("y", n=5, logit_p=alpha + beta * x, observed=deaths)


def gamma(lib: Any) -> None:
    """Shape and rate of 200 values."""
    alpha = lib.Exponential("alpha", 0.1)
    beta = lib.Exponential("beta", 0.1)
    values = np.random.default_rng(42).gamma(2, 0.5, size=200)
    lib.Gamma("y", alpha, beta, observed=values)


BUILDERS: dict[str, Callable[[Any], None]] = {
    build.__name__: build
    for build in (
        kidiq,
        kidiq_interaction,
        nes2000,
        robust_line,
        eight_schools,
        counties,
        rates,
        counts,
        dose,
        gamma,
    )
}
