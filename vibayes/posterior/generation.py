"""Which ArviZ there is, and draws as arrays."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["SAMPLE_DIMS", "arviz_generation", "stack_draws"]

SAMPLE_DIMS = ("chain", "draw", "sample")
"""Names of the dimensions along which draws lie, in ArviZ."""


@cache
def arviz_generation() -> int:
    """Return the major version of ArviZ, found without importing it."""
    return int(version("arviz").split(".")[0])


def stack_draws(array: xarray.DataArray) -> np.ndarray:
    """Return the draws of a variable as an array, those of all chains along the first axis."""
    lead = [dim for dim in SAMPLE_DIMS if dim in array.dims]
    values = array.transpose(*lead, ...).values
    return values.reshape(-1, *values.shape[len(lead) :]) if lead else values
