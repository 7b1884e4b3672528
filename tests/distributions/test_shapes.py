import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.distributions.shapes import (
    as_shape,
    broadcast_static,
    fits,
    known_lengths,
    same_shape,
)
from vibayes.exceptions import ShapeError


def test_whatever_can_stand_for_a_shape():
    for shape in (3, 3.0, np.int8(3), np.array(3), [3], (3,), np.array([3])):
        assert as_shape(shape, "x") == (3,)
    assert as_shape((), "x") == ()
    length = pt.lscalar()
    assert as_shape((2, length), "x") == (2, length)
    assert as_shape(length, "x") == (length,)
    assert len(as_shape(pt.lvector(shape=(2,)), "x")) == 2


@pytest.mark.parametrize("shape", [2.5, -1, True, "3", (2, "3"), [2, None]])
def test_what_is_no_shape(shape):
    with pytest.raises(ValueError, match="x: size must be a whole number of at least 0, got "):
        as_shape(shape, "x", "size")


def test_known_lengths():
    x = pt.tensor(shape=(2, None, 3))
    two, unknown = known_lengths(x, 2)
    assert two == 2
    assert unknown.eval({x: np.zeros((2, 5, 3), pytensor.config.floatX)}) == 5


def test_broadcast_of_shapes_known_in_part():
    assert broadcast_static() == ()
    assert broadcast_static((3, 1), (2,)) == (3, 2)
    assert broadcast_static((None, 1), (4, 1), (1,)) == (4, 1)
    assert broadcast_static((None,), (1,)) == (None,)
    with pytest.raises(ShapeError, match="do not broadcast"):
        broadcast_static((3,), (2,))


def test_what_fits_into_what():
    assert fits((1, 3), (4, 3))
    assert fits((3,), (4, 3))
    assert fits((None,), (4, 3))
    assert fits((2,), (None,))
    assert not fits((4, 3), (3,))
    assert not fits((2,), (1,))


def test_shapes_that_agree_where_both_are_known():
    assert same_shape((2, None), (2, 3))
    assert same_shape((), ())
    assert not same_shape((2,), (3,))
    assert not same_shape((2, 1), (2,))
