"""Models of all kinds have the log density, the draws and the posteriors that they have in PyMC."""

import numpy as np
import pytest

from vibayes.model.target import Target

pytest.importorskip("pymc")

from helpers import conversions
from helpers import zoo_of_kinds as zoo

UNDRAWN = {"improper_priors", "density_without_draws", "intrinsic_areas"}
"""What cannot be drawn: PyMC raises, too."""
OWN_LENGTH = {"minibatches"}
"""Of which PyMC draws a batch, and vibayes all rows."""


@pytest.fixture(scope="module")
def models():
    """Return each PyMC model and its conversion, by name; made once."""
    return conversions.made_once(lambda name: zoo.KINDS[name]())


@pytest.mark.parametrize("name", [name for name in zoo.KINDS if name not in OWN_LENGTH])
def test_log_density(models, name):
    conversions.check_log_density(*models(name))


@pytest.mark.parametrize(
    "name", ["areas", "kronecker_of_multiples_of_the_identity", "named_simplex"]
)
def test_gradients(models, name):
    """By central differences, also where eigenvalues are equal and a sum has no axis."""
    _, model = models(name)
    target = Target(model)
    rng = np.random.default_rng(1)
    at, direction = target.start + 0.1, rng.normal(size=target.start.shape)
    slope = target(at[None])[1][0] @ direction
    above, below = target.logp(np.stack([at + 1e-5 * direction, at - 1e-5 * direction]))
    assert slope == pytest.approx((above - below) / 2e-5, rel=1e-6)


@pytest.mark.parametrize(
    "name", conversions.thirds(n for n in zoo.KINDS if n not in UNDRAWN | OWN_LENGTH)
)
def test_predictions(models, name):
    conversions.check_predictions(*models(name))


HARD = {
    "horseshoe",
    "dirichlet_process",
    "stick_breaking",
    "intrinsic_areas",
    "improper_priors",
    "normal_mixture_along_dims",
}
"""Whose posteriors are such that a verdict may be bad, as long as it is told."""


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.KINDS)
def test_fits_are_right_or_said_not_to_be(models, name):
    conversions.check_fit(*models(name), hard=name in HARD)
