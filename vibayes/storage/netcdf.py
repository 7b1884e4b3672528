"""Arrays of numbers as the bytes of a netCDF-4 file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["netcdf_bytes"]


def netcdf_bytes(arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> bytes:
    """Return a file of arrays and attributes.

    It is made in memory: HDF5 takes the process with it when a disk is full.

    Parameters
    ----------
    arrays
        Arrays of numbers, of at least one each.
    attrs
        Texts and whole numbers.
    """
    import h5netcdf

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        file.attrs.update(attrs)
        for name, array in arrays.items():
            dims = [f"{name}_dim_{i}" for i in range(array.ndim)]
            file.dimensions.update(zip(dims, array.shape, strict=True))
            file.create_variable(name, dims, data=array)
    return buffer.getvalue()
