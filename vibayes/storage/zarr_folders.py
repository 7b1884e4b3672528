"""Arrays of numbers in a zarr folder, and out of one that may be hostile."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vibayes.exceptions import StorageError
from vibayes.installing import how_to_install
from vibayes.records.kept_values import NUMBERS
from vibayes.storage.netcdf import MOST_ARRAYS, Stored

__all__ = ["opened_zarr", "require_zarr", "write_zarr"]

LONGEST_NODE = 2**20  # bytes of a description
ZSTD = b"\x28\xb5\x2f\xfd"


def require_zarr() -> None:
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"a .zarr folder needs zarr: {how_to_install('zarr', 'streaming')}; or use a name that "
            f"ends with .nc"
        ) from error


def write_zarr(folder: Path, arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> None:
    """Write arrays and attributes to a folder."""
    from xarray import Dataset

    variables = {
        name: ([f"{name}_dim_{i}" for i in range(a.ndim)], a) for name, a in arrays.items()
    }
    dataset = Dataset(variables, attrs=attrs)
    dataset.to_zarr(folder, mode="w", zarr_format=3, consolidated=False)


@contextmanager
def opened_zarr(folder: Path) -> Iterator[Stored]:
    """Open a folder of arrays, of which nothing is read that is not asked for.

    Older versions of zarr had encodings that execute what they read.

    Raises
    ------
    StorageError
        If it holds anything but files, or arrays in encodings that vibayes does not write.
    """
    files = files_of(folder)
    names = sorted(str(name.parent) for name in files if name.name == "zarr.json")
    names = [name for name in names if name != "."]
    try:
        root = node_of(folder, ".")
    except OSError as error:
        raise StorageError(
            f"{str(folder)!r} is not a file of vibayes: it is not a zarr folder (of format 3) of "
            f"plain numbers"
        ) from error
    if any(name.name.startswith(".z") for name in files) or root.get("node_type") != "group":
        raise StorageError(
            f"{str(folder)!r} is not a file of vibayes: it is not a zarr folder (of format 3) of "
            f"plain numbers"
        )

    def described(name: str) -> tuple[str, tuple[int, ...]] | None:
        if name not in names:
            return None
        node = node_of(folder, name)
        shape, chunk = (
            tuple(node["shape"]),
            tuple(node["chunk_grid"]["configuration"]["chunk_shape"]),
        )
        codecs = [codec["name"] for codec in node["codecs"]]
        whole = all(type(n) is int and n > 0 for n in (*shape, *chunk))
        plain = (
            whole
            and node["node_type"] == "array"
            and node["data_type"] in NUMBERS
            and codecs in (["bytes"], ["bytes", "zstd"])
            and node["chunk_grid"]["name"] == "regular"
            and not node.get("storage_transformers")
            and len(chunk) == len(shape)
            and all(c <= n for c, n in zip(chunk, shape, strict=True))
        )
        if not plain:
            raise StorageError(f"{str(folder)!r}: {name!r} is not an array as vibayes writes it")
        stored = [file for file in files if file.parts[:2] == (name, "c")]
        # a chunk of zeros need not be there: whether one is missing, the checksum tells
        if math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True)) < len(stored):
            raise StorageError(f"{str(folder)!r} is damaged: {name} is not what was written")
        length = math.prod(chunk) * np.dtype(node["data_type"]).itemsize
        for file in stored:
            with (folder / file).open("rb") as opened:
                begin = opened.read(18)
            found = frame_length(begin) if "zstd" in codecs else files[file]
            if found != length:
                raise StorageError(f"{str(folder)!r} is damaged: {name} is not what was written")
        return node["data_type"], shape

    def read(name: str) -> np.ndarray:
        import zarr

        return np.asarray(zarr.open_array(folder / name, mode="r", zarr_format=3)[...])

    def attribute(name: str) -> int | None:
        value = root.get("attributes", {}).get(name)
        return value if type(value) is int else None

    require_zarr()
    yield Stored(names, described, read, attribute)


def files_of(folder: Path) -> dict[Path, int]:
    """Return the files below a folder with their lengths; links and devices are none of them."""
    found: dict[Path, int] = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[path.relative_to(folder)] = status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                raise StorageError(f"{str(path)!r} is neither a file nor a folder")
        if len(found) > MOST_ARRAYS:
            raise StorageError(f"{str(folder)!r} holds more than {MOST_ARRAYS:,} files")
    return found


def node_of(folder: Path, name: str) -> dict[str, Any]:
    """Return the description of an array or a group."""
    with (folder / name / "zarr.json").open("rb") as file:
        text = file.read(LONGEST_NODE + 1)
    if len(text) > LONGEST_NODE:
        raise StorageError(f"{str(folder)!r}: the description of {name!r} is too long")
    return json.loads(text)


def frame_length(begin: bytes) -> int | None:
    """Return the length that compressed bytes declare; None if they declare none."""
    if len(begin) < 6 or begin[:4] != ZSTD:
        return None
    flags = begin[4]
    is_single = bool(flags & 32)
    at = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    size = (int(is_single), 2, 4, 8)[flags >> 6]
    length = int.from_bytes(begin[at : at + size], "little")
    return length + 256 * (size == 2) if size else None
