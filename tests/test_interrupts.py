"""Ctrl-C: real signals, within the process and from outside."""

# ruff: noqa: PT012, SIM117  (what comes of a signal within blocks is what is tested)
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import vibayes as vb
from vibayes import interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def first_time(monkeypatch, ctrl_c):
    """No signal was handed on shortly before, and none changes the handler of the tests."""
    monkeypatch.setattr(interrupts.STATE, "handed_on", -10.0)
    yield
    assert interrupts.STATE.active is None


@pytest.fixture
def own_handler():
    """A handler of the user's, which returns."""
    calls = []

    def handler(signum, frame):
        calls.append((signum, frame))

    before = signal.signal(signal.SIGINT, handler)
    yield calls
    assert signal.signal(signal.SIGINT, before) is handler


# -- the module -----------------------------------------------------------------------------------


def test_a_signal_waits_for_the_check():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            press()
            done.append("after the signal")
            interrupts.check()
            done.append("after the check")
    assert done == ["after the signal"]


def test_a_signal_that_still_waits_at_the_end_is_handed_on():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            press()
            done.append(True)
    assert done


def test_a_result_is_not_lost_to_a_signal_that_waits():
    @interrupts.Deferral(keeps_result=True)
    def pressed():
        press()
        return "result"

    assert pressed() == "result"


def test_an_error_is_not_hidden_by_a_result_that_is_kept():
    with pytest.raises(KeyboardInterrupt) as caught:
        with interrupts.Deferral(keeps_result=True):
            press()
            raise ValueError("other")
    assert isinstance(caught.value.__context__, ValueError)


def test_without_a_signal_errors_pass():
    with pytest.raises(ValueError, match="other"):
        with interrupts.Deferral():
            raise ValueError("other")


def test_a_second_signal_comes_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            press()
            done.append("first")
            press()
            done.append("second")
    assert done == ["first"]


def test_within_a_second_a_further_signal_is_a_second_one():
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            press()
            interrupts.check()
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            press()
            done.append(True)
    assert not done


def test_blocks_nest():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            with interrupts.Deferral(keeps_result=True):
                press()
            done.append("inner")
            interrupts.check()
            done.append("check")
    assert done == ["inner"]


@pytest.mark.parametrize("block", [interrupts.user_code, interrupts.interruptible])
def test_in_user_code_and_where_nothing_is_changed_it_comes_at_once(block):
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral(), block():
            press()
            done.append(True)
    assert not done


def test_before_user_code_a_signal_that_waits_is_handed_on():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            press()
            with interrupts.user_code():
                done.append(True)
    assert not done


def test_user_code_may_swallow_it_and_the_library_may_not():
    def swallow():
        with contextlib.suppress(KeyboardInterrupt):
            press()

    with interrupts.Deferral():
        with interrupts.user_code():
            swallow()
        interrupts.check()
    interrupts.STATE.handed_on = -10.0
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            with interrupts.interruptible():
                swallow()
            interrupts.check()


def test_what_user_code_runs_of_ours_waits_again():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral(), interrupts.user_code(), interrupts.Deferral():
            press()
            done.append(True)
            interrupts.check()
    assert done


def test_what_is_held_takes_a_second_signal_alone():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            with interrupts.held():
                press()
                interrupts.check()
                with interrupts.interruptible():
                    done.append("still held")
                press()
                done.append("second")
    assert done == ["still held"]


def test_what_is_shut_takes_none_and_a_second_one_comes_at_its_end():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral():
            with interrupts.shut():
                press()
                press()
                interrupts.check()
                done.append("shut")
            done.append("open")
    assert done == ["shut"]


def test_a_system_error_that_a_signal_has_made_is_a_keyboard_interrupt():
    def compiled():
        try:
            press()
        except KeyboardInterrupt as error:
            raise SystemError("returned a result with an exception set") from error

    with pytest.raises(KeyboardInterrupt):
        with interrupts.Deferral(), interrupts.interruptible():
            compiled()
    with pytest.raises(SystemError, match="other"):
        with interrupts.Deferral(), interrupts.interruptible():
            raise SystemError("other")


def test_a_handler_of_the_users_gets_the_signal_and_its_frame(own_handler):
    with interrupts.Deferral():
        press()
        assert not own_handler
        interrupts.check()
        assert [signum for signum, _ in own_handler] == [signal.SIGINT]
        assert own_handler[0][1].f_code.co_name == "press"
        interrupts.check()
        assert len(own_handler) == 1


def test_a_handler_that_is_put_in_place_meanwhile_stays():
    calls = []

    def other(signum, frame):
        calls.append(signum)
        before(signum, frame)  # as a well-behaved one does

    with interrupts.Deferral():
        before = signal.signal(signal.SIGINT, other)
    assert signal.getsignal(signal.SIGINT) is other
    with pytest.raises(KeyboardInterrupt):
        press()
    assert len(calls) == 1
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_is_no_function_is_left_alone(handler):
    signal.signal(signal.SIGINT, handler)
    with interrupts.Deferral(), interrupts.shut():
        assert signal.getsignal(signal.SIGINT) is handler
        interrupts.check()
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_neither_wait_nor_are_disturbed():
    found = []

    def other():
        with interrupts.Deferral(keeps_result=True), interrupts.shut(), interrupts.user_code():
            interrupts.check()
            found.append(signal.getsignal(signal.SIGINT))

    with interrupts.Deferral():
        press()
        ours, mode = signal.getsignal(signal.SIGINT), interrupts.STATE.active.mode
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert found == [ours]
        assert interrupts.STATE.active.mode == mode
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found[1] is signal.default_int_handler


# -- fits -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=np.zeros(40))
    return model


def advi(model):
    return vb.ADVI(model=model, random_seed=1)


