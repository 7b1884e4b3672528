"""The model that is open, and what may be given in the place of a model."""

import threading

import pytest

from vibayes import MeanField, Model, Normal, from_pymc, modelcontext
from vibayes.context import CONVERTERS, register_converter


def test_modelcontext_is_the_innermost_open_model():
    with pytest.raises(TypeError, match="No model is open"):
        modelcontext()
    with Model() as outer:
        assert modelcontext() is outer
        with Model() as inner:
            assert modelcontext() is inner
            assert modelcontext(outer) is outer
        assert modelcontext() is outer
    with pytest.raises(TypeError, match="No model is open"):
        Normal("x")


def test_context_is_left_on_error_and_can_be_entered_again():
    model = Model()
    with pytest.raises(ZeroDivisionError), model:
        raise ZeroDivisionError
    with pytest.raises(TypeError, match="No model is open"):
        modelcontext()
    with model:
        Normal("x")
    with model:
        Normal("y")
    assert [rv.name for rv in model.free_RVs] == ["x", "y"]


def test_each_thread_has_its_own_context():
    models, n_threads = {}, 4
    meet = threading.Barrier(n_threads, timeout=30)

    def write(i):
        with Model() as models[i]:
            meet.wait()
            Normal(f"x{i}")
            meet.wait()
            Normal(f"y{i}")
            meet.wait()

    threads = [threading.Thread(target=write, args=(i,)) for i in range(n_threads)]
    with Model() as outside:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outside.named_vars == {}
    for i in range(n_threads):
        assert models[i].parent is None
        assert [rv.name for rv in models[i].free_RVs] == [f"x{i}", f"y{i}"]


def test_what_is_no_model():
    with pytest.raises(TypeError, match="must be a vibayes, PyMC or Bambi model, got 3"):
        MeanField(model=3)
    with pytest.raises(TypeError, match="must be a PyMC or Bambi model, got 3"):
        from_pymc(3)
    with pytest.raises(TypeError, match="must be a PyMC or Bambi model"):
        from_pymc(Model())


def test_converters_register_themselves():
    class Foreign:
        pass

    model = Model()

    @register_converter
    def converted(thing):
        return model if isinstance(thing, Foreign) else None

    try:
        assert modelcontext(Foreign()) is model
    finally:
        CONVERTERS.remove(converted)
    with pytest.raises(TypeError, match="must be a vibayes, PyMC or Bambi model"):
        modelcontext(Foreign())
