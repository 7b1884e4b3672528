import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes.objectives.options import StepOptions


class Agreeable:
    """A callable that says of itself that it is equal to everything."""

    def __call__(self, grads, params):
        return {}

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


def test_what_is_none_has_its_default_and_is_not_given():
    options = StepOptions.of(obj_n_mc=None, score=False, obj_optimizer=None)
    assert options.given == {"score"}
    assert (options.score, options.obj_n_mc, options.tf_n_mc) == (False, 1, 1)
    assert options.obj_optimizer is vb.adagrad_window
    assert options.more_updates == {}
    assert options.more_replacements == {}


def test_other_options_are_a_new_value():
    options = StepOptions.of(obj_n_mc=3)
    other = options.but(score=False)
    assert (other.obj_n_mc, other.score) == (3, False)
    assert other.given == {"obj_n_mc", "score"}
    assert options.score
    assert options.given == {"obj_n_mc"}


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("obj_n_mc", 0, ValueError),
        ("obj_n_mc", 2.5, ValueError),
        ("tf_n_mc", True, ValueError),
        ("obj_optimizer", 0.01, TypeError),
        ("test_optimizer", 5, TypeError),
        ("more_obj_params", [1.0], TypeError),
        ("more_tf_params", ["w"], TypeError),
        ("more_updates", {"w": 1.0}, TypeError),
        ("more_replacements", {"w": 1.0}, TypeError),
    ],
)
def test_options_are_checked_when_they_are_made(option, value, error):
    with pytest.raises(error, match=option):
        StepOptions(**{option: value})
    with pytest.raises(error, match=option):
        StepOptions.of(**{option: value})


def test_options_cannot_be_changed():
    with pytest.raises(AttributeError):
        StepOptions().obj_n_mc = 5


def test_equal_options_have_equal_keys():
    adam = {"obj_optimizer": vb.adam(learning_rate=0.01), "total_grad_norm_constraint": 5.0}
    assert StepOptions(**adam).key == StepOptions.of(**adam).key
    assert hash(StepOptions(**adam).key) == hash(StepOptions.of(**adam).key)
    assert StepOptions().key == StepOptions.of(obj_n_mc=np.int64(1), score=True).key


@pytest.mark.parametrize(
    "other",
    [
        {"score": False},
        {"obj_n_mc": 2},
        {"tf_n_mc": 2},
        {"obj_optimizer": vb.sgd},
        {"test_optimizer": vb.sgd},
        {"total_grad_norm_constraint": 1.0},
    ],
)
def test_each_option_is_in_the_key(other):
    assert StepOptions(**other).key != StepOptions().key


def test_a_callable_is_equal_to_nothing_but_itself():
    first, second = Agreeable(), Agreeable()
    assert first == second
    assert StepOptions(obj_optimizer=first).key == StepOptions(obj_optimizer=first).key
    assert StepOptions(obj_optimizer=first).key != StepOptions(obj_optimizer=second).key
    assert StepOptions(test_optimizer=first).key != StepOptions(test_optimizer=second).key


def test_graphs_of_the_users_own_cannot_be_shared():
    w, r = pytensor.shared(0.0, name="w"), pytensor.shared(1.0, name="r")
    for own in ({"more_obj_params": [w]}, {"more_tf_params": [w]}, {"more_updates": {w: w + 1}}):
        options = StepOptions(**own)
        assert options.key is None
        assert options.own_key == StepOptions(**own).own_key
        assert options.own_key != StepOptions().own_key
    swapped = StepOptions(more_replacements={w: r})
    assert swapped.key == StepOptions(more_replacements={w: r}).key != StepOptions().key


def test_a_description_has_what_was_given():
    w = pytensor.shared(0.0, name="w")
    options = StepOptions.of(obj_n_mc=1, obj_optimizer=vb.sgd, more_obj_params=[w])
    described = options.describe()
    assert described["obj_n_mc"] == 1
    assert described["tf_n_mc"] is None
    assert described["obj_optimizer"] == "sgd(learning_rate=0.001)"
    assert described["more_obj_params"] == ["w"]
    assert described["more_updates"] == []
    assert list(described) == list(StepOptions().describe())


def test_a_step_is_that_of_its_options():
    with vb.Model():
        vb.Normal("x")
        loss = vb.ObjectiveFunction(vb.KL(vb.MeanField(random_seed=1)))
    assert loss.step(score=False).loss is None
    assert loss.step_graph(StepOptions()).loss is not None
    with pytest.raises(ValueError, match="obj_n_mc"):
        loss.step(obj_n_mc=0)
