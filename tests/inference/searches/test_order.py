"""In which order an automatic fit tries what is dear."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from vibayes.inference.searches import auto
from vibayes.inference.searches.tried import Tried


@dataclass(frozen=True)
class Known:
    """What is known of a posterior in some coordinates, without the posterior."""

    name: str
    target: SimpleNamespace
    trusted: bool = False
    moved: bool = False
    draws: None = None


@pytest.fixture
def sides(monkeypatch):
    """Return an exploration in the model's own coordinates, and one in others; and what is done."""
    done = []
    own, other = (
        Known(name, SimpleNamespace(is_standardized=name == "other", by_rows=False))
        for name in ("own", "other")
    )

    def improvements(side, rng, budget):
        done.append(f"chains, {side.name}")
        yield side

    def given_parameters(side, rng, budget):
        done.append(f"parameters, {side.name}")
        return side

    monkeypatch.setattr(auto, "standardized", lambda run: other.target)
    monkeypatch.setattr(auto, "non_centred", lambda run, tried, target: (tried, other))
    monkeypatch.setattr(auto, "improvements", improvements)
    monkeypatch.setattr(auto, "given_parameters", given_parameters)
    monkeypatch.setattr(auto, "name_of", lambda exploration: "")
    monkeypatch.setattr(Tried, "noted", lambda self, *args: self)
    return own, other, done


def tried(own):
    run = SimpleNamespace(rng=None, budget=SimpleNamespace(is_late=False, elapsed=0.0))
    return [known.exploration for known in auto.better(run, Tried(own))]


def test_mixtures_for_parameters_before_chains_and_those_that_suit_first(sides):
    own, _, done = sides
    assert tried(own)[-1] is own  # nothing has come of either
    assert done == ["parameters, own", "parameters, other", "chains, other", "chains, own"]


def test_what_is_trusted_ends_it(sides, monkeypatch):
    own, other, done = sides
    better = Known("better", other.target, trusted=True)

    def given_parameters(side, rng, budget):
        return better if side is other else side

    monkeypatch.setattr(auto, "given_parameters", given_parameters)
    assert tried(own)[-1] is better
    assert done == []


def test_chains_are_expected_before_anything_is_evaluated_in_other_coordinates(monkeypatch):
    """So that what they need is compiled before, if it is to be."""
    done = []

    def suited(*args):
        done.append("coordinates")
        raise KeyboardInterrupt

    monkeypatch.setattr(auto, "suited", suited)
    run = SimpleNamespace(rng=None, budget=None)
    with pytest.raises(KeyboardInterrupt):
        auto.non_centred(run, Tried(None), SimpleNamespace(expect=done.append))
    assert done == [auto.LIKELY_GRADIENTS, "coordinates"]


@pytest.mark.parametrize("losses", [0, 1, 2])
def test_draws_that_lose_trust_as_they_grow_are_made_better(monkeypatch, losses):
    """Once by what there is to try, and the second time by chains."""
    done = []

    def grown(exploration, rng, budget):
        done.append("more draws")
        return replace(exploration, trusted=done.count("more draws") > losses)

    def by(name):
        def tries(run, tried):
            done.append(name)
            yield replace(tried, exploration=replace(tried.exploration, trusted=True))

        return tries

    monkeypatch.setattr(auto, "enlarge", grown)
    monkeypatch.setattr(auto, "better", by("whatever there is"))
    monkeypatch.setattr(auto, "improved_in_its_coordinates", by("chains"))
    run = SimpleNamespace(rng=None, budget=None)
    known = auto.enlarged(run, Tried(Known("own", SimpleNamespace(), trusted=True)))
    assert known.exploration.trusted
    every = ["more draws", "whatever there is", "more draws", "chains", "more draws"]
    assert done == every[: 2 * losses + 1]
