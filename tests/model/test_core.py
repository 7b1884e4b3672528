import pickle

import numpy as np
from helpers.minibatches import normal_model, numbered
from pytensor.graph.replace import graph_replace

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.model.minibatch import Minibatch


def test_a_variable_draws_when_it_is_evaluated(model):
    draw = model.compile_fn(model["mu"], inputs=[], backend="py")
    assert len({float(draw({})) for _ in range(3)}) == 3


def test_minibatches_of_a_model(regression):
    model, *_ = regression
    assert {m.name for m in model.minibatches} == {"Minibatch_0", "Minibatch_1"}
    assert normal_model(numbered(60), None).whole_data_replacements() == {}
    x = Minibatch(numbered(60), 6)
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Potential("soft", -((x - mu) ** 2).sum())
        assert model.minibatches == [x]
        y = vb.Deterministic("y", mu * Minibatch(numbered(60), 6, name="other"))
    assert {m.name for m in model.minibatches} == {"Minibatch", "other"}
    assert y in model.deterministics


def test_a_model_with_minibatches_can_be_pickled(regression):
    model, *_ = regression
    new = pickle.loads(pickle.dumps(model))
    assert all(isinstance(m, Minibatch) for m in new.minibatches)
    mine, theirs = (
        evaluate(
            [graph_replace(m.logp(), m.whole_data_replacements())], {m.value_vars[0]: [0.5, 1.0]}
        )
        for m in (model, new)
    )
    np.testing.assert_array_equal(mine, theirs)
