import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.numpy_functions import check
from helpers.numpy_functions import numpy_function as function
from pytensor.raise_op import Assert
from pytensor.tensor.blas import BatchedDot

try:
    from pytensor.conditional.op import ifelse
except ImportError:
    from pytensor.ifelse import ifelse


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (0, 1, 2), ()])
def test_reductions(dtype, axis):
    x = pt.tensor3("x", dtype=dtype)
    value = np.random.default_rng(1).integers(0, 3, size=(2, 3, 4)).astype(dtype)
    graphs = [x.sum(axis=axis), x.prod(axis=axis), x.all(axis=axis), x.any(axis=axis)]
    if dtype != "bool" and axis != ():
        graphs += [x.max(axis=axis), x.min(axis=axis), x.sum(axis=axis, keepdims=True)]
    check([x], graphs, value)


def test_products():
    x, y = pt.matrices("xy")
    v = pt.vector("v")
    xs, ys = pt.tensor3("xs"), pt.tensor3("ys")
    rng = np.random.default_rng(1)
    check(
        [x, y, v], [x @ y, y @ v, v @ v], rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), [1] * 5
    )
    values = rng.normal(size=(6, 3, 4)), rng.normal(size=(6, 4, 2))
    check([xs, ys], [xs @ ys, BatchedDot()(xs, ys)], *values)


def test_shapes():
    x = pt.tensor3("x")
    c = pt.tensor("c", shape=(None, 1))
    n = pt.lscalar("n")
    rng = np.random.default_rng(1)
    graphs = [
        x.transpose(2, 0, 1),
        x.dimshuffle("x", 1, 0, "x", 2),
        x.reshape((n, -1)),
        x.reshape((6, 4)),
        x.ravel(),
        x.shape,
        x.shape[1] * n,
        pt.alloc(x, n, *x.shape),
        pt.zeros_like(x) + 1,
        pt.squeeze(c, 1),
        pt.stack([x[0, 0, 0], x[0, 0, 1]]),
        pt.concatenate([x, 2 * x], axis=1),
        *pt.split(x, [1, 2], n_splits=2, axis=1),
        pt.arange(n),
        pt.eye(n),
        pt.specify_shape(x, (2, None, None)),
        pt.cumsum(x, axis=1),
        pt.diagonal(x, axis1=0, axis2=1),
        pt.sort(x, axis=-1),
        pt.argmax(x, axis=1),
    ]
    check([x, c, n], graphs, rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 1)), 3)


def test_parts():
    x = pt.matrix("x")
    i = pt.lscalar("i")
    at = pt.lvector("at")
    mask = pt.vector("mask", dtype="bool")
    graphs = [x[1], x[-1, 2], x[1:, ::-1], x[i], x[i:, :i], x[at], x[:, at], x[at, at], x[mask]]
    check([x, i, at, mask], graphs, np.arange(20.0).reshape(4, 5), 2, [0, 3, 3], [1, 0, 1, 0])


def test_changed_parts():
    x = pt.matrix("x")
    y = pt.vector("y")
    i = pt.lscalar("i")
    at = pt.lvector("at")
    graphs = [
        x[1].set(y),
        x[1].inc(y),
        x[i].inc(2.0),
        x[1:, ::2].set(0.5),
        x[i:, :i].inc(1.0),
        x[at].inc(y),
        x[at].set(y),
        x[at, at].inc(1.0),
    ]
    check([x, y, i, at], graphs, np.arange(20.0).reshape(4, 5), np.arange(5.0), 2, [0, 3, 3])


def test_conditional_and_raising():
    x = pt.vector("x")
    c = pt.scalar("c", dtype="bool")
    check([c, x], ifelse(c, x, 2 * x), True, [1.0, 2.0])
    checked = Assert("must be positive")(x, pt.all(x > 0))
    f = function([x], checked * 2)
    np.testing.assert_array_equal(f(np.ones(2, x.dtype)), 2)
    with pytest.raises(AssertionError, match="must be positive"):
        f(-np.ones(2, x.dtype))
