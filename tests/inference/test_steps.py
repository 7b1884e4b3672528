import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import ancestors

from vibayes import updates
from vibayes.backend.graphs import lift_constants
from vibayes.backend.modes import EVALUATE_MODE, resolve_mode
from vibayes.inference.steps import CompiledSteps, State
from vibayes.objectives.base import StepGraph

# one for each kind of state: none, averages, a window with its place in it, averages and a count
OPTIMIZERS = [
    updates.sgd,
    updates.nesterov_momentum,
    updates.adagrad_window,
    updates.adam,
]


def shared(value, name=None):
    value = np.asarray(value)
    return pytensor.shared(value, name=name, shape=value.shape)


def noisy_graph(optimizers):
    """Optimizers on their own parameters, with noise, random rows of data and more updates."""
    noise_rng = shared_rng(1, "noise")
    next_noise, noise = pt.random.normal(size=(3,), rng=noise_rng).owner.outputs
    index_rng = shared_rng(2, "rows")
    next_rows, rows = pt.random.integers(0, 50, size=(8,), rng=index_rng).owner.outputs
    index_rng.default_update = next_rows
    data = pytensor.shared(np.random.default_rng(3).normal(size=(50, 3)), name="data")
    count = shared(np.int64(0), "count")
    total = 0
    changes = {noise_rng: next_noise, count: count + 1}
    for k, optimizer in enumerate(optimizers):
        vector = shared(np.full(3, 0.5 + 0.1 * k), f"vector_{optimizer.__name__}")
        matrix = shared(np.full((2, 3), 0.2), f"matrix_{optimizer.__name__}")
        loss = ((data[rows] - vector - 0.1 * noise) ** 2).mean() + ((matrix - vector) ** 2).sum()
        changes |= optimizer(learning_rate=0.02)(loss, [vector, matrix])
        total = total + loss
    return StepGraph(changes, total)


def shared_rng(seed, name):
    return pytensor.shared(np.random.default_rng(seed), name=name)


def start(steps):
    generators = {key: key.get_value() for key in steps.generators}
    return steps.state({}, generators)


def run_in_chunks(steps, state, chunks):
    losses = []
    for n in chunks:
        state, chunk = steps.run(state, n)
        losses.append(chunk)
    return state, np.concatenate(losses)


@pytest.fixture(scope="module", params=["numba", "py"])
def steps(request):
    """Steps of one optimizer in machine code, which take long to compile, and of all in NumPy."""
    used = OPTIMIZERS if request.param == "py" else OPTIMIZERS[-1:]
    steps = CompiledSteps(noisy_graph(used), resolve_mode(request.param))
    steps.used = used
    steps.compile(start(steps))
    return steps


@pytest.mark.parametrize(
    "chunks", [[60], [1] * 60, [1, 59], [59, 1], [7, 13, 40], [20, 20, 20], [2, 1, 3, 54]]
)
def test_chunks_do_not_change_numbers(steps, chunks):
    once, losses_once = run_in_chunks(steps, start(steps), [60])
    state, losses = run_in_chunks(steps, start(steps), chunks)
    np.testing.assert_array_equal(losses, losses_once)
    for a, b in zip(state.vectors, once.vectors, strict=True):
        np.testing.assert_array_equal(a, b)
    assert state.generators == once.generators


def test_random_chunks_do_not_change_numbers(steps, rng):
    once, losses_once = run_in_chunks(steps, start(steps), [300])
    for _ in range(10):
        cuts = np.sort(rng.choice(np.arange(1, 300), size=rng.integers(1, 12), replace=False))
        chunks = np.diff([0, *cuts, 300])
        state, losses = run_in_chunks(steps, start(steps), [int(n) for n in chunks])
        np.testing.assert_array_equal(losses, losses_once)
        np.testing.assert_array_equal(state.vectors[0], once.vectors[0])


def test_scan_equals_one_step_function(steps):
    """The loop computes what calling an ordinary PyTensor function n times computes."""
    graph = noisy_graph(steps.used)
    rows_rng = next(k for k in steps.generators if k.name == "rows")
    one_step = pytensor.function([], graph.loss, updates=graph.updates, mode=EVALUATE_MODE)
    expected = np.array([one_step() for _ in range(30)])
    assert (
        rows_rng.get_value().bit_generator.state
        == shared_rng(2, "").get_value().bit_generator.state
    )
    _, losses = steps.run(start(steps), 30)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)


def test_counter_counts(steps):
    state, _ = steps.run(start(steps), 25)
    count = next(k for k in steps.numbers if k.name == "count")
    assert steps.value(state, count) == 25


def test_run_changes_neither_its_input_nor_the_shared_variables(steps):
    state = start(steps)
    before = [v.copy() for v in state.vectors]
    values = {k: k.get_value() for k in steps.numbers}
    generators = state.generators[0]["state"]["state"]
    steps.run(state, 5)
    for a, b in zip(state.vectors, before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert state.generators[0]["state"]["state"] == generators
    for key, value in values.items():
        np.testing.assert_array_equal(key.get_value(), value)


def test_data_can_change_without_compiling():
    data = pytensor.shared(np.array([1.0, 2.0]))
    x = shared(np.zeros(2), "x")
    loss = ((x - data) ** 2).sum()
    steps = CompiledSteps(StepGraph(updates.sgd(learning_rate=0.5)(loss, [x]), loss), EVALUATE_MODE)
    steps.compile(start(steps))
    state, _ = steps.run(start(steps), 1)
    np.testing.assert_allclose(state.vectors[0], [1.0, 2.0])
    data.set_value(np.array([5.0, -1.0]))
    state, _ = steps.run(start(steps), 1)
    np.testing.assert_allclose(state.vectors[0], [5.0, -1.0])


def test_large_constants_become_inputs():
    x = shared(np.zeros(40), "x")
    loss = ((x - pt.constant(np.arange(40.0))) ** 2).sum() * pt.constant(np.ones(3))
    found = list(ancestors(lift_constants([loss])))
    sizes = [v.data.size for v in found if isinstance(v, pt.TensorConstant)]
    assert max(sizes) == 3
    (lifted,) = (v for v in found if isinstance(v, SharedVariable) and v is not x)
    np.testing.assert_array_equal(lifted.get_value(), np.arange(40.0))


def test_update_of_another_type_is_an_error():
    x = shared(np.zeros(2), "x")
    graph = StepGraph({x: x.astype("float32")}, None)
    steps = CompiledSteps(graph, EVALUATE_MODE)
    with pytest.raises(TypeError, match="update of x"):
        steps.compile(start(steps))


def test_without_loss():
    x = shared(np.zeros(2), "x")
    steps = CompiledSteps(StepGraph({x: x + 1}, None), EVALUATE_MODE)
    steps.compile(start(steps))
    state, losses = steps.run(start(steps), 4)
    np.testing.assert_array_equal(state.vectors[0], [4.0, 4.0])
    assert losses.shape == (4,)


@pytest.mark.parametrize(
    ("numbers", "is_finite"),
    [
        ([1e200, -1e200], True),  # whose squares are not
        ([1.0, np.inf], False),
        ([np.inf, -np.inf], False),
        ([0.0, np.nan], False),
        ([], True),
    ],
)
def test_states_know_whether_they_are_finite(numbers, is_finite):
    whole = np.arange(3), np.ones(2, "float32")
    assert State((*whole, np.array(numbers)), ()).is_finite() is is_finite
