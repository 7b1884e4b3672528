from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend.fingerprints import UnknowableError, fingerprint, graph_fingerprint


def adding(n):
    return lambda x: x + n


class Plain:
    def __init__(self, value):
        self.value = value


SAME_AND_OTHER = {
    "number": (lambda: 1, lambda: 1.0),
    "array": (lambda: np.arange(3), lambda: np.arange(3)[::-1]),
    "dtype": (lambda: np.arange(3.0), lambda: np.arange(3.0, dtype="float32")),
    "shape": (lambda: np.ones((2, 3)), lambda: np.ones((3, 2))),
    "objects": (lambda: np.array(["a", None]), lambda: np.array(["b", None])),
    "set": (lambda: {"a", "b", "c"}, lambda: {"a", "b", "d"}),
    "mapping": (lambda: {"a": 1, "b": 2}, lambda: {"a": 2, "b": 1}),
    "closure": (lambda: adding(1), lambda: adding(2)),
    "code": (lambda: lambda x: x + 1, lambda: lambda x: x - 1),
    "partial": (lambda: partial(adding, n=1), lambda: partial(adding, n=2)),
    "object": (lambda: Plain([1]), lambda: Plain([2])),
    "ufunc": (lambda: np.sin, lambda: np.cos),
    "generator": (lambda: np.random.default_rng(1), lambda: np.random.default_rng(2)),
    "graph": (lambda: pt.exp(pt.vector("x")), lambda: pt.log(pt.vector("x"))),
    "numbers": (lambda: pt.vector("x") + 1, lambda: pt.vector("x") + 2),
    "axis": (lambda: pt.matrix("x").sum(0), lambda: pt.matrix("x").sum(1)),
    "order": (lambda: pt.scalar("x") - pt.scalar("y"), lambda: pt.scalar("y") - pt.scalar("x")),
    "shared": (lambda: pytensor.shared(np.ones(2)), lambda: pytensor.shared(np.zeros(2))),
    "scan": (
        lambda: pytensor.scan(
            lambda a, b: a + b, pt.vector("x"), pt.scalar("s"), return_updates=False
        ),
        lambda: pytensor.scan(
            lambda a, b: a * b, pt.vector("x"), pt.scalar("s"), return_updates=False
        ),
    ),
}


@pytest.mark.parametrize("kind", SAME_AND_OTHER)
def test_equal_values_have_equal_fingerprints_and_others_have_others(kind):
    same, other = SAME_AND_OTHER[kind]
    assert fingerprint(same()) == fingerprint(same())
    assert fingerprint(same()) != fingerprint(other())


def test_what_holds_itself():
    a, b = [1], [1]
    a.append(a)
    b.append(b)
    assert fingerprint(a) == fingerprint(b)


def test_what_shows_nothing_of_itself_has_no_fingerprint():
    with pytest.raises(UnknowableError, match="list_iterator"):
        fingerprint({"a": iter([1])})


def test_arrays_are_told_apart_from_the_structure():
    def graph(data):
        return pt.vector("x") + pt.constant(data, name="rows")

    a, b = (graph_fingerprint([graph(np.arange(n) + 1.0)]) for n in (3, 4))
    assert a.structure == b.structure
    assert [label for label, _ in a.data] == ["rows of shape (3,)"]
    assert a.data != b.data


def test_values_that_a_fit_changes_do_not_count():
    first, second = (pytensor.shared(np.full(2, v), name="s") for v in (1.0, 2.0))
    prints = [graph_fingerprint([2 * s], changing=[s]) for s in (first, second)]
    assert prints[0] == prints[1]
