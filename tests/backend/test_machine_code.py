"""A graph of a vector at the rows of a matrix, in machine code."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend import machine_code
from vibayes.backend.machine_code import StackInMachineCode
from vibayes.backend.modes import EVALUATE_MODE

D = 5


@pytest.fixture(scope="module")
def graph():
    """Return a vector, another input, data, and two results of them."""
    data = pytensor.shared(np.linspace(0.1, 1.0, 30), name="data")
    x, facts = pt.vector("x", dtype="float64", shape=(D,)), pt.vector("facts", dtype="float64")
    scale = pt.exp(facts).sum()
    eta = data[:, None] * x / scale
    return x, facts, data, [pt.log1p(eta**2).sum(), pt.tanh(eta).sum(0) + x[::-1]]


@pytest.fixture(scope="module")
def code(graph):
    x, facts, _, outputs = graph
    return StackInMachineCode(x, [facts], outputs, 300)


@pytest.fixture
def stack():
    return np.random.default_rng(1).normal(size=(41, D))


FACTS = np.array([0.3, -0.2])


def expected(graph, stack):
    x, facts, _, outputs = graph
    function = pytensor.function([x, facts], outputs, mode=EVALUATE_MODE)
    return [np.array(part) for part in zip(*(function(row, FACTS) for row in stack), strict=True)]


def test_each_row_is_what_the_graph_is_there(graph, code, stack):
    for found, known in zip(code(stack, FACTS), expected(graph, stack), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-13)
    assert code(stack[:0], FACTS)[1].shape == (0, D)


@pytest.fixture
def asked(monkeypatch):
    """What is left to other threads."""
    pool = machine_code.threads()
    if pool is None:
        pytest.skip("there is one core")
    found, submit = [], pool.submit
    monkeypatch.setattr(pool, "submit", lambda *args: found.append(args) or submit(*args))
    return found


@pytest.mark.parametrize("count", [2, 4])
def test_threads_make_no_difference(code, stack, asked, monkeypatch, count):
    alone = code(stack, FACTS)
    monkeypatch.setattr(machine_code, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(machine_code, "cores", lambda: count)
    for found, known in zip(code(stack, FACTS), alone, strict=True):
        np.testing.assert_array_equal(found, known)
    sizes = [len(args[1]) for args in asked]
    assert len(sizes) == count - 1
    assert min(sizes) >= len(stack) // count
    assert max(sizes) <= len(stack) // count + 1
    np.testing.assert_array_equal(code(stack[:1], FACTS)[1], alone[1][:1])
    assert len(asked) == count - 1


def test_a_thread_has_enough_to_do(code, stack, asked, monkeypatch):
    monkeypatch.setattr(machine_code, "WORTH_A_THREAD", code._numbers * len(stack) // 3)
    monkeypatch.setattr(machine_code, "cores", lambda: 16)
    code(stack, FACTS)
    assert len(asked) == 2


def test_data_may_be_of_another_length_afterwards(graph, code, stack):
    *_, data, _ = graph
    before = data.get_value()
    data.set_value(np.array([2.0, 3.0]))
    for found, known in zip(code(stack, FACTS), expected(graph, stack), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-13)
    data.set_value(before)


def test_what_does_not_depend_on_the_row_is_computed_once(code):
    setup, _, step = code._code.source.rpartition("for row0 in range")
    assert "exp(" in setup
    assert "exp(" not in step


def test_results_need_known_lengths(graph):
    x, facts, data, _ = graph
    with pytest.raises(TypeError, match="known lengths"):
        StackInMachineCode(x, [facts], [data * x[0]], 1)
    y = pt.vector("y", dtype="float64")
    with pytest.raises(TypeError, match="known lengths"):
        StackInMachineCode(y, [], [y.sum()], 1)
