import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.random.type import random_generator_type

from vibayes.backend.jax import as_key, double_precision
from vibayes.backend.jax.ahead import MOST_NUMBERS, MOST_STEPS, block_of_steps, take_draws_out
from vibayes.backend.jax.convert import function_of, rewritten_for_jax
from vibayes.backend.jax.keys import moved

jax = pytest.importorskip("jax")

FX = pytensor.config.floatX


def step(updates_of, inputs):
    """Return the graph of a step, and what takes its draws out."""
    with double_precision():
        graph = rewritten_for_jax(inputs, updates_of(*inputs), [(), *[None] * (len(inputs) - 1)])
        return graph, take_draws_out(graph, range(1, len(inputs)))


def key(high, low):
    return as_key(np.array([high, low], dtype="uint32"))


def words(key):
    return np.asarray(jax.random.key_data(key)).tolist()


def generators(n):
    return [random_generator_type(f"rng{i}") for i in range(n)]


def test_keys_go_on_to_the_next_of_all_that_there_are():
    last = 2**32 - 1
    with double_precision():
        assert words(moved(key(3, 4), 0)) == [3, 4]
        assert words(moved(key(3, last - 1), 5)) == [4, 3]
        assert words(moved(key(last, last), 1)) == [0, 0]


def test_a_block_has_the_draws_of_its_steps_one_by_one():
    def two_draws(x, rng):
        moved, first = pt.random.normal(2.0, 3.0, size=(3,), rng=rng).owner.outputs
        moved, second = pt.random.uniform(size=(2,), rng=moved).owner.outputs
        return [x + first.sum() * second.sum(), moved]

    graph, ahead = step(two_draws, [pt.scalar("x"), *generators(1)])
    assert ahead.moves == [2]
    assert len(graph.inputs) == 4
    with double_precision():
        drawn = sorted(ahead([key(7, 2**32 - 5)]), key=lambda values: -values.shape[1])
        function = function_of(graph)
        for i in (0, 1, 4, ahead.steps - 1):
            at = (7 * 2**32 + 2**32 - 5 + 2 * i) % 2**64
            own, other = (key(*divmod(at + k, 2**32)) for k in range(2))
            expected = 2 + 3 * jax.random.normal(own, (3,), FX)
            np.testing.assert_allclose(drawn[0][i], expected, 1e-5)
            expected = jax.random.uniform(other, (2,), FX)
            np.testing.assert_allclose(drawn[1][i], expected, 1e-5)
            given = sorted(graph.inputs[2:], key=lambda v: -v.type.shape[0])
            order = [given.index(v) for v in graph.inputs[2:]]
            value, _ = function(0.0, own, *(drawn[k][i] for k in order))
            np.testing.assert_allclose(value, drawn[0][i].sum() * drawn[1][i].sum(), 1e-5)


def test_a_draw_that_depends_on_the_state_stays_in_the_step():
    def walk(x, rng):
        moved, drawn = pt.random.normal(x, 1.0, rng=rng).owner.outputs
        return [drawn, moved]

    graph, ahead = step(walk, [pt.scalar("x"), *generators(1)])
    assert (ahead.moves, ahead.draws, len(graph.inputs)) == ([1], [], 2)
    with double_precision():
        assert ahead([key(0, 0)]) == []
        assert words(ahead.moved([key(0, 1)], 3)[0]) == [0, 4]


def test_keys_whose_way_is_not_known_are_those_that_a_step_leaves():
    def exchange(x, a, b):
        moved, drawn = pt.random.normal(rng=a).owner.outputs
        return [x + drawn, b, moved]

    graph, ahead = step(exchange, [pt.scalar("x"), *generators(2)])
    assert (ahead.moves, ahead.draws, len(graph.inputs)) == ([None, None], [], 3)
    assert ahead.moved(["a", "b"], 3) == ["a", "b"]
    assert ahead.stepped(["a", "b"], ["c", "d"]) == ["c", "d"]


def test_blocks_are_short_where_steps_draw_much():
    assert block_of_steps(0) == block_of_steps(1) == MOST_STEPS
    assert block_of_steps(MOST_NUMBERS // MOST_STEPS + 1) == MOST_STEPS // 2
    assert block_of_steps(MOST_NUMBERS) == block_of_steps(10**9) == 1
