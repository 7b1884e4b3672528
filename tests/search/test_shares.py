import numpy as np
import pytest
from scipy import stats

from vibayes.search.shares import bridged


def ratios(rng, n, m, scale=1.0, shift=0.0, mass=3.0):
    """Of p = exp(mass) N(0, I) and q = N(shift, scale² I), at draws of both."""
    d = 10
    p, q = stats.norm(), stats.norm(shift, scale)
    moved, drawn = rng.normal(size=(n, d)), q.rvs(size=(m, d), random_state=rng)
    return [mass + (p.logpdf(Z) - q.logpdf(Z)).sum(axis=1) for Z in (moved, drawn)]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.3, 0.2), (0.8, 0.2)])
@pytest.mark.parametrize("seed", range(5))
def test_the_mass_and_its_error(scale, shift, seed):
    moved, drawn = ratios(np.random.default_rng(seed), 2000, 2000, scale, shift)
    found = bridged(moved, 2000, drawn)
    assert abs(found.log_mass - 3) < 4 * found.error + 1e-6
    assert found.error < 0.06


def test_the_error_is_that_of_repetitions():
    found = [
        bridged(moved, 500.0, drawn)
        for moved, drawn in (
            ratios(np.random.default_rng(seed), 500, 500, 1.4, 0.3) for seed in range(60)
        )
    ]
    spread = np.std([f.log_mass for f in found])
    assert np.mean([f.error for f in found]) == pytest.approx(spread, rel=0.35)


def test_dependent_draws_count_less(rng):
    moved, drawn = ratios(rng, 2000, 2000, 1.3)
    assert bridged(moved, 50.0, drawn).error > 1.2 * bridged(moved, 2000.0, drawn).error


def test_part_of_a_place(rng):
    """Where the density is nothing at half of the draws, half of the mass is left."""
    moved, drawn = ratios(rng, 2000, 4000)
    drawn[::2] = -np.inf
    assert bridged(moved, 2000.0, drawn).log_mass == pytest.approx(3 - np.log(2), abs=0.1)


def test_no_overlap(rng):
    assert bridged(np.zeros(100), 100.0, np.full(100, -np.inf)).error == np.inf
