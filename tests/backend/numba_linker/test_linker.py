import re

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.blas import BatchedDot

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.numba_linker import numba_mode
from vibayes.ops.normal_maps import normal_map

rng = np.random.default_rng(1)


def function(inputs, outputs, **kwargs):
    return pytensor.function(inputs, outputs, mode=numba_mode(), on_unused_input="ignore", **kwargs)


def elementwise(x, m, r, c, s, i, t):
    p = abs(x) + 0.5
    yield from (x + m, m * r, m - c, r / c, s * x, pt.exp(-(x**2)), x**3, pt.sqrt(p), p**x)
    yield from (pt.log(p), pt.log1p(p), pt.expm1(x), pt.tanh(x), pt.sigmoid(x), pt.softplus(30 * x))
    yield from (pt.log1mexp(-p), pt.erf(x), pt.erfc(x), pt.gammaln(p), pt.psi(p), pt.sin(x))
    yield from (pt.maximum(x, s), pt.minimum(m, c), pt.clip(x, -0.5, s), pt.sign(x), pt.floor(x))
    yield from (pt.switch(x > 0, x, s), pt.isnan(x), pt.isinf(1 / (x - x)), pt.eq(i, i[::-1]))
    yield from (
        pt.and_(x > 0, x < 1),
        ~(x > 0),
        i // 2,
        i % 2,
        i // (-3),
        (i - 2) % (i - 1),
        (i - 2) // (i - 1),
        -i,
        i + x,
        i / 2,
        x.astype("int32"),
    )
    yield from (pt.gt(s, 0.0) * 2, s + 1, pt.arctan2(x, s), pt.reciprocal(p), t * r, t + m)
    yield from ((s > 0) + (s < 1), (x > 0) * (s > 0), pt.xor(x > 0, s > 0), i & 3)


def reductions(x, m, r, c, s, i, t):
    yield from (x.sum(), m.sum(0), m.sum(1), m.T.sum(0), t.sum((0, 2)), t.sum(1), t.sum(), m.mean())
    yield from (x.prod(), m.max(0), m.min(1), t.max(), (x > 0).all(), (m > 0).any(0), i.sum())
    yield from ((m > 0).sum(1), pt.exp(m).sum(0), pt.exp(m * 2).sum(), r.sum(0), r.sum(1), c.sum(1))
    yield from (pt.exp(t - 1).max((0, 1)), (m * x).sum(axis=1), m.sum(0, keepdims=True), i.max())
    y = pt.exp(m + 3)
    yield from (y, y.sum(0), y.sum(1), y.max(), pt.logsumexp(m, axis=1), pt.special.softmax(m, 1))


def parts(x, m, r, c, s, i, t):
    yield from (
        x[0],
        x[-1],
        x[1:],
        x[::2],
        x[::-1],
        m[0],
        m[:, 1],
        m[1:, ::2],
        t[0, :, 1],
        t[-1, -1],
    )
    yield from (m[i], m[:, i], m[i, i], t[:, i], t[i, 1:][:, 0], x[i[0]], x[i[0] :], m[i][:, 0] * 2)
    yield from (
        pt.set_subtensor(x[1], s),
        pt.inc_subtensor(m[0], x),
        pt.set_subtensor(m[:, 1:], 0.0),
    )
    yield from (pt.inc_subtensor(x[i], 1.0), pt.inc_subtensor(m[i], r), pt.set_subtensor(x[1:3], s))
    yield from (
        pt.inc_subtensor(m[:, i], c),
        pt.set_subtensor(t[1, 0], x),
        pt.inc_subtensor(x[:2], i[:2]),
    )
    yield from (m[m[:, 0] > 0], pt.diag(m[:3, :3]), pt.inc_subtensor(m[i, i], 2.0))


