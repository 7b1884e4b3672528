"""Files of arrays and a header: netCDF or zarr, written at once or not at all.

Nothing in a file is ever executed: arrays are numbers, the header is JSON, and what it names is
looked up among what the library knows.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vibayes.arguments import check_whole, shown
from vibayes.exceptions import StorageError
from vibayes.interrupts import Deferral
from vibayes.records.kept_values import NUMBERS
from vibayes.storage.netcdf import Stored, netcdf_bytes, opened_netcdf
from vibayes.storage.places import exchange_file, exchange_folder, recover_folder
from vibayes.storage.zarr_folders import files_of, opened_zarr, require_zarr, write_zarr

__all__ = ["Contents", "check_path", "read_file", "understood", "write_file"]

FORMAT = 1
HEADER = "header"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
LONGEST_HEADER = 2**24  # bytes


class Contents(NamedTuple):
    """What a file holds: a JSON object, and arrays of numbers by name."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


# -- writing --------------------------------------------------------------------------------------


def as_path(path: Any, name: str = "path") -> Path:
    """Return the name of a file as a path; the argument has a ``name``.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be the name of a file, got {shown(path)}")
    return Path(path)


def check_path(path: Any, name: str = "path") -> Path:
    """Return where to write to, as a path.

    Raises
    ------
    ValueError
        If the name ends with neither ``.nc`` nor ``.zarr``.
    FileNotFoundError
        If the folder does not exist.
    """
    path = as_path(path, name)
    if path.suffix not in (".nc", ".zarr"):
        raise ValueError(f"{name}: the name of {str(path)!r} must end with .nc (netCDF) or .zarr")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{name}: the folder {str(path.parent)!r} of {path.name!r} does not exist"
        )
    return path


@Deferral()
def write_file(path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file in the place of the one that there may be.

    Whatever happens meanwhile, either the old file is there or the new one, whole; of several
    writers the last one wins. A ``.zarr`` folder cannot be exchanged at once: for a moment there
    may be none.

    Parameters
    ----------
    path
        See :func:`check_path`.
    header
        What JSON can hold.
    arrays
        Arrays of numbers.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk.
    """
    stored, attrs = as_stored(header, {name: np.asarray(value) for name, value in arrays.items()})
    if path.suffix == ".nc":
        exchange_file(path, netcdf_bytes(stored, attrs))
    else:
        require_zarr()
        exchange_folder(path, lambda part: write_zarr(part, stored, attrs))


