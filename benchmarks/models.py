"""Models of the cases that vibayes and PyMC write alike: each takes the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from common import (
    DIGITS_BATCH,
    HIDDEN,
    digits_data,
    gamma_data,
    logistic_data,
    poisson_data,
    radon_data,
    returns_data,
)

__all__ = ["digits", "gamma", "logistic", "mixture", "poisson", "radon", "returns"]


def gamma(lib: Any) -> Any:
    with lib.Model() as model:
        alpha = lib.Exponential("alpha", 0.1)
        beta = lib.Exponential("beta", 0.1)
        lib.Gamma("y", alpha, beta, observed=gamma_data())
    return model


def mixture(lib: Any) -> Any:
    with lib.Model() as model:
        lib.NormalMixture("x", w=[0.2, 0.8], mu=[-0.3, 0.5], sigma=[0.1, 0.1])
    return model


def logistic(lib: Any) -> Any:
    X, y = logistic_data()
    with lib.Model() as model:
        intercept = lib.Normal("intercept", 0, 2.5)
        slope = lib.Normal("slope", 0, 2.5, shape=X.shape[1])
        lib.Bernoulli("y", logit_p=intercept + X @ slope, observed=y)
    return model


def radon(lib: Any) -> Any:
    county, floor, uranium, value = radon_data()
    with lib.Model() as model:
        mean = lib.Normal("mean", 0, 1, shape=2)
        by_uranium = lib.Normal("by_uranium", 0, 1)
        sd = lib.HalfNormal("sd", 1, shape=2)
        level = lib.Normal("level", mean[0] + by_uranium * uranium, sd[0])
        slope = lib.Normal("slope", mean[1], sd[1], shape=len(uranium))
        noise = lib.HalfNormal("noise", 1)
        lib.Normal("y", level[county] + slope[county] * floor, noise, observed=value)
    return model


def poisson(lib: Any) -> Any:
    X, y = poisson_data()
    with lib.Model() as model:
        intercept = lib.Normal("intercept", 0, 1)
        slope = lib.Normal("slope", 0, 1, shape=X.shape[1])
        lib.Poisson("y", pt.exp(intercept + X @ slope), observed=y)
    return model


def digits(lib: Any) -> Any:
    images, labels = digits_data()
    X, y = lib.Minibatch(images, labels, batch_size=DIGITS_BATCH)
    with lib.Model() as model:
        first = lib.Normal("first", 0, 1, shape=(images.shape[1], HIDDEN))
        second = lib.Normal("second", 0, 1, shape=(HIDDEN, 10))
        logits = pt.tanh(X @ first) @ second
        lib.Categorical("y", logit_p=logits, observed=y, total_size=len(images))
    return model


def returns(lib: Any) -> Any:
    y = returns_data()
    with lib.Model() as model:
        sd = lib.HalfNormal.dist(3)
        chol, *_ = lib.LKJCholeskyCov("chol", n=y.shape[1], eta=2, sd_dist=sd)
        lib.MvNormal("y", np.zeros(y.shape[1]), chol=chol, observed=y)
    return model
