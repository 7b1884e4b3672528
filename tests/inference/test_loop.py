import signal

import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes import interrupts
from vibayes.inference.steps import CompiledSteps


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 2, shape=2)
        vb.Normal("y", x, 1, observed=[1.0, -2.0])
    return model


def advi(model, seed=1, **kwargs):
    return vb.ADVI(model=model, random_seed=seed, **kwargs)


def fit(inference, n, **kwargs):
    kwargs.setdefault("obj_optimizer", vb.adam(learning_rate=0.05))
    return inference.fit(n, backend="py", progressbar=False, **kwargs)


def params(approx):
    return np.concatenate([p.get_value().ravel() for p in approx.params])


def test_same_seed_same_numbers(model):
    a, b, c = (fit(advi(model, seed), 30) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.hist, b.hist)
    np.testing.assert_array_equal(params(a), params(b))
    assert not np.array_equal(a.hist, c.hist)


def test_refine_goes_on_as_if_nothing_had_happened(model):
    whole = fit(advi(model), 60)
    parts = advi(model)
    fit(parts, 25)
    parts.refine(10, progressbar=False)
    parts.refine(25, progressbar=False)
    np.testing.assert_array_equal(parts.hist, whole.hist)
    np.testing.assert_array_equal(params(parts.approx), params(whole))


def test_second_fit_goes_on_from_the_parameters(model):
    inference = advi(model)
    fit(inference, 40)
    before = params(inference.approx)
    fit(inference, 0, obj_optimizer=vb.sgd(learning_rate=1e-3))
    np.testing.assert_array_equal(params(inference.approx), before)
    fit(inference, 1, obj_optimizer=vb.sgd(learning_rate=1e-9))
    np.testing.assert_allclose(params(inference.approx), before, atol=1e-6)
    assert len(inference.hist) == 41


def test_fits_do_not_influence_each_other(model):
    a = advi(model)
    fit(a, 10)
    kept = params(a.approx)
    fit(advi(model, 5), 20)
    np.testing.assert_array_equal(params(a.approx), kept)
    assert len(a.hist) == 10


def test_nodes_built_before_a_fit_do_not_change_it(model):
    inference = advi(model)
    inference.approx.sample_node(model["x"], size=3)
    fit(inference, 10)
    np.testing.assert_array_equal(inference.hist, fit(advi(model), 10).hist)


def test_refine_before_fit_is_an_error(model):
    with pytest.raises(TypeError, match="call fit first"):
        advi(model).refine(10)


@pytest.mark.parametrize("every", [1, 3, 7, 50, 200])
def test_callbacks_are_called_when_they_ask_and_change_nothing(model, every):
    seen = []

    def look(approx, losses, i):
        assert len(losses) == i == len(approx.hist)
        seen.append((i, params(approx), losses[-1]))

    look.every = every
    inference = advi(model)
    fit(inference, 100, callbacks=[look])
    plain = fit(advi(model), 100)
    assert [i for i, *_ in seen] == list(range(every, 101, every))
    np.testing.assert_array_equal(inference.hist, plain.hist)
    np.testing.assert_array_equal(params(inference.approx), params(plain))
    for i, values, loss in seen[:3]:
        np.testing.assert_array_equal(values, params(fit(advi(model), i)))
        assert loss == plain.hist[i - 1]


def test_iterations_go_on_counting_in_refine(model):
    seen = []
    look = vb.callbacks.Tracker(i=lambda approx, losses, i: i, every=10)
    inference = advi(model)
    fit(inference, 25, callbacks=[look, lambda *a: seen.append(a[2])])
    inference.refine(20, callbacks=[look], progressbar=False)
    assert look["i"] == [10, 20, 30, 40]
    assert seen == list(range(1, 26))


def test_stop_iteration_ends_the_fit_at_its_iteration(model):
    def stop(approx, losses, i):
        if i == 17:
            raise StopIteration("enough")

    inference = advi(model)
    approx = fit(inference, 100, callbacks=[stop])
    expected = fit(advi(model), 17)
    np.testing.assert_array_equal(approx.hist, expected.hist)
    np.testing.assert_array_equal(params(approx), params(expected))
    inference.refine(3, progressbar=False)
    np.testing.assert_array_equal(approx.hist, fit(advi(model), 20).hist)


def test_exception_in_user_code_is_not_swallowed_and_loses_nothing(model):
    def fail(approx, losses, i):
        if i == 9:
            raise RuntimeError("broken callback")

    inference = advi(model)
    with pytest.raises(RuntimeError, match="broken callback"):
        fit(inference, 100, callbacks=[fail])
    np.testing.assert_array_equal(inference.hist, fit(advi(model), 9).hist)
    inference.approx.sample(3)


def test_interrupt_keeps_everything_up_to_then(model, monkeypatch):
    inference = advi(model)
    fit(inference, 5)
    steps, calls = inference.last_run.loop.steps, []
    run = steps.run

    def interrupted(state, n):
        calls.append(n)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return run(state, n)

    monkeypatch.setattr(steps, "run", interrupted)
    approx = inference.refine(1_000_000, progressbar=False)
    monkeypatch.undo()
    done = 5 + sum(calls[:3])
    assert 5 < len(approx.hist) == done < 1_000_000
    np.testing.assert_array_equal(params(approx), params(fit(advi(model), done)))


def test_ctrl_c_ends_a_callback_of_the_users_wherever_it_is(model, monkeypatch, ctrl_c):
    monkeypatch.setattr(interrupts.STATE, "handed_on", -10.0)  # and not shortly before
    said = []

    def slow(approx, losses, i):
        try:
            signal.raise_signal(signal.SIGINT)
            said.append("went on")
        except KeyboardInterrupt:
            said.append(i)
            if i == 20:
                raise

    slow.every = 10
    inference = advi(model)
    fit(inference, 50, callbacks=[slow])
    assert said == [10, 20]
    assert len(inference.hist) == 20


