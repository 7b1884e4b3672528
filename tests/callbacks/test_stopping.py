import numpy as np
import pytest

import vibayes as vb
from vibayes.backend.shared import flat_values
from vibayes.callbacks import (
    CheckParametersConvergence,
    EarlyStopping,
    StopAtPlateau,
    TimeLimit,
    stopping,
)
from vibayes.exceptions import ModelError
from vibayes.storage import checkpoint as storage
from vibayes.storage import files


class Parameters:
    """Stands for an approximation whose parameters a test sets by hand."""

    def __init__(self, *values):
        self.values = [np.asarray(v, dtype=float) for v in values]

    @property
    def params(self):
        return [Parameter(v) for v in self.values]


class Parameter:
    def __init__(self, value):
        self.value = value

    def get_value(self, borrow=False):
        return self.value


def stops(check, approx, values, i=100):
    approx.values = [np.asarray(v, dtype=float) for v in values]
    try:
        check(approx, None, i)
    except StopIteration as stop:
        return str(stop)
    return None


def test_absolute_difference():
    check = CheckParametersConvergence(diff="absolute", tolerance=0.1)
    approx = Parameters([1.0, 100.0], [[0.0]])
    check.start(approx)
    assert stops(check, approx, ([1.0, 100.2], [[0.0]])) is None
    assert stops(check, approx, ([1.05, 100.2], [[0.09]]), 300) == "Convergence achieved at 300"


def test_the_first_parameters_that_it_sees_have_nothing_to_be_compared_with():
    check = CheckParametersConvergence(tolerance=0.01)  # wrapped by a user: nobody has started it
    approx = Parameters([1.0, 100.0])
    assert stops(check, approx, ([1.0, 100.0],)) is None
    assert stops(check, approx, ([1.0, 100.0],)) is not None


def test_relative_difference():
    check = CheckParametersConvergence(tolerance=0.01)
    approx = Parameters([1.0, 100.0])
    check.start(approx)
    assert stops(check, approx, ([1.02, 100.0],)) is None
    assert stops(check, approx, ([1.021, 100.9],)) is not None


def test_relative_difference_near_zero_is_large():
    check = CheckParametersConvergence(tolerance=0.01)
    approx = Parameters([0.0, 1.0])
    check.start(approx)
    assert stops(check, approx, ([1e-6, 1.0],)) is None


@pytest.mark.parametrize(("ord", "stopped"), [(np.inf, True), (1, False), (2, True)])
def test_norm(ord, stopped):
    check = CheckParametersConvergence(diff="absolute", tolerance=0.15, ord=ord)
    approx = Parameters([0.0, 0.0])
    check.start(approx)
    assert bool(stops(check, approx, ([0.1, 0.1],))) is stopped


@pytest.mark.parametrize(
    "kwargs", [{"diff": "squared"}, {"tolerance": 0}, {"tolerance": float("nan")}]
)
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        CheckParametersConvergence(**kwargs)


def test_flatten_shared():
    approx = Parameters([[1.0, 2.0], [3.0, 4.0]], 5.0)
    flat = CheckParametersConvergence.flatten_shared(approx.params)
    np.testing.assert_array_equal(flat, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(CheckParametersConvergence().flatten_shared(approx.params), flat)


@pytest.mark.parametrize("ord", ["a", 0, [1], None, 1j])
def test_the_order_of_a_norm_is_checked(ord):
    with pytest.raises(ValueError, match="ord must be a number"):
        CheckParametersConvergence(ord=ord)


# -- in fits --------------------------------------------------------------------------------------

OBSERVED = np.array([1.0, 2.0, 4.0])
HELD_OUT = np.array([1.5, 2.5])


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Deterministic("twice", 2 * mu)
        vb.Normal("y", mu, 1, observed=OBSERVED)
    return model


def fit(model, n, *callbacks, **kwargs):
    options = {"random_seed": 1, "diagnose": False, "backend": "py", "progressbar": False}
    options["obj_optimizer"] = vb.adam(learning_rate=0.1)
    return vb.fit(n, model=model, callbacks=callbacks, **options | kwargs)


@pytest.fixture
def kept_often(monkeypatch):
    """Fits with a checkpoint write it whenever they may, however long that takes."""
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)


def kept_and_gone_on(model, make, path, first):
    """Return a fit that was cut after some iterations, in two runs, and one that was not."""

    def cut(approx, losses, i):
        if i == first:
            raise KeyboardInterrupt

    cut.every = 5
    fit(model, 2000, make(), cut, checkpoint=path, checkpoint_every=1)
    assert first - 10 < files.read_file(path).header["fit"]["iteration"] <= first
    resumed = fit(model, 2000, make(), checkpoint=path)
    return resumed, fit(model, 2000, make())


