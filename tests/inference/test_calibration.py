from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError
from vibayes.inference import calibration as calibration_module


@pytest.fixture(scope="module")
def calibration():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 2, shape=2)
        sigma = vb.Gamma("sigma", 20, 20)
        vb.Normal("y", mu, sigma, observed=np.zeros((15, 2)))
    return vb.calibrate(model, draws=200, random_seed=3)


@pytest.mark.ci
def test_ranks_of_right_fits_are_even(calibration):
    assert calibration.ranks.shape == (200, 3)
    assert calibration.names == ("mu[0]", "mu[1]", "sigma")
    assert calibration.ranks.min() >= 0
    assert calibration.ranks.max() <= calibration.draws
    assert min(calibration.pvalues.values()) > 1e-3
    assert calibration.fits.good.mean() > 0.95
    assert (calibration.counts(10).sum(axis=1) == 200).all()


@pytest.mark.ci
@pytest.mark.parametrize("fault", ["narrow", "shifted"])
def test_ranks_of_wrong_fits_are_not(calibration, fault):
    centred = calibration.ranks - 49.5
    wrong = centred * 1.7 if fault == "narrow" else centred + 20
    ranks = np.clip(np.round(wrong + 49.5), 0, 99).astype(int)
    assert max(replace(calibration, ranks=ranks).pvalues.values()) < 1e-3


def test_models_that_make_no_data_are_refused():
    with vb.Model() as model:
        x = vb.Normal("x")
    with pytest.raises(ModelError, match="no observed variables"):
        vb.calibrate(model)
    with model:
        vb.Normal("y", x, observed=[1.0])
        vb.Potential("p", -(x**2))
    with pytest.raises(ModelError, match="potential 'p'"):
        vb.calibrate(model)


def test_data_at_the_edge_of_a_support_are_left_out():
    with vb.Model() as model:
        vb.Gamma("y", vb.LogNormal("shape", 1, 0.5), 1, observed=np.ones(4))
    made = {"prior": {}, "prior_predictive": {}}

    class Values:
        def __init__(self, values):
            self.values = np.asarray(values)[None]

    rng = np.random.default_rng(1)
    shapes, y = np.full(12, 3.0), rng.gamma(3.0, size=(12, 4))
    y[[3, 7], 2], shapes[[3, 7]] = 0.0, 1e6  # which has no density
    made["prior"]["shape"], made["prior_predictive"]["y"] = Values(shapes), Values(y)
    with (
        patch.object(calibration_module, "sample_prior_predictive", lambda *_, **__: made),
        pytest.warns(UserWarning, match="2 of 12 data sets .* number 3, and are left out"),
    ):
        found = vb.calibrate(model, draws=12, random_seed=1)
    assert len(found.ranks) == len(found.fits) == 10
    assert (found.ranks < found.draws).all()  # none is of those that are left out
    np.testing.assert_array_equal(model.rvs_to_values[model["y"]].get_value(), np.ones(4))


def test_a_plot_has_bars_for_each_scalar(calibration):
    pytest.importorskip("matplotlib").use("agg")
    axes = vb.plot_ranks(calibration, bins=10)
    assert [ax.get_title() for ax in axes] == list(calibration.names)
    heights = [bar.get_height() for bar in axes[0].patches if bar.get_height() > 1][-10:]
    np.testing.assert_array_equal(heights, calibration.counts(10)[0])
    with pytest.raises(TypeError, match=r"one of vb\.calibrate"):
        vb.plot_ranks(3)
