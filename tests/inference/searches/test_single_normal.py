"""Whether one normal holds the posterior, by few draws."""

from types import SimpleNamespace

import numpy as np

from vibayes.approximations.full_rank import FullRank
from vibayes.inference.searches.single_normal import single_of_few
from vibayes.search.mixtures import WeightedDraws


def weighted(rng, noise):
    log_weights = noise * rng.normal(size=120)
    log_weights -= np.logaddexp.reduce(log_weights)
    return WeightedDraws(rng.normal(size=(120, 20)), log_weights, 0.3)


def test_a_normal_whose_few_weights_are_nearly_even_stays_as_it_is():
    run = SimpleNamespace(of_normal=lambda family, q: (family, q))
    for seed in range(10):  # in some of them the 5 % or 95 % point moves by a tenth
        rng = np.random.default_rng(seed)
        exploration = SimpleNamespace(draws=weighted(rng, 0.15), best="best")
        found = single_of_few(run, exploration, "independent", weighted(rng, 2.0))
        assert found == (FullRank, "best")


def test_weights_that_move_the_mean_leave_no_normal():
    rng = np.random.default_rng(1)
    run = SimpleNamespace(of_normal=lambda family, q: (family, q))
    draws = weighted(rng, 0.0)
    log_weights = 0.3 * draws.values[:, 0]
    moved = WeightedDraws(draws.values, log_weights - np.logaddexp.reduce(log_weights), 0.3)
    exploration = SimpleNamespace(draws=moved, best="best")
    assert single_of_few(run, exploration, "independent", weighted(rng, 2.0)) is None
