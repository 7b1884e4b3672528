import numpy as np
import pytest

import vibayes as vb


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu", shape=3)
        vb.Normal("y", mu, 1, observed=np.ones(3))
    return model


@pytest.fixture(scope="module")
def trace(model):
    return vb.MeanField(model=model).sample(10, random_seed=1, return_inferencedata=False)


def test_draws_are_those_of_results(model, trace):
    results = vb.MeanField(model=model).sample(10, random_seed=1)
    np.testing.assert_array_equal(trace["mu"], results["mu"])
    np.testing.assert_array_equal(trace.mu, results["mu"])
    assert (len(trace), trace.varnames, trace.nchains) == (10, ["mu"], 1)


def test_points_and_slices(trace):
    np.testing.assert_array_equal(trace[-1]["mu"], trace["mu"][9])
    np.testing.assert_array_equal(trace[4:]["mu"], trace["mu"][4:])
    assert [p["mu"][0] for p in trace.points()] == trace["mu"][:, 0].tolist()
    with pytest.raises(IndexError, match="there are 10 draws, none has the number 10"):
        trace[10]
    with pytest.raises(KeyError, match="no draws of 'nu'; there are mu"):
        trace["nu"]
    with pytest.raises(AttributeError):
        _ = trace.nu


def test_several_chains(trace):
    several = vb.posterior.multitrace.MultiTrace(
        trace.posterior.isel(chain=[0, 0]).assign_coords(chain=[0, 1])
    )
    assert several["mu"].shape == (20, 3)
    first, second = several.get_values("mu", burn=2, thin=2, combine=False)
    np.testing.assert_array_equal(first, trace["mu"][2::2])
    np.testing.assert_array_equal(second, first)
    assert several.get_values("mu", chains=1, combine=False).shape == (10, 3)
    with pytest.raises(ValueError, match="chains must be a whole number from 0 to 1"):
        several.get_values("mu", chains=2)


def test_predictive_draws_take_them(model, trace):
    drawn = vb.sample_posterior_predictive(trace, model=model, random_seed=1)
    assert drawn.posterior_predictive["y"].shape == (1, 10, 3)


def test_particles_give_them():
    with vb.Model():
        vb.Normal("mu")
        approx = vb.Empirical(size=5)
    assert len(approx.sample(3, return_inferencedata=False)) == 3
    assert len(approx.sample(3, replace=False, return_inferencedata=False)) == 3


def test_data_of_minibatches_are_whole():
    data = np.arange(10.0)
    with vb.Model():
        batch = vb.Minibatch(data, batch_size=5)
        vb.Normal("y", vb.Normal("mu"), observed=batch, total_size=10)
        results = vb.MeanField().sample(3)
    np.testing.assert_array_equal(results.observed_data["y"], data)
