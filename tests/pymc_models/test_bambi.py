"""Formulas of Bambi have the log density, the draws and the posteriors that they have there."""

import pytest

pytest.importorskip("bambi")

from helpers import conversions
from helpers import zoo_of_bambi as zoo


@pytest.fixture(scope="module")
def models():
    """Return the PyMC model of each formula and its conversion, by name; made once."""
    return conversions.made_once(zoo.model)


@pytest.mark.parametrize("name", conversions.thirds(zoo.FORMULAS))
def test_log_density(models, name):
    conversions.check_log_density(*models(name))


@pytest.mark.parametrize("name", conversions.thirds(zoo.FORMULAS))
def test_predictions(models, name):
    conversions.check_predictions(*models(name))


ANGLES = {"von_mises": ["Intercept"]}
"""Whose posterior repeats itself each turn, as far as the prior lets it."""


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.FORMULAS)
def test_fits_are_right_or_said_not_to_be(models, name):
    conversions.check_fit(*models(name), angles=ANGLES.get(name, ()))
