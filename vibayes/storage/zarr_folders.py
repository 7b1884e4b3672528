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
    opened = Folder(folder)
    require_zarr()
    yield Stored(opened.names, opened.described, opened.read, opened.attribute)


class Folder:
    """A folder of arrays.

    Parameters
    ----------
    path : pathlib.Path
        The folder.

    Attributes
    ----------
    files : dict of pathlib.Path to int
        The files below it, with their lengths.
    names : list of str
        Names of what is described in it.
    root : dict
        Its own description.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = files_of(path)
        names = sorted(str(name.parent) for name in self.files if name.name == "zarr.json")
        self.names = [name for name in names if name != "."]
        try:
            self.root = node_of(path, ".")
        except OSError as error:
            raise self.foreign() from error
        has_older = any(name.name.startswith(".z") for name in self.files)
        if has_older or self.root.get("node_type") != "group":
            raise self.foreign()

    def foreign(self) -> StorageError:
        """Return the error of a folder that something else has written."""
        return StorageError(
            f"{str(self.path)!r} is not a file of vibayes: it is not a zarr folder (of format 3) "
            f"of plain numbers"
        )

    def described(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """Return the dtype and the shape of an array; raise if it is not stored as is usual."""
        if name not in self.names:
            return None
        node = node_of(self.path, name)
        shape, chunk = shape_and_chunk(node)
        if not is_plain(node, shape, chunk):
            raise StorageError(f"{str(self.path)!r}: {name!r} is not an array as vibayes writes it")
        if not self.is_whole(name, node):
            raise StorageError(f"{str(self.path)!r} is damaged: {name} is not what was written")
        return node["data_type"], shape

    def is_whole(self, name: str, node: Mapping[str, Any]) -> bool:
        """Tell whether no chunk of an array is longer or shorter than it is to be."""
        shape, chunk = shape_and_chunk(node)
        stored = [file for file in self.files if file.parts[:2] == (name, "c")]
        # a chunk of zeros need not be there: whether one is missing, the checksum tells
        if math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True)) < len(stored):
            return False
        is_compressed = "zstd" in codecs_of(node)
        length = math.prod(chunk) * np.dtype(node["data_type"]).itemsize
        return all(self.length_of(file, is_compressed) == length for file in stored)

    def length_of(self, file: Path, is_compressed: bool) -> int | None:
        """Return how many bytes a chunk holds."""
        with (self.path / file).open("rb") as opened:
            begin = opened.read(18)
        return frame_length(begin) if is_compressed else self.files[file]

    def read(self, name: str) -> np.ndarray:
        """Return an array."""
        import zarr

        return np.asarray(zarr.open_array(self.path / name, mode="r", zarr_format=3)[...])

    def attribute(self, name: str) -> int | None:
        """Return an attribute that is a whole number, None if there is none."""
        value = self.root.get("attributes", {}).get(name)
        return value if type(value) is int else None


def shape_and_chunk(node: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of an array, and that of its chunks."""
    return tuple(node["shape"]), tuple(node["chunk_grid"]["configuration"]["chunk_shape"])


def codecs_of(node: Mapping[str, Any]) -> list[str]:
    """Return the names of the encodings of an array."""
    return [codec["name"] for codec in node["codecs"]]


def is_plain(node: Mapping[str, Any], shape: tuple[int, ...], chunk: tuple[int, ...]) -> bool:
    """Tell whether an array is described as vibayes writes it."""
    codecs = codecs_of(node)
    whole = all(type(n) is int and n > 0 for n in (*shape, *chunk))
    return (
        whole
        and node["node_type"] == "array"
        and node["data_type"] in NUMBERS
        and codecs in (["bytes"], ["bytes", "zstd"])
        and node["chunk_grid"]["name"] == "regular"
        and not node.get("storage_transformers")
        and len(chunk) == len(shape)
        and all(c <= n for c, n in zip(chunk, shape, strict=True))
    )


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
