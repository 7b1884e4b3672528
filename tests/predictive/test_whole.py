import numpy as np
import pytest
from helpers.posteriors import posterior

import vibayes as vb
from vibayes.exceptions import ShapeError


def test_new_rows_without_dims():
    with vb.Model() as model:
        x = vb.Data("x", np.zeros(4))
        slope = vb.Normal("slope")
        y = vb.Normal("y", slope * x, 1e-9, observed=np.zeros(4))
        vb.Deterministic("twice", 2 * y)
        vb.set_data({"x": [1.0, 2.0]})
    results = vb.sample_posterior_predictive(
        posterior(slope=3.0), model, var_names=["y", "twice"], predictions=True
    )
    np.testing.assert_allclose(results.predictions["y"].values[0, 0], [3.0, 6.0], atol=1e-6)
    np.testing.assert_allclose(results.predictions["twice"].values[0, 0], [6.0, 12.0], atol=1e-6)


def test_new_rows_of_other_length_than_dims():
    with vb.Model(coords={"obs": range(4)}) as model:
        x = vb.Data("x", np.zeros(4))
        slope = vb.Normal("slope")
        vb.Normal("y", slope * x, 1, observed=np.zeros(4), dims="obs")
        vb.set_data({"x": [1.0, 2.0]})
    with pytest.raises(ShapeError, match="'y' do not broadcast to the lengths of its dims"):
        vb.sample_posterior_predictive(posterior(slope=3.0), model)


@pytest.mark.parametrize("family", ["Gamma", "Weibull"])
def test_new_rows_of_families_with_several_parameters(family):
    """Their length is computed from parameters, which differ between draws."""
    with vb.Model():
        rows = vb.Data("rows", np.arange(5.0))
        slope = vb.Normal("slope")
        mean = vb.math.exp(slope * rows)
        getattr(vb, family)("y", alpha=1.0 + 0 * slope, beta=1 / mean, observed=np.ones(5))
        approx = vb.MeanField(random_seed=1)
        approx.shared_params["rho"].set_value(np.array([-9.0]))  # the slope is zero
        vb.set_data({"rows": np.arange(3.0)})
        new = vb.sample_posterior_predictive(approx, draws=4000, predictions=True, random_seed=1)
    drawn = new.predictions["y"].values[0]
    assert drawn.shape == (4000, 3)
    assert np.abs(drawn.mean(axis=0) - 1).max() < 5 / np.sqrt(4000)  # both are exponential


def test_minibatches_stand_for_the_whole_data():
    x = np.arange(1000.0)
    with vb.Model(coords={"obs": range(1000)}) as model:
        slope = vb.Normal("slope")
        rows, y = vb.Minibatch(x, 3 * x, batch_size=10)
        mu = vb.Deterministic("mu", slope * rows)
        vb.Normal("y", mu, 1e-9, observed=y, total_size=1000, dims="obs")
        other = vb.Minibatch(x, batch_size=7, random_seed=1)
        vb.Normal("alone", 0, 1, observed=other, total_size=1000)
    results = vb.sample_posterior_predictive(
        posterior(slope=3.0, draws=5), model, var_names=["y", "mu", "alone"]
    )
    predictive = results.posterior_predictive
    assert predictive["y"].dims == ("chain", "draw", "obs")
    assert predictive["alone"].shape == (2, 5, 1000)
    np.testing.assert_allclose(predictive["y"].values[1, 2], 3 * x, atol=1e-6)
    np.testing.assert_allclose(predictive["mu"].values[1, 2], 3 * x)
    np.testing.assert_array_equal(results.observed_data["y"].values, 3 * x)
    assert vb.sample_prior_predictive(3, model).prior_predictive["y"].shape == (1, 3, 1000)


def test_minibatches_of_a_file_stand_for_all_of_its_rows(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros(1000))
    data = np.load(tmp_path / "y.npy", mmap_mode="r")
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=vb.Minibatch(data, batch_size=10), total_size=1000)
    drawn = vb.sample_prior_predictive(3, model)
    assert drawn.prior_predictive["y"].shape == (1, 3, 1000)
    assert vb.sample_prior_predictive(3, model, var_names="mu").prior["mu"].shape == (1, 3)
    assert vb.compute_log_prior(posterior(mu=0.0), model=model).log_prior["mu"].shape == (2, 200)
