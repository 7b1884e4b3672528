import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import get_mode

from vibayes.backend.modes import (
    AS_IT_IS,
    EVALUATE_MODE,
    compiled_code,
    evaluate,
    profiling_mode,
    resolve_mode,
)
from vibayes.backend.numba import numba_mode


def test_modes_by_name():
    assert resolve_mode() is resolve_mode("numba") is numba_mode()
    assert resolve_mode("py") is EVALUATE_MODE
    assert resolve_mode("c") == "CVM"
    assert resolve_mode(mode="FAST_COMPILE") == "FAST_COMPILE"
    with pytest.raises(ValueError, match="either backend or mode"):
        resolve_mode("py", "FAST_COMPILE")
    with pytest.raises(ValueError, match="'numba', 'c' or 'py', got 'fortran'"):
        resolve_mode("fortran")


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
