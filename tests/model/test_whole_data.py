import numpy as np
import pytensor
import pytest
from helpers.minibatches import normal_model, numbered
from pytensor.graph.replace import graph_replace
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ShapeError
from vibayes.model.minibatch import Minibatch

pytestmark = pytest.mark.usefixtures("without_compiler")


def test_log_density_on_the_whole_data(regression):
    model, X, y = regression
    replacements = model.whole_data_replacements()
    assert {m.name for m in replacements} == {"Minibatch_0", "Minibatch_1"}
    logp = graph_replace(model.logp(), replacements)
    slope = np.array([0.5, -1.0])
    (value,) = evaluate([logp], {model.value_vars[0]: slope})
    expected = stats.norm(0, 10).logpdf(slope).sum() + stats.norm(X @ slope, 1).logpdf(y).sum()
    np.testing.assert_allclose(value, expected)


def test_a_part_in_memory_stands_for_the_rest():
    data = np.random.default_rng(8).normal(size=80)
    model = normal_model(Minibatch(data, 10, in_memory_size=40), 80)
    replaced = graph_replace(model.observedlogp, model.whole_data_replacements())
    (value,) = evaluate([replaced], {model.value_vars[0]: 0.3})
    np.testing.assert_allclose(value, 2 * stats.norm(0.3, 2).logpdf(data[:40]).sum())


def test_expressions_on_the_whole_and_on_new_data(regression):
    model, X, _ = regression
    approx = vb.MeanField(model=model, random_seed=1)
    node = approx.sample_node([model["mean"], model["slope"]], size=5)
    assert node[0].eval().shape == (5, 10)
    whole = approx.sample_node(
        [model["mean"], model["slope"]],
        size=5,
        more_replacements=model.whole_data_replacements(),
    )
    mean, slope = pytensor.function([], whole)()
    np.testing.assert_allclose(mean, slope @ X.T)
    (x_part,) = [m for m in model.minibatches if m.type.ndim == 2]
    new = approx.sample_node(model["mean"], more_replacements={x_part: np.ones((3, 2))})
    assert new.eval().shape == (3,)


def test_data_that_show_the_same_rows_must_have_one_length():
    X, y = Minibatch(numbered(60, 2), numbered(60), batch_size=6)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu * X[:, 0], 2.0, observed=y, total_size=60)
    model.check_shapes()
    y.set_value(numbered(70))
    with pytest.raises(ShapeError, match=r"'Minibatch_[01]' show the same rows.* 70|60 and 60|70"):
        model.check_shapes()
    X.set_value(numbered(70, 2))
    model.check_shapes()


def test_other_models_may_change_their_data():
    X, y = Minibatch(numbered(60), 6), Minibatch(numbered(60), 6)
    one, two = normal_model(X, 60), normal_model(y, 60)
    X.set_value(numbered(100))
    one.check_shapes()
    two.check_shapes()
    assert y.eval().max() <= 59


@pytest.mark.parametrize("batch_size", [[3, 2], None, [None, 2], [Ellipsis]])
def test_replacement_by_all_data_whatever_axes_are_drawn(batch_size):
    data = numbered(6, 5)
    x = Minibatch(data, batch_size)
    np.testing.assert_array_equal(graph_replace(-x, {x.minibatch: x.shared}).eval(), -data)
