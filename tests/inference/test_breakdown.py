import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.inference.breakdown import first_breakdown, sensible_place
from vibayes.inference.sensible import last_sensible
from vibayes.inference.steps import State


def fit(inference, n, **kwargs):
    kwargs.setdefault("obj_optimizer", vb.adam(learning_rate=0.05))
    return inference.fit(n, backend="py", progressbar=False, **kwargs)


def params(approx):
    return np.concatenate([p.get_value().ravel() for p in approx.params])


@pytest.fixture(scope="module")
def fragile():
    """A model whose density is no number once x[1] has moved beyond 3."""
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1, shape=3)
        vb.Potential("pull", 8 * x[1] + pt.log(3 - x[1]))
    return model


class TestBreakdown:
    def broken_fit(self, model, **kwargs):
        inference = vb.ADVI(model=model, random_seed=3, start_sigma={"x": 0.01})
        with pytest.raises(FloatingPointError) as error:
            fit(inference, 500, obj_optimizer=vb.sgd(learning_rate=0.1), **kwargs)
        return inference, str(error.value)

    def test_the_last_finite_state_is_kept(self, fragile):
        inference, message = self.broken_fit(fragile)
        hist, values = inference.hist, params(inference.approx)
        assert 2 < len(hist) < 500
        assert np.isfinite(hist).all()
        assert np.isfinite(values).all()
        assert f"iteration {len(hist) + 1}" in message
        assert "the loss became nan" in message
        assert "log density of pull is nan at the draw x = [" in message
        stepwise, _ = self.broken_fit(fragile, callbacks=[lambda *a: None])
        np.testing.assert_array_equal(stepwise.hist, hist)
        np.testing.assert_array_equal(params(stepwise.approx), values)

    def test_the_approximation_stays_usable(self, fragile):
        inference, _ = self.broken_fit(fragile)
        assert inference.approx.sample(10).posterior["x"].shape == (1, 10, 3)


def test_parameters_that_break_are_named():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1, shape=3)
        vb.Potential("cliff", pt.sqrt(pt.abs(x[1] - x[1])))  # the gradient is inf - inf
    inference = vb.ADVI(model=model, random_seed=1)
    with pytest.raises(FloatingPointError) as error:
        fit(inference, 10)
    assert "mu of x[1] became nan; rho of x[1] became nan" in str(error.value)
    assert "x[0]" not in str(error.value)
    assert len(inference.hist) == 0
    assert np.isfinite(params(inference.approx)).all()


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


class Counting:
    """Steps that count, whose loss is their number, and no number after some of them."""

    has_loss = True

    def __init__(self, good, windows=()):
        self.good, self.windows = good, windows

    def run(self, state, n):
        (begin,) = state.vectors[0]
        counts = np.arange(begin + 1, begin + n + 1)
        losses = np.where(counts > self.good, np.nan, counts)
        return State((np.array([begin + n]),), ()), losses


def at(count):
    return State((np.array([float(count)]),), ())


@pytest.mark.parametrize(("begin", "good", "count"), [(0, 0, 1), (5, 5, 9), (0, 7, 20), (3, 11, 9)])
def test_the_first_step_that_breaks_is_found(begin, good, count):
    found = first_breakdown(Counting(good), at(begin), count)
    assert found.good == good - begin
    np.testing.assert_array_equal(found.losses, np.arange(begin + 1, good + 1))
    assert found.last.vectors[0] == good
    assert found.broken.vectors[0] == good + 1
    assert np.isnan(found.broken_losses).all()


class TestSensiblePlace:
    level, worth = np.full(200, 5.0), (at(100), 100)

    def test_none_if_the_loss_is_sensible_at_the_end(self):
        assert sensible_place(Counting(300), self.level, (at(150), 150), self.worth) is None
        assert sensible_place(Counting(300), self.level[:0], (at(0), 0), self.worth) is None

    @pytest.mark.parametrize("begin", [150, 199])
    def test_steps_of_the_chunk_are_taken_again(self, begin):
        losses = np.append(self.level, 10.0 ** np.arange(5, 10))
        steps = Counting(300)
        state, i = sensible_place(steps, losses, (at(begin), begin), self.worth)
        assert i == last_sensible(losses)
        assert state.vectors[0] == i

    def test_before_the_chunk_it_is_a_place_that_was_kept(self):
        losses = np.append(self.level, 10.0 ** np.arange(5, 10))
        begin = at(203), 203
        assert sensible_place(Counting(300), losses, begin, self.worth) is self.worth
        streamed = Counting(300, windows=["rows"])
        assert sensible_place(streamed, losses, begin, self.worth) is begin
