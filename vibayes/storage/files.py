"""Files of arrays and a header: netCDF or zarr, written at once or not at all.

Nothing in a file is ever executed: arrays are numbers, the header is JSON, and what it names is
looked up among what the library knows.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vibayes.exceptions import StorageError
from vibayes.storage.netcdf import netcdf_bytes
from vibayes.storage.places import exchange_file, exchange_folder, recover_folder

__all__ = ["Contents", "check_path", "read_file", "write_file"]

FORMAT = 1
HEADER = "header"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NUMBERS = {"float16", "float32", "float64", "bool"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
CODECS = {"bytes", "zstd", "blosc", "gzip", "crc32c"}


class Contents(NamedTuple):
    """What a file holds: a JSON object, and arrays of numbers by name."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


# -- writing --------------------------------------------------------------------------------------


def check_path(path: Any) -> Path:
    """Return where to write to, as a path.

    Raises
    ------
    ValueError
        If the name ends with neither ``.nc`` nor ``.zarr``.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    if path.suffix not in (".nc", ".zarr"):
        raise ValueError(f"the name of {str(path)!r} must end with .nc (netCDF) or .zarr")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {str(path.parent)!r} of {path.name!r} does not exist")
    return path


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


def write_zarr(folder: Path, arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> None:
    from xarray import Dataset

    variables = {
        name: ([f"{name}_dim_{i}" for i in range(a.ndim)], a) for name, a in arrays.items()
    }
    dataset = Dataset(variables, attrs=attrs)
    dataset.to_zarr(folder, mode="w", zarr_format=3, consolidated=False)


def require_zarr() -> None:
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "a .zarr folder needs zarr: pip install vibayes[streaming]; or use a name that ends "
            "with .nc"
        ) from error


# -- reading --------------------------------------------------------------------------------------


def read_file(path: Any) -> Contents:
    """Return what a file holds.

    Raises
    ------
    FileNotFoundError
        If there is none.
    StorageError
        If vibayes has not written it, or it is not whole.
    """
    path = Path(path)
    if path.suffix == ".zarr":
        recover_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    check_kind(path)
    try:
        variables, attrs = read_variables(path)
    except ImportError:
        raise
    except Exception as error:  # libraries raise anything for a file that is not whole
        raise StorageError(
            f"{str(path)!r} cannot be read: it is not a whole file, it is truncated or damaged "
            f"({type(error).__name__}: {error})"
        ) from error
    header = checked_header(path, variables.pop(HEADER, None), attrs)
    arrays = {
        name: checked_array(path, name, entry, variables.get(name))
        for name, entry in header.pop("arrays").items()
    }
    return Contents(header, arrays)


def check_kind(path: Path) -> None:
    """Raise unless a path is an HDF5 file, or a folder of zarr arrays of plain numbers."""
    if path.is_dir():
        check_zarr(path)
        return
    with path.open("rb") as file:
        begin = file.read(len(HDF5_SIGNATURE))
    if not begin:
        raise StorageError(f"{str(path)!r} is not a file of vibayes: it is empty")
    if begin != HDF5_SIGNATURE:
        raise StorageError(
            f"{str(path)!r} is not a file of vibayes: it is neither a netCDF-4 file nor a zarr "
            f"folder"
        )


def check_zarr(folder: Path) -> None:
    """Raise unless a folder holds zarr arrays of numbers, in encodings that only hold numbers.

    Older versions of zarr had encodings that execute what they read.
    """
    try:
        nodes = [json.loads(file.read_text()) for file in folder.rglob("zarr.json")]
        names = {file.name for file in folder.rglob(".z*")}
        plain = nodes and not names and all(map(is_plain, nodes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{str(folder)!r} is not a whole zarr folder: {type(error).__name__}: {error}"
        ) from error
    if not plain:
        raise StorageError(
            f"{str(folder)!r} is not a file of vibayes: it is not a zarr folder (of format 3) of "
            f"plain numbers"
        )


def is_plain(node: Mapping[str, Any]) -> bool:
    if node["node_type"] == "group":
        return True
    codecs = {codec["name"] for codec in node["codecs"]}
    is_number = node["data_type"] in NUMBERS
    return is_number and codecs <= CODECS and not node.get("storage_transformers")


def read_variables(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from xarray import open_dataset

    options: dict[str, Any] = {"engine": "h5netcdf"}
    if path.is_dir():
        require_zarr()
        options = {"engine": "zarr", "consolidated": False}
    with open_dataset(path, decode_cf=False, cache=False, **options) as dataset:
        variables = {str(name): np.array(v.values) for name, v in dataset.variables.items()}
        return variables, dict(dataset.attrs)


def checked_header(path: Path, text: np.ndarray | None, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header of a file, if vibayes has written it."""
    found = attrs.get("vibayes_format")
    if found is None or text is None:
        raise StorageError(
            f"{str(path)!r} is not a file of vibayes: it holds other data. Draws that were saved "
            f"with ArviZ are opened with ArviZ; an approximation is saved by approx.save(path)."
        )
    if int(found) > FORMAT:
        raise StorageError(
            f"{str(path)!r} was written by a newer vibayes, in format {int(found)}; this one reads "
            f"up to format {FORMAT}"
        )
    raw = text.tobytes()
    if zlib.crc32(raw) != int(attrs.get("header_crc32", -1)):
        raise damaged(path, "its header")
    return json.loads(raw)


def checked_array(
    path: Path, name: str, entry: Mapping[str, Any], value: np.ndarray | None
) -> np.ndarray:
    """Return an array of a file, if it is what was written."""
    shape = tuple(entry["shape"])
    if 0 in shape:
        return np.zeros(shape, entry["dtype"])
    if value is None or value.shape != shape:
        raise damaged(path, name)
    value = value.view(bool) if entry["dtype"] == "bool" else value
    if str(value.dtype) != entry["dtype"] or checksum(value) != entry["crc32"]:
        raise damaged(path, name)
    return value


def damaged(path: Path, what: str) -> StorageError:
    return StorageError(f"{str(path)!r} is damaged: {what} is not what was written")
