import pytest

import vibayes as vb
from vibayes.families.base import Group
from vibayes.families.known import FAMILIES
from vibayes.families.mean_field import MeanFieldGroup
from vibayes.flows import Flow, PlanarFlow
from vibayes.registry import Registry


class Thing:
    short_name = ""
    aliases = ()
    known: Registry = Registry("thing")

    def __init_subclass__(cls):
        Thing.known.add(cls)


class First(Thing):
    short_name = "first"
    aliases = ("1st",)


def test_names_and_aliases_find_a_class_in_any_case():
    assert Thing.known["first"] is Thing.known["1st"] is Thing.known["FIRST"] is First
    assert "First" in Thing.known
    assert Thing.known.name_of(First) == "first"


def test_a_subclass_without_a_name_has_none():
    class Nameless(First):
        pass

    assert (Nameless.short_name, Nameless.aliases) == ("", ())
    assert Thing.known["first"] is First
    assert Thing.known.name_of(Nameless) == ""


@pytest.mark.parametrize("names", [{"short_name": "first"}, {"aliases": ("1ST",)}])
def test_a_name_that_another_class_has_raises_and_names_both(names):
    with pytest.raises(TypeError, match=r"Other and .*\.First both have the name"):
        type("Other", (Thing,), names)
    assert Thing.known["first"] is First


def test_a_class_that_is_defined_again_takes_its_place():
    def cell():
        class Cell(Thing):
            short_name = "cell"

        return Cell

    first, second = cell(), cell()
    assert first is not second
    assert Thing.known["cell"] is second
    assert Thing.known.name_of(first) == ""


@pytest.mark.parametrize(
    ("base", "name"), [(Group, "mean_field"), (Flow, "planar"), (MeanFieldGroup, "MF")]
)
def test_families_and_flows_keep_their_names(base, name):
    with pytest.raises(TypeError, match=r"both have the name"):
        type("Intruder", (base,), {"short_name": name})
    assert FAMILIES["mean_field"] is MeanFieldGroup
    assert Flow.known["planar"] is PlanarFlow


def test_a_subclass_of_a_family_does_not_stand_for_it():
    class Mine(MeanFieldGroup):
        pass

    assert vb.Group.families()["mean_field"] is MeanFieldGroup
    assert Mine not in vb.Group.families().values()
