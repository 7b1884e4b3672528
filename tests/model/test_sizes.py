import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.minibatches import numbered
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.exceptions import ImputationError, ShapeError
from vibayes.model.minibatch import Minibatch

pytestmark = pytest.mark.usefixtures("without_compiler")


def test_batch_size_by_axis():
    data = numbered(5, 6, 7, 8)
    cases = {
        (2, 3): (2, 3, 7, 8),
        (2, None, 4): (2, 6, 4, 8),
        (2, Ellipsis, 3): (2, 6, 7, 3),
        (Ellipsis, 3): (5, 6, 7, 3),
        (2, None, 4, Ellipsis, 1): (2, 6, 4, 1),
        (None, (3, 7)): (5, 3, 7, 8),
        (Ellipsis,): (5, 6, 7, 8),
    }
    for batch_size, shape in cases.items():
        x = Minibatch(data, list(batch_size))
        values = x.eval()
        assert values.shape == x.batch_shape == shape, batch_size
        # all combinations of some indices along each axis
        along = np.unravel_index(values.astype(int), data.shape)
        for axis, places in enumerate(along):
            first = places[tuple(slice(None) if i == axis else 0 for i in range(4))]
            wanted = first.reshape([-1 if i == axis else 1 for i in range(4)])
            np.testing.assert_array_equal(places, np.broadcast_to(wanted, shape))
    for everything in (None, Ellipsis):
        np.testing.assert_array_equal(Minibatch(data, everything).eval(), data)


@pytest.mark.parametrize("replace", [True, False])
def test_axes_of_a_square_are_drawn_independently(replace):
    x = Minibatch(numbered(10, 10), [5, 5], replace=replace)
    function = pytensor.function([], x, mode=EVALUATE_MODE)
    draws = np.array([function() for _ in range(2000)]).astype(int)
    rows, columns = draws[:, :, 0] // 10, draws[:, 0, :] % 10
    pairs = np.histogram2d(rows[:, 0], columns[:, 0], bins=[np.arange(11)] * 2)[0]
    assert stats.chi2_contingency(pairs).pvalue > 1e-4


def test_broadcastable_axes():
    x = Minibatch(numbered(10, 1), 4, broadcastable=(False, True))
    assert x.broadcastable == (False, True)
    assert Minibatch(numbered(10, 1), 4).broadcastable == (False, False)
    assert Minibatch(numbered(10, 2), 1, broadcastable=(True, False)).broadcastable == (True, False)
    assert (x + pt.zeros((4, 7))).eval().shape == (4, 7)
    with pytest.raises(ShapeError, match="axis 0 has length 4: it cannot broadcast"):
        Minibatch(numbered(10, 1), 4, broadcastable=(True, True))
    with pytest.raises(ShapeError, match=r"broadcastable \(True,\) for data with 2 axes"):
        Minibatch(numbered(10, 1), 4, broadcastable=(True,))


@pytest.mark.parametrize(
    ("data", "batch_size", "error", "message"),
    [
        (numbered(10), 11, ShapeError, "batch_size 11 is more than the 10 that axis 0"),
        (numbered(10, 3), [2, 4], ShapeError, "batch_size 4 is more than the 3 that axis 1"),
        (numbered(10), 0, ValueError, "batch_size must be a whole number of at least 1, got 0"),
        (numbered(10), -3, ValueError, "batch_size must be a whole number of at least 1, got -3"),
        (
            numbered(10),
            [(-3, 1)],
            ValueError,
            "batch_size must be a whole number of at least 1, got -3",
        ),
        (numbered(10), True, ValueError, "a whole number of at least 1, got True"),
        (numbered(10), 2.5, ValueError, "a whole number of at least 1, got 2.5"),
        (numbered(10), "5", ValueError, "a whole number of at least 1, got '5'"),
        (numbered(10), [(2, 1, 1)], TypeError, r"is \(size, seed\), got \(2, 1, 1\)"),
        (numbered(10), [(2, -1)], ValueError, "random_seed must be .* got -1"),
        (numbered(10), [(2, "a")], ValueError, "random_seed must be .* got 'a'"),
        (numbered(10), [2, 2], ShapeError, "has 2 entries, the data 1 axes"),
        (numbered(10), [Ellipsis, 2, Ellipsis], ValueError, "one Ellipsis"),
        (numbered(0), 1, ValueError, r"there are no data, their shape is \(0,\)"),
        (numbered(3, 0), 1, ValueError, r"there are no data, their shape is \(3, 0\)"),
        (np.array(3.0), 1, ShapeError, "at least one axis, got a number"),
        (np.array([1, "a", None], dtype=object), 2, TypeError, "their dtype is object"),
        (np.array([1, 2], dtype=object), 2, TypeError, r"astype\('float64'\)"),
        (np.array(["a", "b"]), 2, TypeError, "their dtype is <U1"),
        (np.array([1j, 2]), 2, TypeError, "their dtype is complex128"),
        (np.ma.masked_greater(numbered(5), 3), 2, ImputationError, "1 of 5 values are masked"),
        (pt.vector("v"), 2, TypeError, "got the expression v"),
    ],
)
def test_bad_input_is_told_at_construction(data, batch_size, error, message):
    with pytest.raises(error, match=message):
        Minibatch(data, batch_size)
