import pickle
import warnings
from itertools import islice

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.posteriors import (
    conjugate,
    covariance,
    funnel,
    line,
    line_moments,
    log_gamma,
    normal,
    seeds,
    two_modes,
)
from scipy import optimize, stats

import vibayes as vb
from vibayes.exceptions import SamplingError
from vibayes.inference import searches
from vibayes.inference.searches import AutoVI, SearchMethod
from vibayes.model.target import Target
from vibayes.search.explore import improvements

MEAN = np.array([1e-3, -5.0, 3e4])
COV = covariance(3, scales=[1e-4, 1.0, 1e5])
METHODS = ["auto", "laplace", "pathfinder", "mixture"]


def fit(model, method, seed=1, **kwargs):
    return vb.fit(method=method, model=model, random_seed=seed, progressbar=False, **kwargs)


def draws(approx, name="x", count=4000):
    return approx.sample(count, random_seed=1).posterior[name].values[0]


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


class TestAuto:
    def test_independent_variables_get_a_mean_field(self):
        approx = fit(normal(MEAN, np.diag(COV.diagonal())), "auto")
        assert isinstance(approx, vb.MeanField)
        assert approx.diagnose(random_seed=1).good

    def test_correlated_ones_get_a_full_rank(self):
        approx = fit(normal(MEAN, COV), "auto")
        assert isinstance(approx, vb.FullRank)
        np.testing.assert_allclose(approx.groups[0].cov.eval() / COV, 1, atol=0.05)

    @pytest.mark.parametrize("seed", seeds(5))
    def test_two_modes_are_right_or_it_warns(self, seed):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            approx = fit(two_modes(), "auto", seed)
        said = any(issubclass(w.category, UserWarning) for w in caught)
        x = draws(approx)
        assert said or (x > 0).mean() == pytest.approx(0.7, abs=0.05)
        assert said or x[x > 0].std() == pytest.approx(0.8, rel=0.1)

    @pytest.mark.parametrize("seed", seeds(3))
    def test_far_modes_are_right_or_it_warns(self, seed):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            approx = fit(two_modes(means=(-8.0, 8.0)), "auto", seed)
        said = any(issubclass(w.category, UserWarning) for w in caught)
        dropped = approx.diagnose(random_seed=1).dropped
        assert said or dropped or (draws(approx) > 0).mean() == pytest.approx(0.7, abs=0.05)

    @pytest.mark.parametrize("seed", seeds(2))
    def test_a_funnel_is_right_or_it_warns(self, seed):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            approx = fit(funnel(10), "auto", seed)
        said = any(issubclass(w.category, UserWarning) for w in caught)
        v = draws(approx, "v")
        width = (
            np.diff(np.quantile(v, [0.05, 0.95]))[0]
            / np.diff(stats.norm(0, 3).ppf([0.05, 0.95]))[0]
        )
        assert said or (abs(v.mean()) < 0.6 and 0.8 < width < 1.25)

    @pytest.mark.parametrize("seed", seeds(3))
    def test_the_line(self, seed):
        approx = fit(line(), "auto", seed)
        mean, sd = line_moments()
        slope = draws(approx, "slope")
        assert slope.mean() == pytest.approx(mean[1], abs=0.2 * sd[1])
        assert slope.std() == pytest.approx(sd[1], rel=0.2)

    def test_it_tells_what_it_tried(self):
        found = fit(line(), "auto").diagnose(random_seed=1)
        names = [attempt.name for attempt in found.attempts]
        assert names[:2] == ["mean field", "full rank"]
        seconds = [attempt.seconds for attempt in found.attempts]
        assert seconds == sorted(seconds)
        assert found.attempts[0].elbo < found.attempts[1].elbo
        assert "mean field" in str(found)
        assert "mean field" in found._repr_html_()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(3))
    def test_a_random_walk_seen_through_noise(self, seed):
        """A local level, whose standard deviations are known by a Kalman filter on a grid."""
        rng = np.random.default_rng(2)
        y = 5 + rng.normal(0, 0.5, 20).cumsum() + rng.normal(0, 1, 20)
        with vb.Model() as model:
            step, noise = vb.HalfNormal("step", 1), vb.HalfNormal("noise", 2)
            level = vb.GaussianRandomWalk(
                "level", sigma=step, init_dist=vb.Normal.dist(5, 3), shape=20
            )
            vb.Normal("y", level, noise, observed=y)
        s, o = np.meshgrid(np.linspace(0.005, 3, 300), np.linspace(0.02, 4, 300), indexing="ij")
        mean, variance = 5.0 + 0 * s, 9.0 + 0 * s
        log_p = stats.halfnorm.logpdf(s) + stats.halfnorm(scale=2).logpdf(o)
        for value in y:
            total = variance + o**2
            log_p = log_p - 0.5 * np.log(total) - 0.5 * (value - mean) ** 2 / total
            gain = variance / total
            mean, variance = mean + gain * (value - mean), variance * (1 - gain) + s**2
        w = np.exp(log_p - log_p.max())
        w /= w.sum()
        approx = fit(model, "auto", seed, diagnose=True)
        for name, values in (("step", s), ("noise", o)):
            at = (w * values).sum()
            sd = np.sqrt((w * (values - at) ** 2).sum())
            x = draws(approx, name)
            assert abs(x.mean() - at) < 0.15 * sd
            assert abs(x.std() / sd - 1) < 0.15

    @pytest.mark.parametrize("most_dense", [pytest.param(2000, marks=pytest.mark.slow), 50])
    def test_groups_of_one_value_each(self, monkeypatch, most_dense):
        """Their spread is not told from zero; truth by quadrature. With a matrix, and without."""
        monkeypatch.setattr(searches, "MOST_DENSE", most_dense)
        rng = np.random.default_rng(11)
        sd = rng.uniform(0.8, 1.5, 120)
        y = rng.normal(0.5, sd)
        with vb.Model() as model:
            mu, tau = vb.Normal("mu", 0, 5), vb.HalfCauchy("tau", 1)
            theta = vb.Normal("theta", mu, tau, shape=120)
            vb.Normal("y", theta, sd, observed=y)
        grid = np.linspace(1e-4, 4, 8000)
        variance = sd**2 + grid[:, None] ** 2
        precision = 1 / 25 + (1 / variance).sum(axis=1)
        at = (y / variance).sum(axis=1) / precision
        log_p = -np.log1p(grid**2) - 0.5 * (np.log(variance) + y**2 / variance).sum(axis=1)
        log_p += 0.5 * at**2 * precision - 0.5 * np.log(precision)
        w = np.exp(log_p - log_p.max())
        w /= w.sum()
        approx = fit(model, "auto", diagnose=True)
        found, mean = draws(approx, "tau"), w @ grid
        spread = np.sqrt(w @ (grid - mean) ** 2)
        assert abs(found.mean() - mean) < 0.15 * spread
        assert abs(found.std() / spread - 1) < 0.15
        shrunk = (at[:, None] / grid[:, None] ** 2 + y / sd**2) / (
            1 / grid[:, None] ** 2 + 1 / sd**2
        )
        theta = draws(approx, "theta")
        off = (theta.mean(axis=0) - w @ shrunk) / theta.std(axis=0)
        np.testing.assert_allclose(off, 0, atol=0.2)
        assert approx.diagnose(random_seed=1).attempts[-1].name == "mixture for parameters"

    @pytest.mark.parametrize("seed", seeds(3))
    def test_a_bent_tube(self, seed):
        with vb.Model() as model:
            x = vb.Normal("x", 1, 1)
            vb.Normal("y", x**2, 0.03)
        approx = fit(model, "auto", seed, diagnose=True)
        x, y = draws(approx, "x"), draws(approx, "y")
        assert x.mean() == pytest.approx(1, abs=0.1)
        assert x.std() == pytest.approx(1, abs=0.08)
        assert (y - x**2).std() == pytest.approx(0.03, rel=0.1)

    def test_coordinates_that_start_nowhere_are_left_out(self):
        """The centre of the prior is where the density ends."""
        with vb.Model() as model:
            s = vb.HalfNormal("s", 1)
            x = vb.Normal("x", 0, s, initval=1.0)
            vb.Potential("positive", pt.switch(x > 0, 0.0, -np.inf))
            vb.Normal("y", x, 1, observed=2.0)
        assert AutoVI(model, 1)._standardized() is None

    @pytest.mark.parametrize("seed", seeds(3))
    def test_a_hierarchy_whose_data_say_little(self, seed):
        """Eight groups, in centred coordinates: the width of the population by quadrature."""
        y, s = (
            np.array([28, 8, -3, 7, -1, 1, 18, 12.0]),
            np.array([15, 10, 16, 11, 9, 11, 10, 18.0]),
        )
        with vb.Model() as model:
            mu = vb.Normal("mu", 0, 5)
            tau = vb.HalfNormal("tau", 5)
            theta = vb.Normal("theta", mu, tau, shape=8)
            vb.Normal("y", theta, s, observed=y)
        grid = np.linspace(1e-3, 40, 4000)
        log_weights = []
        for t in grid:  # theta and mu are integrated out
            cov = np.diag(s**2 + t**2) + 25.0
            log_weights.append(
                stats.multivariate_normal(np.zeros(8), cov).logpdf(y)
                + stats.halfnorm(scale=5).logpdf(t)
            )
        w = np.exp(np.array(log_weights) - max(log_weights))
        w /= w.sum()
        mean = w @ grid
        sd = np.sqrt(w @ (grid - mean) ** 2)
        found = draws(fit(model, "auto", seed), "tau")
        assert found.mean() == pytest.approx(mean, abs=0.2 * sd)
        assert found.std() == pytest.approx(sd, rel=0.2)

    @pytest.mark.parametrize("steps", [0, 1])
    def test_an_interrupted_search_keeps_what_it_has(self, monkeypatch, steps):
        """The draws of the last step that was done, and what was tried."""
        made = []

        def interrupted(*args):
            for better in islice(improvements(*args), steps):
                made.append(better)
                yield better
            raise KeyboardInterrupt

        monkeypatch.setattr("vibayes.inference.searches.improvements", interrupted)
        with pytest.warns(vb.ConvergenceWarning, match="it was interrupted"):
            approx = fit(log_gamma(0.3, 1.0), "auto")
        assert np.isfinite(draws(approx)).all()
        assert not approx.ending.converged
        findings = approx.ending.findings
        assert [a.name for a in findings.attempts] == ["mean field", "full rank"]
        assert len(made) == steps
        assert all(findings.khat == better.draws.khat for better in made)


