"""Formulas of Bambi have the log density, the draws and the posteriors that they have there."""

import warnings

import pytest

import vibayes as vb

pytest.importorskip("bambi")

from helpers import conversions
from helpers import zoo_of_bambi as zoo


@pytest.fixture(scope="module")
def models():
    """Return the PyMC model of each formula and its conversion, by name; made once."""
    made = {}

    def get(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = zoo.model(name)
                converted = vb.from_pymc(model)  # which builds it
                made[name] = model.backend.model, converted
        return made[name]

    return get


@pytest.mark.parametrize("name", conversions.thirds(zoo.FORMULAS))
def test_log_density(models, name):
    conversions.check_log_density(*models(name))


@pytest.mark.parametrize("name", conversions.thirds(zoo.FORMULAS))
def test_predictions(models, name):
    conversions.check_predictions(*models(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.FORMULAS)
def test_fits_are_right_or_said_not_to_be(models, name):
    conversions.check_fit(*models(name))
