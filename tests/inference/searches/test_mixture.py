import pytest
from helpers.posteriors import two_modes
from helpers.searches import draws, fit

import vibayes as vb


@pytest.mark.parametrize("components", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_components(components):
    approx = fit(two_modes(), "mixture", inf_kwargs=dict(components=components))
    assert isinstance(approx, vb.GaussianMixture)
    assert len(approx.weights.eval()) <= components
    assert (draws(approx) > 0).mean() == pytest.approx(0.7, abs=0.06)


def test_as_many_as_are_needed():
    approx = fit(two_modes(), "mixture")
    means = approx.shared_params["mu"].get_value()[:, 0]
    assert means.min() == pytest.approx(-3, abs=0.5)
    assert means.max() == pytest.approx(3, abs=0.6)


def test_too_many_dimensions():
    with vb.Model() as model:
        vb.Normal("x", 0, 1, shape=101)
    with pytest.raises(ValueError, match="up to 100 unconstrained dimensions, the model has 101"):
        fit(model, "mixture")


@pytest.mark.parametrize("components", [0, 2.5, True, "two"])
def test_numbers_of_components_that_are_none(components):
    with pytest.raises(ValueError, match="components must be a whole number of at least 1"):
        vb.MixtureVI(two_modes(), components=components)
