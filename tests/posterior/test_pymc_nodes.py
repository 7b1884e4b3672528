import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import (
    GroupError,
    LocalGroupError,
    ModelError,
    ParametrizationError,
    UnknownNameError,
    VariationalInferenceError,
)
from vibayes.variational import opvi


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.HalfNormal("x", shape=3)
        y = vb.Normal("y")
        vb.Normal("z", x.sum() + y, 1, observed=np.ones(2))
    return model


@pytest.fixture(scope="module")
def approx(model):
    start = {"x": [1.0, 2.0, 3.0], "y": 0.5}
    return vb.MeanField(model=model, start=start, start_sigma={"y": 0.25}, random_seed=1)


def evaluated(*graphs):
    return [graph.eval(mode="FAST_COMPILE") for graph in graphs]


def test_moments_by_variable(approx):
    np.testing.assert_allclose(approx.mean_data["x_log__"], np.log([1, 2, 3]))
    np.testing.assert_allclose(approx.mean_data["y"], 0.5)
    np.testing.assert_allclose(approx.std_data["y"], 0.25)


def test_places_in_the_flat_vector(approx):
    name, place, shape, dtype = approx.ordering["x_log__"]
    assert (name, place, shape, dtype) == ("x_log__", slice(0, 3), (3,), "float64")
    point = {"x_log__": np.array([1.0, 2.0, 3.0]), "y": np.array(4.0)}
    flat = approx.bij.map(point)
    assert flat.tolist() == [1, 2, 3, 4]
    back = approx.bij.rmap(flat)
    assert all(np.array_equal(back[k], point[k]) for k in point)
    assert approx.groups[0].ordering == approx.ordering


def test_densities_are_of_the_same_draw(approx):
    names = ["logp", "varlogp", "datalogp"]
    one = [approx.set_size_and_deterministic(getattr(approx, n), None, True) for n in names]
    single, sized = (
        [
            approx.set_size_and_deterministic(getattr(approx, f"{kind}_{n}"), None, True)
            for n in names
        ]
        for kind in ("single_symbolic", "sized_symbolic")
    )
    expected = evaluated(*one)
    assert evaluated(*single) == expected
    assert [v.tolist() for v in evaluated(*sized)] == [[v] for v in expected]
    np.testing.assert_allclose(expected[0], expected[1] + expected[2])
    norms = [approx.varlogp_norm, approx.datalogp_norm]
    at_centre = [approx.set_size_and_deterministic(n, None, True) for n in norms]
    assert evaluated(*at_centre) == expected[1:]
    assert evaluated(approx.symbolic_logq)[0].shape == (1,)
    many = approx.set_size_and_deterministic(approx.sized_symbolic_logp.mean(0), 5, False)
    assert evaluated(many)[0].shape == (5,)


def test_norms_are_those_of_a_minibatch():
    with vb.Model():
        batch = vb.Minibatch(np.ones(100), batch_size=10)
        vb.Normal("y", vb.Normal("mu"), observed=batch, total_size=100)
        approx = vb.MeanField()
    graphs = [approx.datalogp, approx.datalogp_norm, approx.varlogp, approx.varlogp_norm]
    data, data_norm, prior, prior_norm = evaluated(
        *(approx.set_size_and_deterministic(g, None, True) for g in graphs)
    )
    np.testing.assert_allclose([data, prior], [10 * data_norm, 10 * prior_norm])


def test_expressions_at_a_draw(approx, model):
    one, several = evaluated(
        approx.symbolic_single_sample(model.x), approx.symbolic_sample_over_posterior(model.x)
    )
    assert one.shape == (3,)
    assert several.shape == (1, 3)
    assert [v.name for v in approx.collect("params_dict")[0].values()] == ["mu", "rho"]


def test_draws_by_name(approx):
    draws = approx.sample_dict_fn(5, random_seed=2)
    assert {name: v.shape for name, v in draws.items()} == {
        "x": (5, 3),
        "y": (5,),
        "x_log__": (5, 3),
    }
    np.testing.assert_allclose(np.log(draws["x"]), draws["x_log__"])
    np.testing.assert_array_equal(draws["y"], approx.sample(5, random_seed=2)["y"])


