"""A graph at the rows of a matrix in NumPy, in parts."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend import numpy_stack
from vibayes.backend.numpy_stack import StackInNumpy

D, FACTS = 5, np.array([0.3, -0.2])


@pytest.fixture
def data():
    return pytensor.shared(np.linspace(0.1, 1.0, 30), name="data", shape=(None,))


@pytest.fixture
def function(data):
    stack, facts = pt.matrix("stack", shape=(None, D)), pt.vector("facts")
    eta = data[:, None] * stack[:, None] / pt.exp(facts).sum()
    return StackInNumpy([stack, facts], [pt.log1p(eta**2).sum(axis=(1, 2)), pt.tanh(eta).sum(1)])


@pytest.fixture
def stack():
    return np.random.default_rng(1).normal(size=(41, D))


@pytest.fixture
def of_rows(function, monkeypatch):
    """Let parts be of at most so many rows."""

    def set_most(rows):
        work = function.work
        monkeypatch.setattr(numpy_stack, "PART", rows * work.numbers // work.operations + 1)
        function._most.clear()

    return set_most


def known(data, stack):
    eta = data.get_value()[:, None] * stack[:, None] / np.exp(FACTS).sum()
    return [np.log1p(eta**2).sum(axis=(1, 2)), np.tanh(eta).sum(1)]


@pytest.fixture
def without_threads(monkeypatch):
    monkeypatch.setattr(numpy_stack, "threads", lambda: None)


@pytest.mark.parametrize("rows", [1000, 21, 20, 3, 1])
def test_parts_make_no_difference(function, data, stack, of_rows, rows):
    whole = function.function(stack, FACTS)
    of_rows(rows)
    for found, one, right in zip(function(stack, FACTS), whole, known(data, stack), strict=True):
        np.testing.assert_array_equal(found, one)
        np.testing.assert_allclose(found, right, rtol=1e-12)


@pytest.mark.usefixtures("without_threads")
def test_one_core_computes_the_same_parts(function, data, stack, of_rows):
    of_rows(4)
    for found, right in zip(function(stack, FACTS), known(data, stack), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


def sizes(function, stack, monkeypatch):
    """Return of how many rows the parts are."""
    seen, code = [], function._code
    monkeypatch.setattr(
        function, "_code", lambda part, *args: seen.append(len(part)) or code(part, *args)
    )
    function(stack, FACTS)
    return seen


def test_parts_are_of_about_the_same_size_and_of_an_even_number(
    function, stack, of_rows, monkeypatch
):
    of_rows(14)
    assert sorted(sizes(function, stack, monkeypatch)) == [10, 10, 10, 11]


def test_a_small_stack_stays_whole(function, stack, monkeypatch):
    assert sizes(function, stack, monkeypatch) == []


def test_longer_data_make_smaller_parts(function, data, stack, of_rows, monkeypatch):
    of_rows(len(stack))
    assert sizes(function, stack, monkeypatch) == []
    data.set_value(np.linspace(0.1, 1.0, 90))
    assert len(sizes(function, stack, monkeypatch)) == 4
    for found, right in zip(function(stack, FACTS), known(data, stack), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


def test_threads_share_the_parts(function, stack, of_rows, monkeypatch):
    pool = numpy_stack.threads()
    if pool is None:
        pytest.skip("there is one core")
    of_rows(4)
    asked, map_ = [], pool.map
    monkeypatch.setattr(pool, "map", lambda f, parts: asked.append(parts) or map_(f, parts))
    function(stack, FACTS)
    assert asked == [[slice(41 * i // 12, 41 * (i + 1) // 12) for i in range(12)]]


def test_no_warning_of_an_overflow(stack, of_rows, recwarn):
    x = pt.matrix("x", shape=(None, D))
    function = StackInNumpy([x], [pt.exp(1000 * pt.abs(x)).sum(axis=1)])
    numpy_stack_part = function._parts
    function._parts = lambda rows: 4
    assert np.isinf(function(stack)[0]).any()
    assert numpy_stack_part(len(stack)) == 1
    assert not recwarn.list


def test_errors_of_a_part_are_raised(function, stack, of_rows, monkeypatch):
    def fail(*args):
        raise np.linalg.LinAlgError("no such matrix")

    of_rows(4)
    monkeypatch.setattr(function, "_code", fail)
    with pytest.raises(np.linalg.LinAlgError, match="no such matrix"):
        function(stack, FACTS)
