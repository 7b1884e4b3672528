import numpy as np
import pytensor
import pytest

from vibayes.settings import ComparedBySettings, attributes, key_of, settings_key


class Setting:
    def __init__(self, width=1.0):
        self.width = width


class Slotted:
    __slots__ = ("width",)

    def __init__(self, width):
        self.width = width


class Compared(ComparedBySettings):
    def __init__(self, **settings):
        self.__dict__.update(settings)


@pytest.mark.parametrize("make", [Setting, Slotted])
def test_attributes_are_those_of_dictionaries_and_slots(make):
    assert attributes(make(2.0)) == {"width": 2.0}


def test_declared_settings_make_a_key():
    assert settings_key(Setting(1.0), ["width"]) == settings_key(Setting(1.0), ["width"])
    assert settings_key(Setting(1.0), ["width"]) != settings_key(Setting(2.0), ["width"])


@pytest.mark.parametrize("make", [Setting, Slotted])
def test_an_attribute_that_is_not_declared_leaves_no_key(make):
    assert settings_key(make(1.0), []) is None
    assert settings_key(make(1.0), [], derived=["width"]) is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0], dtype="float32")),
        (np.zeros(2), np.zeros((2, 1))),
        (1, True),
        (1, 1.0),
        ([1, 2], (1, 2)),
        ({"a": 1}, {"a": 2}),
        (None, "none"),
        (pytensor.shared(1.0), pytensor.shared(1.0)),
        (lambda x: x, lambda x: x),
    ],
)
def test_different_values_have_different_keys(a, b):
    assert key_of(a) != key_of(b)
    assert key_of(a) == key_of(a) is not None


def test_equal_values_have_equal_keys():
    assert key_of({"a": [np.arange(3), None]}) == key_of({"a": [np.arange(3), None]})


@pytest.mark.parametrize("value", [{1, 2}, [{1, 2}], np.array([object()]), {"a": bytearray()}])
def test_what_cannot_be_compared_has_no_key(value):
    assert key_of(value) is None


def test_compared_objects_are_equal_with_equal_attributes_only():
    assert Compared(width=np.ones(2)) == Compared(width=np.ones(2))
    assert hash(Compared(width=1)) == hash(Compared(width=2))
    assert Compared(width=np.ones(2)) != Compared(width=np.zeros(2))
    assert Compared(width=1) != Compared(width=1, depth=2)
    assert Compared(width=1) != type("Other", (Compared,), {})(width=1)
    unknown = Compared(width={1, 2})
    assert unknown == unknown
    assert unknown != Compared(width={1, 2})