def test_particles(model, approx):
    particles = vb.Empirical.from_noise(7, model=model, random_seed=1)
    assert particles.histogram.eval().std(axis=0).max() < 0.03
    assert particles.joint_histogram.eval(mode="FAST_COMPILE").shape == (7, 4)
    assert (particles.any_histograms, particles.all_histograms) == (True, True)
    assert (approx.any_histograms, approx.all_histograms) == (False, False)
    with pytest.raises(NotImplementedError, match="not all groups are made of particles"):
        _ = approx.joint_histogram


def test_new_parameters_of_a_group(approx, model):
    group = approx.groups[0]
    made = group.create_shared_params({"y": 2.0})
    assert made["mu"].get_value()[3] == 2
    assert made["mu"] is not group.shared_params["mu"]
    np.testing.assert_array_equal(made["rho"].get_value(), group.shared_params["rho"].get_value())
    assert vb.Group.group_for_short_name("mean_field") is type(group)
    assert vb.Group.group_for_params({"mu", "rho"}) is type(group)
    assert group.user_params is None


@pytest.mark.parametrize(
    ("of_group", "name", "instead"),
    [
        (False, "get_optimization_replacements", "more_replacements"),
        (False, "rng", "random_seed"),
        (True, "symbolic_random", "symbolic_randoms of the approximation"),
        (True, "logq", "logq of the approximation"),
        (True, "nonsense", "has no attribute 'nonsense'$"),
    ],
)
def test_what_is_not_here_says_what_to_use(approx, of_group, name, instead):
    thing = approx.groups[0] if of_group else approx
    with pytest.raises(AttributeError, match=instead):
        getattr(thing, name)
    assert not hasattr(thing, name)


def test_objectives_by_call(approx):
    kl = vb.KL(approx)
    value = kl()(200).eval(mode="FAST_COMPILE")
    expected = np.mean([kl()(200).eval(mode="FAST_COMPILE") for _ in range(3)])
    assert abs(value - expected) < 0.3 * abs(expected)
    score = kl().score_function(200, fn_kwargs={"mode": "FAST_COMPILE"})
    assert abs(score() - expected) < 0.3 * abs(expected)
    assert kl().obj_params == approx.params
    with pytest.raises(AttributeError, match=r"'add_obj_updates'; use step"):
        _ = kl().add_obj_updates


def test_operators_of_pymc_have_apply():
    class Reversed(vb.Operator):
        def apply(self, f):
            assert self.model is self.approx.model
            return self.logq_norm - self.varlogp_norm - self.datalogp_norm

    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=np.full(100, 3.0))
        approx = vb.MeanField(random_seed=1)
        fitted = vb.Inference(Reversed(approx)).fit(
            500,
            obj_n_mc=5,
            obj_optimizer=vb.adam(learning_rate=0.05),
            backend="py",
            progressbar=False,
            diagnose=False,
        )
    np.testing.assert_allclose(fitted.mean.eval(), [3], atol=0.1)
    np.testing.assert_allclose(fitted.std.eval(), [0.1], rtol=0.3)
    with pytest.raises(NotImplementedError, match="must implement loss"):
        vb.Inference(vb.Operator(approx)).fit(2, backend="py", progressbar=False)


# -- errors -----------------------------------------------------------------------------------


def test_errors_are_of_the_kinds_that_pymc_has(model):
    with pytest.raises(GroupError) as error:
        vb.Approximation([vb.Group([model.x], vfam="mean_field", model=model)], model=model)
    assert isinstance(error.value, ModelError)
    assert isinstance(error.value, opvi.GroupError)
    assert isinstance(error.value, TypeError)
    for kind in (UnknownNameError, ValueError, KeyError, TypeError, ParametrizationError):
        with pytest.raises(kind, match=r"^method 'nonsense' is unknown"):
            vb.fit(method="nonsense", model=model)
    with pytest.raises(LocalGroupError, match="A local group needs"):
        vb.Group([model.x], vfam="mean_field", local=True, model=model)
    with pytest.raises(VariationalInferenceError, match="no family has the parameters"):
        vb.Group([model.x], params={"a": 1.0}, model=model)
    for kind in (KeyError, TypeError):
        with pytest.raises(kind, match=r"'x' is no data variable"):
            model.set_data("x", 1.0)


def test_the_module_of_pymc_has_all_of_them():
    assert all(issubclass(getattr(opvi, n), Exception) for n in opvi.__all__ if "Error" in n)
