import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError, ParameterError, ShapeError

COORDS = {"x": list("abc"), "group": list("uv")}
SCALES = np.array([1.0, 2.0, 0.5])


def drawn(draws=4000, dims="x", **given):
    given = {"r2": 0.6, **given}
    with vb.Model(coords=COORDS) as model:
        sigma, _ = vb.R2D2M2CP("b", 2.0, SCALES, dims=dims, **given)
        prior = vb.sample_prior_predictive(draws, random_seed=1, return_inferencedata=False)
        residual = vb.draw(sigma, random_seed=1)
    return model, prior, residual


def test_effects_explain_the_share_that_they_are_to_explain():
    _, prior, residual = drawn()
    effects = prior["b::beta"] * SCALES
    assert (effects**2).sum(axis=-1).mean() == pytest.approx(0.6 * 4, rel=0.05)
    assert residual**2 == pytest.approx(0.4 * 4)
    assert np.abs(effects.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("centered", [True, False])
def test_parts_and_signs(centered):
    _, prior, _ = drawn(
        variance_explained=[0.7, 0.2, 0.1], positive_probs=[0.5, 0.9, 0.2], centered=centered
    )
    effects = prior["b::beta"] * SCALES
    np.testing.assert_allclose((effects > 0).mean(axis=0), [0.5, 0.9, 0.2], atol=0.03)
    np.testing.assert_allclose((effects**2).mean(axis=0), np.array([0.7, 0.2, 0.1]) * 2.4, rtol=0.1)
    assert ("b::beta::raw" in prior) is not centered


def test_certain_signs_leave_no_choice():
    _, prior, _ = drawn(50, positive_probs=[0.5, 1.0, 0.0])
    effects = prior["b::beta"] * SCALES
    np.testing.assert_allclose(effects[:, 1], np.sqrt(0.8))
    np.testing.assert_allclose(effects[:, 2], -np.sqrt(0.8))
    assert effects[:, 0].std() > 0.5


def test_everything_may_be_a_variable():
    model, prior, _ = drawn(
        dims=("group", "x"),
        r2_std=0.1,
        variables_importance=[1.0, 2.0, 3.0],
        importance_concentration=10.0,
        positive_probs_std=0.2,
    )
    assert [rv.name for rv in model.free_RVs] == ["b::r2", "b::phi", "b::psi", "b::beta::raw"]
    assert prior["b::beta"].shape == (4000, 2, 3)
    assert prior["b::r2"].mean() == pytest.approx(0.6, abs=0.01)
    assert prior["b::r2"].std() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(prior["b::phi"].mean(axis=(0, 1)), [1 / 6, 2 / 6, 3 / 6], atol=0.01)
    assert model.named_vars_to_dims["b::beta"] == ("group", "x")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"variables_importance": [1, 1, 1], "variance_explained": [1, 1, 1]}, TypeError, "either"),
        (
            {"positive_probs": pt.constant(0.5) * pt.vector()},
            TypeError,
            "positive_probs must be num",
        ),
        ({"positive_probs": 1.0, "centered": True}, ModelError, "centered=True"),
        ({"dims": "no"}, ModelError, "unknown dimension 'no'"),
    ],
)
def test_arguments_that_do_not_fit(given, error, message):
    with pytest.raises(error, match=message):
        drawn(1, **given)


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("output_sigma", -1.0, "positive and finite, got -1.0"),
        ("output_sigma", np.nan, "positive and finite, got nan"),
        ("input_sigma", [1.0, 0.0, 1.0], "positive and finite, got 0.0"),
        ("r2", 1.5, "between 0 and 1, got 1.5"),
        ("r2_std", -0.1, "positive and finite"),
        ("r2_std", 0.6, "below sqrt"),
        ("variables_importance", [1.0, -1.0, 1.0], "positive and finite, got -1.0"),
        ("variance_explained", [0.5, -0.5, 1.0], "finite and not negative, got -0.5"),
        ("importance_concentration", np.inf, "positive and finite, got inf"),
        ("positive_probs", 1.5, "between 0 and 1, got 1.5"),
        ("positive_probs_std", 0.5, "below sqrt"),
    ],
)
def test_values_that_cannot_be_are_refused_by_the_name_of_their_argument(argument, value, allowed):
    given = {"output_sigma": 1.0, "input_sigma": SCALES, "r2": 0.5, argument: value}
    with vb.Model(coords=COORDS), pytest.raises(ParameterError) as refused:
        vb.R2D2M2CP("b", dims="x", **given)
    assert f"R2D2M2CP('b'): {argument} must be {allowed}" in str(refused.value)


@pytest.mark.parametrize("argument", ["output_sigma", "r2", "input_sigma", "variance_explained"])
def test_lengths_that_do_not_fit_are_refused_by_the_name_of_their_argument(argument):
    given = {"output_sigma": 1.0, "input_sigma": SCALES, "r2": 0.5, argument: [0.5, 0.2]}
    with vb.Model(coords=COORDS), pytest.raises(ShapeError, match=rf"{argument} of shape \(2,\)"):
        vb.R2D2M2CP("b", dims="x", **given)


def test_a_single_predictor_has_no_parts():
    with vb.Model(coords={"x": [0]}), pytest.raises(ModelError, match="single"):
        vb.R2D2M2CP("b", 1.0, 1.0, dims="x", r2=0.5, importance_concentration=1.0)
