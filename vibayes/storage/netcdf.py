"""Arrays of numbers as the bytes of a netCDF-4 file, and out of one that may be hostile."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vibayes.exceptions import StorageError

__all__ = ["MOST_ARRAYS", "Stored", "netcdf_bytes", "opened_netcdf"]

MOST_ARRAYS = 100_000


class Stored(NamedTuple):
    """A file that is open.

    Attributes
    ----------
    names : list of str
        What it holds.
    described : callable
        Returns the dtype and the shape of an array, None if there is none; raises if it is not
        stored as vibayes stores it.
    read : callable
        Returns an array.
    attribute : callable
        Returns an attribute that is a whole number, None if there is none.
    """

    names: list[str]
    described: Callable[[str], tuple[str, tuple[int, ...]] | None]
    read: Callable[[str], np.ndarray]
    attribute: Callable[[str], int | None]


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


# -- reading --------------------------------------------------------------------------------------


@contextmanager
def opened_netcdf(path: Path) -> Iterator[Stored]:
    """Open a file of arrays, of which nothing is read that is not asked for.

    Raises
    ------
    StorageError
        If it holds links, or datasets that lie elsewhere, in chunks, or behind filters, none of
        which vibayes writes.
    """
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        if (count := len(file)) > MOST_ARRAYS:
            raise StorageError(f"{str(path)!r} holds {count:,} datasets, more than {MOST_ARRAYS:,}")
        opened = NetcdfFile(path, file.id)
        names = [n.decode("utf-8", "replace") for n in opened.names]
        yield Stored(names, opened.described, opened.read, opened.attribute)


class NetcdfFile:
    """A file that is open.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    root : h5py.h5g.GroupID
        What it holds.
    """

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self.root, self.size = path, root, path.stat().st_size
        self.names = set(root)

    def refused(self, name: str, why: str) -> StorageError:
        """Return the error about an array."""
        return StorageError(f"{str(self.path)!r}: {name!r} {why}")

    def dataset(self, name: str) -> Any:
        """Return an array that is not read yet, None if there is none."""
        import h5py

        key = name.encode()
        if key not in self.names:
            return None
        if self.root.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise self.refused(name, "is a link, which vibayes never writes")
        if h5py.h5o.get_info(self.root, key).type != h5py.h5o.TYPE_DATASET:
            raise self.refused(name, "is no dataset")
        return h5py.h5d.open(self.root, key)

    def described(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """Return the dtype and the shape of an array; raise if it is not stored as is usual."""
        import h5py

        found = self.dataset(name)
        if found is None:
            return None
        kind, plan = found.get_type(), found.get_create_plist()
        if kind.get_class() not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
            raise self.refused(name, "holds something else than numbers")
        layouts = h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT
        if plan.get_layout() not in layouts or plan.get_nfilters() or plan.get_external_count():
            raise self.refused(
                name,
                "lies in chunks, in another file or behind a filter, as vibayes never writes it",
            )
        shape = tuple(map(int, found.shape))
        stored = math.prod(shape) * kind.get_size()
        offset = found.get_offset()
        is_compact = plan.get_layout() == h5py.h5d.COMPACT
        outside = offset is None or offset + stored > self.size
        if found.get_storage_size() < stored or (outside and not is_compact):
            raise self.refused(name, "is longer than the file")
        return found.dtype.name, shape

    def read(self, name: str) -> np.ndarray:
        """Return an array."""
        from h5py import h5s

        found = self.dataset(name)
        result = np.empty(found.shape, found.dtype)
        found.read(h5s.ALL, h5s.ALL, result)
        return result

    def attribute(self, name: str) -> int | None:
        """Return an attribute that is a whole number, None if there is none."""
        import h5py

        key = name.encode()
        if not h5py.h5a.exists(self.root, key):
            return None
        found = h5py.h5a.open(self.root, key)
        kind, length = found.get_type(), found.get_space().get_simple_extent_npoints()
        if kind.get_class() != h5py.h5t.INTEGER or length != 1 or kind.get_size() > 8:
            return None
        result = np.empty(found.shape, found.dtype)
        found.read(result)
        return int(result.item())
