"""A new file or folder in the place of an old one, whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["exchange_file", "exchange_folder", "flush", "recover_folder"]

YOUNG = 10.0  # seconds in which a new file may not yet be locked by its writer
ABANDONED = 600.0  # seconds after which an unfinished file is one that a killed process left
LONGEST_NAME = 150  # bytes of a name to which something is added; most systems allow 255
TRIES = 1000  # as many writers may be quicker
BINARY = getattr(os, "O_BINARY", 0)  # on Windows


def exchange_file(path: Path, content: memoryview | bytes) -> None:
    """Put a file of some bytes in the place of the one that there may be.

    Raises
    ------
    OSError
        If it cannot be written: the disk is full, say. The old file stays as it is.
    """
    remove_leftovers(path)
    part = unfinished(path, "part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
        with open(handle, "wb", buffering=0) as file, locked(handle):
            write_all(file.write, content)
            flush(handle)
            if fcntl is not None:
                os.replace(part, path)  # while it is locked
        if fcntl is None:  # Windows moves no open file
            os.replace(part, path)
        flush_folder(path.parent)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        remove(part)


def write_all(write: Callable[[memoryview], int | None], content: memoryview | bytes) -> None:
    """Write all of some bytes, however many the system takes at a time."""
    left = memoryview(content).cast("B")
    while len(left):
        left = left[write(left) or 0 :]


def exchange_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Put a folder in the place of the one that there may be.

    For a moment there may be none. If the process is killed just then, the old one has another
    name, and :func:`recover_folder` puts it back.

    Parameters
    ----------
    path
        The place.
    write
        Writes the folder to a path that it is given.

    Raises
    ------
    OSError
        If it cannot be written. The old folder stays as it is.
    """
    remove_leftovers(path)
    part, old = unfinished(path, "part"), unfinished(path, "old")
    try:
        part.mkdir()
        with locked_folder(part):
            write(part)
            for file in part.rglob("*"):
                flush_path(file)
            move_folder(part, path, old)
        flush_folder(path.parent)
    except OSError as error:
        if old.exists() and not path.exists():
            os.replace(old, path)
        remove(old)
        raise not_written(path, error) from error
    finally:
        remove(part)
    remove(old)  # whether or not another writer has just moved the new one away


def move_folder(part: Path, path: Path, old: Path) -> None:
    """Move a folder to its place, out of which the old one has to be moved before."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            os.replace(path, old)
        try:
            os.replace(part, path)
            return
        except OSError:
            if not (part.exists() and path.exists()):
                raise
            remove(old)  # another writer was quicker: its folder is the old one now
    raise OSError(f"others write to {str(path)!r} all the time")


def recover_folder(path: Path) -> None:
    """Put a folder back that was moved away for a new one, which never came."""
    if path.exists():
        return
    found = [p for p in leftovers(path, "old") if is_abandoned(p)]
    if found:
        with suppress(OSError):  # another process was quicker
            os.replace(max(found, key=lambda p: p.stat().st_mtime), path)


def not_written(path: Path, error: OSError) -> OSError:
    """Return an error that names the file that was to be written."""
    if error.errno is None:
        return error
    was = "; the one that was there before is as it was" if path.exists() else ""
    return OSError(error.errno, f"{error.strerror}: the file cannot be written{was}", str(path))


# -- names of what is not finished ----------------------------------------------------------------


def unfinished(path: Path, ending: str) -> Path:
    """Return a name beside a path that nobody else has."""
    return path.with_name(f"{prefix(path)}{os.getpid()}-{uuid.uuid4().hex}.{ending}")


def prefix(path: Path) -> str:
    """Return how the names begin of what is to become a file."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return f".{name}."


def leftovers(path: Path, ending: str) -> Iterator[Path]:
    """Return what is beside a path that was to become that file, or was it."""
    return path.parent.glob(f"{glob.escape(prefix(path))}*.{ending}")


def remove_leftovers(path: Path) -> None:
    """Remove what processes have left that were killed while they wrote to the same path."""
    for left in [*leftovers(path, "part"), *(leftovers(path, "old") if path.exists() else ())]:
        with suppress(OSError):  # another process was quicker
            if is_abandoned(left):
                remove(left)


def is_abandoned(path: Path) -> bool:
    """Tell whether nobody writes a file or folder any more: whoever does holds a lock on it."""
    age = time.time() - path.stat().st_mtime
    if age > ABANDONED:
        return True
    if age < YOUNG or fcntl is None:
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is locked, or there are no locks here
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def locked(handle: int) -> Iterator[None]:
    """Hold a lock on a file, which ends with the process, where the system has locks."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
    yield  # closing the file unlocks it


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold a lock on a folder, which ends with the process, where the system has locks."""
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with locked(handle):
            yield
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


# -- onto the disk --------------------------------------------------------------------------------


def flush(handle: int) -> None:
    """Wait until what was written to an open file is on the disk."""
    os.fsync(handle)


def flush_path(path: Path) -> None:
    """Wait until a file or folder is on the disk, where the system lets folders be opened."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        flush(handle)
    finally:
        os.close(handle)


def flush_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk; not all file systems can."""
    with suppress(OSError):
        flush_path(path)
