"""Draws in the form of ArviZ, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["SAMPLE_DIMS", "sample_dims_in", "stacked_draws"]

SAMPLE_DIMS = ("chain", "draw", "sample")
"""Names of the dimensions along which draws lie, in ArviZ."""


def sample_dims_in(array: xarray.DataArray | xarray.Dataset) -> list[str]:
    """Return the dimensions along which draws lie."""
    return [dim for dim in SAMPLE_DIMS if dim in array.dims]


def stacked_draws(array: xarray.DataArray) -> np.ndarray:
    """Return the draws of a variable as an array, those of all chains along the first axis."""
    lead = sample_dims_in(array)
    values = array.transpose(*lead, ...).values
    return values.reshape(-1, *values.shape[len(lead) :]) if lead else values
