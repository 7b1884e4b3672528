import numpy as np
import pytest
from helpers.posteriors import ample, normal, two_modes

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.explore import explore
from vibayes.search.gaps import at_gaps, names_at_gaps
from vibayes.search.mixtures import WeightedDraws

COLUMNS = 100


def even(values, size=None):
    n = len(values)
    return WeightedDraws(values, np.full(n, -np.log(n)), np.nan, size)


def spike_and_slab(rng, share, n):
    spike, slab = rng.normal(0, 0.05, (n, COLUMNS)), rng.normal(1.5, 0.2, (n, COLUMNS))
    return np.where(rng.random((n, COLUMNS)) < share, spike, slab)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("share", "flagged"), [(0.05, (0.8, 1)), (0.2, (0, 0)), (0.01, (0, 0))])
def test_a_share_near_that_of_a_point_is_not_known_well_enough(rng, share, flagged, sign):
    found = at_gaps(even(sign * spike_and_slab(rng, share, 1000))).mean()
    assert flagged[0] <= found <= flagged[1]


def test_more_draws_tell_the_side(rng):
    values = spike_and_slab(rng, 0.06, 8000)
    assert at_gaps(even(values)).mean() < 0.1
    assert at_gaps(even(values, 400.0)).mean() > 0.5


@pytest.mark.parametrize("draw", ["standard_normal", "standard_cauchy", "standard_exponential"])
def test_tails_are_no_gaps(rng, draw):
    assert at_gaps(even(getattr(rng, draw)((1000, COLUMNS)))).mean() < 0.1


def test_weights_count():
    values = np.concatenate([np.zeros((50, 1)), np.linspace(1, 2, 950)[:, None]])
    weights = np.concatenate([np.full(50, 4.0), np.ones(950)])
    assert at_gaps(even(values)).all()
    assert not at_gaps(WeightedDraws(values, np.log(weights / weights.sum()), np.nan)).any()


def test_of_one_mode_nothing_is_asked(rng):
    assert names_at_gaps(explore(Target(normal(np.zeros(2), np.eye(2))), rng, ample())) == []
    assert names_at_gaps(explore(Target(two_modes()), rng, ample())) == []  # half the mass each


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_verdict_says_so(share):
    with vb.Model() as model:
        vb.NormalMixture("x", w=[share, 1 - share], mu=[-4.0, 0.0], sigma=0.3)
    approx = vb.fit(method="auto", model=model, random_seed=1, progressbar=False, diagnose=False)
    found = approx.diagnose(random_seed=1)
    assert found.good == (share == 0.2)
    assert ("point of x lies at a gap" in found.verdict) == (share == 0.05)
