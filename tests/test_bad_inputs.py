"""Bad inputs to everything that is public: refused by name, or taken as they are meant."""

import logging
from collections import Counter

import pytest
from helpers import bad_inputs
from helpers.bad_inputs import AS_MEANT, CLEAR, CRASH, FINE, HANG, OBSCURE, WRONG, report
from helpers.public_calls import EXEMPT, Target, public, uncovered

COUNT = 10_000
MOST_OBSCURE = 0.02


@pytest.fixture(scope="module", autouse=True)
def silent():
    level = logging.getLogger("vibayes").level
    logging.getLogger("vibayes").setLevel(logging.ERROR)
    yield
    logging.getLogger("vibayes").setLevel(level)


def check(found):
    counts = Counter(outcome.verdict for outcome in found)
    assert not counts[CRASH] + counts[HANG] + counts[WRONG], report(found)
    assert counts[OBSCURE] <= MOST_OBSCURE * len(found), report(found)


def test_every_public_name_and_argument_is_reached():
    assert uncovered() == []
    assert EXEMPT.keys() <= public().keys()
    reached = {t.name.split("(")[0].removesuffix(".dist") for t in bad_inputs.all_targets()}
    objects = [public()[name] for name in reached & public().keys()]  # a few have two names
    missing = {name for name, value in public().items() if value not in objects}
    assert missing == EXEMPT.keys()


def test_a_new_function_without_an_entry_is_named(monkeypatch):
    names = public()
    monkeypatch.setattr("helpers.public_calls.public", lambda: names | {"new": lambda x: x})
    assert [line.split(":")[0] for line in uncovered()] == ["new"]


def test_bad_inputs_are_refused_by_name_or_taken_as_meant():
    found = [bad_inputs.outcome_of(*pair) for pair in bad_inputs.inputs(2, 120)]
    check(found)
    counts = Counter(outcome.verdict for outcome in found)
    assert counts[CLEAR] > 80
    assert counts[AS_MEANT] > 5


@pytest.mark.slow
def test_ten_thousand_bad_inputs_in_processes_of_their_own():
    found = bad_inputs.outcomes(1, COUNT)
    print(report(found))
    check(found)


# -- the judge itself -----------------------------------------------------------------------------


def judged(call, kind, value, optional=False):
    target = Target("f", "x", kind, call, optional)
    return bad_inputs.outcome_of(target, value).verdict


def refuse(message):
    def call(value):
        raise TypeError(message)

    return call


@pytest.mark.parametrize(
    ("call", "kind", "value", "verdict"),
    [
        (refuse("f: x must be a number, got 'no'"), float, "a word", CLEAR),
        (refuse("must be a number"), float, "a word", OBSCURE),
        (refuse("x"), float, "a word", OBSCURE),
        (refuse("unsupported operand type(s) for +"), float, "a word", OBSCURE),
        (lambda x: None, float, "a word", WRONG),
        (lambda x: None, bool, "a word", WRONG),
        (lambda x: None, bool, "true", FINE),
        (lambda x: None, str, "a word", FINE),
        (lambda x: None, list[str], "words", FINE),
        (lambda x: None, list[str], "a list", WRONG),
        (lambda x: float(x), float, "a decimal", AS_MEANT),
        (lambda x: 0.0, float, "a list", WRONG),
        (lambda x: [1.0] if hasattr(x, "iloc") else [2.0], "numbers", "a column", FINE),
        (lambda x: None, "seed", "numbers in texts", WRONG),
        (lambda x: None, "seed", "a random generator", FINE),
    ],
)
def test_the_judge(call, kind, value, verdict):
    if verdict == FINE and kind == "numbers":  # results of which nothing is known tell nothing
        verdict = AS_MEANT
    assert judged(call, kind, value) == verdict


@pytest.mark.ci
def test_a_crash_and_a_hang_are_told(tmp_path, monkeypatch):
    program = tmp_path / "inputs.py"
    program.write_text(
        "import json, os, sys, time\n"
        "start = int(sys.argv[3])\n"
        "for i in range(start, 4):\n"
        "    print(json.dumps([i, f'input {i}']), flush=True)\n"
        "    if i == 1: os.abort()\n"
        "    if i == 2: time.sleep(60)\n"
        "    print(json.dumps([i, f'input {i}', 'refused clearly', '']), flush=True)\n"
    )
    monkeypatch.setattr(bad_inputs, "__file__", str(program))
    found = bad_inputs.outcomes(1, 4, seconds=0.5)
    assert [o.verdict for o in found] == [CLEAR, CRASH, HANG, CLEAR]
    assert found[1].input == "input 1"
