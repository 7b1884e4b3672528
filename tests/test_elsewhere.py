"""Names of PyMC that are not here say what is in their place, and that there is such a thing."""

import re

import pytest

import vibayes as vb
from vibayes import elsewhere

OF_PACKAGE = elsewhere.OF_PYMC | elsewhere.OF_OLDER_PYMC
OF_MODEL = elsewhere.OF_MODELS | elsewhere.OF_OLDER_MODELS


@pytest.mark.parametrize("name", ["Metropolis", "MutableData", "traceplot"])
def test_a_name_of_the_package(name):
    place = OF_PACKAGE[name].replace("`", "")
    with pytest.raises(AttributeError, match=re.escape(f"no attribute '{name}': {place}")):
        getattr(vb, name)


@pytest.mark.parametrize("name", ["prefix", "test_point"])
def test_a_name_of_models(name):
    place = OF_MODEL[name].replace("`", "")
    with pytest.raises(AttributeError, match=re.escape(f"no attribute '{name}': {place}")):
        getattr(vb.Model(), name)


def test_other_names_are_told_as_ever():
    with pytest.raises(AttributeError, match=r"^module 'vibayes' has no attribute 'nonsense'$"):
        vb.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match=r"^'Model' object has no attribute 'nonsense'$"):
        vb.Model().nonsense  # noqa: B018


def test_what_is_here_is_not_said_to_be_elsewhere():
    assert not [name for name in OF_PACKAGE if hasattr(vb, name)]
    assert not [name for name in OF_MODEL if hasattr(vb.Model("inner"), name)]


def test_the_places_exist():
    said = " ".join([*OF_PACKAGE.values(), *OF_MODEL.values()])
    for path in re.findall(r"`vb\.([\w.]+)`", said):
        thing = vb
        for part in path.split("."):
            thing = getattr(thing, part)
    for name in re.findall(r"`model\.(\w+)`", said):
        assert hasattr(vb.Model(), name)
