import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError

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
        ({"positive_probs": 1.5}, TypeError, "numbers from 0 to 1"),
        ({"positive_probs": 1.0, "centered": True}, ModelError, "centered=True"),
        ({"dims": "no"}, ModelError, "unknown dimension 'no'"),
    ],
)
def test_arguments_that_do_not_fit(given, error, message):
    with pytest.raises(error, match=message):
        drawn(1, **given)


def test_a_single_predictor_has_no_parts():
    with vb.Model(coords={"x": [0]}), pytest.raises(ModelError, match="single"):
        vb.R2D2M2CP("b", 1.0, 1.0, dims="x", r2=0.5, importance_concentration=1.0)
