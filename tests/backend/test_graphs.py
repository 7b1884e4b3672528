import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.blas import BatchedDot
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Dot

import vibayes as vb
from vibayes.backend.graphs import (
    as_replacements,
    compiled_graph,
    fixed_parts,
    integer_input,
    is_loop,
    is_none,
    rewritten,
    vectorized,
    view_as,
    with_known_lengths,
    work_of,
)
from vibayes.backend.modes import EVALUATE_MODE, evaluate


def test_replacements_get_the_type_of_what_they_replace():
    x = pt.vector("x", dtype="float32")
    y = x * 2
    found = as_replacements({x: [1, 2], y: x + 1})
    assert found[x].type.dtype == "float32"
    np.testing.assert_array_equal(evaluate([found[x]])[0], [1, 2])
    assert as_replacements(None) == {}
    with pytest.raises(TypeError, match="'x' is not a PyTensor variable"):
        as_replacements({"x": 1})


def test_a_view_has_the_value_of_its_source():
    x, y = pt.vector("x"), pt.vector("y")
    view_as(x, y)
    np.testing.assert_array_equal(evaluate([y + 1], {x: [1.0, 2.0]})[0], [2, 3])


def test_a_vectorized_operation_acts_on_each_row():
    x = pt.vector("x")
    rows = pt.matrix("rows")
    (total,) = vectorized(x.sum().owner, [rows])
    np.testing.assert_array_equal(evaluate([total], {rows: np.ones((3, 2))})[0], [2, 2, 2])


def test_kinds_of_nodes_and_variables():
    loop = pytensor.scan(
        lambda x: x + 1, outputs_info=[pt.zeros(())], n_steps=3, return_updates=False
    )
    assert is_loop(loop.owner.inputs[0].owner)
    assert not is_loop((pt.scalar() + 1).owner)
    size = pt.random.normal(rng=pytensor.shared(np.random.default_rng(1))).owner.inputs[1]
    assert is_none(size)
    assert not is_none(pt.scalar())


def test_the_graph_of_a_function_can_be_compiled_again():
    x, shared = pt.vector("x"), pytensor.shared(2.0)
    function = pytensor.function([x], [shared * pt.exp(x), x.sum()], mode=EVALUATE_MODE)
    inputs, outputs = compiled_graph(function)
    assert inputs[1] is shared
    again = pytensor.function(inputs[:1], outputs[:1], mode=EVALUATE_MODE)
    np.testing.assert_array_equal(again([0.0, 1.0])[0], function([0.0, 1.0])[0])


def test_each_operation_of_a_class_is_replaced():
    x, y = pt.matrices("xy")
    graph = pt.dot(x, y) + 1
    (other,) = rewritten([graph], Dot, lambda node: [node.inputs[0] + node.inputs[1]])
    ones = {x: np.ones((2, 2)), y: np.ones((2, 2))}
    np.testing.assert_array_equal(evaluate([other], ones)[0], np.full((2, 2), 3))
    np.testing.assert_array_equal(
        evaluate([graph], {x: np.ones((2, 2)), y: np.zeros((2, 2))})[0], 1
    )


def test_a_whole_number_is_an_input():
    n, tensor = integer_input("n")
    function = pytensor.function([n], tensor + 1, mode=EVALUATE_MODE)
    assert function(3) == 4


def test_fixed_parts_are_the_largest_ones_of_data():
    x = pytensor.shared(np.zeros(3), name="x")
    data = pytensor.shared(np.arange(3.0), name="data")
    fixed = pt.exp(data) + 1
    log = pt.log(fixed)
    assert set(fixed_parts([x * fixed, log * x.sum()], [x])) == {fixed, log}


def test_exponentials_are_left_where_they_are_added_to_what_moves():
    """PyTensor makes their logarithm safe, which takes both arguments."""
    x = pytensor.shared(np.zeros(3), name="x")
    data = pytensor.shared(np.array([1.0, 800.0, -800.0]), name="data")
    twice = data * 2
    total = pt.log(pt.exp(x) + (pt.exp(twice) + pt.exp(data)))
    assert fixed_parts([total], [x]) == [twice]
    rates, beside = pt.exp(data), 1 + data
    assert set(fixed_parts([x * rates, pt.log(x + beside)], [x])) == {rates, beside}


