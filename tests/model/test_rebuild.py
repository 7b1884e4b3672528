import copy

import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.distributions.base import distribution_of
from vibayes.exceptions import ModelError


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"group": ["a", "b"]}) as model:
        x = vb.Data("x", np.arange(4.0), dims="row")
        mu = vb.Normal("mu", dims="group")
        s = vb.HalfNormal("s")
        vb.Uniform("u", 0, s)
        z = vb.Normal("z", mu[0], 1, dims="row", initval=0.5)
        vb.Mixture("mix", [0.3, 0.7], [vb.Normal.dist(mu[0], 1), vb.Normal.dist(3, s)])
        d = vb.Deterministic("d", z * x, dims="row")
        vb.Potential("soft", -(mu.sum() ** 2))
        vb.Normal("y", d, s, observed=np.ones(4), dims="row", total_size=8)
    return model


@pytest.mark.parametrize("copied", [vb.Model.copy, copy.deepcopy])
def test_a_copy_has_the_same_density_and_nothing_in_common(model, copied):
    made = copied(model)
    point = {name: value + 0.3 for name, value in model.initial_point().items()}
    assert made.initial_point().keys() == point.keys()
    logps = [
        [float(v.sum()) for v in m.compile_logp(sum=False, backend="py")(point)]
        for m in (model, made)
    ]
    np.testing.assert_array_equal(*logps)
    assert list(made.named_vars) == list(model.named_vars)
    assert made.named_vars_to_dims == model.named_vars_to_dims
    assert made.coords == model.coords
    assert not set(made.named_vars.values()) & set(model.named_vars.values())
    assert all(distribution_of(rv).rv is rv for rv in made.basic_RVs)
    assert repr(made) == repr(model)


def test_data_of_a_copy_are_its_own(model):
    made = model.copy()
    made.set_data("x", np.full(4, 7.0))
    np.testing.assert_array_equal(model.x.get_value(), np.arange(4.0))
    point = model.initial_point()
    logp, other = (m.compile_logp(m.y, backend="py")(point) for m in (model, made))
    assert not np.isclose(logp, other)
    vb.set_data({"x": np.zeros(6)}, model=made)
    assert (made.dim_length("row"), model.dim_length("row")) == (6, 4)
    assert made.initial_point()["z"].shape == (6,)


def test_a_copy_draws_by_generators_of_its_own(model):
    made = model.copy()
    drawn = vb.sample_prior_predictive(20, model=made, random_seed=1)
    again = vb.sample_prior_predictive(20, model=model, random_seed=1)
    np.testing.assert_array_equal(drawn.prior["mix"], again.prior["mix"])
    generators = [
        {v for v in pytensor.graph.traversal.ancestors([m.mu]) if "Generator" in str(v.type)}
        for m in (model, made)
    ]
    assert generators[0]
    assert not generators[0] & generators[1]


def test_variables_of_users_functions_are_copied():
    with vb.Model() as model:
        a = vb.HalfNormal("a")
        vb.CustomDist("c", a, dist=lambda a, size: vb.Normal.dist(a, 2, size=size), shape=2)
        vb.CustomDist("e", a, logp=lambda value, a: -a * value**2, observed=np.ones(3))
    made = model.copy()
    point = {name: value + 0.3 for name, value in model.initial_point().items()}
    assert made.compile_logp(backend="py")(point) == model.compile_logp(backend="py")(point)


def test_minibatches_are_shared():
    with vb.Model() as model:
        batch = vb.Minibatch(np.arange(10.0), batch_size=5, random_seed=1)
        vb.Normal("y", vb.Normal("mu"), observed=batch, total_size=10)
    made = model.copy()
    assert made.minibatches == model.minibatches == [batch]
    assert vb.fit(10, model=made, backend="py", progressbar=False).hist.shape == (10,)


def test_a_part_of_a_model_is_not_copied():
    with vb.Model(), vb.Model("inner") as inner:
        vb.Normal("x")
    with pytest.raises(ModelError, match="part of another one"):
        inner.copy()


def test_what_is_copied_is_evaluated_anew(model):
    made = model.copy()
    assert evaluate([made.d], {made.z: np.ones(4)})[0].tolist() == [0, 1, 2, 3]
