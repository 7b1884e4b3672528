import numpy as np
import pytest
import xarray as xr

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"side": ["l", "r"]}) as model:
        x = vb.Data("x", np.arange(2.0), dims="side")
        mu = vb.Normal("mu", dims="side")
        s = vb.HalfNormal("s")
        vb.Deterministic("scaled", mu / s + x, dims="side")
        vb.Deterministic("double", 2 * s)
        y = vb.Normal("y", mu, s, observed=[1.0, 2.0], dims="side")
        vb.Deterministic("spread", y.std())
    return model


@pytest.fixture(scope="module")
def draws(model):
    return vb.MeanField(model=model, random_seed=1).sample(20, random_seed=1)


def test_deterministics_of_draws(model, draws):
    names = ["scaled", "double"]
    computed = vb.compute_deterministics(draws.posterior, var_names=names, model=model)
    assert list(computed.data_vars) == names
    for name in names:
        xr.testing.assert_allclose(computed[name], draws.posterior[name])
    merged = vb.compute_deterministics(
        draws_of(draws), var_names="scaled", model=model, merge_dataset=True
    )
    assert set(merged.data_vars) == {"mu", "s", "scaled"}
    with pytest.raises(ModelError, match="depend on draws of 'y', which is observed"):
        vb.compute_deterministics(draws.posterior, model=model)
    with vb.Model(), pytest.raises(ModelError, match="the model has no deterministics"):
        vb.compute_deterministics(draws.posterior)


def test_draws_become_results(model):
    trace = vb.MeanField(model=model).sample(5, return_inferencedata=False)
    results = vb.to_inference_data(trace, prior={"s": np.ones(7)}, model=model)
    np.testing.assert_array_equal(results.posterior["mu"].values[0], trace["mu"])
    assert results.posterior["mu"].dims == ("chain", "draw", "side")
    assert results.prior["s"].shape == (1, 7)
    assert "y" in results.observed_data
    assert "x" in results.constant_data
    points = vb.to_inference_data(
        [{"mu": [1.0, 2.0]}, {"mu": [3.0, 4.0]}], dims={"mu": ["at"]}, model=model
    )
    assert points.posterior["mu"].dims == ("chain", "draw", "at")
    stacked = draws_of(trace).stack(sample=["chain", "draw"])
    assert vb.to_inference_data(stacked, model=model).posterior["mu"].shape == (1, 5, 2)


def draws_of(trace):
    return xr.Dataset({name: trace.posterior[name] for name in ("mu", "s")})


def test_expressions_of_all_draws(model, draws):
    (graph,) = vb.vectorize_over_posterior(
        [model.mu + model.s], draws.posterior, [model.mu, model.s]
    )
    expected = (draws.posterior["mu"] + draws.posterior["s"]).transpose("chain", "draw", ...)
    np.testing.assert_allclose(graph.eval(mode="FAST_COMPILE"), expected)
    (drawn,) = vb.vectorize_over_posterior([model.y], draws.posterior, [model.mu, model.s])
    assert drawn.eval(mode="FAST_COMPILE").shape == (1, 20, 2)
    with pytest.raises(ModelError, match="random variables that are not in input_rvs"):
        vb.vectorize_over_posterior([model.y], draws, [model.mu], allow_rvs_in_graph=False)
    with pytest.raises(KeyError, match="no draws of 'y'"):
        vb.vectorize_over_posterior([model.y], draws.posterior, [model.y])


def test_draws_that_are_not_as_many_of_each_variable_are_told():
    with vb.Model():
        vb.Normal("x")
        with pytest.raises(ShapeError, match=r"prior must be arrays .* 'x' of 3 draws, 'y' of 2"):
            vb.to_inference_data(prior={"x": np.ones(3), "y": np.ones(2)})
        with pytest.raises(ShapeError, match=r"posterior_predictive must be .* 'x' of None"):
            vb.to_inference_data(posterior_predictive={"x": 1.0})
