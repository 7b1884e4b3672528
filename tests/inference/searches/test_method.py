import pickle
import warnings

import numpy as np
import pytest
from helpers.posteriors import conjugate, funnel, line, normal, two_modes
from helpers.searches import COV, MEAN, draws, fit

import vibayes as vb
from vibayes.exceptions import SamplingError
from vibayes.inference.searches.method import SearchMethod

METHODS = ["auto", "laplace", "pathfinder", "mixture"]


@pytest.mark.parametrize("method", METHODS)
def test_a_correlated_normal(method):
    """Every method is right about it, and none warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        approx = fit(normal(MEAN, COV), method)
    x, sd = draws(approx), np.sqrt(COV.diagonal())
    np.testing.assert_allclose((x.mean(axis=0) - MEAN) / sd, 0, atol=0.08)
    np.testing.assert_allclose(np.cov(x.T) / COV, 1, atol=0.12)
    assert approx.ending.converged
    np.testing.assert_array_equal(draws(pickle.loads(pickle.dumps(approx))), x)


@pytest.mark.parametrize("method", METHODS)
class TestEvery:
    def test_same_seed_same_numbers(self, method):
        first, again, other = (
            draws(fit(line(), method, s, diagnose=False), "slope") for s in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        if method != "laplace":
            assert (first != other).any()

    def test_arguments_without_effect(self, method):
        for name, value in {"n": 100, "callbacks": [print], "backend": "numba"}.items():
            with pytest.raises(TypeError, match=f'{name} has no effect on method="{method}"'):
                fit(two_modes(), method, **{name: value})

    def test_budget(self, method):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            approx = fit(funnel(10), method, max_steps=1)
        assert any(issubclass(w.category, UserWarning) for w in caught)
        assert np.isfinite(draws(approx, "v")).all()

    def test_no_time_at_all(self, method):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            approx = fit(line(), method, max_seconds=1e-9)
        assert any(issubclass(w.category, UserWarning) for w in caught)
        assert np.isfinite(draws(approx, "slope")).all()

    def test_a_start_without_density(self, method):
        with vb.Model() as model:
            x = vb.Normal("x", 0, 1, initval=2.0)
            vb.Potential("impossible", vb.math.switch(x > 1, -np.inf, 0.0))
        with pytest.raises(SamplingError, match="impossible"):
            fit(model, method)
        x = draws(fit(model, method, start={"x": 0.0}, diagnose=False))
        assert method in ("laplace", "mixture") or x.max() <= 1  # normals know no bounds

    def test_minibatches_stand_for_the_whole_data(self, method):
        y = np.random.default_rng(1).normal(2, 1, 500)
        with vb.Model() as model:
            mu = vb.Normal("mu", 0, 10)
            vb.Normal("y", mu, 1, observed=vb.Minibatch(y, batch_size=10), total_size=500)
        mu = draws(fit(model, method), "mu")
        assert mu.mean() == pytest.approx(y.mean(), abs=0.01)
        assert mu.std() == pytest.approx(500**-0.5, rel=0.1)

    def test_by_its_class(self, method):
        cls = dict(
            auto=vb.AutoVI, laplace=vb.LaplaceVI, pathfinder=vb.PathfinderVI, mixture=vb.MixtureVI
        )
        model, mean, sd = conjugate()
        search = cls[method](model, random_seed=1)
        assert isinstance(search, SearchMethod)
        approx = search.fit()
        assert search.approx is approx
        assert draws(approx, "mu").mean() == pytest.approx(mean, abs=0.1 * sd)


@pytest.mark.parametrize("method", ["auto", "laplace"])
def test_a_device_is_for_jax(method):
    with pytest.raises(ValueError, match="device='cpu' is for backend='jax'"):
        fit(normal(np.zeros(1), np.eye(1)), method, device="cpu")