@pytest.mark.parametrize("backend", ["py", pytest.param("numba", marks=pytest.mark.ci)])
def test_steps_take_a_safe_logarithm_of_exponentials(backend):
    with vb.Model():
        x = vb.Normal("x", 0, 1)
        data = vb.Data("data", np.array([1.0, 900.0]))
        vb.Potential("y", -0.01 * pt.log(pt.exp(x) + pt.exp(data)).sum())
        approx = vb.fit(20, backend=backend, random_seed=1, progressbar=False, diagnose=False)
    assert np.isfinite(approx.hist).all()
    assert abs(approx.hist.mean() - 9) < 1  # a hundredth of 901


def test_whole_outputs_can_be_fixed():
    data = pytensor.shared(np.arange(3.0), name="data")
    total = data.sum()
    assert fixed_parts([total], []) == [total]


def test_what_is_drawn_moves():
    rng = pytensor.shared(np.random.default_rng(1), name="rng")
    data = pytensor.shared(np.arange(3.0), name="data")
    next_rng, noise = pt.random.normal(data**2, rng=rng).owner.outputs
    (only,) = fixed_parts([noise, next_rng], [rng])
    assert only.owner.inputs[0] is data


def test_constants_and_data_themselves_are_no_parts():
    x = pytensor.shared(np.zeros(3), name="x")
    data = pytensor.shared(np.arange(3.0), name="data")
    assert fixed_parts([x * data * pt.exp(pt.constant(2.0))], [x]) == []


def test_work_of_a_loop_counts_as_often_as_it_goes_round():
    x = pt.matrix("x", shape=(None, 50))
    plain = work_of([pt.exp(x) + 1])
    assert plain.operations == pytest.approx(3, abs=1)  # a constant is broadcast
    assert 100 <= plain.numbers <= 151

    def rounds(n):
        return pytensor.scan(
            lambda y: pt.exp(y) + 1, outputs_info=x, n_steps=n, return_updates=False
        )

    ten, hundred = (work_of([rounds(n)]) for n in (10, 100))
    assert 90 * plain.operations <= hundred.operations - ten.operations
    assert hundred.numbers - ten.numbers >= 90 * 100


def test_work_on_each_matrix_of_a_stack_is_told():
    x, y = pt.tensor3("x", shape=(4, 2, 2)), pt.tensor3("y", shape=(4, 2, 2))
    products = pt.exp(BatchedDot()(x, y)) + 1
    factors = pt.linalg.cholesky(x)
    assert work_of([products]).on_matrices == 1
    assert work_of([products, factors]).on_matrices == 2
    assert work_of([pt.exp(x) + 1, pt.dot(x[0], y[0])]).on_matrices == 0


def test_lengths_of_shared_data_are_known():
    data = pytensor.shared(np.zeros((20, 3)), name="data", shape=(None, 3))
    x = pt.vector("x", shape=(3,))
    graphs = [pt.exp(data @ x), x + 1]
    ten = with_known_lengths(graphs)
    assert [graph.type.shape for graph in ten] == [(20,), (3,)]
    assert ten[1] is graphs[1]
    assert graphs[0].type.shape == (None,)  # what was given is as it was
    data.set_value(np.zeros((4000, 3)))
    assert work_of(with_known_lengths(graphs)).numbers > 8000


def test_loops_over_data_stay_as_they_are():
    data = pytensor.shared(np.zeros(20), name="data", shape=(None,))
    total = pytensor.scan(
        lambda row, sum_: sum_ + row,
        sequences=data + 1,
        outputs_info=pt.zeros(()),
        return_updates=False,
    )
    (known,) = with_known_lengths([total])
    assert evaluate([known])[0][-1] == 20
    assert known.type == total.type


def test_work_of_special_functions_is_told():
    x = pt.matrix("x", shape=(None, 7))
    assert work_of([pt.gammaln(x)]).special == 7
    assert work_of([pt.gammaln(x).sum() + pt.sigmoid(x[0]).sum() + pt.exp(x).sum()]).special == 14
    assert work_of([pt.exp(x) + pt.log1p(x) * pt.tanh(x)]).special == 0


def test_work_on_vectors_of_a_stack_is_none_on_matrices():
    """Such as sums of each of them, which take no longer to compile than any operation."""
    x = pt.matrix("x", shape=(None, 7))
    sums = Blockwise(CumOp(axis=0), signature="(i)->(i)")(x)
    assert work_of([sums]).on_matrices == 0
