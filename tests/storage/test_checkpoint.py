import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytensor
import pytest
from helpers.lanes import by_default

import vibayes as vb
from vibayes.inference.schedule import check_schedule
from vibayes.records.fit_state import FitState
from vibayes.storage import checkpoint as storage
from vibayes.storage import files, places
from vibayes.storage.checkpoint import Checkpoint

DATA = np.random.default_rng(5).normal(1.0, 2.0, size=(20, 2))


def make_model(scale=10, data=DATA):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, scale, shape=2)
        sigma = vb.HalfNormal("sigma", 5.0)
        vb.Normal("y", mu, sigma, observed=data, total_size=DATA.shape)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.nc"


def fit(model, n=40, **kwargs):
    options = dict(method="advi", random_seed=1, backend="py", progressbar=False, diagnose=False)
    return vb.fit(n, model=model, **options | kwargs)


def assert_same(a, b):
    np.testing.assert_array_equal(a.hist, b.hist)
    for x, y in zip(a.params, b.params, strict=True):
        np.testing.assert_array_equal(x.get_value(), y.get_value())
    later = [approx.spawn_generator().integers(2**62) for approx in (a, b)]
    assert later[0] == later[1]


def iteration(path):
    return files.read_file(path).header["fit"]["iteration"]


OPTIMIZERS = {
    "default": None,
    "adam": vb.adam(learning_rate=0.05),
    "momentum": vb.nesterov_momentum(learning_rate=1e-4),
    "adadelta": vb.adadelta(),
}


@pytest.mark.parametrize("optimizer", by_default(OPTIMIZERS, 2))
def test_more_iterations_go_on_from_the_end(model, path, optimizer):
    kwargs = dict(obj_optimizer=OPTIMIZERS[optimizer])
    fit(model, 15, checkpoint=path, **kwargs)
    assert_same(fit(model, 40, checkpoint=path, **kwargs), fit(model, 40, **kwargs))
    assert iteration(path) == 40


METHODS = {
    "fullrank_advi": {},
    "lowrank_advi": {"inf_kwargs": {"rank": 1}},
    "nfvi=planar*2": {},
    "svgd": {"inf_kwargs": {"n_particles": 6}},
    "asvgd": {"obj_n_mc": 5},
    "advi": {"score": False},
}


@pytest.mark.parametrize("method", by_default(METHODS, {"fullrank_advi", "svgd", "advi"}))
def test_every_method(model, path, method):
    kwargs = dict(method=method, **METHODS[method])
    fit(model, 7, checkpoint=path, **kwargs)
    whole = fit(model, 20, **kwargs)
    assert_same(fit(model, 20, checkpoint=path, **kwargs), whole)
    loaded = vb.load(path, model=model)
    for x, y in zip(loaded.params, whole.params, strict=True):
        np.testing.assert_array_equal(x.get_value(), y.get_value())


def test_single_precision(float32, path):
    model = make_model()
    fit(model, 15, checkpoint=path)
    assert_same(fit(model, 40, checkpoint=path), fit(model, 40))
    message = "floatX was 'float32' and is 'float64'"
    other = pytensor.config.change_flags(floatX="float64")
    with other, pytest.raises(vb.StorageError, match=message):
        fit(make_model(), 40, checkpoint=path)


def test_a_fit_that_is_done_is_not_repeated(model, path, monkeypatch):
    first = fit(model, checkpoint=path)
    monkeypatch.setattr("vibayes.inference.inference.fit_steps", None)
    second = fit(model, checkpoint=path)
    assert_same(first, second)
    assert second.ending == first.ending


def test_callbacks_of_a_fit_that_is_done_have_their_memory(model, path):
    def tracker():
        check = vb.callbacks.CheckParametersConvergence(every=5, tolerance=1e-12)
        return [vb.callbacks.Tracker(i=lambda approx, losses, i: i, every=3), check]

    first, second = tracker(), tracker()
    fit(model, checkpoint=path, callbacks=first)
    fit(model, checkpoint=path, callbacks=second)
    assert second[0]["i"] == first[0]["i"] == list(range(3, 41, 3))
    fit(model, checkpoint=path)  # nothing goes on that would need them


