import numpy as np
import pytest

import vibayes as vb
from vibayes.model.target import Target


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.Normal("x", 5, 0.1)
        vb.Normal("y", -30, 3, shape=2)
        vb.Gamma("s", 50, 1)
    return model


def groups_in_another_order(model):
    groups = [vb.Group([model["s"], model["x"]], model=model, vfam="full_rank")]
    groups.append(vb.Group([model["y"]], model=model, vfam="mean_field"))
    return vb.Approximation(groups, model=model, random_seed=1)


def test_places_of_groups_in_the_flat_vector_of_the_model(model):
    first, second = groups_in_another_order(model).places()
    np.testing.assert_array_equal(first, [3, 0])
    np.testing.assert_array_equal(second, [1, 2])


def test_values_from_group_order_to_model_order(model):
    approx = groups_in_another_order(model)
    values = np.array([[10.0, 11, 12, 13], [20, 21, 22, 23]])  # by group: s, x, y[0], y[1]
    found = approx.in_model_order(values)
    np.testing.assert_array_equal(found, [[11, 12, 13, 10], [21, 22, 23, 20]])
    by_group = np.concatenate([found[..., places] for places in approx.places()], axis=-1)
    np.testing.assert_array_equal(by_group, values)


def test_flat_draws_are_in_model_order(model):
    approx = groups_in_another_order(model)
    for group in approx.groups:
        group.set_values({"mu": np.arange(group.ddim) + 10.0 * (group.ddim == 2)})
    found = approx.flat_draws(2000, random_seed=1)
    mean = approx.in_model_order(np.concatenate([g.mean.eval() for g in approx.groups]))
    assert approx.element_names() == ["x", "y[0]", "y[1]", "s_log__"]
    np.testing.assert_allclose(found.values.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(found.logp, Target(model).logp(found.values))
