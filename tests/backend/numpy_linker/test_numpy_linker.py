"""The NumPy linker against PyTensor's Python linker, NumPy and SciPy."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.special
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from pytensor.raise_op import Assert
from pytensor.scan.op import Scan
from pytensor.scan.utils import until
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg import cholesky, det, inv, slogdet, solve_triangular

from vibayes.backend.numpy_linker import numpy_mode

try:
    from pytensor.conditional.op import ifelse
except ImportError:
    from pytensor.ifelse import ifelse

PLAIN = Mode(linker="py", optimizer="fast_compile")
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 40.0, -40.0, 800.0, -800.0, 1e-300, np.inf])
SPECIAL = np.append(SPECIAL, [-np.inf, np.nan])


def function(inputs, outputs, **kwargs):
    return pytensor.function(inputs, outputs, mode=numpy_mode(), **kwargs)


def operations(f):
    return [node.op for node in f.maker.fgraph.toposort()]


def check(inputs, outputs, *values, rtol=1e-12):
    """Check values, dtypes and shapes against PyTensor's own Python linker."""
    outputs = outputs if isinstance(outputs, list) else [outputs]
    before = [np.array(v) for v in values]
    results = function(inputs, outputs, on_unused_input="ignore")(*values)
    expected = pytensor.function(inputs, outputs, mode=PLAIN, on_unused_input="ignore")(*values)
    for result, other in zip(results, expected, strict=True):
        assert isinstance(result, np.ndarray)
        assert result.dtype == other.dtype
        assert result.shape == other.shape
        if result.dtype == "float32":
            np.testing.assert_allclose(result, other, rtol=1e-5, atol=1e-30)
        else:
            np.testing.assert_allclose(result, other, rtol=rtol, atol=1e-300)
    for value, old in zip(values, before, strict=True):
        np.testing.assert_array_equal(value, old)


# -- elementwise ----------------------------------------------------------------------------------

UNARY = [
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "sqr",
    "abs",
    "neg",
    "sign",
    "reciprocal",
    "sigmoid",
    "softplus",
    "log1mexp",
    "gammaln",
    "psi",
    "tri_gamma",
    "erf",
    "erfc",
    "erfcx",
    "sin",
    "cos",
    "tan",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "floor",
    "ceil",
    "round",
    "isnan",
    "isinf",
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "bool"])
@pytest.mark.parametrize("name", UNARY)
def test_one_argument(name, dtype):
    with np.errstate(all="ignore"):
        values = SPECIAL if dtype.startswith("float") else np.array([0, 1, 2, -3])
        values = values.astype(dtype)
    x = pt.vector("x", dtype=dtype)
    try:
        graph = getattr(pt, name)(x)
    except Exception:
        pytest.skip("not defined for this dtype")
    if dtype == "bool" and name in ("neg", "sign"):
        pytest.skip("not defined for this dtype")
    if name in ("floor", "ceil", "round") and not dtype.startswith("float"):
        pytest.skip("the Python linker itself fails")
    if (name, dtype) == ("softplus", "bool"):
        pytest.skip("the Python linker itself computes in half precision")
    if name == "log1mexp":  # the Python linker's own follows another formula at the boundary
        values = values[values < 0]
    check([x], graph, values)


BINARY = {
    "add": pt.add,
    "sub": pt.sub,
    "mul": pt.mul,
    "true_div": pt.true_div,
    "int_div": pt.int_div,
    "mod": pt.mod,
    "maximum": pt.maximum,
    "minimum": pt.minimum,
    "lt": pt.lt,
    "ge": pt.ge,
    "eq": pt.eq,
    "second": pt.second,
}


@pytest.mark.parametrize(
    "dtypes",
    [("float64", "float64"), ("float32", "float32"), ("int8", "int8"), ("int64", "float32")],
)
@pytest.mark.parametrize("name", BINARY)
def test_two_arguments(name, dtypes):
    x, y = (pt.matrix(dtype=dtype) for dtype in dtypes)
    rng = np.random.default_rng(1)
    values = [rng.integers(-3, 4, size=(4, 5)).astype(dtype) for dtype in dtypes]
    check([x, y], BINARY[name](x, y), *values)


def test_many_arguments_and_logic():
    x, y, z = pt.vectors("xyz")
    a, b = np.random.default_rng(1).normal(size=(2, 4))
    check([x, y, z], [x + y + z + x * y * z, pt.switch(x < y, x, z), pt.clip(x, y, z)], a, b, a + 1)
    check([x, y], [(x < y) & (y > 0), (x < y) | (y > 0), ~(x < y), pt.xor(x > 0, y > 0)], a, b)