def shapes(x, m, r, c, s, i, t):
    yield from (m.T, x[None, :], x[:, None] + x, t.transpose(2, 0, 1), r[0] * 2, c.dimshuffle(0))
    yield from (m.ravel(), m.T.reshape((2, -1)), x.reshape((1, 1, -1)), t.reshape((t.shape[0], -1)))
    # blocks of memory, which they are no more once axes have changed places
    block = m.ravel().reshape((2, -1, 2))
    yield from ((m @ m.T).T.ravel(), block.transpose(1, 0, 2).reshape((-1, 2)), block.T.ravel())
    yield from (block.transpose(0, 2, 1)[0].reshape((-1,)), block[:, 1:].ravel())
    yield from (
        m.shape,
        x.shape[0] * 2,
        pt.stack([s, s + 1]),
        pt.stack([x, x * 2]),
        pt.zeros((2, 3)),
    )
    yield from (pt.concatenate([x, x[:2], s[None]]), pt.concatenate([m, c, m], axis=1))
    yield from (
        pt.alloc(x, 2, x.shape[0]),
        pt.alloc(s, 3),
        pt.full_like(m, 2),
        pt.arange(3),
        pt.eye(3),
    )
    yield from (
        *pt.split(x, [1, 3]),
        m[0].reshape((m.shape[1],)),
        s.reshape((1, 1)),
        m.sum().reshape((1,)),
    )


def products(x, m, r, c, s, i, t):
    yield from (
        m @ x,
        m.T @ m,
        x @ m.T,
        x @ x,
        r @ m.T,
        m @ r.T,
        r @ r.T,
        c @ r,
        m[:, ::2] @ x[::2],
    )
    yield from (
        pt.linalg.cholesky(m @ m.T + 9 * pt.eye(m.shape[0])),
        pt.tensordot(t, m, [[2], [1]]),
    )
    yield from (pt.matmul(t, m.T), pt.outer(x, x), i @ i, (m * 2) @ (x + 1), pt.dot(m[1:], x))


GROUPS = [elementwise, reductions, parts, shapes, products]


def variables(dtype):
    return (
        pt.vector("x", dtype=dtype),
        pt.matrix("m", dtype=dtype),
        pt.tensor("r", dtype=dtype, shape=(1, None)),
        pt.tensor("c", dtype=dtype, shape=(None, 1)),
        pt.scalar("s", dtype=dtype),
        pt.vector("i", dtype="int64"),
        pt.tensor3("t", dtype=dtype),
    )


def values(dtype, n=4):
    """Numbers of each kind of input, as views that are not contiguous too."""
    shapes = [(n,), (n, n), (1, n), (n, 1), (), (n,), (n, n, n)]
    one = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    one[5] = rng.integers(0, max(n, 1), n)
    strided = [np.repeat(v, 2, axis=-1)[..., ::2] if v.ndim and v.shape[-1] > 1 else v for v in one]
    strided[1] = np.asfortranarray(one[1])
    return one, strided


@pytest.mark.ci
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("group", GROUPS)
def test_values_are_those_of_numpy(group, dtype):
    inputs = variables(dtype)
    outputs = list(group(*inputs))
    reference = pytensor.function(inputs, outputs, mode=EVALUATE_MODE, on_unused_input="ignore")
    f = function(inputs, outputs)
    ulp = 64 * np.finfo(dtype).eps
    for given in values(dtype):
        before = [v.copy() for v in given]
        found, expected = f(*given), reference(*given)
        for k, (value, right) in enumerate(zip(found, expected, strict=True)):
            assert value.dtype == right.dtype, outputs[k]
            assert value.shape == right.shape, outputs[k]
            np.testing.assert_allclose(value, right, rtol=ulp, atol=ulp, err_msg=str(outputs[k]))
        for v, old in zip(given, before, strict=True):
            np.testing.assert_array_equal(v, old)
        for value in found:
            assert not any(np.shares_memory(value, v) for v in given)