class TestLaplace:
    def test_mode_and_curvature(self):
        model = line()
        target = Target(model)
        best = optimize.minimize(
            lambda z: -target.logp(z[None])[0],
            [90.0, -9.0, 1.8],
            method="Nelder-Mead",
            options=dict(xatol=1e-8, fatol=1e-12, maxiter=10_000),
        )
        approx = fit(model, "laplace", diagnose=False)
        assert isinstance(approx, vb.FullRank)
        cov, mean = approx.groups[0].cov.eval(), approx.groups[0].mean.eval()
        np.testing.assert_allclose((mean - best.x) / np.sqrt(cov.diagonal()), 0, atol=0.02)

        def gradient(z):
            return target(z[None])[1][0]

        widths = 1e-3 * np.sqrt(cov.diagonal())
        hessian = np.array(
            [
                -(gradient(best.x + w) - gradient(best.x - w)) / (2 * w.max())
                for w in np.diag(widths)
            ]
        )
        np.testing.assert_allclose(hessian @ cov, np.eye(3), atol=0.02)
        assert approx.ending.reason == "the search came to a mode"

    def test_the_better_of_two_modes(self):
        approx = fit(two_modes(), "laplace", diagnose=False)
        assert approx.groups[0].mean.eval()[0] == pytest.approx(3, abs=0.05)


