"""Posteriors whose moments are known without a fit."""

from functools import cache

import numpy as np
import pytensor.tensor as pt
import pytest
import xarray as xr

import vibayes as vb
from vibayes.search.budget import Budget

X = np.array([1.17, 2.97, 3.26, 4.69, 5.83, 6.0, 6.41])
Y = np.array([78.93, 58.2, 67.47, 37.47, 45.65, 32.92, 29.97])


def seeds(count):
    """Return seeds to parametrize a test by, of which the first is run by default."""
    return [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, count))]


def ample():
    """Return a budget that nothing here uses up."""
    return Budget(600.0, 100_000)


def covariance(d, seed=0, correlation=0.8, scales=None):
    """Return a covariance whose correlations fall with the distance, and given scales."""
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.normal(size=d)) if scales is None else np.asarray(scales)
    distance = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    return correlation**distance * np.outer(scales, scales)


def normal(mean, cov):
    """Return a model whose posterior is a normal distribution of ``x``."""
    mean, precision = np.asarray(mean, dtype=float), np.linalg.inv(cov)
    with vb.Model() as model:
        x = vb.Flat("x", shape=len(mean))
        vb.Potential("normal", -0.5 * ((x - mean) @ precision @ (x - mean)))
    return model


@cache  # what a model has compiled is kept with it
def two_modes(weights=(0.3, 0.7), means=(-3.0, 3.0), sds=(0.5, 0.8)):
    """Return a model whose posterior is a mixture of two normal distributions of ``x``."""
    weights, means, sds = map(np.asarray, (weights, means, sds))
    with vb.Model() as model:
        x = vb.Flat("x")
        parts = -0.5 * ((x - means) / sds) ** 2 - np.log(sds) + np.log(weights)
        vb.Potential("mixture", pt.logsumexp(parts))
    return model


@cache
def log_gamma(shape, rate):
    """Return a model with density exp(shape x - rate exp x): the logarithm of a gamma variable."""
    with vb.Model() as model:
        x = vb.Flat("x")
        vb.Potential("log_gamma", shape * x - rate * pt.exp(x))
    return model


@cache
def funnel(d=3):
    """Return Neal's funnel: its width changes by orders of magnitude."""
    with vb.Model() as model:
        v = vb.Normal("v", 0, 3)
        vb.Normal("x", 0, pt.exp(v / 2), shape=d - 1)
    return model


@cache
def conjugate(scale=1.0, start=None, n=20, seed=0):
    """Return a normal mean with known sd, and the mean and sd of its posterior."""
    y = scale * np.random.default_rng(seed).normal(3.0, 2.0, n)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 100 * scale, initval=start)
        vb.Normal("y", mu, 2 * scale, observed=y)
    precision = n / (2 * scale) ** 2 + 1 / (100 * scale) ** 2
    return model, y.sum() / (2 * scale) ** 2 / precision, precision**-0.5


@cache
def line():
    """Return a regression of seven points."""
    with vb.Model() as model:
        intercept = vb.Normal("intercept", 0, 100)
        slope = vb.Normal("slope", 0, 100)
        sigma = vb.HalfCauchy("sigma", 5)
        vb.Normal("y", intercept + slope * X, sigma, observed=Y)
    return model


@cache
def line_moments():
    """Return means and sds of (intercept, slope) by quadrature over sigma."""
    y, A = Y, np.column_stack([np.ones_like(X), X])
    grid = np.linspace(np.log(0.5), np.log(200), 4000)
    log_weights, means, covs = [], [], []
    for log_sigma in grid:
        sigma = np.exp(log_sigma)
        precision = A.T @ A / sigma**2 + np.eye(2) / 100**2
        cov = np.linalg.inv(precision)
        mean = cov @ A.T @ y / sigma**2
        # evidence given sigma, the prior of sigma, and the Jacobian of its logarithm
        log_weight = -len(y) * log_sigma - 0.5 * (y @ y) / sigma**2 + 0.5 * mean @ precision @ mean
        log_weight += 0.5 * np.linalg.slogdet(cov)[1] - np.log1p((sigma / 5) ** 2) + log_sigma
        log_weights.append(log_weight)
        means.append(mean)
        covs.append(cov)
    weights = np.exp(np.array(log_weights) - np.max(log_weights))
    weights /= weights.sum()
    means = np.array(means)
    mean = weights @ means
    second = np.tensordot(weights, np.array(covs) + means[:, :, None] * means[:, None, :], 1)
    return mean, np.sqrt((second - np.outer(mean, mean)).diagonal())


def posterior(chains=2, draws=200, **values):
    """Draws with dims chain and draw of numbers, or of functions of a generator and a shape."""
    rng = np.random.default_rng(5)
    variables = {}
    for name, value in values.items():
        array = value(rng, (chains, draws)) if callable(value) else np.full((chains, draws), value)
        own = [f"{name}_dim_{i}" for i in range(array.ndim - 2)]
        variables[name] = (("chain", "draw", *own), array)
    return xr.Dataset(variables, coords={"chain": range(chains), "draw": range(draws)})
