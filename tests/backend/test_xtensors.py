import numpy as np
import pytensor.tensor as pt
import pytensor.xtensor as px
import pytest
from pytensor.graph.traversal import ancestors
from pytensor.xtensor.type import xtensor, xtensor_shared

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.backend.xtensors import along, has_xtensors, in_tensors, is_xtensor, leading

A = np.arange(6.0).reshape(2, 3)


def named(value, *dims):
    return px.as_xtensor(pt.as_tensor_variable(value), dims=dims)


def test_an_xtensor_is_the_tensor_of_its_axes_in_order():
    x = named(A, "row", "column") * named([1.0, 10.0], "row")
    (tensor,) = in_tensors([x.transpose("column", "row")])
    assert not has_xtensors([tensor])
    np.testing.assert_array_equal(evaluate([tensor])[0], (A * [[1], [10]]).T)


def test_parts_without_xtensors_stay_the_variables_that_they_are():
    """A random variable above all, which a copy would draw another time."""
    rv = vb.Normal.dist(0.0, 1.0, shape=3)
    part = pt.exp(rv)
    x = named(part, "row").sum("row")
    tensor, same, other = in_tensors([x, rv, part + 1])
    assert same is rv
    assert {rv, part} <= set(ancestors([tensor]))
    assert part in other.owner.inputs
    total, draws = evaluate([tensor, part])
    assert total == draws.sum()


def test_indices_and_slices():
    x = named(A, "row", "column")
    at = named(np.array([1, 1, 0, 1]), "draw")
    picked = x.isel(row=at).isel(column=slice(None, -1))
    np.testing.assert_array_equal(evaluate(in_tensors([picked]))[0], A[[1, 1, 0, 1], :2])


def test_shared_values_are_those_of_the_xtensor():
    x = xtensor_shared(A, dims=("row", "column"))
    first, second = in_tensors([x + 1]), in_tensors([x * 2])
    x.set_value(A + 5)
    np.testing.assert_array_equal(evaluate(first)[0], A + 6)
    np.testing.assert_array_equal(evaluate(second)[0], 2 * A + 10)


def test_what_has_no_value_is_named():
    with pytest.raises(ValueError, match="the xtensor x has no value"):
        in_tensors([xtensor("x", dims=("row",)) + 1])


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("row", "column"), (2, 3)),
        (("column", "row"), (3, 2)),
        (("other", "row", "column"), (2, 3)),
        (("row", "other", "column"), (2, 1, 3)),
        (("column", "other"), (3, 1, 2)),  # the name that is not there comes last
        ((), (2, 3)),
    ],
)
def test_along_the_dims_of_a_variable(dims, shape):
    assert in_tensors([along(named(A, "row", "column"), dims)])[0].type.shape == shape


def test_leading_axes_are_kept_and_others_summed():
    x = named(A, "row", "column")
    values = evaluate(in_tensors([leading(x, d) for d in (("column", "k"), ("k", "row"), ())]))
    np.testing.assert_array_equal(values[0], A.sum(axis=0))
    assert values[1] == values[2] == A.sum()


def test_nothing_else_is_an_xtensor():
    assert not any(map(is_xtensor, (pt.vector(), A, None, "x")))
    plain = [pt.vector("v") + 1]
    assert in_tensors(plain)[0] is plain[0]
