import numpy as np

import vibayes as vb
from vibayes.predictive import densities


def test_samples_hold_a_small_log_likelihood():
    """So that ``az.loo`` works at once; it is what compute_log_likelihood gives."""
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
        samples = vb.MeanField().sample(100, random_seed=1)
        again = vb.compute_log_likelihood(samples, extend_inferencedata=False)
    np.testing.assert_array_equal(samples.log_likelihood["y"], again["y"])


def test_samples_without_a_log_likelihood(monkeypatch):
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        x = vb.Data("x", [1.0, 2.0, 3.0])
        vb.Normal("y", mu * x, 1, observed=[1.0, 2.0, 3.0])
        approx = vb.MeanField()
        vb.set_data({"x": [1.0, 2.0]})  # of which there are no outcomes
        assert "log_likelihood" not in approx.sample(10)
        vb.set_data({"x": [1.0, 2.0, 4.0]})
        assert "log_likelihood" in approx.sample(10)
        monkeypatch.setattr(densities, "FEW_NUMBERS", 29)
        assert "log_likelihood" not in approx.sample(10)
