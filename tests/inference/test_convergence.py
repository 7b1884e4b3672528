import numpy as np
import pytest

from vibayes.inference.convergence import loss_trend


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_a_constant_has_settled(seed):
    hist = 100 + np.random.default_rng(seed).normal(size=5000)
    assert loss_trend(hist).settled


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_loss_has_not(seed):
    hist = np.linspace(110, 100, 5000) + np.random.default_rng(seed).normal(size=5000)
    trend = loss_trend(hist)
    assert not trend.settled
    assert trend.change == pytest.approx(-2, abs=0.2)
    assert "still falling" in str(trend)


def test_error_is_that_of_the_mean():
    changes = [loss_trend(np.random.default_rng(s).normal(size=2000)).change for s in range(200)]
    errors = [loss_trend(np.random.default_rng(s).normal(size=2000)).error for s in range(200)]
    assert np.mean(errors) == pytest.approx(np.std(changes), rel=0.2)


def test_too_short():
    with pytest.raises(ValueError, match="100 losses"):
        loss_trend(np.zeros(99))