def assert_same(a, b):
    np.testing.assert_array_equal(a.hist, b.hist)
    for x, y in zip(a.params, b.params, strict=True):
        np.testing.assert_array_equal(x.get_value(), y.get_value())


# -- the loss -------------------------------------------------------------------------------------


def looks(callback, scores):
    """Return at which of the means of losses a callback ends the fit."""
    callback.start(None)
    losses = np.zeros(0)
    for i, loss in enumerate(scores, start=1):
        losses = np.concatenate([losses, loss + np.tile([1.0, -1.0], callback.every // 2)])
        try:
            callback(None, losses, len(losses))
        except StopIteration:
            return i
    return None


def test_a_plateau_is_means_that_do_not_fall():
    plateau = StopAtPlateau(every=4, patience=3, tolerance=0.5)
    assert looks(plateau, [9, 8, 7, 6, 5, 4, 3]) is None
    assert looks(plateau, [9, 5, 5, 5, 5, 5]) == 5
    assert looks(plateau, [9, 5, 4.9, 5, 4.4, 5, 4.6, 6, 1]) == 8
    assert looks(plateau, [9, 8.8, 8.6, 8.4, 8.2, 8.0]) is None  # slowly, but it falls
    assert looks(plateau, [9, 8.9, 8.8, 8.7]) == 4
    assert looks(plateau, [np.nan] * 5) == 3


def test_a_fit_ends_at_a_plateau(model):
    approx = fit(model, 20_000, StopAtPlateau(every=100))
    assert 500 < len(approx.hist) < 5000
    assert abs(approx.mean.eval(mode="FAST_COMPILE")[0] - OBSERVED.mean()) < 0.3


def test_a_plateau_is_found_in_a_fit_that_goes_on(model, tmp_path, kept_often):
    def make():
        return StopAtPlateau(every=20, patience=4)

    assert_same(*kept_and_gone_on(model, make, tmp_path / "fit.nc", 130))


def test_the_wait_for_a_fall_goes_on_where_it_was():
    def plateau():
        return StopAtPlateau(every=4, patience=3, tolerance=0.5)

    first, second = plateau(), plateau()
    assert looks(first, [9, 5, 5, 5]) is None
    second.start(None)
    second.restore(first.state())
    with pytest.raises(StopIteration, match="below 5 for 12 iterations"):
        second(None, np.full(20, 5.0), 20)


def test_a_fit_without_losses_has_no_plateau(model):
    with pytest.raises(ValueError, match="has no loss to look at"):
        fit(model, 20, StopAtPlateau(every=10), score=False)


# -- time -----------------------------------------------------------------------------------------


class Clock:
    """Time that goes by as a test wishes."""

    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(stopping, "time", clock)
    return clock


def test_a_fit_ends_when_its_time_is_up(model, clock):
    limit = TimeLimit(3.75, every=5)

    def tick(approx, losses, i):
        clock.now += 0.125

    assert len(fit(model, 1000, tick, limit).hist) == 30
    assert len(fit(model, 1000, tick, limit).hist) == 30  # another fit has all of it


def test_the_time_of_earlier_runs_counts(model, clock, tmp_path):
    def run(n):
        def tick(approx, losses, i):
            clock.now += 0.125

        return fit(model, n, tick, TimeLimit(3.75, every=5), checkpoint=tmp_path / "fit.nc")

    run(20)
    clock.now += 1000
    assert len(run(1000).hist) == 30


# -- held-out data --------------------------------------------------------------------------------


def held_out(model):
    return vb.logp(vb.Normal.dist(model["mu"], 1), HELD_OUT)


def test_the_score_is_the_log_density_that_draws_predict(model):
    approx = fit(model, 5)
    stop = EarlyStopping(held_out(model), draws=50, random_seed=3)
    stop.start(approx)
    stop(approx, approx.hist, 5)
    mu = approx.sample(50, random_seed=3).posterior["mu"].values[0]
    density = np.exp(-((HELD_OUT - mu[:, None]) ** 2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(stop.best, np.log(density.mean(axis=0)).sum())


def test_an_expression_may_depend_on_deterministics_or_on_nothing(model):
    for node in (model["twice"] - 1, vb.logp(vb.Normal.dist(0, 1), 0.5)):
        fit(model, 2, stop := EarlyStopping(node, every=1))
        assert np.isfinite(stop.best)


def test_the_approximation_goes_back_to_the_best_score(model):
    scores, params = iter([1.0, 5.0, 3.0, 5.0, 4.9]), []

    def score(approx):
        params.append(flat_values(approx.params))
        return next(scores)

    approx = fit(model, 1000, EarlyStopping(score, every=10, patience=3))
    assert len(approx.hist) == 50
    np.testing.assert_array_equal(flat_values(approx.params), params[1])


def test_a_fit_that_goes_on_waits_no_longer_and_goes_back_as_far(model, tmp_path, kept_often):
    scores = {10: 1.0, 20: 5.0, 30: 3.0, 40: 4.0, 50: 4.5}  # later ones are never asked for
    params = {}

    def make():
        def score(approx):
            params[len(approx.hist)] = flat_values(approx.params)
            return scores[len(approx.hist)]

        return EarlyStopping(score, every=10, patience=3)

    resumed, whole = kept_and_gone_on(model, make, tmp_path / "fit.nc", 35)
    assert_same(resumed, whole)
    assert len(resumed.hist) == 50
    np.testing.assert_array_equal(flat_values(resumed.params), params[20])


def test_a_score_that_is_not_much_better_does_not_count(model):
    scores = iter(range(100))
    stop = EarlyStopping(lambda approx: next(scores), every=10, patience=2, tolerance=3)
    assert len(fit(model, 1000, stop).hist) == 30
    assert stop.best == 0


def test_scores_that_are_no_numbers_end_a_fit_that_keeps_its_state(model):
    approx = fit(model, 1000, EarlyStopping(lambda approx: np.nan, every=10, patience=3))
    assert len(approx.hist) == 30
    assert np.isfinite(flat_values(approx.params)).all()
    with pytest.raises(TypeError, match="log_density must return a number, got 'good'"):
        fit(model, 10, EarlyStopping(lambda approx: "good", every=10))


@pytest.mark.parametrize("first", [25, 85])
def test_held_out_data_in_a_fit_that_goes_on(model, tmp_path, kept_often, first):
    far = vb.logp(vb.Normal.dist(model["mu"], 1), [0.5])  # on the way from 0 to the posterior

    def make():
        return EarlyStopping(far, every=10, patience=12)

    resumed, whole = kept_and_gone_on(model, make, tmp_path / "fit.nc", first)
    assert_same(resumed, whole)
    assert len(whole.hist) < 400


def test_parameters_of_another_fit_are_refused(model):
    stop = EarlyStopping(held_out(model))
    stop.start(fit(model, 2))
    with pytest.raises(ValueError, match="3 parameters, where the fit has 2"):
        stop.restore({"best": 1.0, "waited": 0, "params": np.ones(3)})


def test_single_precision(float32):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=OBSERVED)
        node = vb.logp(vb.Normal.dist(mu, 1), HELD_OUT)
    approx = fit(model, 500, EarlyStopping(node, every=5, patience=3))
    assert len(approx.hist) < 500
    assert {p.get_value().dtype for p in approx.params} == {np.dtype("float32")}


def test_a_variable_of_another_model_is_refused_before_the_first_step(model):
    with vb.Model():
        x = vb.Normal("x")
    with pytest.raises(ModelError, match="depends on 'x'"):
        fit(model, 10, EarlyStopping(vb.logp(vb.Normal.dist(x, 1), HELD_OUT)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StopAtPlateau(every=0), "StopAtPlateau: every must be"),
        (lambda: StopAtPlateau(patience=0), "StopAtPlateau: patience must be"),
        (lambda: StopAtPlateau(tolerance=-1), "StopAtPlateau: tolerance must be"),
        (lambda: TimeLimit(0), "TimeLimit: seconds must be"),
        (lambda: TimeLimit(1, every=0.5), "TimeLimit: every must be"),
        (lambda: EarlyStopping(3), "EarlyStopping: log_density must be"),
        (lambda: EarlyStopping(len, draws=0), "EarlyStopping: draws must be"),
        (lambda: EarlyStopping(len, patience=0), "EarlyStopping: patience must be"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_check_inside_a_callback_of_ones_own_looks_at_its_own_times():
    with vb.Model():
        vb.Normal("x", shape=2)
        approx = vb.MeanField()
    check = CheckParametersConvergence(every=50, diff="absolute")
    for i in range(1, 50):
        check(approx, None, i)  # the first look is remembered; the others are between two times
    with pytest.raises(StopIteration, match="achieved at 50"):
        check(approx, None, 50)


def test_a_check_that_is_handed_another_fit_begins_again():
    check = CheckParametersConvergence(every=10, diff="absolute")
    for size in (1, 2):
        with vb.Model():
            vb.Normal("x", shape=size)
            check(vb.MeanField(), None, 10)