def parts_of_known_lengths(x, m, t, one, row, s):
    y, z = pt.exp(m), pt.exp(t)
    yield from (y[::2] + 1, y[1, ::-1] * 2, z[:, 1, ::2][1] + 1)
    yield from (y[1] + 1, y[-1][1:] * 2, y[1:3][1], y.T[1] + 1, y.T[1][1:], y[1, 2] + s)
    yield from (
        z[1][0][2] + 1,
        z[:, 1][:, 1:3] + 1,
        z[1, :, 1:][1:].sum(0),
        z.transpose(2, 0, 1)[1],
    )
    yield from (y[1][None] + 1, y[1][:, None] + y[2][None], y[1:][:, 1].reshape((-1, 1)) * 2)
    yield from (y[2].reshape((3, 1)) + 1, y[1:3].ravel() + 1, y[:, 1:].ravel() + 1, y[1:2][0] + 1)
    yield from (pt.dot(y[1], y[2]), y[1:] @ y[0], y[:, 1] @ y, pt.sort(y[1]), y[0:0].sum(0))
    yield from (one[0] + 1, pt.exp(one)[0, 1:] + 1, row[0][1:] + 1, pt.exp(row)[:, 2] + 1)
    yield from (
        pt.alloc(s, 3, 4)[1][1:] + 1,
        pt.stack([s, s + 1])[1:] * 2,
        (x * 2)[2:],
        (x * 2)[5:8],
    )
    yield from (v + 1 for v in (*pt.split(y, [1, 3]), *pt.split(z, [1, 0, 2], axis=1)))
    yield from (v + 1 for v in (*pt.split(x * 2, [3, 37]), *pt.split(y.T, [3, 1], axis=1), s))
    i = pt.argmin(y[:, 0])  # a number that is not known
    yield from (y[i] + 1, y[i][1:] + 1, z[1][i] + 1, z[i, 1:][0] + 1, y[i, i] + 1)
    yield from (pt.set_subtensor(y[1], x[:3]), pt.inc_subtensor(y[1:3, 1], 2.0))
    yield from (pt.inc_subtensor(z[1, 1:, 2], x[:2]), pt.set_subtensor(z[:, 1:][1], s))
    yield from (pt.set_subtensor(y[i], y[0]), pt.inc_subtensor((x * 2)[3:], x[3:]))
    yield from (pt.inc_subtensor(y[1:2], s), pt.set_subtensor(y[:, :2], y[:2, 0]))


@pytest.mark.ci
def test_parts_of_arrays_of_known_lengths():
    shapes = {"x": (40,), "m": (4, 3), "t": (2, 3, 4), "one": (1, 3), "row": (1, 4), "s": ()}
    inputs = [pt.tensor(k, dtype="float64", shape=(None,) * len(n)) for k, n in shapes.items()]
    known = [pt.specify_shape(v, n) for v, n in zip(inputs, shapes.values(), strict=True)]
    known[3] = inputs[3]  # a length that may be 1
    outputs = list(parts_of_known_lengths(*known))
    given = [rng.normal(size=shape) for shape in shapes.values()]
    expected = pytensor.function(inputs, outputs, mode=EVALUATE_MODE)(*given)
    found = function(inputs, outputs)(*given)
    for k, (value, right) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_allclose(value, right, rtol=1e-14, err_msg=f"{k}: {outputs[k]}")


SHAPES_OF_STACKS = {"P": (5, 2, 2), "b": (5, 2), "u": (2,), "t": (5, 2, 3), "large": (5, 2, 9)}


def stacks(P, b, u, t, large):
    """Operations on each matrix of a stack: their gradients hold products of all layouts."""
    core = [pt.matrix(shape=(2, 2)), pt.vector(shape=(2,)), pt.vector(shape=(2,))]
    dense, banded = (normal_map(*core, banded=banded) for banded in (False, True))
    stacked = vectorize_graph([*dense, *banded], dict(zip(core, [P, b, u], strict=True)))
    loss = sum((value**2).sum() for value in stacked)
    yield from (*stacked, *pytensor.grad(loss, [P, b, u]))
    across = t.transpose(0, 2, 1)
    yield from (BatchedDot()(P, t), BatchedDot()(across, P), BatchedDot()(across, t))
    yield from (BatchedDot()(P, large), BatchedDot()(large.transpose(0, 2, 1), t[:, :, 1:]))
    yield from (pt.diag(P[1]) * 2, pt.diag(P[1].T), pt.diag(t[0]), pt.diag(P[1], 1))


