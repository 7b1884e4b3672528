import pickle

import pytensor

from vibayes.backend.compiled import Compiled


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