def test_clip_with_crossed_limits():
    x, low, high = pt.vectors("x", "low", "high")
    check([x, low, high], pt.clip(x, low, high), [0.0, 5.0, -5.0, np.nan], [2.0] * 4, [1.0] * 4)


def test_stable_forms():
    x = pt.vector("x", dtype="float64")
    y = pt.matrix("y", dtype="float64")
    f = function(
        [x, y], [pt.log(1 + pt.exp(x)), pt.log(1 - pt.sigmoid(x)), pt.logsumexp(y, axis=1)]
    )
    values = np.array([-800.0, -1.0, 3.0, 800.0])
    matrix = np.array([[1000.0, 1000.0], [-1000.0, -1001.0]])
    softplus, log_complement, total = f(values, matrix)
    np.testing.assert_allclose(softplus, np.logaddexp(0, values), rtol=1e-14)
    np.testing.assert_allclose(log_complement, -np.logaddexp(0, values), rtol=1e-14)
    np.testing.assert_allclose(total, scipy.special.logsumexp(matrix, axis=1), rtol=1e-14)


def test_broadcasting_must_be_declared():
    x, y = pt.matrices("xy")
    f = function([x, y], x + y)
    with pytest.raises(ValueError, match="broadcast"):
        f(np.ones((3, 1), x.dtype), np.ones((3, 4), x.dtype))
    row = pt.row("row")
    check([row, y], row + y, np.ones((1, 4), x.dtype), np.ones((3, 4), x.dtype))


@pytest.mark.parametrize("parameter", ["a", "x"])
def test_loops_on_scalars(parameter):
    """The derivative of the incomplete gamma function is a loop for each element."""
    a, x = pt.dvector("a"), pt.dvector("x")
    gradient = pytensor.grad(pt.gammainc(a, x).sum(), {"a": a, "x": x}[parameter])
    at = np.array([0.5, 2.0, 7.0, 3.0]), np.array([0.2, 3.0, 5.0, 20.0])
    result = function([a, x], gradient)(*at)
    h = 1e-5
    step = {"a": (h, 0), "x": (0, h)}[parameter]
    high = scipy.special.gammainc(at[0] + step[0], at[1] + step[1])
    low = scipy.special.gammainc(at[0] - step[0], at[1] - step[1])
    np.testing.assert_allclose(result, (high - low) / (2 * h), rtol=1e-6, atol=1e-9)


# -- sums, shapes, parts --------------------------------------------------------------------------


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


# -- state ----------------------------------------------------------------------------------------


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


# -- inner graphs ---------------------------------------------------------------------------------


def test_graph_in_an_operation():
    x, y = pt.vectors("xy")
    op = OpFromGraph([x, y], [x * y, pt.exp(x).sum()])
    a, b = np.arange(3.0), np.ones(3)
    check([x, y], op(x, y, return_list=True), a, b)
    xs = pt.matrix("xs")
    f = function([xs, y], vectorize_graph(op(x, y, return_list=True), {x: xs}))
    assert not any(isinstance(op, Blockwise) for op in operations(f))
    product, total = f(np.stack([a, b]), b)
    np.testing.assert_allclose(product, [a * b, b * b])
    np.testing.assert_allclose(total, [np.exp(a).sum(), np.exp(b).sum()])


@pytest.mark.parametrize("length", [0, 1, 5])
def test_scan(length):
    x = pt.vector("x", dtype="float64")
    w = pt.scalar("w", dtype="float64")

    def step(value, before, last, state, w):
        return w * value + 0.5 * last - 0.2 * before, state * value, value + w

    traces = pytensor.scan(
        step,
        sequences=[x],
        outputs_info=[{"initial": pt.zeros(2), "taps": [-2, -1]}, pt.ones(()), None],
        non_sequences=[w],
        return_updates=False,
    )
    cost = traces[0].sum() + traces[1].sum() ** 2 + traces[2].sum()
    f = function([x, w], [*traces, *pytensor.grad(cost, [x, w])])
    values = np.random.default_rng(1).normal(size=length)
    y, state = [0.0, 0.0], [1.0]
    for value in values:
        y.append(0.7 * value + 0.5 * y[-1] - 0.2 * y[-2])
        state.append(state[-1] * value)
    first, second, third, grad_x, grad_w = f(values, 0.7)
    np.testing.assert_allclose(first, y[2:], rtol=1e-12)
    np.testing.assert_allclose(second, state[1:], rtol=1e-12)
    np.testing.assert_allclose(third, values + 0.7)
    if length:
        g = function([x, w], cost)
        h = 1e-6
        np.testing.assert_allclose(
            grad_w, (g(values, 0.7 + h) - g(values, 0.7 - h)) / (2 * h), rtol=1e-6
        )
        numeric = [(g(values + e, 0.7) - g(values - e, 0.7)) / (2 * h) for e in h * np.eye(length)]
        np.testing.assert_allclose(grad_x, numeric, rtol=1e-5, atol=1e-8)


