"""Draws of the prior, as places where a search may start."""

from __future__ import annotations

import numpy as np
from pytensor.tensor.variable import TensorVariable

from vibayes.model.core import Model
from vibayes.predictive.compiled import OverDraws, compile_over_draws
from vibayes.predictive.predictive import check_drawable
from vibayes.predictive.whole import whole_data_in

__all__ = ["prior_draws"]


def prior_draws(model: Model, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return flat unconstrained vectors (n, d) drawn from the prior, at most ``count``.

    There are none where the prior cannot be drawn from: it is improper, or its draws are no
    parameters for what depends on them.
    """
    seed = np.random.SeedSequence(int(rng.integers(2**63)))
    try:
        function = model.compiled("unconstrained prior", lambda: unconstrained_prior(model))
        parts = function(count, (), seed)
    except Exception:  # a search has other starts too: it is not for them to stop a fit
        return np.empty((0, sum(int(np.prod(v.type.shape)) for v in model.value_vars)))
    flat = np.concatenate([part.reshape(count, -1) for part in parts], axis=1)
    return flat[np.isfinite(flat).all(axis=1)].astype("float64")


def unconstrained_prior(model: Model) -> OverDraws:
    """Return a function that draws the values of all value variables from the prior."""
    values = [unconstrained(model, rv) for rv in model.free_RVs]
    check_drawable(model, model.free_RVs, ())
    return compile_over_draws(values, (), whole_data_in(values, "the prior", model))


def unconstrained(model: Model, rv: TensorVariable) -> TensorVariable:
    transform = model.rvs_to_transforms[rv]
    return rv if transform is None else transform.forward(rv)