def as_stored(
    header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a header and arrays as arrays that netCDF has, with what tells whether all is whole.

    Returns
    -------
    arrays, attributes
    """
    listed = {
        name: {"dtype": str(a.dtype), "shape": list(a.shape), "crc32": checksum(a)}
        for name, a in arrays.items()
    }
    text = json.dumps({**header, "arrays": listed}).encode()
    # an axis of no length would be an unlimited one in a file; such arrays need no place there
    stored = {
        name: a.view("uint8") if a.dtype == bool else a for name, a in arrays.items() if a.size
    }
    stored[HEADER] = np.frombuffer(text, dtype="uint8")
    attrs = {
        "title": f"vibayes {header['kind']}",
        "vibayes_format": FORMAT,
        "header_crc32": zlib.crc32(text),
    }
    return stored, attrs


def checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view("uint8"))


# -- reading --------------------------------------------------------------------------------------


def read_file(
    path: Any,
    max_bytes: int | None = None,
    check: Callable[[dict[str, Any], Mapping[str, tuple[int, ...]]], Collection[str]] | None = None,
) -> Contents:
    """Return what a file holds; the file may be hostile.

    Parameters
    ----------
    path
        The file.
    max_bytes
        How long it and its arrays may be.
    check
        Given the header and the shapes of the arrays, before these are read, returns the names of
        those that are wanted; all by default.

    Raises
    ------
    FileNotFoundError
        If there is none.
    StorageError
        If it is none of vibayes, or it is not whole, or too long.
    """
    path = as_path(path)
    if path.suffix == ".zarr":
        recover_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    check_kind(path)
    limit = math.inf if max_bytes is None else check_whole(max_bytes, "max_bytes", least=1)
    check_length(path, length_of(path), limit)
    with understood(path), (opened_zarr if path.is_dir() else opened_netcdf)(path) as stored:
        header = checked_header(path, stored, limit)
        listed = checked_list(path, header.pop("arrays", None), limit)
        shapes = {name: shape for name, (_, shape, _) in listed.items()}
        wanted = listed.keys() if check is None else check(header, shapes)
        arrays = {
            name: checked_array(path, name, listed[name], stored)
            for name in listed
            if name in wanted
        }
    return Contents(header, arrays)


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Say of a file that it is at fault, whatever fails while it is taken apart."""
    try:
        yield
    except ImportError:
        raise
    except StorageError as error:
        if str(path) in str(error):
            raise
        raise StorageError(f"{str(path)!r}: {error}") from error
    except MemoryError as error:
        raise StorageError(f"{str(path)!r} cannot be read: there is not enough memory") from error
    except Exception as error:  # libraries raise anything for a file that is not whole
        raise StorageError(
            f"{str(path)!r} cannot be read: it is not a whole file of vibayes, it is truncated or "
            f"damaged ({type(error).__name__}: {error})"
        ) from error


def check_kind(path: Path) -> None:
    """Raise unless a path is a folder, or a plain file that begins as HDF5 does."""
    if path.is_dir():
        return
    if not path.is_file():
        raise StorageError(f"{str(path)!r} is neither a file nor a folder")
    with path.open("rb") as file:
        begin = file.read(len(HDF5_SIGNATURE))
    if not begin:
        raise StorageError(f"{str(path)!r} is not a file of vibayes: it is empty")
    if begin != HDF5_SIGNATURE:
        raise StorageError(
            f"{str(path)!r} is not a file of vibayes: it is neither a netCDF-4 file nor a zarr "
            f"folder"
        )


def length_of(path: Path) -> int:
    return sum(files_of(path).values()) if path.is_dir() else path.stat().st_size


def check_length(path: Path, length: int, limit: float) -> None:
    if length > limit:
        raise StorageError(
            f"{str(path)!r} holds {length:,} bytes, more than max_bytes={limit:,}: pass a larger "
            f"max_bytes if the file is one that you trust"
        )


def checked_header(path: Path, stored: Stored, limit: float) -> dict[str, Any]:
    """Return the header of a file, if vibayes has written it."""
    found = stored.attribute("vibayes_format")
    described = stored.described(HEADER) if found is not None else None
    if found is None or described is None:
        raise StorageError(
            f"{str(path)!r} is not a file of vibayes: it holds other data. Draws that were saved "
            f"with ArviZ are opened with ArviZ; an approximation is saved by approx.save(path)."
        )
    if found > FORMAT:
        raise StorageError(
            f"{str(path)!r} was written by a newer vibayes, in format {found}; this one reads up "
            f"to format {FORMAT}"
        )
    dtype, shape = described
    if dtype != "uint8" or len(shape) != 1 or shape[0] > min(LONGEST_HEADER, limit):
        raise StorageError(
            f"{str(path)!r} is damaged: its header is an array of dtype {dtype} and shape {shape}, "
            f"and no text of at most {LONGEST_HEADER:,} bytes"
        )
    raw = stored.read(HEADER).tobytes()
    if zlib.crc32(raw) != stored.attribute("header_crc32"):
        raise damaged(path, "its header")
    header = json.loads(raw)
    if not isinstance(header, dict):
        raise damaged(path, "its header")
    return header


def checked_list(
    path: Path, entries: Any, limit: float
) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Return the dtype, shape and checksum of each array that a header lists."""
    if not isinstance(entries, dict):
        raise damaged(path, "the list of arrays in its header")
    found, length = {}, 0
    for name, entry in entries.items():
        dtype, shape, crc = entry["dtype"], entry["shape"], entry["crc32"]
        if dtype not in NUMBERS or not all(type(n) is int and n >= 0 for n in shape):
            raise StorageError(
                f"{str(path)!r}: {name!r} has dtype {dtype!r} and shape {shape}, which no array "
                f"of numbers has"
            )
        length += math.prod(shape) * np.dtype(dtype).itemsize
        found[name] = dtype, tuple(shape), crc
    check_length(path, length, limit)
    return found


def checked_array(
    path: Path, name: str, entry: tuple[str, tuple[int, ...], int], stored: Stored
) -> np.ndarray:
    """Return an array of a file, if it is what was written."""
    dtype, shape, crc = entry
    if 0 in shape:
        return np.zeros(shape, dtype)
    if stored.described(name) != ("uint8" if dtype == "bool" else dtype, shape):
        raise damaged(path, name)
    value = stored.read(name)
    if checksum(value) != crc:
        raise damaged(path, name)
    return value.view(bool) if dtype == "bool" else value


def damaged(path: Path, what: str) -> StorageError:
    return StorageError(f"{str(path)!r} is damaged: {what} is not what was written")
