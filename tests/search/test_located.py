from dataclasses import replace

import numpy as np
import pytest
from helpers.posteriors import ample

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search import located
from vibayes.search.located import Located, locate, separate
from vibayes.search.normals import FittedNormal


def test_separate():
    def at(mean, elbo, converged=True):
        return FittedNormal(np.array([mean]), np.eye(1), elbo, converged)

    kept, dropped = separate(
        [at(0, 0.0), at(0.5, -0.1), at(5, -2.0), at(9, -20.0), at(-9, -30.0, False)]
    )
    assert [q.mean[0] for q in kept] == [0, 5]
    assert [q.mean[0] for q in dropped] == [9]


def test_of_normals_that_differ_the_best_comes_first():
    fits = [FittedNormal(np.array([x]), np.eye(1), elbo) for x, elbo in ((0.0, -1.0), (5.0, 0.0))]
    found = Located.of(fits, np.zeros((2, 1)))
    assert [q.mean[0] for q in found.normals] == [5, 0]
    assert found.best is found.normals[0]


def test_normals_of_many_rows_are_those_of_the_whole_data(monkeypatch, rng):
    """Begun at those of a sample, which is a tenth of the rows."""
    y = np.random.default_rng(2).normal(3, 2, 4000)
    monkeypatch.setattr("vibayes.model.data_size.MANY_NUMBERS", 1000)
    monkeypatch.setattr("vibayes.search.whole.FEWEST_NUMBERS", 400)
    with vb.Model() as model:
        mu, s = vb.Normal("mu", 0, 10), vb.HalfNormal("s", 5)
        vb.Normal("y", mu, s, observed=y)
    target = Target(model)
    assert target.by_rows
    found = locate(target, rng, ample())
    assert found.search.starts > 1
    expected = [y.mean(), np.log(y.std())], [y.std() / 4000**0.5, 8000**-0.5]
    np.testing.assert_allclose((found.best.mean - expected[0]) / expected[1], 0, atol=0.05)
    np.testing.assert_allclose(found.best.sd / expected[1], 1, atol=0.02)


def test_a_search_that_comes_to_nothing_as_good_goes_on_from_what_is_known(rng, monkeypatch):
    """Newton steps have led to a mode of hardly any mass."""
    with vb.Model() as model:
        vb.NormalMixture("x", w=[1 - 1e-80, 1e-80], mu=[0.0, 30.0], sigma=1.0, shape=2)
    target, find = Target(model), located.find_modes

    def astray(target, starts, budget, **options):
        return find(target, np.full((1, 2), 29.0), budget, **options)

    monkeypatch.setattr(located, "find_modes", astray)
    known = FittedNormal(np.full(2, 0.3), np.ones(2), elbo=-1.0)
    assert locate(target, rng, ample()).best.elbo < -300
    found = locate(target, rng, ample(), known=known)
    assert found.best.elbo == pytest.approx(0.0, abs=0.01)
    np.testing.assert_allclose(found.best.mean, 0.0, atol=0.05)
    better = replace(known, elbo=-1000.0)  # than which the search has found something
    assert locate(target, rng, ample(), known=better).best.elbo < -300
