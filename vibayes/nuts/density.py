"""A model's log density and gradient as a function that a sampler can call from any thread.

Data in memory are evaluated by one compiled function. Those that are not are gone through by rows,
a pass for each evaluation: see :mod:`vibayes.model.passes`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace

from vibayes import interrupts
from vibayes.backend.graphs import lift_constants
from vibayes.backend.modes import compiled_code, resolve_mode
from vibayes.exceptions import ModelError
from vibayes.families.base import check_continuous
from vibayes.model.by_rows import check_goes_by_rows
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of
from vibayes.model.target import Target, is_deterministic

__all__ = ["check_model", "compile_density", "density_at", "density_by_rows"]

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]


def check_model(model: Model) -> None:
    """Raise if the No-U-Turn sampler cannot draw from the posterior of a model.

    Raises
    ------
    ModelError
        If there are no free variables, or discrete ones; if data are not in memory and their rows
        are not independent; or if the log density is another at each evaluation.
    """
    check_continuous(model, model.free_RVs)
    if model.has_streams:
        check_goes_by_rows(model, "NUTS on data that are not in memory")
    if not is_deterministic(model):
        raise ModelError(
            "NUTS needs a log density that is the same at each evaluation, but that of this model "
            "draws random numbers, which are no minibatches."
        )


def compile_density(model: Model, backend: str | None) -> Any:
    """Return a compiled function of (u, center, scale), which is kept with the model.

    It gives the log density at the flat unconstrained vector ``center + scale * u``, and its
    gradient by ``u``. Whole data stand for minibatches.
    """

    def compiled_density() -> Any:
        layout = FlatLayout(model.value_vars)
        u, center, scale = (
            pt.vector(name, dtype=pytensor.config.floatX, shape=(layout.size,))
            for name in ("u", "center", "scale")
        )
        graph = graph_replace([model.logp()], model.whole_data_replacements(), strict=False)
        (logp,) = graph_replace(graph, layout.split(center + scale * u), strict=False)
        gradient = gradient_of(logp, u, model)
        mode = resolve_mode(backend)
        with interrupts.interruptible():
            return pytensor.function(
                [u, center, scale],
                lift_constants([logp, gradient]),
                mode=mode,
                trust_input=True,
                on_unused_input="ignore",
            )

    return model.compiled(("nuts", backend), compiled_density)


def density_at(function: Any, center: np.ndarray, scale: np.ndarray) -> Density:
    """Return the log density and gradient as a function of ``u``, for the model's present data.

    Parameters
    ----------
    function
        What :func:`compile_density` returns.
    center, scale
        The coordinates: a flat unconstrained vector is ``center + scale * u``.
    """
    dtype = pytensor.config.floatX
    fixed = [center.astype(dtype), scale.astype(dtype)]
    compiled = compiled_code(function)
    if compiled is None:
        call = one_at_a_time(function)
    else:  # without PyTensor's handling of inputs, which takes longer than a small density
        call = compiled
        fixed += [v.get_value(borrow=True) for v in function.get_shared()]

    def density(u: np.ndarray) -> tuple[float, np.ndarray]:
        logp, gradient = call(u.astype(dtype), *fixed)
        return float(logp), np.asarray(gradient, dtype="float64")

    return density


def density_by_rows(model: Model, center: np.ndarray, scale: np.ndarray) -> Density:
    """Return the same of data that are not in memory: each evaluation is a pass over their rows.

    Passes use all cores, or those of a cluster, so chains wait for each other.
    """
    target, lock = Target(model), threading.Lock()

    def density(u: np.ndarray) -> tuple[float, np.ndarray]:
        with lock:
            (logp,), (gradient,) = target((center + scale * u)[None])
        return float(logp), gradient * scale

    return density


def one_at_a_time(function: Any) -> Any:
    """Return a function that threads can share, of one that keeps its inputs while it runs."""
    lock = threading.Lock()

    def locked(*args: np.ndarray) -> Any:
        with lock, np.errstate(all="ignore"):
            return function(*args)

    return locked
