import numpy as np
import pytest

from vibayes.inference.sensible import Level, last_sensible


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("growth", [1.02, 1.5, 100.0])
def test_a_loss_that_runs_away_is_found_where_it_begins_to(seed, growth):
    rng = np.random.default_rng(seed)
    good = 120 + 50 * np.exp(-np.arange(2000) / 300) + rng.normal(0, 3, 2000)
    away = 150 * growth ** np.arange(1, min(500, np.log(1e300) / np.log(growth)))
    losses = np.concatenate([good, away])
    at = last_sensible(losses)
    assert losses[at] < 300
    assert 1990 <= at <= 2000 + np.log(2) / np.log(growth)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_running_away(seed):
    losses = np.random.default_rng(seed).standard_t(5, size=1000)
    assert last_sensible(losses) == 999


def test_few_losses():
    assert last_sensible(np.array([2.0, 1.0, 1.5, 1.2, 2.4])) == 4
    assert last_sensible(np.array([5.0])) == 0
    assert last_sensible(np.array([5.0, 1e6, 1e30])) == 0


def test_the_level_follows_the_fit():
    level, losses = Level(), list(100 + np.random.default_rng(1).normal(size=100))
    assert level.is_sensible(np.array(losses))
    assert not level.is_sensible(np.array(losses))  # nothing new
    losses += [1e6] * 100
    assert not level.is_sensible(np.array(losses))


def test_of_many_losses_the_next_ones_are_looked_at_after_a_hundredth_more():
    level, losses = Level(), 100 + np.random.default_rng(1).normal(size=30_000)
    looks = [n for n in range(10, len(losses), 10) if level.is_sensible(losses[:n])]
    between = np.diff(looks)
    assert looks[0] == between.min() == 100
    assert np.all(between <= np.maximum(110, 0.01 * np.array(looks[:-1]) + 10))
    assert len(looks) < 250
