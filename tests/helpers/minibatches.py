"""Minibatches of numbers that tell where they stand, and a model of them."""

import numpy as np

import vibayes as vb


def numbered(*shape):
    """Return an array of numbers that tell where they stand."""
    return np.arange(np.prod(shape), dtype="float64").reshape(shape)


def normal_model(x, total_size, **options):
    with vb.Model(**options) as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 2.0, observed=x, total_size=total_size)
    return model
