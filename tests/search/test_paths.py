import numpy as np
import pytest
from helpers.posteriors import ample, two_modes

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.paths import best_along, distinct_paths, searched


def test_paths_to_the_same_mode_count_once(rng):
    target = Target(two_modes())
    paths = searched(target, rng, ample())
    distinct = distinct_paths(paths)
    assert len(paths) > 2
    np.testing.assert_allclose(sorted(p.z[0] for p in distinct), [-3, 3], atol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_normal_along_a_path_is_not_at_a_pole(seed):
    """The density of a hierarchy is unbounded where its scale is nothing: no mass is there."""
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        theta = vb.Normal("theta", 0, tau, shape=8)
        vb.Normal("y", theta, 1, observed=np.linspace(-1.5, 1.5, 8))
    target, rng = Target(model), np.random.default_rng(seed)
    paths = distinct_paths(searched(target, rng, ample()))
    noise = rng.standard_normal((2000, 9))
    best = max((best_along(target, p, rng) for p in paths), key=lambda q: elbo_of(q, target, noise))
    assert max(p.z[0] for p in paths) < -20  # they run to the pole
    assert -7 < best.mean[0] < 1  # the posterior's mean of log tau is -1.1, its sd 1.1
    assert elbo_of(best, target, noise) > -30


def elbo_of(q, target, noise):
    return q.scored(target, noise)[0].elbo