def test_chunks_are_short(model):
    inference = advi(model)
    fit(inference, 1)
    steps, lengths = inference.last_run.loop.steps, []
    run = steps.run

    def slow(state, n):
        lengths.append(n)
        return run(state, n)

    steps.run = slow
    try:
        inference.refine(2000, progressbar=False)
    finally:
        del steps.run
    per_step = inference.run_seconds / 2001
    assert max(lengths) * per_step < 1.0
    assert len(lengths) < 200


@pytest.fixture
def agreeing(monkeypatch):
    """What another process says each time: the most steps that it takes, 0 if it has left."""
    said, asked = [], []

    def agreed(steps, n):
        asked.append(n)
        return min(n, said.pop(0) if said else 10**9)

    monkeypatch.setattr(CompiledSteps, "agreed", agreed)
    return said, asked


def test_processes_stop_at_the_same_iterations(model, agreeing):
    whole = fit(advi(model), 40)
    said, asked = agreeing
    said += [1, 3, 2, 5]
    asked.clear()
    parts = fit(advi(model), 40)
    np.testing.assert_array_equal(parts.hist, whole.hist)
    assert 0 not in asked


def test_a_fit_that_another_process_has_left_is_kept(model, agreeing):
    agreeing[0].extend([1, 6, 0])
    approx = fit(advi(model), 40)
    assert len(approx.hist) == 7
    assert "interrupted" in approx.ending.reason
    assert 0 not in agreeing[1]  # the other one knows


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopIteration, ValueError])
def test_other_processes_are_told_when_one_leaves(model, agreeing, error):
    def leave(approx, losses, i):
        if i == 5:
            raise error("enough")

    try:
        fit(advi(model), 40, callbacks=[leave])
    except ValueError:
        assert error is ValueError
    assert agreeing[1][-1] == 0
    assert agreeing[1].count(0) == 1


def test_a_callback_may_change_parameters(model):
    def reset(approx, losses, i):
        approx.shared_params["mu"].set_value(np.array([7.0, 8.0]))

    reset.every = 10
    inference = advi(model)
    fit(inference, 10, callbacks=[reset])
    np.testing.assert_array_equal(inference.approx.mean.eval(), [7.0, 8.0])
    inference.refine(1, progressbar=False)
    np.testing.assert_allclose(inference.approx.mean.eval(), [7.0, 8.0], atol=0.2)


def test_refine_takes_over_parameters_that_were_set_in_between(model):
    inference = advi(model)
    fit(inference, 10)
    inference.approx.shared_params["mu"].set_value(np.array([7.0, 8.0]))
    inference.refine(0, progressbar=False)
    np.testing.assert_array_equal(inference.approx.mean.eval(), [7.0, 8.0])
    inference.refine(1, progressbar=False)
    np.testing.assert_allclose(inference.approx.mean.eval(), [7.0, 8.0], atol=0.2)


def test_the_same_callback_twice(model):
    seen = []
    look = lambda approx, losses, i: seen.append(i)  # noqa: E731
    fit(advi(model), 3, callbacks=[look, look])
    assert seen == [1, 1, 2, 2, 3, 3]


def test_score_false_records_nothing(model):
    a = fit(advi(model), 30, score=False)
    b = fit(advi(model), 30)
    assert len(a.hist) == 0
    np.testing.assert_array_equal(params(a), params(b))


def test_more_updates_and_more_obj_params(model):
    count = pytensor.shared(np.array(0.0), name="count", shape=())
    inference = advi(model)
    fit(inference, 12, more_updates={count: count + 1})
    assert count.get_value() == 12
    inference.refine(5, progressbar=False)
    assert count.get_value() == 17

    with vb.Model() as biased:
        bias = pytensor.shared(np.array(0.0), name="bias", shape=())
        x = vb.Normal("x", 0, 0.01)
        vb.Normal("y", x + bias, 1, observed=np.full(20, 3.0))
    fit(advi(biased), 400, more_obj_params=[bias])
    assert abs(bias.get_value() - 3) < 0.2


def test_grad_norm_constraint(model):
    inference = advi(model)
    sgd = vb.updates.sgd(learning_rate=1.0)
    before = params(inference.approx)
    fit(inference, 1, obj_optimizer=sgd, total_grad_norm_constraint=1e-3)
    moved = params(inference.approx) - before
    assert 0 < np.linalg.norm(moved) <= 1e-3 * (1 + 1e-6)


def test_memory_does_not_grow_with_the_number_of_steps(model):
    import tracemalloc

    inference = advi(model)
    fit(inference, 200, score=False)
    tracemalloc.start()
    inference.refine(1500, progressbar=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_refine_goes_on_calling_whom_the_fit_called(model):
    seen = []
    inference = advi(model)
    inference.fit(
        3, callbacks=[lambda approx, losses, i: seen.append(i)], backend="py", progressbar=False
    )
    inference.refine(2, progressbar=False)
    inference.refine(2, callbacks=[], progressbar=False)
    assert seen == [1, 2, 3, 4, 5]


def test_what_is_left_behind_is_no_view(model):
    """A later run writes to the memory of its own."""
    inference = advi(model)
    approx = inference.fit(5, backend="py", progressbar=False)
    kept = approx.hist, approx.shared_params["mu"].get_value(borrow=True)
    assert all(type(array) is np.ndarray and array.base is None for array in kept)
    before = [array.copy() for array in kept]
    inference.refine(50, progressbar=False)
    assert all(np.array_equal(a, b) for a, b in zip(kept, before, strict=True))