def test_scan_that_swaps_its_states():
    def step(a, b):
        return b, a

    a, b = pytensor.scan(
        step, outputs_info=[pt.zeros(2), pt.ones(2)], n_steps=3, return_updates=False
    )
    last = function([], [a[-1], b[-1]])()
    np.testing.assert_array_equal(last, [[1, 1], [0, 0]])
    np.testing.assert_array_equal(function([], a)(), [[1, 1], [0, 0], [1, 1]])


def test_scan_with_a_condition():
    def step(a):
        return a * 2, until(a > 10)

    trace = pytensor.scan(step, outputs_info=[pt.ones(())], n_steps=100, return_updates=False)
    f = function([], [trace, trace[-1]])
    trace, last = f()
    np.testing.assert_array_equal(trace, [2, 4, 8, 16, 32])
    assert last == 32


def test_generators_in_a_scan():
    rng = pytensor.shared(np.random.default_rng(5))

    def step(total, rng):
        after, noise = pt.random.normal(size=2, rng=rng).owner.outputs
        return total + noise, after

    total, last = pytensor.scan(
        step, outputs_info=[pt.zeros(2), rng], n_steps=4, return_updates=False
    )
    f = function([], total, updates={rng: last})
    draws = np.random.default_rng(5).normal(size=(8, 2))
    np.testing.assert_allclose(f(), draws[:4].cumsum(0))
    np.testing.assert_allclose(f(), draws[4:].cumsum(0))
    still = function([], total)
    np.testing.assert_array_equal(still(), still())


@pytest.mark.parametrize("stack", [(1,), (4,), (2, 3)])
def test_stacked_scan_is_one_loop(stack):
    x = pt.vector("x", shape=(6,), dtype="float64")
    w = pt.scalar("w", dtype="float64")

    def step(value, last, same):
        return w * value + pt.tanh(last), same * 0.5, value * last

    traces = pytensor.scan(
        step, sequences=[x], outputs_info=[pt.zeros(()), pt.ones(()), None], return_updates=False
    )
    cost = (traces[0] ** 2).sum() + traces[2].sum()
    outputs = [*traces, *pytensor.grad(cost, [x, w])]
    ws = pt.tensor("ws", shape=(None,) * len(stack), dtype="float64")
    f = function([x, ws], vectorize_graph(outputs, {w: ws}))
    kinds = operations(f)
    assert any(isinstance(op, Scan) for op in kinds)
    assert not any(isinstance(op, Blockwise) and isinstance(op.core_op, Scan) for op in kinds)
    one = function([x, w], outputs)
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=6), rng.normal(size=stack)
    results = f(values, weights)
    for i in np.ndindex(*stack):
        for result, expected in zip(results, one(values, weights[i]), strict=True):
            result = np.broadcast_to(result, (*stack, *result.shape[len(stack) :]))
            np.testing.assert_allclose(result[i], expected, rtol=1e-12, atol=1e-14)


def test_stacked_sequences_of_unknown_length():
    x = pt.vector("x", dtype="float64")
    trace = pytensor.scan(
        lambda value, last: value + 0.5 * last,
        sequences=[x],
        outputs_info=[pt.zeros(())],
        return_updates=False,
    )
    xs = pt.matrix("xs", dtype="float64")
    outputs = [trace, pytensor.grad((trace**2).sum(), x)]
    f = function([xs], vectorize_graph(outputs, {x: xs}))
    assert not any(
        isinstance(op, Blockwise) and isinstance(op.core_op, Scan) for op in operations(f)
    )
    values = np.random.default_rng(1).normal(size=(3, 5))
    one = function([x], outputs)
    expected = [np.stack(column) for column in zip(*map(one, values), strict=True)]
    for result, other in zip(f(values), expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-12)


