import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytensor
import pytensor.tensor as pt

from vibayes.backend.plain import PlainFunction


def chain(length):
    """Return a function whose graph is as long as that."""
    x, scale = pt.vector("x"), pytensor.shared(np.array([2.0, 3.0]))
    y = x * scale
    for i in range(length):
        y = pt.cumsum(y) if i % 2 else pt.exp(-y)
    return PlainFunction([x], [y, x + 1]), scale


def test_a_long_graph_is_pickled():
    function, _ = chain(600)
    again = pickle.loads(pickle.dumps(function))
    value = np.array([0.1, 0.2])
    for a, b in zip(again(value), function(value), strict=True):
        np.testing.assert_array_equal(a, b)
    twice = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(twice(value)[0], function(value)[0])


def test_shared_variables_are_read_at_each_call():
    function, scale = chain(1)
    x = np.ones(2)
    np.testing.assert_allclose(function(x)[0], np.exp(-scale.get_value()))
    scale.set_value(np.zeros(2))
    np.testing.assert_allclose(function(x)[0], 1.0)


def test_threads_do_not_get_into_each_others_way():
    function, _ = chain(20)
    values = [np.full(2, 0.01 * i) for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(function, values))
    for value, (result, _) in zip(values, found, strict=True):
        np.testing.assert_array_equal(result, function(value)[0])