class TestPathfinder:
    @pytest.mark.parametrize("seed", seeds(3))
    def test_draws_are_importance_weighted(self, seed):
        approx = fit(line(), "pathfinder", seed)
        mean, sd = line_moments()
        slope = draws(approx, "slope")
        assert isinstance(approx, vb.Empirical)
        assert slope.mean() == pytest.approx(mean[1], abs=0.2 * sd[1])
        assert slope.std() == pytest.approx(sd[1], rel=0.2)

    def test_several_paths(self):
        approx = fit(two_modes(), "pathfinder")
        assert "paths came to their ends" in approx.ending.reason
        assert (draws(approx) > 0).mean() == pytest.approx(0.7, abs=0.05)


class TestMixture:
    @pytest.mark.parametrize("components", [2, pytest.param(5, marks=pytest.mark.slow)])
    def test_components(self, components):
        approx = fit(two_modes(), "mixture", inf_kwargs=dict(components=components))
        assert isinstance(approx, vb.GaussianMixture)
        assert len(approx.weights.eval()) <= components
        assert (draws(approx) > 0).mean() == pytest.approx(0.7, abs=0.06)

    def test_as_many_as_are_needed(self):
        approx = fit(two_modes(), "mixture")
        means = approx.shared_params["mu"].get_value()[:, 0]
        assert means.min() == pytest.approx(-3, abs=0.5)
        assert means.max() == pytest.approx(3, abs=0.6)

    def test_too_many_dimensions(self):
        with vb.Model() as model:
            vb.Normal("x", 0, 1, shape=101)
        with pytest.raises(
            ValueError, match="up to 100 unconstrained dimensions, the model has 101"
        ):
            fit(model, "mixture")

    @pytest.mark.parametrize("components", [0, 2.5, True, "two"])
    def test_numbers_of_components_that_are_none(self, components):
        with pytest.raises(ValueError, match="components must be a whole number of at least 1"):
            vb.MixtureVI(two_modes(), components=components)


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
