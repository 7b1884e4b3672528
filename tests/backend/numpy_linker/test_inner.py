import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.numpy_functions import check, operations
from helpers.numpy_functions import numpy_function as function
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.replace import vectorize_graph
from pytensor.scan.utils import until
from pytensor.tensor.blockwise import Blockwise


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
