from types import SimpleNamespace

import numpy as np
import pytest

from vibayes.search.comparisons import is_better, is_nearly_even, is_nearly_exact
from vibayes.search.mixtures import WeightedDraws

COUNT = 1000


def weighted(values, khat=0.1, spread=0.0):
    log_weights = spread * np.linspace(-1, 1, len(values))
    return WeightedDraws(values, log_weights - np.logaddexp.reduce(log_weights), khat)


@pytest.fixture
def values(rng):
    return rng.normal([0, 100], [1, 20], size=(COUNT, 2))


def test_even_weights_need_no_correction(values):
    for tell in (is_nearly_exact, is_nearly_even):
        assert tell(weighted(values))
        assert not tell(weighted(values, spread=2.0))
    assert not is_nearly_exact(weighted(values, khat=0.8))
    assert is_nearly_even(weighted(values, khat=0.8))  # since nearly all count


def exploration(values, trusted=False, elbo=0.0, **kwargs):
    draws = weighted(values, **kwargs)
    return SimpleNamespace(trusted=trusted, draws=draws, best=SimpleNamespace(elbo=elbo))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"trusted": True, "spread": 6.0, "khat": 2.0}, {"elbo": 5.0}),
        ({"khat": 0.9}, {"spread": 6.0, "khat": 0.1, "elbo": 5.0}),
        ({"khat": 0.3}, {"khat": 0.5, "elbo": 5.0}),
        ({"khat": 0.35, "elbo": 1.0}, {"khat": 0.3}),
        ({"khat": 5.0, "elbo": 1.0}, {"khat": 1.5}),
    ],
    ids=["trust", "effective draws", "khat", "elbo", "no khat is any good"],
)
def test_what_tells_two_explorations_apart(values, better, worse):
    better, worse = exploration(values, **better), exploration(values, **worse)
    assert is_better(better, worse)
    assert not is_better(worse, better)
