import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.numpy_functions import PLAIN
from helpers.numpy_functions import numpy_function as function

from vibayes.backend.numpy_linker import numpy_mode


def test_shared_variables_and_updates():
    a = pytensor.shared(np.arange(3.0))
    b = pytensor.shared(np.zeros(3))
    f = function([], a.sum(), updates={a: a + 1, b: a})
    assert f() == 3
    assert f() == 6
    np.testing.assert_array_equal(b.get_value(), [1, 2, 3])
    assert function([], [], updates={a: b * 2})() == []
    np.testing.assert_array_equal(a.get_value(), [2, 4, 6])
    x = pt.vector("x", dtype="float64")
    assert function([], x.sum(), givens={x: a})() == 12


def test_results_are_arrays_of_their_own():
    x = pt.matrix("x", dtype="float64")
    a = pytensor.shared(np.ones((2, 2)))
    constant = pt.constant(np.ones(2))
    graphs = [x.T, x[0], x.ravel(), pt.alloc(x[0], 3, 2), x.astype("float64"), a, a.T, constant]
    graphs += [pt.second(x, x), x.sum(axis=())]
    f = function([x], graphs)
    value = np.ones((2, 2))
    for result in f(value):
        result[...] = 7
    np.testing.assert_array_equal(value, 1)
    np.testing.assert_array_equal(a.get_value(), 1)
    np.testing.assert_array_equal(f(value)[-3], 1)


def test_two_updates_never_share_memory():
    a, b = (pytensor.shared(np.zeros(2)) for _ in range(2))
    new = pytensor.shared(np.arange(2.0))
    function([], [], updates={a: new * 1.0, b: new * 1.0})()
    a.set_value(a.get_value(borrow=True) + 5, borrow=True)
    np.testing.assert_array_equal(b.get_value(), [0, 1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generators_give_the_same_numbers(seed):
    results = []
    for mode in (numpy_mode(), PLAIN):
        rng = pytensor.shared(np.random.default_rng(seed))
        after, normal = pt.random.normal(size=3, rng=rng).owner.outputs
        last, gamma = pt.random.gamma([1.0, 2.0], 1.0, rng=after).owner.outputs
        f = pytensor.function([], [normal, gamma], updates={rng: last}, mode=mode)
        results.append([*f(), *f()])
    for value, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_generator_without_update_stays():
    rng = pytensor.shared(np.random.default_rng(1))
    f = function([], pt.random.normal(size=3, rng=rng))
    np.testing.assert_array_equal(f(), f())
    np.testing.assert_array_equal(f(), np.random.default_rng(1).normal(size=3))


def test_errors_name_the_operation():
    x, y = pt.vectors("xy")
    f = function([x, y], pt.exp(x) * 2 + pt.concatenate([y, y]))
    with (
        pytensor.config.change_flags(exception_verbosity="medium"),
        pytest.raises(ValueError, match="broadcast") as caught,
    ):
        f(np.ones(3, x.dtype), np.ones(2, x.dtype))
    text = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "Add" in text or "add" in text


def test_nothing_warns():
    x = pt.vector("x", dtype="float64")
    f = function([x], [pt.log(x), 1 / x, pt.exp(x)])
    with np.errstate(all="raise"):
        f(np.array([0.0, -1.0, 1e4]))


def test_single_precision_stays():
    with pytensor.config.change_flags(floatX="float32"):
        x = pt.vector("x")
        graphs = [pt.exp(x), x.sum(), pt.log1p(x) * 2, pt.softplus(x), x / 3, x.mean(), pt.sqr(x)]
        graphs.append(pytensor.grad(pt.sigmoid(x).sum(), x))
        f = function([x], graphs)
        for result in f(np.ones(3, "float32")):
            assert result.dtype == "float32"
