"""Fits by searches, and draws of what these have found."""

import numpy as np

import vibayes as vb
from helpers.posteriors import covariance

MEAN = np.array([1e-3, -5.0, 3e4])
COV = covariance(3, scales=[1e-4, 1.0, 1e5])


def fit(model, method, seed=1, **kwargs):
    return vb.fit(method=method, model=model, random_seed=seed, progressbar=False, **kwargs)


def draws(approx, name="x", count=4000):
    return approx.sample(count, random_seed=1).posterior[name].values[0]
