import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.numpy_functions import numpy_function as function
from helpers.numpy_functions import operations
from pytensor.graph.replace import vectorize_graph
from pytensor.scan.op import Scan
from pytensor.tensor.blockwise import Blockwise


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