@pytest.mark.parametrize("kind", ["callback", "schedule"])
def test_a_fit_that_a_callback_has_ended_is_done(model, path, kind, monkeypatch):
    def run(checkpoint):
        if kind == "schedule":
            end = dict(n=None, method="nfvi=planar", max_steps=400, obj_n_mc=2)
        else:
            check = vb.callbacks.CheckParametersConvergence(every=5, tolerance=10.0)
            end = dict(n=40, callbacks=[check])
        return fit(model, checkpoint=checkpoint, **end)

    first = run(path)
    again = "vibayes.inference.inference.start_loop"
    monkeypatch.setattr(again, lambda *args: pytest.fail("it was begun again"))
    second = run(path)
    assert_same(first, second)
    assert second.ending == first.ending
    monkeypatch.undo()
    np.testing.assert_array_equal(second.hist, run(None).hist)


def test_refine_after_a_schedule_that_was_done(model, path):
    def inference(keep):
        result = vb.NFVI("planar", model=model, random_seed=1)
        options = dict(backend="py", progressbar=False, max_steps=400, obj_n_mc=2)
        result.fit(**options, checkpoint=keep)
        return result

    inference(path)
    whole, parts = inference(None), inference(path)
    for each in (whole, parts):
        each.refine(20, progressbar=False)
    assert_same(whole.approx, parts.approx)


def test_refine_after_a_fit_that_was_done(model, path):
    def inference():
        return vb.ADVI(model=model, random_seed=1)

    whole, parts = inference(), inference()
    fit(model, 30, checkpoint=path)
    for each, keep in ((whole, {}), (parts, {"checkpoint": path})):
        each.fit(30, backend="py", progressbar=False, **keep)
        each.refine(20, progressbar=False)
    assert_same(whole.approx, parts.approx)


def test_a_saved_approximation_is_a_checkpoint(model, path):
    inference = vb.ADVI(model=model, random_seed=1)
    inference.fit(10, backend="py", progressbar=False)
    inference.refine(10, progressbar=False)
    inference.approx.save(path)
    assert_same(fit(model, 40, checkpoint=path), fit(model, 40))


def test_an_approximation_that_was_not_fitted_is_no_checkpoint(model, path):
    vb.MeanField(model=model).save(path)
    with pytest.raises(vb.StorageError, match="no fit that could go on"):
        fit(model, checkpoint=path)


def test_without_a_seed_that_of_the_file_counts(model, path):
    first = fit(model, 15, random_seed=None, checkpoint=path)
    second = fit(model, 40, random_seed=None, checkpoint=path)
    np.testing.assert_array_equal(first.hist, second.hist[:15])
    assert_same(second, fit(model, 40, random_seed=None, checkpoint=path))


def test_several_fits_of_one_script(model, tmp_path):
    def script(first, second):
        inference = vb.ADVI(model=model, random_seed=1)
        for n, path in ((20, first), (30, second)):
            inference.fit(n, backend="py", progressbar=False, checkpoint=path)
        return inference.approx

    def partly(first, second):
        inference = vb.ADVI(model=model, random_seed=1)
        inference.fit(20, backend="py", progressbar=False, checkpoint=first)
        inference.fit(12, backend="py", progressbar=False, checkpoint=second)

    partly(tmp_path / "a.nc", tmp_path / "b.nc")
    assert_same(script(tmp_path / "a.nc", tmp_path / "b.nc"), script(None, None))


def each_step(approx, losses, i):
    """Let chunks be single steps."""