# -- linear algebra -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_stacks_of_matrices(count, dtype):
    a = pt.tensor3("a", dtype=dtype)
    b, v = pt.matrix("b", dtype=dtype), pt.vector("v", dtype=dtype)
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(count, 4, 4))
    value = (factor @ factor.swapaxes(1, 2) + 4 * np.eye(4)).astype(dtype)
    right, vector = (rng.normal(size=s).astype(dtype) for s in ((4, 2), (4,)))
    graphs = [
        cholesky(a),
        cholesky(a, lower=False),
        det(a),
        inv(a),
        slogdet(a)[1],
        solve_triangular(a, b, lower=True, b_ndim=2),
        solve_triangular(a, b, lower=False, b_ndim=2),
        solve_triangular(a, v, lower=True, b_ndim=1),
        solve_triangular(a, v, lower=True, unit_diagonal=True, b_ndim=1),
    ]
    results = function([a, b, v], graphs)(value, right, vector)
    lower = np.linalg.cholesky(value)
    ones = np.tril(value, -1) + np.eye(4)
    expected = [
        lower,
        lower.swapaxes(1, 2),
        np.linalg.det(value),
        np.linalg.inv(value),
        np.linalg.slogdet(value)[1],
        np.linalg.solve(np.tril(value), right),
        np.linalg.solve(np.triu(value), right),
        np.linalg.solve(np.tril(value), vector[:, None])[..., 0],
        np.linalg.solve(ones, vector[:, None])[..., 0],
    ]
    for result, other in zip(results, expected, strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(
            result,
            other,
            rtol=1e-8 if dtype == "float64" else 1e-3,
            atol=1e-4 if dtype == "float32" else 0,
        )


def test_matrices_without_a_factor_are_nan():
    a = pt.tensor3("a", dtype="float64")
    value = np.stack([np.eye(2), -np.eye(2), 4 * np.eye(2)])
    result = function([a], cholesky(a))(value)
    np.testing.assert_array_equal(result, [np.eye(2), np.full((2, 2), np.nan), 2 * np.eye(2)])
    singular = np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    result = function([a], solve_triangular(a, np.ones(2), b_ndim=1))(singular)
    np.testing.assert_array_equal(result, [[1, 1], [np.nan, np.nan], [1, 1]])


# -- the whole ------------------------------------------------------------------------------------


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


# -- draws ----------------------------------------------------------------------------------------


def drawn(make, mode, seed=1):
    """Return two draws one after the other, from a generator that the function advances."""
    rng = pytensor.shared(np.random.default_rng(seed))
    next_rng, draw = make(rng).owner.outputs
    f = pytensor.function([], draw, updates={rng: next_rng}, mode=mode)
    return f(), f()


NORMALS = {
    "size": lambda rng: pt.random.normal(3, [2.0, 5.0], size=(4, 2), rng=rng),
    "none": lambda rng: pt.random.normal([[1.0], [2.0]], [1.0, 5.0, 7.0], rng=rng),
    "scalar": lambda rng: pt.random.normal(rng=rng),
}


@pytest.mark.parametrize("make", NORMALS.values(), ids=NORMALS)
def test_normal_draws(make):
    """The same numbers as NumPy's, up to rounding."""
    for mine, theirs in zip(drawn(make, numpy_mode()), drawn(make, PLAIN), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-14)


def test_bernoulli_draws():
    p = np.array([0.0, 0.2, 0.7, 1.0])
    first, second = drawn(
        lambda rng: pt.random.bernoulli(p, size=(20_000, 4), rng=rng), numpy_mode()
    )
    assert first.dtype == "int64"
    assert not np.array_equal(first, second)
    error = 5 * np.sqrt(p * (1 - p) / 20_000)
    assert (np.abs(first.mean(axis=0) - p) <= error).all()


def test_draws_of_bad_parameters():
    with pytest.raises(ValueError, match="scale < 0"):
        drawn(lambda rng: pt.random.normal(0, [1.0, -1.0], rng=rng), numpy_mode())
    for p in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match="p < 0"):
            drawn(lambda rng, p=p: pt.random.bernoulli([0.5, p], rng=rng), numpy_mode())


def test_draws_of_scipy_with_constants():
    """SciPy writes to the flags of the parameters' memory, which is locked."""
    make = lambda rng: pt.random.t(np.float64(4.0), 1.0, 2.0, size=(1000,), rng=rng)  # noqa: E731
    np.testing.assert_array_equal(drawn(make, numpy_mode())[0], drawn(make, PLAIN)[0])
