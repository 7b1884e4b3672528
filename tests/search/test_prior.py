import numpy as np
import pytest
from helpers.posteriors import two_modes

import vibayes as vb
from vibayes.search.prior import prior_draws


def test_draws_of_the_prior():
    """Unconstrained: the logarithm of an exponential variable, and what depends on it."""
    with vb.Model() as model:
        scale = vb.Exponential("scale", 2.0)
        vb.Normal("x", 5, scale, shape=2)
    flat = prior_draws(model, 4000, np.random.default_rng(1))
    assert flat.shape == (4000, 3)
    assert np.exp(flat[:, 0]).mean() == pytest.approx(0.5, abs=0.05)
    standard = (flat[:, 1:] - 5) / np.exp(flat[:, :1])
    assert np.abs(standard.mean(axis=0)).max() < 0.08
    assert np.abs(standard.std(axis=0) - 1).max() < 0.06


def test_priors_without_draws():
    rng = np.random.default_rng(1)
    assert prior_draws(two_modes(), 10, rng).shape == (0, 1)
    with vb.Model() as model:  # half of the scales are negative
        scale = vb.Normal("scale", shape=3)
        vb.Normal("x", 0, scale)
    assert prior_draws(model, 10, rng).shape[1] == 6
