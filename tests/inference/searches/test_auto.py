import warnings
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.posteriors import (
    ample,
    funnel,
    line,
    line_moments,
    log_gamma,
    normal,
    seeds,
    two_modes,
)
from helpers.searches import COV, MEAN, draws, fit
from scipy import stats

import vibayes as vb
from vibayes.inference.searches import auto
from vibayes.inference.searches.auto import is_more_reliable, standardized
from vibayes.inference.searches.run import SearchRun
from vibayes.inference.searches.tried import Tried
from vibayes.model.target import Target
from vibayes.search.explore import explore
from vibayes.search.improve import improvements


def test_independent_variables_get_a_mean_field():
    approx = fit(normal(MEAN, np.diag(COV.diagonal())), "auto")
    assert isinstance(approx, vb.MeanField)
    assert approx.diagnose(random_seed=1).good


def test_correlated_ones_get_a_full_rank():
    approx = fit(normal(MEAN, COV), "auto")
    assert isinstance(approx, vb.FullRank)
    np.testing.assert_allclose(approx.groups[0].cov.eval() / COV, 1, atol=0.05)


@pytest.mark.parametrize("seed", seeds(5))
def test_two_modes_are_right_or_it_warns(seed):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        approx = fit(two_modes(), "auto", seed)
    said = any(issubclass(w.category, UserWarning) for w in caught)
    x = draws(approx)
    assert said or (x > 0).mean() == pytest.approx(0.7, abs=0.05)
    assert said or x[x > 0].std() == pytest.approx(0.8, rel=0.1)


@pytest.mark.parametrize("seed", seeds(3))
def test_far_modes_are_right_or_it_warns(seed):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        approx = fit(two_modes(means=(-8.0, 8.0)), "auto", seed)
    said = any(issubclass(w.category, UserWarning) for w in caught)
    dropped = approx.diagnose(random_seed=1).dropped
    assert said or dropped or (draws(approx) > 0).mean() == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("seed", seeds(2))
def test_a_funnel_is_right_or_it_warns(seed):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        approx = fit(funnel(10), "auto", seed)
    said = any(issubclass(w.category, UserWarning) for w in caught)
    v = draws(approx, "v")
    width = (
        np.diff(np.quantile(v, [0.05, 0.95]))[0] / np.diff(stats.norm(0, 3).ppf([0.05, 0.95]))[0]
    )
    assert said or (abs(v.mean()) < 0.6 and 0.8 < width < 1.25)


@pytest.mark.parametrize("seed", seeds(3))
def test_the_line(seed):
    approx = fit(line(), "auto", seed)
    mean, sd = line_moments()
    slope = draws(approx, "slope")
    assert slope.mean() == pytest.approx(mean[1], abs=0.2 * sd[1])
    assert slope.std() == pytest.approx(sd[1], rel=0.2)


def test_it_tells_what_it_tried():
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
def test_a_random_walk_seen_through_noise(seed):
    """A local level, whose standard deviations are known by a Kalman filter on a grid."""
    rng = np.random.default_rng(2)
    y = 5 + rng.normal(0, 0.5, 20).cumsum() + rng.normal(0, 1, 20)
    with vb.Model() as model:
        step, noise = vb.HalfNormal("step", 1), vb.HalfNormal("noise", 2)
        level = vb.GaussianRandomWalk("level", sigma=step, init_dist=vb.Normal.dist(5, 3), shape=20)
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


@pytest.mark.ci
@pytest.mark.parametrize("most_dense", [pytest.param(2000, marks=pytest.mark.slow), 50])
def test_groups_of_one_value_each(monkeypatch, most_dense):
    """Their spread is not told from zero; truth by quadrature. With a matrix, and without."""
    monkeypatch.setattr("vibayes.inference.searches.auto.MOST_DENSE", most_dense)
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
    shrunk = (at[:, None] / grid[:, None] ** 2 + y / sd**2) / (1 / grid[:, None] ** 2 + 1 / sd**2)
    theta = draws(approx, "theta")
    off = (theta.mean(axis=0) - w @ shrunk) / theta.std(axis=0)
    np.testing.assert_allclose(off, 0, atol=0.2)
    assert approx.diagnose(random_seed=1).attempts[-1].name == "mixture for parameters"


