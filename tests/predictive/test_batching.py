import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.backend.seeds import random_generators, reseeded
from vibayes.predictive.batching import over_draws
from vibayes.predictive.compiled import compile_over_draws


def drawn(outputs, given, values, draws=2000, seed=1, others=None):
    return compile_over_draws(outputs, given, {}, others)(draws, values, seed)


def correlation(x, y):
    return np.corrcoef(x, y)[0, 1]


def test_variables_that_depend_on_nothing_are_drawn_for_each_draw():
    x = vb.Normal.dist(1.0, 2.0)
    y = vb.Normal.dist(0.0, 1.0, shape=3)
    one, three, total = drawn([x, y, x + y], [], [])
    assert one.shape == (2000,)
    assert three.shape == total.shape == (2000, 3)
    np.testing.assert_array_equal(total, one[:, None] + three)
    assert one.mean() == pytest.approx(1.0, abs=0.2)
    assert one.std() == pytest.approx(2.0, rel=0.1)
    assert abs(correlation(three[:, 0], three[:, 1])) < 0.1


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("first", [True, False])
def test_either_parameter_may_differ_between_draws(shape, first):
    draws = 3  # as long as the last axis: an axis in the wrong place would go unnoticed
    t = pt.dscalar("t")
    rv = vb.Normal.dist(*((t, 1e-9) if first else (5.0, t)), shape=shape)
    values = np.array([1.0, 2.0, 3.0]) if first else np.array([1e-9, 1e-9, 10.0])
    (x,) = drawn([rv], [t], [values], draws)
    assert x.shape == (draws, *shape)
    flat = x.reshape(draws, -1)
    if first:
        np.testing.assert_allclose(flat, np.tile(values[:, None], flat.shape[1]), atol=1e-6)
    else:
        np.testing.assert_allclose(flat[:2], 5.0, atol=1e-6)
        assert (np.abs(flat[2] - 5.0) > 1e-3).all()


def test_chains_of_generators():
    def random(mu, size):
        return vb.Normal.dist(0.0, 1.0, size=size) + mu * vb.Normal.dist(0.0, 1.0, size=size)

    t = pt.dscalar("t")
    rv = vb.CustomDist.dist(t, dist=random, size=(2,))
    (x,) = drawn([rv], [t], [np.ones(4000)], 4000)
    # two independent parts: were they the same numbers, the variance would be 4
    np.testing.assert_allclose(x.var(axis=0), 2.0, rtol=0.1)
    assert abs(correlation(x[:, 0], x[:, 1])) < 0.1


def test_other_graphs_in_place():
    x, y = vb.Normal.dist(0.0, 1.0), vb.Normal.dist(100.0, 1.0, shape=2)
    a, b = drawn([x, x + 1], [], [], others={x: y})
    assert a.shape == (2000, 2)
    np.testing.assert_array_equal(b, a + 1)
    assert a.mean() == pytest.approx(100.0, abs=0.2)


def test_what_is_the_same_in_all_draws_has_their_axis_too():
    (x,) = drawn([pt.constant([1.0, 2.0]) * 2], [], [], 5)
    np.testing.assert_array_equal(x, np.tile([2.0, 4.0], (5, 1)))


def test_a_loop_that_draws_is_refused():
    rng = pytensor.shared(np.random.default_rng(1))

    def step(x, rng):
        next_rng, noise = pt.random.normal(0, 1, rng=rng).owner.outputs
        return [x + noise, next_rng]

    t = pt.dscalar("t")
    walk, _ = pytensor.scan(step, outputs_info=[t, rng], n_steps=3, return_updates=False)
    with pytest.raises(NotImplementedError, match="loop"):
        over_draws([walk], {t: pt.dvector()}, pt.lscalar(), {})


def test_graphs_stay_as_they_are():
    x = vb.Normal.dist(0.0, 1.0)
    before = pytensor.dprint(x, file="str")
    (rng,) = random_generators([x])
    state = rng.get_value().bit_generator.state
    drawn([x], [], [])
    assert pytensor.dprint(x, file="str") == before
    assert rng.get_value().bit_generator.state == state


def test_results_depend_on_the_seed_and_not_on_how_many_there_are():
    x = vb.Normal.dist(0.0, 1.0, shape=30_000)  # three draws a call
    function = compile_over_draws([x], [], {})
    (eleven,), (ten,) = function(11, [], 7), function(10, [], 7)
    np.testing.assert_array_equal(eleven[:10], ten)
    assert len(np.unique(eleven)) == eleven.size
    (again,) = function(10, [], 7)
    np.testing.assert_array_equal(ten, again)
    assert (function(10, [], 8)[0] != ten).all()


def test_a_draw_is_like_one_of_the_variable_itself():
    x = vb.Gamma.dist(2.0, 1.0, shape=5000)
    (batched,) = drawn([x], [], [], 2)
    alone = pytensor.function([], reseeded([x], 3)[0], mode="FAST_COMPILE")()[0]
    assert np.quantile(batched[1], [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(alone, [0.1, 0.5, 0.9]), rel=0.1
    )
