import pickle

import pytensor

from vibayes.backend.compiled import MOST_KEPT, Compiled


def test_something_is_made_once_for_each_key_and_precision():
    functions, made = Compiled(), []

    def make():
        made.append(pytensor.config.floatX)
        return len(made)

    assert functions.get("a", make) == functions.get("a", make) == 1
    with pytensor.config.change_flags(floatX="float32"):
        assert functions.get("a", make) == functions.get("a", make) == 2
    assert functions.get(("a", 1), make) == 3
    assert list(functions) == ["a", "a", ("a", 1)]
    functions.clear()
    assert functions.get("a", make) == 4


def test_what_is_compiled_is_not_pickled():
    functions = Compiled()
    functions.get("a", lambda: lambda: None)  # which could not be
    assert len(pickle.loads(pickle.dumps(functions))) == 0


def test_what_cannot_be_made_is_tried_again():
    functions = Compiled()
    for _ in range(2):
        try:
            functions.get("a", lambda: 1 / 0)
        except ZeroDivisionError:
            continue
        raise AssertionError
    assert not functions


def test_what_was_not_asked_for_the_longest_is_forgotten():
    functions = Compiled()
    for i in range(MOST_KEPT):
        functions.get(i, lambda i=i: i)
    assert functions.get(0, lambda: "made again") == 0  # so that 1 is the one of the longest ago
    functions.get("new", lambda: "new")
    assert len(functions) == MOST_KEPT
    assert functions.get(0, lambda: "made again") == 0
    assert functions.get(1, lambda: "made again") == "made again"
