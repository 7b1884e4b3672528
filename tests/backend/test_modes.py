import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import get_mode

from vibayes.backend.jax import JaxDevices
from vibayes.backend.modes import (
    AS_IT_IS,
    EVALUATE_MODE,
    compiled_code,
    evaluate,
    profiling_mode,
    resolve_mode,
    resolve_steps_mode,
)
from vibayes.backend.numba_linker import numba_mode
from vibayes.flags import config


def test_modes_by_name():
    assert resolve_mode() is resolve_mode("numba") is numba_mode()
    assert resolve_mode("py") is EVALUATE_MODE
    assert resolve_mode("c") == "CVM"
    assert resolve_mode(mode="FAST_COMPILE") == "FAST_COMPILE"
    with pytest.raises(ValueError, match="either backend or mode"):
        resolve_mode("py", "FAST_COMPILE")
    with pytest.raises(ValueError, match="'numba', 'c' or 'py', got 'fortran'"):
        resolve_mode("fortran")


def test_modes_of_steps_by_name(monkeypatch):
    monkeypatch.delenv("VIBAYES_BACKEND", raising=False)
    assert resolve_steps_mode() is resolve_steps_mode("numba") is numba_mode()
    assert resolve_steps_mode(mode="FAST_COMPILE") == "FAST_COMPILE"
    monkeypatch.setenv("VIBAYES_BACKEND", "py")
    assert resolve_steps_mode() is EVALUATE_MODE
    assert resolve_steps_mode("c") == "CVM"
    assert resolve_steps_mode(mode="FAST_COMPILE") == "FAST_COMPILE"
    with config.change_flags(backend="c"):
        assert resolve_steps_mode() == "CVM"
        assert resolve_steps_mode("py") is EVALUATE_MODE
    monkeypatch.setenv("VIBAYES_BACKEND", "fortran")
    with pytest.raises(
        ValueError, match=r"VIBAYES_BACKEND.*'jax', 'numba', 'c', 'py', got 'fortran'"
    ):
        resolve_steps_mode()
    with pytest.raises(ValueError, match=r"^backend must be one of .*, got 'pascal'"):
        resolve_steps_mode("pascal")
    with pytest.raises(ValueError, match="either backend or mode"):
        resolve_steps_mode("jax", "FAST_COMPILE")
    with pytest.raises(ValueError, match=r"devices=\['a'\] is for backend='jax'"):
        resolve_steps_mode("numba", devices=["a"])
    with pytest.raises(ValueError, match="device='a' is for backend='jax'"):
        resolve_steps_mode(mode="FAST_COMPILE", device="a")


def test_jax_by_name(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("VIBAYES_BACKEND", "jax")
    found = [resolve_steps_mode(), resolve_steps_mode("jax"), resolve_steps_mode(mode="JAX")]
    found.append(resolve_steps_mode(mode=get_mode("JAX")))
    assert set(found) == {JaxDevices()}
    with pytest.raises(ValueError, match="steps of a fit alone"):
        resolve_mode("jax")


def test_jax_that_is_missing_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ImportError, match=r"backend='jax' needs .*pip install jax "):
        resolve_steps_mode("jax")


def test_a_profile_is_of_single_operations():
    assert profiling_mode("FAST_COMPILE") == "FAST_COMPILE"
    x = pt.vector("x")
    function = pytensor.function([x], pt.exp(x) + 1, mode=profiling_mode())
    np.testing.assert_allclose(function([0.0]), 2)
    assert get_mode(profiling_mode()).linker.use_cloop is False


def test_values_of_expressions():
    x = pt.vector("x", dtype="float32")
    total, unused = evaluate([x.sum(), pt.constant(3)], {x: [1, 2], pt.scalar(): 1})
    assert total == 3
    assert total.dtype == "float32"
    assert unused == 3


def test_a_graph_can_be_run_as_it_is():
    x = pt.vector("x")
    function = pytensor.function([x], x * 1 + 0, mode=AS_IT_IS)
    assert len(function.maker.fgraph.toposort()) == 4  # two constants get an axis each
    np.testing.assert_array_equal(function(np.ones(2, x.dtype)), 1)


@pytest.mark.parametrize("mode", [EVALUATE_MODE, numba_mode()], ids=["numpy", "numba"])
def test_the_code_of_a_function_takes_all_inputs(mode):
    x, shared = pt.vector("x"), pytensor.shared(np.ones(2))
    code = compiled_code(pytensor.function([x], x + shared, mode=mode))
    (total,) = code(np.ones(2, x.dtype), np.full(2, 3.0))
    np.testing.assert_array_equal(total, 4)


def test_a_function_of_single_operations_has_no_code_of_its_own():
    x = pt.vector("x")
    assert compiled_code(pytensor.function([x], x + 1, mode=profiling_mode())) is None