# -- another fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_seed": 2}, r"random_seed.* was 1 and is 2"),
        ({"random_seed": None}, "random_seed"),
        ({"obj_n_mc": 3}, "obj_n_mc was None and is 3"),
        ({"method": "fullrank_advi"}, "method was 'ADVI' and is 'FullRankADVI'"),
        ({"obj_optimizer": vb.adam(learning_rate=0.2)}, r"is 'adam\(learning_rate=0.2"),
        ({"start": {"mu": np.ones(2)}}, "start was"),
        ({"inf_kwargs": {"beta": 0.5}}, "objective was"),
        ({"n": None}, "max_steps was None and is 100000"),
        ({"n": 10}, "40 iterations, more than n=10"),
    ],
)
def test_another_call(model, path, changes, message):
    fit(model, checkpoint=path)
    with pytest.raises(vb.StorageError, match=message):
        fit(model, **{"checkpoint": path} | changes)


def test_another_model(model, path):
    fit(model, checkpoint=path)
    with pytest.raises(vb.StorageError, match=r"density\.log density\.mu was"):
        fit(make_model(scale=20), checkpoint=path)
    with pytest.raises(vb.StorageError, match=r"density\.log density\.y was"):
        fit(make_model(data=DATA + 0.1), checkpoint=path)
    with vb.Model() as other:
        vb.Normal("nu")
    with pytest.raises(vb.StorageError, match="the model has no variable 'mu'"):
        fit(other, checkpoint=path)


def test_other_data_of_a_minibatch(path):
    def model(data):
        return make_model(data=vb.Minibatch(data, batch_size=5))

    fit(model(DATA), checkpoint=path)
    with pytest.raises(vb.StorageError, match=r"minibatch\.Minibatch was"):
        fit(model(DATA + 0.1), 50, checkpoint=path)


def test_a_missing_callback(model, path):
    check = vb.callbacks.CheckParametersConvergence(every=5, tolerance=1e-12)
    fit(model, 20, checkpoint=path, callbacks=[check])
    with pytest.raises(vb.StorageError, match="callback CheckParametersConvergence, which is miss"):
        fit(model, 40, checkpoint=path)