def later(seconds):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


class PressedLater(vb.callbacks.Callback):
    """Sends a signal a while after compiled steps have begun, however long compilation took."""

    every = 1000
    timer = None

    def __call__(self, approx, losses, i):
        if self.timer is None:
            self.timer = later(0.2)


def test_compiled_steps_end_early_and_go_on(model):
    inference, pressed = advi(model), PressedLater()
    approx = inference.fit(100_000_000, callbacks=[pressed], progressbar=False)
    pressed.timer.join()
    done = len(approx.hist)
    assert 0 < done < 100_000_000
    assert approx.ending.reason == f"it was interrupted: {done:,} iterations were done"
    inference.refine(1000, progressbar=False)
    whole = advi(model).fit(done + 1000, progressbar=False)
    np.testing.assert_array_equal(approx.hist, whole.hist)
    for one, other in zip(approx.params, whole.params, strict=True):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


def test_a_handler_that_returns_lets_the_fit_go_on(model, own_handler):
    timer = later(0.1)
    approx = advi(model).fit(300_000, progressbar=False)
    timer.join()
    assert len(approx.hist) == 300_000
    assert len(own_handler) == 1


def test_a_fit_in_a_thread_goes_on(model):
    done, finished = [], threading.Event()

    def run():
        done.append(advi(model).fit(300_000, progressbar=False))
        finished.set()

    # no join: in Python 3.11 one that was interrupted takes the thread as ended
    thread = threading.Thread(target=run)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        timer = later(0.1)
        while not finished.wait(0.01):
            pass
        time.sleep(60.0)  # the fit was quicker than the signal
    timer.join()
    assert finished.wait(60)
    assert len(done[0].hist) == 300_000


def test_before_the_first_step_it_is_an_error_and_the_seed_is_the_same(model, monkeypatch):
    inference = advi(model)
    check = vb.Model.check_shapes

    def pressed(self):
        press()
        check(self)

    monkeypatch.setattr(vb.Model, "check_shapes", pressed)
    with pytest.raises(KeyboardInterrupt):
        inference.fit(50, progressbar=False)
    monkeypatch.undo()
    assert not len(inference.hist)
    with pytest.raises(TypeError, match="call fit first"):
        inference.refine(1)
    inference.fit(50, progressbar=False)
    np.testing.assert_array_equal(inference.hist, advi(model).fit(50, progressbar=False).hist)


def test_a_fit_that_never_began_leaves_the_one_before_to_go_on(model, monkeypatch):
    inference = advi(model)
    inference.fit(20, progressbar=False)
    monkeypatch.setattr(vb.Model, "check_shapes", lambda self: press())
    with pytest.raises(KeyboardInterrupt):
        inference.fit(50, progressbar=False)
    monkeypatch.undo()
    inference.refine(10, progressbar=False)
    np.testing.assert_array_equal(inference.hist, advi(model).fit(30, progressbar=False).hist)


def test_in_the_verdict_the_fit_is_kept(model, monkeypatch):
    def pressed(self):
        press()

    monkeypatch.setattr(vb.Approximation, "diagnose", pressed)
    with pytest.warns(
        vb.ApproximationWarning, match="judgement of the fit was interrupted"
    ) as said:
        approx = vb.fit(20, model=model, random_seed=1, progressbar=False)
    assert said[0].filename == __file__
    assert len(approx.hist) == 20
    assert approx.diagnosis is None


def test_a_signal_in_a_search_comes_where_the_density_is_evaluated(model, monkeypatch):
    from vibayes.inference import normal_fit

    set_normal = normal_fit.set_normal

    def pressed(approx, q):
        if len(approx.hist):  # it is more than where the fit begins
            press()
        set_normal(approx, q)

    monkeypatch.setattr(normal_fit, "set_normal", pressed)
    approx = vb.fit(method="fullrank_advi", model=model, random_seed=1, diagnose=False)
    assert approx.ending.is_interrupted
    assert len(approx.hist) == 2


@pytest.mark.parametrize("method", ["advi", "auto", "laplace", "pathfinder", "mixture"])
def test_before_a_search_has_a_result_it_is_an_error(model, method):
    def pressed(Z):
        press()
        return evaluate(Z)

    vb.fit(method=method, model=model, random_seed=1, diagnose=False)
    functions = model.compiled(("target", (), None), lambda: None)
    evaluate = functions["logp and gradient"]
    functions["logp and gradient"] = pressed
    try:
        with pytest.raises(KeyboardInterrupt):
            vb.fit(method=method, model=model, random_seed=1, diagnose=False)
    finally:
        functions["logp and gradient"] = evaluate


def test_a_file_is_written_whole(model, tmp_path, monkeypatch):
    from vibayes.storage import places

    approx, flush, seen = advi(model).fit(5, progressbar=False), places.flush, []

    def pressed(handle):
        if not seen:
            press()
        seen.append(handle)
        flush(handle)

    monkeypatch.setattr(places, "flush", pressed)
    with pytest.raises(KeyboardInterrupt):
        approx.save(tmp_path / "fit.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]
    assert len(vb.load(tmp_path / "fit.nc", model=model).hist) == 5


# -- from outside ---------------------------------------------------------------------------------

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "interrupts.py"


def run_interrupted(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    here = os.environ | {"PYTHONPATH": str(Path(vb.__file__).parents[1])}
    ran = subprocess.run(command, capture_output=True, text=True, env=here)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.ci
def test_signals_from_outside():
    cases = "steps: advi, py;by itself: laplace;verdict;saving"
    run_interrupted("--count", 6, "--seed", 1, "--cases", cases)


@pytest.mark.slow
def test_many_signals_from_outside():
    run_interrupted("--count", 300, "--seed", 1)
