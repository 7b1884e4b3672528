import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.toys import Spherical
from scipy import special

import vibayes as vb
from vibayes import Model, Normal
from vibayes.backend.modes import evaluate
from vibayes.distributions import transforms
from vibayes.distributions.discrete import Poisson
from vibayes.exceptions import ParameterError, ShapeError


def test_value_variables_have_the_type_of_the_unconstrained_value(model):
    with model:
        Poisson("n", 3.0, shape=4)
    mu, sigma, n = model.value_vars
    assert (mu.dtype, mu.type.shape) == ("float64", ())
    assert (sigma.dtype, sigma.type.shape) == ("float64", (2,))
    assert (n.dtype, n.type.shape) == ("int64", (4,))
    assert model.continuous_value_vars == [mu, sigma]
    assert model.discrete_value_vars == [n]


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"shape": 3}, (3,)),
        ({"shape": (2, 3)}, (2, 3)),
        ({"size": np.int64(3)}, (3,)),
        ({"mu": np.zeros((2, 1)), "sigma": [1, 2, 3]}, (2, 3)),
        ({"observed": np.zeros((4, 2))}, (4, 2)),
        ({"mu": np.zeros(2), "observed": np.zeros((4, 2))}, (4, 2)),
        ({}, ()),
    ],
)
def test_shape(arguments, shape):
    with Model():
        x = Normal("x", **arguments)
    assert x.type.shape == shape
    assert evaluate([x])[0].shape == shape


def test_shape_includes_the_event_and_size_does_not():
    with Model():
        x = Spherical("x", np.zeros(3), shape=(2, 3))
        y = Spherical("y", np.zeros(3), size=2)
    assert [draw.shape for draw in evaluate([x, y])] == [(2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sigma": 0}, ParameterError, "sigma must be positive, got 0"),
        ({"sigma": -1.5}, ParameterError, "sigma must be positive, got -1.5"),
        ({"sigma": [1, -2, 0]}, ParameterError, r"got -2 \(2 of 3 elements\)"),
        ({"sigma": pt.constant(-1.0)}, ParameterError, "sigma must be positive, got -1"),
        ({"sigma": np.nan}, ParameterError, "sigma must be positive, got nan"),
        ({"tau": 0.0}, ParameterError, "tau must be positive, got 0"),
        ({"mu": np.inf}, ParameterError, "mu must be finite, got inf"),
        ({"sigma": 1, "tau": 1}, ValueError, "give either sigma or tau"),
        ({"scale": 1}, TypeError, "'scale'"),
        ({"mu": np.zeros(2), "sigma": np.ones(3)}, ShapeError, "do not broadcast"),
        ({"mu": np.zeros(2), "shape": 3}, ShapeError, "does not fit into"),
        ({"shape": 2, "size": 2}, ValueError, "either shape or size"),
        ({"shape": -1}, ValueError, "shape must be a whole number of at least 0, got -1"),
        ({"shape": 2.5}, ValueError, "shape must be a whole number of at least 0, got 2.5"),
        ({"transform": "log"}, TypeError, "transform must be a Transform or None, got 'log'"),
        (
            {"transform": 1, "observed": 0.5},
            TypeError,
            "transform must be a Transform or None, got",
        ),
        ({"initval": "mean"}, ValueError, "initval must be a value, .* got 'mean'"),
        ({"initval": 1.0, "observed": 1.0}, ValueError, "an observed variable has no initval"),
    ],
)
def test_bad_arguments_raise_naming_the_variable(arguments, error, message):
    with Model() as model, pytest.raises(error, match=message) as caught:
        Normal("y", **arguments)
    assert str(caught.value).startswith("Normal('y'): ")
    assert model.named_vars == {}
    assert model.basic_RVs == []


def test_parameters_known_only_at_run_time_pass():
    with Model():
        sigma = Normal("sigma")
        Normal("y", 0, sigma)


# -- what PyMC's users write ----------------------------------------------------------------------


def test_the_default_transform_can_be_replaced_or_followed_by_another():
    with Model() as model:
        plain = vb.HalfNormal("plain", default_transform=None)
        other = vb.HalfNormal("other", default_transform=transforms.log_exp_m1)
        kept = vb.HalfNormal("kept", default_transform=transforms.log, transform=None)
        alone = Normal("alone", [0, 1], default_transform=None, transform=transforms.ordered)
        both = vb.Beta(
            "both", 2, 2, shape=2, initval=[0.2, 0.7],
            default_transform=transforms.logodds, transform=transforms.ordered,
        )  # fmt: skip
    found = model.rvs_to_transforms
    assert [found[v] for v in (plain, other, kept, alone)] == [
        None,
        transforms.log_exp_m1,
        transforms.log,
        transforms.ordered,
    ]
    assert found[both].transform_list == [transforms.logodds, transforms.ordered]
    start = special.logit([0.2, 0.7])
    np.testing.assert_allclose(
        model.initial_point()["both_chain__"], [start[0], np.log(start[1] - start[0])]
    )
    with Model(), pytest.raises(TypeError, match=r"Normal\('y'\): default_transform must be a Tr"):
        Normal("y", default_transform="log")


def test_older_names_of_a_start():
    with Model() as model:
        Normal("x", testval=0.5)
        Normal("y", 2.0, initval="moment")
        with pytest.raises(TypeError, match=r"Normal\('z'\): testval is another name of initval"):
            Normal("z", testval=0.5, initval=0.5)
    assert model.initial_point() == {"x": 0.5, "y": 2.0}


def test_a_transform_that_is_none_is_refused_where_a_variable_is_registered():
    with vb.Model() as model, pytest.raises(TypeError, match=r"Gamma\('x'\): transform must be"):
        model.register_rv(vb.Gamma.dist(2.0, 1.0), "x", transform="log")


def test_a_variable_of_dist_can_be_registered():
    with Model() as model:
        x = model.register_rv(vb.Gamma.dist(2.0, 1.0), "x")
    assert model.free_RVs == [x]
    assert model.rvs_to_transforms[x] is transforms.log