def test_arguments(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end with \.nc"):
        fit(model, checkpoint=tmp_path / "fit.zarr")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fit(model, checkpoint=tmp_path / "none" / "fit.nc")
    with pytest.raises(ValueError, match="checkpoint_every"):
        fit(model, checkpoint=tmp_path / "fit.nc", checkpoint_every=0)
    with pytest.raises(TypeError, match="no effect without checkpoint"):
        fit(model, checkpoint_every=10)


def test_a_broken_file(model, path):
    path.write_bytes(b"nothing")
    with pytest.raises(vb.StorageError, match="not a file of vibayes"):
        fit(model, checkpoint=path)


# -- forged states --------------------------------------------------------------------------------


def forge(path, change):
    """Change what a file says, and write it as vibayes would have."""
    header, arrays = files.read_file(path)
    change(header["fit"], arrays)
    files.write_file(path, header, arrays)


def callback_array(arrays, name):
    return next(key for key in arrays if key.startswith(f"callback_{name}"))


FORGED_STATES = {
    "negative iteration": (lambda fit, a: fit.update(iteration=-1), "no fit has iteration -1"),
    "iteration in words": (lambda fit, a: fit.update(iteration="x"), "no fit has iteration x"),
    "other iteration": (lambda fit, a: fit.update(iteration=19), "holds 20 losses, not 19"),
    "more losses before": (lambda fit, a: fit.update(earlier=3), "holds 20 losses, not 23"),
    "ended": (lambda fit, a: fit.update(ended=None), "no fit has ended None"),
    "call": (lambda fit, a: fit.update(call=[]), r"no fit has ended False and the call \[\]"),
    "no vectors": (lambda fit, a: fit.update(vectors=0), "no fit has vectors  for tensors"),
    "short vector": (lambda fit, a: a.update(state_0=a["state_0"][:-1]), "no fit has vectors"),
    "other dtype": (lambda fit, a: a.update(state_0=a["state_0"] > 0), "no fit has vectors bool"),
    "not finite": (lambda fit, a: a["state_0"].__setitem__(-1, np.nan), "numbers that are not fin"),
    "layout": (lambda fit, a: fit["layout"][0].__setitem__(2, [2**40]), "no fit has vectors"),
    "name": (lambda fit, a: fit["layout"][0].__setitem__(0, "other"), "does not fit the steps"),
    "generator": (
        lambda fit, a: fit["generators"][0]["state"].update(state=-1),
        "a random generator in the state",
    ),
    "fewer generators": (lambda fit, a: fit.update(generators=[]), "1 random generators, not 0"),
    "place": (lambda fit, a: fit.update(feed_places=[[0, -1, 0]]), "no fit has a place"),
    "places": (lambda fit, a: fit.update(feed_places=[[0, 0, 0]]), "rows of 0 streams"),
    "given": (
        lambda fit, a: (fit.update(given=1), a.update(given_0=np.zeros(2))),
        "shared variables of your own",
    ),
    "callback": (
        lambda fit, a: a.update({callback_array(a, 0): np.zeros(99)}),
        r"callback CheckParametersConvergence cannot take over.*shape \(99,\)",
    ),
    "losses": (lambda fit, a: a.update(hist=a["hist"].astype(int)), "its losses have dtype int64"),
    "seeds": (lambda fit, a: fit["call"].pop("random_seed"), "KeyError|damaged"),
}


@pytest.fixture(scope="module")
def unfinished(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("unfinished") / "fit.nc"
    check = vb.callbacks.CheckParametersConvergence(every=5, tolerance=1e-12)
    fit(model, 20, checkpoint=path, callbacks=[check])
    return path, dict(callbacks=[check])


@pytest.mark.parametrize("kind", FORGED_STATES)
def test_a_forged_state_is_refused(model, path, unfinished, kind):
    true, options = unfinished
    shutil.copy(true, path)
    change, message = FORGED_STATES[kind]
    forge(path, change)
    with pytest.raises(vb.StorageError, match=message) as caught:
        fit(model, checkpoint=path, **options)
    assert str(path) in str(caught.value)


def test_a_forged_place_in_the_optimizer_s_memory_does_no_harm(model, path):
    fit(model, 15, checkpoint=path)

    def change(record, arrays):
        place = next(name for name, a in arrays.items() if a.dtype == "int64" and a.shape == (1,))
        arrays[place] += 10 * 2**40

    forge(path, change)
    assert_same(fit(model, 40, checkpoint=path), fit(model, 40))


@pytest.mark.parametrize(
    "changed",
    [
        {"place": 9},
        {"place": -1},
        {"begun": 0.5},
        {"scales": np.ones(2)},
        {"snapshots": np.zeros((3, 1))},
        {"elapsed": np.nan},
    ],
    ids=lambda changed: " ".join(f"{k} {np.shape(v) or v}" for k, v in changed.items()),
)
def test_a_forged_schedule_is_refused(changed):
    state = dict(place=1, begun=200, taken=0, elapsed=0.5, snapshots=np.zeros(0), scales=np.ones(3))
    state = {name: np.asarray(value) for name, value in state.items()}
    check_schedule(state, 3)
    check_schedule(state | {"snapshots": np.zeros((4, 3))}, 3)
    with pytest.raises(ValueError, match=f"^{next(iter(changed))} "):
        check_schedule(state | changed, 3)


def test_a_forged_place_in_a_stream_is_refused(path, tmp_path):
    np.save(tmp_path / "rows.npy", np.tile(DATA, (5, 1)))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    stream = vb.Minibatch(rows, batch_size=5, buffer_bytes=16 * 40)
    streamed = make_model(data=stream)
    fit(streamed, 15, checkpoint=path)
    for place in ([9, 0, 0], [0, 0, 0]):
        forge(path, lambda record, arrays, place=place: record.update(feed_places=[place]))
        with pytest.raises(vb.StorageError, match="does not read its rows of 1 streams") as caught:
            fit(streamed, 40, checkpoint=path)
        assert str(path) in str(caught.value)


# -- when it is written ---------------------------------------------------------------------------


class Interrupt:
    """Ends a fit as Ctrl-C does, once."""

    every = 1

    def __init__(self, at, error=KeyboardInterrupt):
        self.at, self.error = at, error

    def __call__(self, approx, losses, i):
        if i == self.at:
            self.at = -1
            raise self.error


def test_ctrl_c_between_steps(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    look = Interrupt(13)
    fit(model, checkpoint=path, checkpoint_every=1, callbacks=[look])
    assert 0 < iteration(path) <= 13
    assert_same(fit(model, checkpoint=path, callbacks=[look]), fit(model))


def test_ctrl_c_while_it_is_written(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    whole = fit(model)
    flush, calls = places.flush, []

    def interrupted(file):
        calls.append(file)
        if len(calls) == 5:
            raise KeyboardInterrupt
        flush(file)

    monkeypatch.setattr(places, "flush", interrupted)
    fit(model, checkpoint=path, checkpoint_every=1, callbacks=[each_step])
    assert len(calls) > 5
    assert iteration(path) < 40
    assert_same(fit(model, checkpoint=path), whole)


def test_an_inference_goes_on_with_what_it_has_written_itself(model, path):
    inference = vb.ADVI(model=model, random_seed=1)
    for n in (15, 40):  # the parameters are not those of the start at the second call
        inference.fit(n, backend="py", progressbar=False, checkpoint=path)
    assert_same(inference.approx, fit(model))


def test_a_fit_that_broke_down_leaves_what_was_written(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    look = Interrupt(13, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        fit(model, checkpoint=path, checkpoint_every=1, callbacks=[look])
    assert 0 < iteration(path) < 13
    assert_same(fit(model, checkpoint=path, callbacks=[look]), fit(model))


def test_a_kill_between_the_last_step_and_the_end(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    whole = fit(model, 300)
    assert "300 iterations were done; the loss" in whole.ending.reason
    options = dict(checkpoint=path, checkpoint_every=100, callbacks=[each_step])
    with monkeypatch.context() as patch:
        patch.setattr("vibayes.inference.checkpoints.Keeping.finish", lambda *args: None)
        fit(model, 300, **options)
    assert iteration(path) == 300
    again = fit(model, 300, **options)
    assert again.ending == whole.ending
    assert_same(again, whole)


def test_an_unfinished_fit_can_be_loaded(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    with pytest.raises(ZeroDivisionError):
        fit(
            model, checkpoint=path, checkpoint_every=1, callbacks=[Interrupt(13, ZeroDivisionError)]
        )
    loaded = vb.load(path, model=model)
    assert "when it was saved" in loaded.ending.reason
    np.testing.assert_array_equal(loaded.hist, fit(model).hist[: len(loaded.hist)])


class Clock:
    """Stands still, but for what passes while files are written."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.mark.parametrize("every", [None, 1, 100])
def test_writing_takes_two_per_cent_of_the_time_at_most(model, path, monkeypatch, every):
    clock = Clock()
    cost, writing = 0.3, 0.0
    monkeypatch.setattr(storage, "time", clock)
    monkeypatch.setattr(
        storage, "write_file", lambda *args: setattr(clock, "now", clock.now + cost)
    )
    keeper, approx = Checkpoint(path, every), vb.MeanField(model=model)
    keeper.write(approx, approx.outcome, FitState({}))
    begin, written = clock.now, []
    for i in range(1, 100_000):
        clock.now += 0.01
        if keeper.is_due(i):
            before = clock.now
            keeper.write(approx, approx.outcome, FitState({}, iteration=i))
            writing += clock.now - before
            written.append(i)
    assert writing < 0.025 * (clock.now - begin)
    assert len(written) > 40  # but it is written
    longest = 1.05 * max(cost / 0.02, 5.0, 0.01 * (every or 0))
    assert np.diff(written).max() * 0.01 < longest


def test_every_is_the_least_number_between_two(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    written = []
    write = Checkpoint.write
    monkeypatch.setattr(
        Checkpoint,
        "write",
        lambda s, a, o, f, *r: (written.append(f.iteration), write(s, a, o, f, *r)),
    )
    fit(model, 40, checkpoint=path, checkpoint_every=15, callbacks=[each_step])
    assert written == [15, 30, 40]


@pytest.mark.ci
def test_the_size_of_a_file_does_not_grow_with_writing(model, path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_SHARE", np.inf)
    fit(model, 100, checkpoint=path, checkpoint_every=1, callbacks=[each_step])
    often = path.stat().st_size
    path.unlink()
    fit(model, 100, checkpoint=path)
    assert often == pytest.approx(path.stat().st_size, rel=0.05)


# -- fits that end by themselves ------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", by_default(["advi", "auto", "laplace", "pathfinder", "mixture"], 3)
)
def test_searches_are_not_repeated(model, path, method, monkeypatch):
    kwargs = dict(n=None, method=method, backend=None)
    first = fit(model, checkpoint=path, **kwargs)
    began = time.perf_counter()
    for place in (vb.ADVI, vb.Inference):
        monkeypatch.setattr(place, "_fit_normal", None, raising=False)
    second = fit(model, checkpoint=path, **kwargs)
    assert type(second) is type(first)
    assert_same(first, second)
    assert second.ending.reason == first.ending.reason
    assert time.perf_counter() - began < 30
    with pytest.raises(vb.StorageError, match="random_seed"):
        fit(model, checkpoint=path, **kwargs | {"random_seed": 2})


def test_a_search_that_was_interrupted_begins_anew(model, path):
    look = Interrupt(1)
    fit(model, None, backend=None, checkpoint=path, callbacks=[look])
    assert not path.exists()
    result = fit(model, None, backend=None, checkpoint=path, callbacks=[look])
    assert result.ending.converged


def test_local_variables_can_go_on_but_not_be_loaded(path):
    def made(n, checkpoint=None):
        rho = pytensor.shared(np.zeros(3), name="rho", shape=(3,))
        center = pytensor.shared(np.zeros(3), name="center", shape=(3,))
        with vb.Model() as model:
            z = vb.Normal("z", shape=3)
            vb.Normal("y", z, 1, observed=[1.0, 2.0, 3.0])
            mu = vb.Normal("mu")
            vb.Normal("x", mu, observed=[1.0])
        advi = vb.ADVI(local_rv={z: (center, rho)}, model=model, random_seed=1)
        advi.fit(
            n, backend="py", progressbar=False, more_obj_params=[center, rho], checkpoint=checkpoint
        )
        return advi.approx, center.get_value(), model

    made(10, path)
    approx, center, model = made(25, path)
    other, expected, _ = made(25)
    assert_same(approx, other)
    np.testing.assert_array_equal(center, expected)
    _, center, _ = made(25, path)  # done: shared variables of the user's own come back too
    np.testing.assert_array_equal(center, expected)
    with pytest.raises(vb.StorageError, match="cannot be loaded by itself: the parameters of 'z'"):
        vb.load(path, model=model)


# -- killed processes -----------------------------------------------------------------------------

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def run_kills(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed")
def test_killed_fits_end_as_others_do():
    told = run_kills("--count", 3, "--cases", "without_replacement;stream;save nc")
    assert "| all | 3 |" in told


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed")
def test_two_hundred_kills():
    run_kills("--count", 200, "--seed", 2)
