"""Where chains start, and the coordinates in which they move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vibayes.approximations.base import Approximation
from vibayes.exceptions import ModelError
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.posterior.draws import draw_values

__all__ = ["Start", "approximate_start", "model_start"]

DRAWS = 1000
ATTEMPTS = 20
JITTER = 1.0
NUDGE = 0.01


@dataclass(frozen=True)
class Start:
    """Where chains start: a centre, a scale, and points around it.

    A sampler that begins with a unit mass matrix in coordinates u, z = center + scale u, is one
    that begins with the squares of ``scale`` for a diagonal inverse mass matrix in those of z.

    Attributes
    ----------
    center, scale : numpy.ndarray
        Of the flat unconstrained vector, (d,).
    propose : callable
        ``propose(rng, attempt)``: a flat vector to start a chain from; later attempts are safer.
    """

    center: np.ndarray
    scale: np.ndarray
    propose: Callable[[np.random.Generator, int], np.ndarray]

    def points(self, density: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> Any:
        """Return a function of a seed: coordinates u at which a density of u is finite."""
        lock = threading.Lock()

        def point(seed: int) -> np.ndarray:
            rng = np.random.default_rng(seed)
            with lock:
                for attempt in range(ATTEMPTS):
                    u = (self.propose(rng, attempt) - self.center) / self.scale
                    logp, gradient = density(u)
                    if np.isfinite(logp) and np.isfinite(gradient).all():
                        # nutpie takes its first scales from the slope, which must not be zero
                        return np.where(gradient == 0, u + NUDGE * rng.normal(size=len(u)), u)
            return np.zeros_like(self.center)

        return point


def model_start(
    model: Model, start: Mapping[str, Any] | None, jitter: bool, random_seed: Any
) -> tuple[Start, dict[str, np.ndarray]]:
    """Return a start around the model's initial point, and that point by variable name.

    Parameters
    ----------
    model
        The model.
    start
        Values by variable name; these are not moved.
    jitter
        Whether chains start at random around it: uniformly within 1, in the unconstrained space.
    random_seed
        Seed for initial values that are drawn.
    """
    layout = FlatLayout(model.value_vars)
    point = model.initial_point(random_seed, start)
    center = layout.join(point).astype("float64")
    width = np.full(layout.size, JITTER if jitter else 0.0)
    for rv, slot in zip(model.free_RVs, layout.slots, strict=True):
        if {rv.name, slot.name} & set(start or {}):
            width[slot.start : slot.stop] = 0.0

    def propose(rng: np.random.Generator, attempt: int) -> np.ndarray:
        return center + width * 0.5**attempt * rng.uniform(-1, 1, layout.size)

    return Start(center, np.ones(layout.size), propose), point


def approximate_start(model: Model, approx: Approximation, random_seed: Any) -> Start:
    """Return a start at draws of an approximation, with their spread for a scale.

    Raises
    ------
    ModelError
        If the approximation has not the variables of the model.
    """
    values = draw_values(approx, DRAWS, random_seed, include_transformed=True)
    for value in model.value_vars:
        found = values[value.name].shape[1:] if value.name in values else None
        if found != value.type.shape:
            what = "does not have it" if found is None else f"has it with shape {found}"
            raise ModelError(
                f"init: the model has the free variable {value.name!r} of shape "
                f"{value.type.shape}, but {approx!r} {what}. Fit the approximation to this model."
            )
    draws = np.column_stack([values[v.name].reshape(DRAWS, -1) for v in model.value_vars]).astype(
        "float64"
    )
    draws = draws[np.isfinite(draws).all(axis=1)]
    if not len(draws):
        raise ModelError(f"init: no draw of {approx!r} is finite")
    center, scale = draws.mean(axis=0), draws.std(axis=0)

    def propose(rng: np.random.Generator, attempt: int) -> np.ndarray:
        return draws[rng.integers(len(draws))]

    return Start(center, np.where(scale > 0, scale, 1.0), propose)