@pytest.fixture(scope="module")
def compiled_stacks():
    """Inputs, outputs, and a function of these."""
    inputs = [
        pt.tensor(k, dtype="float64", shape=(None,) * len(n)) for k, n in SHAPES_OF_STACKS.items()
    ]
    shapes = SHAPES_OF_STACKS.values()
    outputs = list(stacks(*(pt.specify_shape(v, n) for v, n in zip(inputs, shapes, strict=True))))
    return inputs, outputs, function(inputs, outputs)


@pytest.mark.ci
def test_stacks_of_matrices(compiled_stacks):
    inputs, outputs, compiled = compiled_stacks
    given = [rng.normal(size=shape) for shape in SHAPES_OF_STACKS.values()]
    given[0] = given[0] @ given[0].swapaxes(1, 2) + np.eye(2)
    expected = pytensor.function(inputs, outputs, mode=EVALUATE_MODE)(*given)
    found = compiled(*given)
    for k, (value, right) in enumerate(zip(found, expected, strict=True)):
        assert value.shape == right.shape, k
        np.testing.assert_allclose(value, right, rtol=1e-10, atol=1e-12, err_msg=str(k))


def test_stacks_of_matrices_are_loops(compiled_stacks):
    """A call of PyTensor's own function for a stack takes seconds to compile."""
    source = compiled_stacks[-1].vm.jit_fn.py_func.__source__
    assert not re.search(r"= f\d+\(.*# \[Blockwise", source)
    assert len(re.findall(r"for .*# BatchedDot", source)) == 3  # of small matrices
    assert len(re.findall(r"for .*# ExtractDiag", source)) == 1
    assert len(re.findall(r"r\d+, r\d+, r\d+ = f\d+\(input0\[", source)) == 2  # of one matrix each


def test_products_of_stacks_have_to_fit():
    x, y = pt.tensor3("x", dtype="float64"), pt.tensor3("y", dtype="float64")
    known = [pt.specify_shape(pt.exp(v), (None, 2, 2)) for v in (x, y)]
    product = function([x, y], BatchedDot()(*known))
    assert "BatchedDot" in product.vm.jit_fn.py_func.__source__
    np.testing.assert_array_equal(
        product(np.zeros((3, 2, 2)), np.zeros((3, 2, 2))), np.full((3, 2, 2), 2)
    )
    with pytest.raises(ValueError, match="Lengths differ"):
        product(np.ones((3, 2, 2)), np.ones((2, 2, 2)))


def test_a_part_is_read_where_it_is():
    m = pt.matrix("m", dtype="float64")
    whole = pt.exp(pt.specify_shape(m, (30, 3)))
    f = function(
        [m], [pt.sin(whole[2, 1:]), pt.inc_subtensor(whole[5, :2], s := 1.5), whole[9:] * s]
    )
    source = f.vm.jit_fn.py_func.__source__
    assert re.search(r"= \w+\[2, 1 \+ i\d+\]", source)
    assert re.search(r"\w+\[5, i\d+\] \+= ", source)
    assert re.search(r"= \w+\[9:\]", source)  # a loop over it is vectorized


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_what_many_are_divided_by_is_inverted_once(dtype):
    x, m = pt.vector("x", dtype=dtype), pt.matrix("m", dtype=dtype)
    s, r, c = pt.scalar("s", dtype=dtype), pt.row("r", dtype=dtype), pt.col("c", dtype=dtype)
    outputs = [x / s, pt.exp((m - x) / r).sum(0), (m / c).sum(), s / x]
    compiled = function([x, m, s, r, c], outputs)
    given = [np.linspace(-1, 1, 40), rng.normal(size=(50, 40)), 3.0]
    given += [rng.uniform(0.5, 2, (1, 40)), rng.uniform(0.5, 2, (50, 1))]
    X, M, S, R, C = given = [np.asarray(value, dtype) for value in given]
    found = compiled(*given)
    expected = [X / S, np.exp((M - X) / R).sum(0), (M / C).sum(), S / X]
    rtol = 100 * np.finfo(dtype).eps
    for value, known in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, known, rtol=rtol)
    X[[0, 1, 2]] = np.inf, np.nan, 0.0
    for divisor in (0.0, -0.0, np.inf, np.nan):
        S = np.asarray(divisor, dtype)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(compiled(X, M, S, R, C)[0], X / S)
    source = compiled.vm.jit_fn.py_func.__source__
    assert len(re.findall(r"\b1\)? / ", source)) == 3  # s, r and c
    assert source.count(" / ") == 4  # s / x divides by elements


