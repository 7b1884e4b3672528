import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.special import softmax

from vibayes.backend.expressions import (
    argument_of_exp,
    argument_of_sigmoid,
    argument_of_softmax,
    display_name,
    is_cast_or_copy,
    is_random_variable,
)


@pytest.mark.parametrize(
    ("function", "argument_of"),
    [
        (pt.exp, argument_of_exp),
        (pt.sigmoid, argument_of_sigmoid),
        (lambda x: softmax(x, axis=-1), argument_of_softmax),
    ],
)
def test_arguments_are_found_through_copies(function, argument_of):
    x = pt.vector("x")
    assert argument_of(function(x)) is x
    assert argument_of(pt.tensor_copy(function(x))) is x
    assert argument_of(function(x) + 1) is None
    assert argument_of(x) is None


def test_softmax_along_another_axis_is_another_function():
    assert argument_of_softmax(softmax(pt.matrix(), axis=0)) is None


def test_kinds_of_operations():
    x = pt.vector("x")
    assert is_cast_or_copy(x.astype("int8").owner.op)
    assert is_cast_or_copy(pt.tensor_copy(x).owner.op)
    assert not is_cast_or_copy(pt.exp(x).owner.op)
    assert not is_cast_or_copy(x.sum().owner.op)
    draw = pt.random.normal(rng=pytensor.shared(np.random.default_rng(1)))
    assert is_random_variable(draw.owner.op)
    assert not is_random_variable(pt.exp(x).owner.op)


def test_random_variables_are_displayed_by_their_names():
    draw = pt.random.normal(rng=pytensor.shared(np.random.default_rng(1)))
    assert display_name(draw) == "Normal"
