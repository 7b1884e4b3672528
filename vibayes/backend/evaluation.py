"""What evaluates log densities at many draws: NumPy, or JAX where a fit was asked to run on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from vibayes.backend.jax import JaxDevices, jax_devices
from vibayes.flags import config

__all__ = ["devices_of_densities", "evaluating_as"]

CHOSEN: ContextVar[tuple[JaxDevices | None] | None] = ContextVar("CHOSEN", default=None)


@contextmanager
def evaluating_as(mode: Any) -> Iterator[None]:
    """Evaluate log densities, in the block, on what the steps of a fit would run on.

    Parameters
    ----------
    mode
        What :func:`vibayes.backend.modes.resolve_steps_mode` returns, or ``resolve_devices``. NumPy
        stands in for all but JAX: it has nothing to compile.
    """
    token = CHOSEN.set((mode if isinstance(mode, JaxDevices) else None,))
    try:
        yield
    finally:
        CHOSEN.reset(token)


def devices_of_densities() -> JaxDevices | None:
    """Return the devices of JAX that evaluate log densities here; None for NumPy.

    Outside of fits ``vibayes.config`` decides.
    """
    chosen = CHOSEN.get()
    if chosen is not None:
        return chosen[0]
    return jax_devices() if config.backend == "jax" else None
