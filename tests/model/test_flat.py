import numpy as np
import pytensor.tensor as pt
import pytest

from vibayes import Model, Normal
from vibayes.backend.modes import evaluate
from vibayes.distributions.continuous import Exponential
from vibayes.model.flat import FlatLayout


@pytest.fixture
def layout():
    with Model() as model:
        Normal("a")
        Exponential("b", shape=3)
        Normal("c", shape=(2, 2))
        Normal("d", shape=(0,))
        Normal("e", shape=1)
    return FlatLayout(model.value_vars)


POINT = {
    "a": np.array(1.0),
    "b_log__": np.array([2.0, 3.0, 4.0]),
    "c": np.array([[5.0, 6.0], [7.0, 8.0]]),
    "d": np.zeros(0),
    "e": np.array([9.0]),
}


def test_slots_lie_one_after_the_other(layout):
    assert layout.size == 9
    assert [(s.name, s.start, s.stop) for s in layout.slots] == [
        ("a", 0, 1),
        ("b_log__", 1, 4),
        ("c", 4, 8),
        ("d", 8, 8),
        ("e", 8, 9),
    ]


def test_join_and_point_are_inverse(layout):
    vector = layout.join(POINT)
    np.testing.assert_array_equal(vector, np.arange(1.0, 10))
    point = layout.point(vector)
    assert point.keys() == POINT.keys()
    for name, value in POINT.items():
        assert point[name].shape == value.shape
        np.testing.assert_array_equal(point[name], value)


def test_point_of_a_stack_of_vectors(layout):
    stack = np.arange(2 * 4 * 9.0).reshape(2, 4, 9)
    point = layout.point(stack)
    assert point["a"].shape == (2, 4)
    assert point["c"].shape == (2, 4, 2, 2)
    np.testing.assert_array_equal(point["c"][1, 2], stack[1, 2, 4:8].reshape(2, 2))


def test_join_broadcasts_and_names_what_is_missing(layout):
    vector = layout.join(POINT | {"b_log__": 0.5, "c": [1, 2]})
    np.testing.assert_array_equal(vector[1:8], [0.5, 0.5, 0.5, 1, 2, 1, 2])
    with pytest.raises(KeyError, match="b_log__"):
        layout.join({"a": 1.0})


def test_split_is_the_symbolic_inverse(layout):
    vector = pt.vector("z", shape=(9,))
    parts = layout.split(vector)
    assert list(parts) == layout.value_vars
    for variable, part in parts.items():
        assert part.type.shape == variable.type.shape
    values = evaluate(list(parts.values()), {vector: layout.join(POINT)})
    for value, expected in zip(values, POINT.values(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_element_names(layout):
    names = [layout.element(i) for i in range(9)]
    assert names[:6] == ["a", "b_log__[0]", "b_log__[1]", "b_log__[2]", "c[0, 0]", "c[0, 1]"]
    assert names[8] == "e[0]"


def test_model_without_free_variables():
    layout = FlatLayout([])
    assert layout.size == 0
    assert layout.join({}).shape == (0,)
    assert layout.point(np.zeros(0)) == {}
