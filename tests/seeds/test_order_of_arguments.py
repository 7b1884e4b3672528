"""Arguments by position, in the order of each of PyMC's generations."""

import numpy as np
import pytensor
import pytest
from helpers.lanes import LANE

import vibayes as vb

EVALUATED = {"mode": "FAST_COMPILE"}


@pytest.fixture(scope="module")
def slopes():
    rows = pytensor.shared(np.ones((5, 2)))
    with vb.Model() as model:
        b = vb.Normal("b", shape=2)
        s = vb.HalfNormal("s")
    return model, rows @ b * s, rows


def test_replacements_may_come_before_deterministic(slopes):
    model, mu, rows = slopes
    approx = vb.MeanField(model=model, random_seed=1)
    new = {rows: np.full((3, 2), 10.0)}
    assert approx.apply_replacements(mu, new).eval(**EVALUATED).shape == (3,)
    draws = approx.sample_node(mu, 4, new).eval(**EVALUATED)
    assert draws.shape == (4, 3)
    assert (np.ptp(draws, axis=0) > 0).all()  # they are no centres
    centre = approx.sample_node(mu, 4, True, new).eval(**EVALUATED)
    assert (np.ptp(centre, axis=0) == 0).all()


@pytest.mark.parametrize("bad", ["no", [0], 3.7, 2])
def test_what_is_neither_is_refused(slopes, bad):
    model, mu, _ = slopes
    with pytest.raises(TypeError, match="deterministic must be True or False"):
        vb.MeanField(model=model).sample_node(mu, None, bad)


def test_replacements_given_twice_are_refused(slopes):
    model, mu, rows = slopes
    new = {rows: np.zeros((3, 2))}
    with pytest.raises(TypeError, match="sample_node: deterministic must be True, False"):
        vb.MeanField(model=model).sample_node(mu, None, new, new)


@pytest.mark.parametrize("make", [vb.MeanField, lambda model: vb.Empirical(size=9, model=model)])
def test_a_boolean_is_include_transformed_and_no_seed(slopes, make):
    approx = make(model=slopes[0])
    first, second = approx.sample(5, True), approx.sample(5, True)
    assert "s_log__" in first.varnames
    assert (first["b"] != second["b"]).any()
    assert "s_log__" not in approx.sample(5, np.False_).varnames
    assert "s_log__" in approx.sample(5, 3, True).varnames


@pytest.mark.parametrize(
    "call",
    [
        lambda model: vb.MeanField(model=model, random_seed=True),
        lambda model: vb.fit(1, "advi", model, True),
        lambda model: vb.sample_prior_predictive(3, model, random_seed=False),
    ],
)
def test_a_boolean_is_no_seed_elsewhere(slopes, call):
    with pytest.raises(ValueError, match="random_seed must be a whole number"):
        call(slopes[0])


def test_flows_take_a_model_and_a_seed(slopes):
    model = slopes[0]
    by_position = vb.NFVI("planar", model, 3).approx
    by_name = vb.NFVI("planar", model=model, random_seed=3).approx
    for ours, theirs in zip(by_position.params, by_name.params, strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())
    assert vb.NFVI("planar", None, model).approx.model is model
    with pytest.raises(TypeError, match="model is given twice"):
        vb.NFVI("planar", model, model, random_seed=3)


def test_arguments_of_the_class_may_come_before_start_sigma(slopes):
    model = slopes[0]
    options = {"n_particles": 7, "jitter": 0.1}
    approx = vb.fit(2, "svgd", model, 1, None, options, backend=LANE, progressbar=False)
    assert approx.histogram.eval().shape == (7, 3)
    sigma = vb.fit(0, "advi", model, 1, None, {"b": 0.5}, diagnose=False, progressbar=False)
    np.testing.assert_allclose(sigma.std.eval()[:2], 0.5)
    with pytest.raises(KeyError, match="start_sigma: the group has no variable 'typo'"):
        vb.fit(2, "svgd", model, 1, None, {"typo": 20})


def test_a_variable_of_that_name_stands_for_itself():
    with vb.Model():
        vb.Normal("jitter")
        approx = vb.fit(0, "svgd", None, 1, None, {"jitter": 1e-9}, backend=LANE, progressbar=False)
    assert np.ptp(approx.histogram.eval()) < 1e-6
