"""Rewritten graphs on disk: a second process reads them, and does not rewrite again.

To rewrite a graph takes PyTensor about a millisecond for each operation, some ten times as long as
to find and read the result. What is read is what the same rewrites would make of the same graph:
the name of its file tells all on which that depends. Nothing is kept of graphs with operations for
whose code no version stands, such as those of users.

A graph that was just rewritten is replaced by what a second process will read. So both have the
same order of operations and the same machine code, which is found on disk, too.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import platform
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytensor
import scipy
from pytensor import config
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.destroyhandler import DestroyHandler
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.utils import Scratchpad

from vibayes.backend.fingerprints import (
    HISTORY,
    VERSIONED,
    UnknowableError,
    exact_fingerprint,
    in_order,
)

__all__ = ["KeptGraph", "folder", "kept_graph"]

FLAGS = (
    "allow_gc",
    "cast_policy",
    "check_stack_trace",
    "cycle_detection",
    "floatX",
    "lib__amdlibm",
    "on_opt_error",
    "on_shape_error",
    "openmp",
    "openmp_elemwise_minsize",
    "optdb__max_use_ratio",
    "optdb__position_cutoff",
    "scan__allow_gc",
    "scan__allow_output_prealloc",
    "tensor__cmp_sloppy",
    "tensor__insert_inplace_optimizer_validate_nb",
    "warn_float",
)
"""PyTensor's settings that its rewrites read, beside those that choose rewrites."""
MOST_DATA = 10_000_000  # bytes of constants: their fingerprint takes 10 ms, and again at each start
LARGEST = 2_000_000  # bytes of a file
MOST_KEPT = 100_000_000  # bytes of all files
DIGEST_BYTES = 16
STARTED = time.time_ns()
Place = int | tuple[int, int]


class Result(NamedTuple):
    """What rewrites have made of a graph.

    Attributes
    ----------
    outputs : list of Variable
        The rewritten graph.
    destroys : bool
        Whether PyTensor watches which operations change their inputs in place.
    """

    outputs: list[Variable]
    destroys: bool


def folder() -> Path:
    """Return where rewritten graphs are kept."""
    return config.base_compiledir / "vibayes_graphs"


def kept_graph(fgraph: FunctionGraph, rewrites: Sequence[str]) -> KeptGraph | None:
    """Return the place of what rewrites make of a graph, None if that is not kept.

    Parameters
    ----------
    fgraph : FunctionGraph
        The graph, before that.
    rewrites
        Names of the rewrites, and of the classes and functions that do them, each with its
        package.
    """
    if not config.numba__cache:  # nothing is to be kept on disk
        return None
    if fgraph.profile or config.optimizer_verbose:  # the user looks at the rewrites
        return None
    if not {name.partition(".")[0] for name in rewrites} <= VERSIONED:
        return None
    constants = [v for v in in_order(fgraph.outputs, ()) if isinstance(v, Constant)]
    if sum(getattr(v.data, "nbytes", 0) for v in constants) > MOST_DATA:
        return None
    try:
        return KeptGraph(fgraph, [*fgraph.inputs, *constants], rewrites)
    except (OSError, UnknowableError):
        return None


