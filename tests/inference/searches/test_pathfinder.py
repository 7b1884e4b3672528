import pytest
from helpers.posteriors import line, line_moments, seeds, two_modes
from helpers.searches import draws, fit

import vibayes as vb


@pytest.mark.parametrize("seed", seeds(3))
def test_draws_are_importance_weighted(seed):
    approx = fit(line(), "pathfinder", seed)
    mean, sd = line_moments()
    slope = draws(approx, "slope")
    assert isinstance(approx, vb.Empirical)
    assert slope.mean() == pytest.approx(mean[1], abs=0.2 * sd[1])
    assert slope.std() == pytest.approx(sd[1], rel=0.2)


def test_several_paths():
    approx = fit(two_modes(), "pathfinder")
    assert "paths came to their ends" in approx.ending.reason
    assert (draws(approx) > 0).mean() == pytest.approx(0.7, abs=0.05)
