import numpy as np
import pytest

import vibayes as vb
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


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    with vb.Model() as model:
        b = vb.Normal("b", 0, 10)
        s = vb.HalfNormal("s", 5)
        vb.Normal("y", b * x, s, observed=3 * x + rng.normal(size=200))
    return model


@pytest.mark.parametrize("callbacks", [[], [lambda approx, losses, i: None]], ids=["", "each step"])
def test_a_fit_that_ran_away_can_go_on_from_where_it_was_sensible(regression, callbacks):
    inference = vb.ADVI(model=regression, random_seed=1)
    options = dict(backend="py", progressbar=False)
    with pytest.raises(FloatingPointError, match="before the loss ran away"):
        inference.fit(
            2000, obj_optimizer=vb.sgd(learning_rate=0.01), callbacks=callbacks, **options
        )
    held = inference.approx
    assert np.abs(np.concatenate([p.get_value() for p in held.params])).max() < 20
    assert len(inference.hist) == inference.last_run.loop.iteration
    inference.fit(300, obj_optimizer=vb.adam(learning_rate=0.05), **options)
    assert inference.hist[-50:].mean() < 400


def test_going_back_gives_the_very_state_that_the_fit_had(regression):
    """A fit that ran away holds what a fit of just so many steps holds."""
    options = dict(backend="py", progressbar=False)

    def rate():
        return vb.sgd(learning_rate=0.005)

    broken = vb.ADVI(model=regression, random_seed=1)
    with pytest.raises(FloatingPointError, match="ran away"):
        broken.fit(5000, obj_optimizer=rate(), **options)
    n = len(broken.hist)
    assert n > 0
    whole = vb.ADVI(model=regression, random_seed=1)
    whole.fit(n, obj_optimizer=rate(), **options)
    for ours, theirs in zip(broken.approx.params, whole.approx.params, strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())
    np.testing.assert_array_equal(broken.hist, whole.hist)
