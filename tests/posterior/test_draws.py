import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb
from vibayes.posterior.draws import flat_values, transformed_values


@pytest.fixture(scope="module")
def approx():
    with vb.Model(coords={"side": ["left", "right"], "row": [10, 20, 30]}) as model:
        data = vb.Data("x", [1.0, 2.0, 3.0], dims="row")
        a = vb.Normal("a", 0, 1)
        b = vb.Normal("b", 0, 1, dims="side")
        s = vb.HalfNormal("s", 1)
        m = vb.Normal("m", 0, 1, shape=(2, 3))
        mu = vb.Deterministic("mu", a + b[0] * data, dims="row")
        vb.Deterministic("twice", 2 * mu)
        vb.Deterministic("fixed", pt.as_tensor([1.0, 2.0]))
        vb.Normal("y", mu, s + pt.exp(m).sum(), observed=[1, 2, 3], dims="row")
    start = {"a": 1.5, "s": 2.0, "b": [-1.0, 1.0], "m": np.arange(6.0).reshape(2, 3)}
    return vb.MeanField(model=model, start=start, start_sigma={"a": 0.5, "s": 0.1, "m": 0.01})


def test_groups_dims_and_coords(approx):
    result = approx.sample(20, random_seed=1)
    posterior = result.posterior
    assert dict(posterior.sizes)["draw"] == 20
    assert posterior["a"].dims == ("chain", "draw")
    assert posterior["b"].dims == ("chain", "draw", "side")
    assert list(posterior["side"].values) == ["left", "right"]
    assert posterior["mu"].dims == ("chain", "draw", "row")
    assert list(posterior["row"].values) == [10, 20, 30]
    assert posterior["m"].dims == ("chain", "draw", "m_dim_0", "m_dim_1")
    assert posterior["fixed"].shape == (1, 20, 2)
    assert set(posterior.data_vars) == {"a", "b", "s", "m", "mu", "twice", "fixed"}
    np.testing.assert_array_equal(result.observed_data["y"], [1, 2, 3])
    assert result.observed_data["y"].dims == ("row",)
    np.testing.assert_array_equal(result.constant_data["x"], [1.0, 2.0, 3.0])
    assert posterior.attrs["inference_library"] == "vibayes"


def test_deterministics_are_of_the_same_draws(approx):
    posterior = approx.sample(50, random_seed=1).posterior
    a, b = posterior["a"].values[0], posterior["b"].values[0]
    expected = a[:, None] + b[:, :1] * np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(posterior["mu"].values[0], expected)
    np.testing.assert_allclose(posterior["twice"].values[0], 2 * expected)
    np.testing.assert_array_equal(posterior["fixed"].values[0, 7], [1.0, 2.0])


def test_draws_have_the_distribution(approx):
    posterior = approx.sample(4000, random_seed=2).posterior
    a, s = posterior["a"].values[0], posterior["s"].values[0]
    assert stats.kstest(a, stats.norm(1.5, 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(np.log(s), stats.norm(np.log(2), 0.1).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(a, s)[0, 1]) < 0.06
    mean = posterior["m"].values[0].mean(axis=0)
    np.testing.assert_allclose(mean, np.arange(6.0).reshape(2, 3), atol=0.002)


def test_seeds(approx):
    a, b, c = (approx.sample(5, random_seed=s).posterior["a"].values for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(
        approx.sample(5).posterior["a"].values, approx.sample(5).posterior["a"].values
    )


def test_include_transformed(approx):
    posterior = approx.sample(30, random_seed=1, include_transformed=True).posterior
    np.testing.assert_allclose(posterior["s"], np.exp(posterior["s_log__"]))
    assert "a" in posterior
    assert "s_log__" not in approx.sample(3).posterior


@pytest.mark.parametrize("draws", [0, -1, 2.5, True])
def test_bad_number_of_draws(approx, draws):
    with pytest.raises(ValueError, match="draws"):
        approx.sample(draws)


def test_after_set_data(approx):
    with approx.model:
        vb.set_data({"x": [5.0, 6.0]}, coords={"row": ["p", "q"]})
    try:
        posterior = approx.sample(10, random_seed=1).posterior
        assert posterior["mu"].shape == (1, 10, 2)
        assert list(posterior["row"].values) == ["p", "q"]
    finally:
        vb.set_data({"x": [1.0, 2.0, 3.0]}, approx.model, coords={"row": [10, 20, 30]})


def test_operations_that_numpy_would_do_one_by_one(approx):
    """gammaln has no NumPy function in PyTensor 3.0: such graphs are compiled."""
    with vb.Model() as model:
        x = vb.Normal("x", 2, 0.1)
        vb.Deterministic("g", pt.gammaln(x))
        vb.Deterministic("p", pt.softplus(x))
    from scipy.special import gammaln

    posterior = vb.MeanField(model=model).sample(10, random_seed=1).posterior
    np.testing.assert_allclose(posterior["g"], gammaln(posterior["x"]), rtol=1e-9)
    np.testing.assert_allclose(posterior["p"], np.logaddexp(0, posterior["x"]), rtol=1e-9)


def test_arviz_takes_it(approx):
    import arviz

    table = arviz.summary(approx.sample(200, random_seed=1), var_names=["a", "b"])
    assert float(table.loc["a", "mean"]) == pytest.approx(1.5, abs=0.15)


@pytest.mark.slow
def test_thousand_draws_of_a_thousand_parameters_take_no_time():
    import time

    with vb.Model() as model:
        vb.Normal("x", 0, 1, shape=500)
        vb.HalfNormal("s", 1, shape=500)
    approx = vb.MeanField(model=model)
    approx.sample(1000)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        approx.sample(1000)
        times.append(time.perf_counter() - began)
    assert np.median(times) < 0.2


def test_transformed_variables_on_their_own_scale(approx):
    flat, _ = flat_values(approx, 30, random_seed=1)
    found = transformed_values(approx.model, flat)
    assert list(found) == ["s"]
    log_s = flat[:, 3]  # after a, and two elements of b
    np.testing.assert_allclose(found["s"], np.exp(log_s), rtol=1e-6)


def test_flat_values_are_those_of_flat_draws(approx):
    values, logq = flat_values(approx, 20, random_seed=2)
    draws = approx.flat_draws(20, random_seed=2)
    np.testing.assert_array_equal(values, draws.values)
    np.testing.assert_array_equal(logq, draws.logq)


def test_models_without_transforms_have_none():
    with vb.Model() as model:
        vb.Normal("x", shape=2)
    assert transformed_values(model, np.zeros((3, 2))) == {}