class KeptGraph:
    """Where a graph is on disk as it is after rewrites.

    Parameters
    ----------
    fgraph : FunctionGraph
        The graph before that.
    roots
        Its inputs and constants, which are not part of the file.
    rewrites
        Names of the rewrites.

    Raises
    ------
    UnknowableError
        If something in the graph has no fingerprint, or vibayes was changed meanwhile.
    OSError
        If the files of vibayes cannot be looked at.
    """

    def __init__(
        self, fgraph: FunctionGraph, roots: Sequence[Variable], rewrites: Sequence[str]
    ) -> None:
        self._fgraph = fgraph
        self._features = list(fgraph._features)
        supervisor = getattr(fgraph, "_supervisor", None)
        told = (
            versions(),
            rewrites,
            [getattr(config, name, None) for name in FLAGS],
            exact_fingerprint(fgraph),
            None if supervisor is None else [v in supervisor.protected for v in fgraph.inputs],
            sorted((fgraph.update_mapping or {}).items()),
            [type(feature).__qualname__ for feature in self._features],
        )
        self.path = folder() / digest(repr(told).encode()).hex()
        self._known: dict[Place, Any] = dict(enumerate(roots))
        for k, v in enumerate(in_order(fgraph.outputs, ())):
            self._known |= {(k, j): trace for j, trace in enumerate(getattr(v.tag, "trace", ()))}

    def read(self) -> bool:
        """Rewrite the graph as it is on disk, and tell whether it was there."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return False
        result = self._loaded(content)
        if result is None:
            return False
        with suppress(OSError):
            os.utime(self.path)  # those that were not read for the longest are removed first
        self._put(result)
        return True

    def write(self) -> None:
        """Write the graph, which is rewritten now, to the disk, and make it what will be read."""
        file = io.BytesIO()
        result = Result(self._fgraph.outputs, hasattr(self._fgraph, "destroyers"))
        try:  # operations in their order: nothing is nested deeply
            Pickler(file, self._known).dump((self._fgraph.toposort(), tuple(result)))
        except Exception:  # whatever operations raise that cannot be pickled
            return
        content = digest(file.getvalue()) + file.getvalue()
        read = self._loaded(content) if len(content) <= LARGEST else None
        if read is None:
            return
        for feature in [f for f in self._fgraph._features if f not in self._features]:
            self._fgraph.remove_feature(feature)
        self._put(read)
        with suppress(OSError):
            store(self.path, content)

    def _loaded(self, content: bytes) -> Result | None:
        """Return what is in a file, None if that does not fit the graph, or the file is broken."""
        if digest(content[DIGEST_BYTES:]) != content[:DIGEST_BYTES]:
            return None
        try:
            _, found = Unpickler(io.BytesIO(content[DIGEST_BYTES:]), self._known).load()
            result = Result(*found)
            pairs = zip(self._fgraph.outputs, result.outputs, strict=True)
            return result if all(v.type.is_super(new.type) for v, new in pairs) else None
        except Exception:  # whatever pickles raise whose classes are others now
            return None

    def _put(self, result: Result) -> None:
        for i, new in enumerate(result.outputs):
            node, place = self._fgraph.get_output_client(i)
            self._fgraph.change_node_input(node, place, new, reason="kept graph")
        if result.destroys:
            self._fgraph.attach_feature(DestroyHandler())


class Pickler(pickle.Pickler):
    """Pickles a graph without things that are known.

    Parameters
    ----------
    file
        Where to.
    known : dict
        Things in whose place their place is written: inputs and constants of the graph, and the
        lines of code that have made its variables, by the numbers of variables and traces.
    """

    def __init__(self, file: Any, known: Mapping[Place, Any]) -> None:
        super().__init__(file, protocol=5)
        self._places = {id(thing): place for place, thing in known.items()}

    def persistent_id(self, obj: Any) -> Place | None:
        """Return the place of what is known."""
        return self._places.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        """Leave out what PyTensor has noted for itself."""
        if type(obj) is not Scratchpad:
            return NotImplemented
        left_out = HISTORY - {"trace"}
        return Scratchpad, (), {k: v for k, v in vars(obj).items() if k not in left_out}


class Unpickler(pickle.Unpickler):
    """Reads what :class:`Pickler` has written, where the same things are known."""

    def __init__(self, file: Any, known: Mapping[Place, Any]) -> None:
        super().__init__(file)
        self._known = known

    def persistent_load(self, pid: Place) -> Any:
        """Return what is known by its place; other settings may leave out lines of code."""
        return self._known[pid] if isinstance(pid, int) else self._known.get(pid, [])


def digest(content: bytes) -> bytes:
    """Return what tells bytes from others."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def store(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and remove old ones where there are many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    found = [(entry.stat().st_mtime, entry) for entry in path.parent.iterdir()]
    total = sum(entry.stat().st_size for _, entry in found)
    for _, entry in sorted(found):
        if total <= MOST_KEPT:
            break
        total -= entry.stat().st_size
        entry.unlink(missing_ok=True)


@cache
def versions() -> tuple[Any, ...]:
    """Return what tells the code of rewrites and operations from other versions of it.

    Of vibayes, when its files were changed last: as long as it is worked on, no number does.

    Raises
    ------
    UnknowableError
        If one was changed after this process may have read it.
    """
    packages = [module.__version__ for module in (pytensor, np, scipy)]
    files = sorted(own_files())
    if max(changed for _, changed, _ in files) > STARTED:
        raise UnknowableError("vibayes has changed since it was imported")
    return sys.version, platform.machine(), *packages, *files


def own_files() -> Iterator[tuple[str, int, int]]:
    """Return the files of vibayes, each with the time of its last change and its size."""
    folders = [str(Path(__file__).parents[1])]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.name.endswith(".py"):
                stat = entry.stat()
                yield entry.path, stat.st_mtime_ns, stat.st_size
