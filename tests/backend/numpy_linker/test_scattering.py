"""Sums of groups in place of element by element."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.numpy_linker import scattering

GROUP = np.array([2, 0, 0, -1, 2, 1, 2])
INDICES = {
    "first axis": (4, (GROUP,)),
    "second axis": ((3, 4), (slice(None), GROUP)),
    "beside a number": ((4, 2), (GROUP, 1)),
    "a number first": ((2, 4), (-1, GROUP)),
    "a number, of a stack": ((3, 4, 2), (slice(None), GROUP, 0)),
    "between axes": ((3, 4, 5), (slice(None), GROUP)),
    "apart from a number": ((4, 3, 2), (GROUP, slice(None), 1)),
    "a number first, apart": ((2, 3, 4), (1, slice(None), GROUP)),
    "a part of an axis": ((3, 6, 2), (slice(None, 2), GROUP, 0)),
    "every other": ((6, 4), (slice(None, None, 2), GROUP)),
}


def added_to(shape, index, rng, dtype="float64", y=None):
    """Return what is computed, and what NumPy adds one at a time."""
    x = rng.normal(size=shape).astype(dtype)
    own = rng.normal(size=x[index].shape).astype(dtype) if y is None else y
    X, Y = pt.tensor("x", dtype=dtype, shape=x.shape), pt.as_tensor(own).type("y")
    f = pytensor.function([X, Y], pt.inc_subtensor(X[index], Y), mode=EVALUATE_MODE)
    expected = x.copy()
    np.add.at(expected, index, own)
    before = x.copy()
    found = f(x, own)
    np.testing.assert_array_equal(x, before)  # inputs are never written to
    return found, expected


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", INDICES)
def test_as_one_element_after_the_other(kind, dtype, rng, monkeypatch):
    calls = []
    sums = scattering.group_sums
    monkeypatch.setattr(scattering, "group_sums", lambda *args: calls.append(1) or sums(*args))
    found, expected = added_to(*INDICES[kind], rng, dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype == "float64" else 1e-5)
    assert found.dtype == dtype
    assert calls


def test_one_number_for_all(rng):
    found, expected = added_to((3, 4), (slice(None), GROUP), rng, y=np.array(0.5))
    np.testing.assert_allclose(found, expected)


def test_indices_of_small_whole_numbers(rng):
    group = GROUP.astype("int8")
    found, expected = added_to((200,), (group,), rng)
    np.testing.assert_allclose(found, expected)


def test_an_index_without_elements(rng):
    found, expected = added_to((4,), (np.zeros(0, "int64"),), rng)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("wrong", [4, -5])
def test_an_index_out_of_bounds(wrong, rng):
    x, y, group = pt.vector("x"), pt.vector("y"), pt.lvector("group")
    f = pytensor.function([x, y, group], pt.inc_subtensor(x[group], y), mode=EVALUATE_MODE)
    with pytest.raises(IndexError, match="out of bounds"):
        f(np.ones(4), np.ones(2), np.array([0, wrong]))


@pytest.mark.parametrize(
    "index", [(GROUP[None],), (GROUP[:, None], np.arange(2)), (np.arange(4) > 1,)]
)
def test_other_indices(index, rng):
    found, expected = added_to((4, 2), index, rng)
    np.testing.assert_allclose(found, expected)