def test_arrays_may_be_empty():
    x, m = pt.vector("x", dtype="float64"), pt.matrix("m", dtype="float64")
    rows = pt.lvector("rows")
    f = function([x, m, rows], [x.sum(), pt.exp(m).sum(0), m.T @ m, m[rows], x * 2, m.max(1)])
    found = f(np.zeros(0), np.zeros((0, 3)), np.zeros(0, int))
    assert found[0] == 0
    np.testing.assert_array_equal(found[1], np.zeros(3))
    np.testing.assert_array_equal(found[2], np.zeros((3, 3)))
    assert [v.shape for v in found[3:]] == [(0, 3), (0,), (0,)]


def test_lengths_that_do_not_fit_are_errors():
    x, y = pt.dvectors("xy")
    f = function([x, y], x + y)
    for other in (np.ones(2), np.ones(1)):
        with pytest.raises(ValueError, match="broadcast"):
            f(np.ones(3), other)
    assert f(np.ones(1), np.ones(1)) == [2]


def test_parts_whose_lengths_are_not_those_of_the_whole_are_an_error():
    x = pt.dvector("x")
    f = function([x], [v * 2 for v in pt.split(x, [1, 2])])
    for value, right in zip(f(np.arange(3.0)), ([0.0], [2.0, 4.0]), strict=True):
        np.testing.assert_array_equal(value, right)
    with pytest.raises(ValueError, match="Lengths differ"):
        f(np.ones(4))


@pytest.mark.parametrize("index", [3, -4])
def test_indices_outside_are_errors(index):
    x, i = pt.vector("x", dtype="float64"), pt.lvector("i")
    f = function([x, i], [x[i], pt.inc_subtensor(x[i], 1.0)])
    with pytest.raises(IndexError, match="out of bounds"):
        f(np.ones(3), np.array([0, index]))


@pytest.mark.ci
def test_operations_without_a_writer_are_calls():
    x = pt.vector("x", dtype="float64")
    total = pytensor.scan(
        lambda v, s: s * 0.5 + v,
        sequences=x,
        outputs_info=pt.zeros((), dtype="float64"),
        return_updates=False,
    )
    f = function([x], [total[-1] + pt.exp(x).sum(), pt.sort(x)])
    found = f(np.array([3.0, 1.0, 2.0]))
    np.testing.assert_allclose(found[0], 3 / 4 + 1 / 2 + 2 + np.exp([3.0, 1.0, 2.0]).sum())
    np.testing.assert_array_equal(found[1], [1, 2, 3])


def test_generators_give_the_same_numbers():
    results = []
    for mode in (numba_mode(), EVALUATE_MODE):
        generator = pytensor.shared(np.random.default_rng(1))
        after, normal = pt.random.normal([0.0, 1.0], 2.0, size=(3, 2), rng=generator).owner.outputs
        last, whole = pt.random.integers(0, 9, size=4, rng=after).owner.outputs
        f = pytensor.function([], [normal, whole], updates={generator: last}, mode=mode)
        results.append([*f(), *f()])
    for value, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(value, expected)
