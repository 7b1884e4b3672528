import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.inference.numpy_loop import loop_in_numpy


def shared(value, name):
    value = np.asarray(value)
    return pytensor.shared(value, name=name, shape=value.shape)


def drawn(seed):
    rng = pytensor.shared(np.random.default_rng(seed), name="rng")
    return rng, *pt.random.normal(size=(2,), rng=rng).owner.outputs


def test_steps_are_those_of_hand():
    x, data = shared(np.zeros(2), "x"), shared(np.array([1.0, 3.0]), "data")
    rng, next_rng, noise = drawn(1)
    loss = ((x - pt.exp(data)) ** 2).sum()
    loop = loop_in_numpy([x, rng], [], [x + 0.1 * pt.log(data) + noise, next_rng, loss])
    generator = np.random.default_rng(1)
    (last, advanced), losses = loop(3, [np.zeros(2), generator], [])
    other, at = np.random.default_rng(1), np.zeros(2)
    for i in range(3):
        assert losses[i] == pytest.approx(((at - np.exp([1.0, 3.0])) ** 2).sum(), rel=1e-12)
        at = at + 0.1 * np.log([1.0, 3.0]) + other.normal(size=2)
    np.testing.assert_allclose(last, at, rtol=1e-12)
    assert advanced.bit_generator.state == other.bit_generator.state
    assert losses.dtype == "float64"


def test_data_are_those_of_the_moment():
    x, data = shared(np.zeros(2), "x"), shared(np.array([1.0, 3.0]), "data")
    loop = loop_in_numpy([x], [], [x + data**2])
    data.set_value(np.array([2.0, 0.0]))
    (last,), losses = loop(2, [np.zeros(2)], [])
    np.testing.assert_array_equal(last, [8.0, 0.0])
    assert len(losses) == 0


def test_windows_are_read():
    x, window = shared(np.zeros(2), "x"), shared(np.zeros(2), "window")
    loop = loop_in_numpy([x], [window], [x + window])
    (last,), _ = loop(2, [np.zeros(2)], [np.array([1.0, 5.0])])
    np.testing.assert_array_equal(last, [2.0, 10.0])


def test_no_step_leaves_everything():
    x = shared(np.zeros(2), "x")
    loop = loop_in_numpy([x], [], [x + 1, x.sum()])
    start = np.array([1.0, 2.0])
    (last,), losses = loop(0, [start], [])
    np.testing.assert_array_equal(last, start)
    assert losses.shape == (0,)


def test_what_a_step_is_given_stays_as_it_is():
    x, count = shared(np.zeros(2), "x"), shared(np.int64(0), "count")
    loop = loop_in_numpy([x, count], [], [pt.inc_subtensor(x[0], 1.0), count + 1])
    start = np.zeros(2)
    (last, counted), _ = loop(5, [start, np.int64(0)], [])
    np.testing.assert_array_equal(start, 0)
    np.testing.assert_array_equal(last, [5, 0])
    assert counted == 5


@pytest.mark.filterwarnings("ignore:Cholesky on_raise:FutureWarning")
def test_an_error_in_an_operation_is_raised():
    A = shared(-np.eye(2), "A")
    loop = loop_in_numpy([A], [], [pt.linalg.cholesky(A, on_error="raise")])
    with pytest.raises(np.linalg.LinAlgError, match="definite\n\nHINT"):
        loop(1, [-np.eye(2)], [])
