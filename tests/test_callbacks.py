import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.callbacks import Callback, CheckParametersConvergence, Tracker


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


@pytest.mark.parametrize("every", [0, -5, 2.5, "often"])
def test_bad_period(every):
    with vb.Model() as model:
        vb.Normal("x")
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        CheckParametersConvergence(every=every)
    check = CheckParametersConvergence()
    check.every = every
    with pytest.raises(ValueError, match="every"):
        vb.ADVI(model=model).fit(10, callbacks=[check], backend="py", progressbar=False)


def test_not_callable():
    with vb.Model() as model:
        vb.Normal("x")
    with pytest.raises(TypeError, match="callable"):
        vb.ADVI(model=model).fit(10, callbacks=["look"], backend="py", progressbar=False)


class TestTracker:
    def test_records_by_signature(self):
        x = pt.as_tensor(2.0)
        tracker = Tracker(
            node=(x + 1).eval,
            none=lambda: "nothing",
            three=lambda approx, losses, i: (approx, losses, i),
            named=lambda approx, hist, i: i,
            star=lambda *args: len(args),
        )
        tracker("approx", [1.0], 5)
        assert tracker["node"] == [3.0]
        assert tracker["none"] == ["nothing"]
        assert tracker["three"] == [("approx", [1.0], 5)]
        assert tracker["named"] == [5]
        assert tracker["star"] == [3]
        assert tracker.hist["named"] == [5]
        tracker.clear()
        assert tracker["named"] == []

    def test_wrong_number_of_arguments(self):
        with pytest.raises(TypeError, match="two must take"):
            Tracker(two=lambda a, b: 0)

    def test_type_error_in_user_code_is_not_swallowed(self):
        def broken():
            raise TypeError("inside")

        with pytest.raises(TypeError, match="inside"):
            Tracker(broken=broken)(None, None, 1)

    def test_needs_something_to_record(self):
        with pytest.raises(ValueError, match="at least one"):
            Tracker()
        with pytest.raises(TypeError, match="callable"):
            Tracker(x=3)


def test_subclass_in_a_fit():
    class Stop(Callback):
        every = 4

        def __call__(self, approx, losses, i):
            if i >= 8:
                raise StopIteration

    with vb.Model() as model:
        vb.Normal("x")
    approx = vb.ADVI(model=model).fit(100, callbacks=[Stop()], backend="py", progressbar=False)
    assert len(approx.hist) == 8


def test_flatten_shared():
    approx = Parameters([[1.0, 2.0], [3.0, 4.0]], 5.0)
    flat = CheckParametersConvergence.flatten_shared(approx.params)
    np.testing.assert_array_equal(flat, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(CheckParametersConvergence().flatten_shared(approx.params), flat)


class Forgetful(Callback):
    def state(self):
        raise RuntimeError("nothing comes to mind")

    def __call__(self, approx, losses, i):
        pass


def test_a_callback_that_cannot_say_what_it_remembers_costs_nobody_the_fit(tmp_path):
    with vb.Model() as model:
        vb.Normal("x")
    options = dict(backend="py", progressbar=False, model=model, diagnose=False)
    with pytest.warns(vb.StorageWarning, match=r"Forgetful\.state\(\) raised RuntimeError"):
        approx = vb.fit(20, callbacks=[Forgetful()], **options)
    assert len(approx.hist) == 20
    approx.save(tmp_path / "fit.nc")
    with pytest.warns(vb.StorageWarning, match="Forgetful"):
        kept = vb.fit(20, callbacks=[Forgetful()], checkpoint=tmp_path / "kept.nc", **options)
    assert len(kept.hist) == 20
    assert len(vb.load(tmp_path / "kept.nc", model=model).hist) == 20


@pytest.mark.parametrize("ord", ["a", 0, [1], None, 1j])
def test_the_order_of_a_norm_is_checked(ord):
    with pytest.raises(ValueError, match="ord must be a number"):
        CheckParametersConvergence(ord=ord)


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


def test_a_tracker_inside_a_callback_of_ones_own_looks_at_its_own_times():
    tracker = Tracker(every=3, i=lambda approx, losses, i: i)
    for i in range(1, 10):
        tracker(None, None, i)
    assert tracker["i"] == [3, 6, 9]
    tracker.record(None, None, 10)
    assert tracker["i"][-1] == 10
