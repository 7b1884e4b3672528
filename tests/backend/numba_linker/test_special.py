import numpy as np
import pytensor.scalar as ps
import pytest
from numba import njit
from pytensor.scalar import math as psm
from scipy import special

from vibayes.backend.numba_linker.special import function_of_doubles, special_function

x = np.array([-3.7, -0.5, 1e-300, 0.3, 1.0, 2.5, 40.0, np.inf, np.nan])
ONE, TWO, THREE = (
    function_of_doubles(*own) for own in (("psi", 1), ("gammainc", 2), ("betainc", 3))
)


@njit
def of_one(x):
    return np.array([ONE(v) for v in x])


@njit
def of_two(x):
    return np.array([TWO(v, 1.5) for v in x])


@njit
def of_three(x):
    return np.array([THREE(v, 1.5, 0.2) for v in x])


def test_the_functions_are_those_of_scipy():
    np.testing.assert_array_equal(of_one(x), special.psi(x))
    np.testing.assert_array_equal(of_two(x), special.gammainc(x, 1.5))
    np.testing.assert_array_equal(of_three(x), special.betainc(x, 1.5, 0.2))


def node_of(op, *dtypes):
    return op, op.make_node(*(ps.get_scalar_type(dtype)() for dtype in dtypes))


def test_which_operations_are_such_functions():
    assert special_function(*node_of(psm.psi, "float64"))[0] is ONE
    assert special_function(*node_of(psm.gammainc, "float64", "float64"))[0] is TWO
    assert special_function(*node_of(psm.erfcx, "float64")) is not None
    for op, dtype in [(psm.psi, "float32"), (psm.psi, "int64"), (ps.exp, "float64")]:
        assert special_function(*node_of(op, dtype)) is None


@pytest.mark.parametrize(("name", "count"), [("psi", 2), ("no_such_function", 1), ("gammainc", 1)])
def test_what_scipy_does_not_have_is_none(name, count):
    assert function_of_doubles(name, count) is None