@pytest.mark.parametrize("seed", seeds(3))
def test_a_bent_tube(seed):
    with vb.Model() as model:
        x = vb.Normal("x", 1, 1)
        vb.Normal("y", x**2, 0.03)
    approx = fit(model, "auto", seed, diagnose=True)
    x, y = draws(approx, "x"), draws(approx, "y")
    assert x.mean() == pytest.approx(1, abs=0.1)
    assert x.std() == pytest.approx(1, abs=0.08)
    assert (y - x**2).std() == pytest.approx(0.03, rel=0.1)


def test_coordinates_that_start_nowhere_are_left_out():
    """The centre of the prior is where the density ends."""
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
        x = vb.Normal("x", 0, s, initval=1.0)
        vb.Potential("positive", pt.switch(x > 0, 0.0, -np.inf))
        vb.Normal("y", x, 1, observed=2.0)
    run = SearchRun(model, {}, np.random.SeedSequence(1), ample())
    assert standardized(run) is None


@pytest.mark.ci
@pytest.mark.parametrize("seed", seeds(3))
def test_a_hierarchy_whose_data_say_little(seed):
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
def test_an_interrupted_search_keeps_what_it_has(monkeypatch, steps):
    """The draws of the last step that was done, and what was tried."""
    made = []

    def interrupted(*args):
        for better in islice(improvements(*args), steps):
            made.append(better)
            yield better
        raise KeyboardInterrupt

    monkeypatch.setattr("vibayes.inference.searches.auto.improvements", interrupted)
    with pytest.warns(vb.ConvergenceWarning, match="it was interrupted"):
        approx = fit(log_gamma(0.3, 1.0), "auto")
    assert np.isfinite(draws(approx)).all()
    assert not approx.ending.converged
    findings = approx.ending.findings
    assert [a.name for a in findings.attempts] == ["full rank"]
    assert len(made) == steps
    assert all(findings.khat == better.draws.khat for better in made)


def drawn(trusted=False, moved=False, size=1.0):
    return SimpleNamespace(trusted=trusted, moved=moved, draws=SimpleNamespace(size=size))


def test_of_draws_that_nothing_speaks_for_those_of_chains_that_came_closer_are_kept():
    weighted, slow, fast = drawn(size=900.0), drawn(moved=True), drawn(moved=True, size=500.0)
    right = drawn(trusted=True)
    for better, worse in ((slow, weighted), (fast, slow), (right, fast), (right, weighted)):
        assert is_more_reliable(better, worse)
        assert not is_more_reliable(worse, better)


@pytest.mark.parametrize("second", ["right", "no better"])
def test_where_chains_do_not_mix_they_move_in_the_other_coordinates_too(monkeypatch, second):
    """What the coordinates are is of no account here."""
    with vb.Model() as model:
        vb.Normal("x")
    first, other = (explore(Target(model), np.random.default_rng(1), ample()) for _ in range(2))
    first, other = (replace(found, trusted=False) for found in (first, other))
    last = {id(first): replace(first, moved=True)}
    last[id(other)] = replace(other, trusted=second == "right")

    def improved(run, tried):
        found = last[id(tried.exploration)]
        yield replace(tried, exploration=found).noted("it", 0.0, found.draws, run.budget)

    monkeypatch.setattr(auto, "standardized", lambda run: Target(model))
    monkeypatch.setattr(auto, "non_centred", lambda run, tried, target: (tried, other))
    monkeypatch.setattr(auto, "improved_in_its_coordinates", improved)
    run = SearchRun(model, {}, np.random.SeedSequence(1), ample())
    *_, found = auto.better(run, Tried(first))
    expected = last[id(other)] if second == "right" else last[id(first)]
    assert found.exploration is expected
    assert len(found.attempts) == 2
