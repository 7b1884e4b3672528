"""Save and fit on disks that are full, each a file system of its own.

    python benchmarks/full_disks.py --count 40 --seed 1

For each disk a small tmpfs is mounted and filled but for a random number of bytes; where that is
not allowed, and with ``--limit``, no file of the process may grow beyond that number instead
(``RLIMIT_FSIZE``). On it an approximation is saved as a file and as a folder over older ones, and
fits keep their checkpoints: one of steps, one that ends by itself, and one that reads its data from
that disk. The process has to survive; what was there before has to stay whole unless it is
replaced; each fit has to return what it returns without a checkpoint, with one warning at most;
nothing may be left beside. The exit status is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import vibayes as vb
from vibayes.inference import loop
from vibayes.storage import checkpoint

LENGTH = 300  # numbers of each parameter
DISK = "768k"
ROWS = np.random.default_rng(1).normal(size=(400, 2))


@contextmanager
def limited(folder: Path, size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


@contextmanager
def filled(folder: Path, size: int) -> Iterator[None]:
    """Fill the file system of a folder, but for a size."""
    filler, left = folder / "filler", os.statvfs(folder)
    filler.write_bytes(b"x" * max(0, left.f_bavail * left.f_frsize - size))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def disk(folder: Path) -> Iterator[Any]:
    """Mount a small file system; yield what fills it, None if that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    try:
        yield filled if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


def shifted(length: int) -> vb.Model:
    with vb.Model() as model:
        x = vb.Normal("x", shape=length)
        vb.Normal("y", x, 1, observed=np.zeros(length))
    return model


class Trial:
    """What is done on each disk, and what has to come of it."""

    def __init__(self, folder: Path) -> None:
        self.prepare(folder)
        self.models = {"steps": shifted(LENGTH), "search": shifted(40), "stream": self.streamed()}
        self.wholes = {kind: self.fit(kind) for kind in self.models}

    def streamed(self) -> vb.Model:
        """Return a model whose data lie on the disk of the trial."""

        def blocks() -> Iterator[np.ndarray]:
            rows = np.load(self.folder / "rows.npy", mmap_mode="r")
            for start in range(0, len(rows), 50):
                yield np.array(rows[start : start + 50])

        rows = vb.Minibatch(blocks, batch_size=10, total_size=len(ROWS), buffer_bytes=16 * 80)
        with vb.Model() as model:
            mu = vb.Normal("mu", 0, 10, shape=2)
            vb.Normal("y", mu, 1, observed=rows, total_size=ROWS.shape)
        return model

    def prepare(self, folder: Path) -> None:
        """Put the data into a folder."""
        self.folder = folder
        np.save(folder / "rows.npy", ROWS)

    def fit(self, kind: str, **kwargs: Any) -> Any:
        options: dict[str, Any] = dict(random_seed=1, progressbar=False, diagnose=False)
        if kind == "search":
            options["method"] = "laplace"
        else:
            options |= dict(n=40, backend="py")
            options |= {"checkpoint_every": 15} if "checkpoint" in kwargs else {}
        return vb.fit(model=self.models[kind], **options | kwargs)

    def values(self, path: Path) -> np.ndarray:
        return vb.load(path, model=self.models["steps"]).params[0].get_value()

    def save(self, folder: Path, ending: str, full: Any, size: int) -> bool:
        """Save with little room left; return whether it succeeded."""
        path = folder / f"a.{ending}"
        model = self.models["steps"]
        vb.MeanField(model=model).save(path)
        before, other = self.values(path), vb.MeanField(model=model)
        other.params[0].set_value(before + 1)
        try:
            with full(folder, size):
                other.save(path)
        except OSError as error:
            if "cannot be written" not in str(error):
                raise
            np.testing.assert_array_equal(self.values(path), before)
            return False
        np.testing.assert_array_equal(self.values(path), before + 1)
        return True

    def keep(self, folder: Path, kind: str, full: Any, size: int) -> bool:
        """Fit with little room left for the checkpoint; return whether that could be written."""
        path, whole = folder / f"{kind}.nc", self.wholes[kind]
        with warnings.catch_warnings(record=True) as told, full(folder, size):
            warnings.simplefilter("always")
            approx = self.fit(kind, checkpoint=path)
        assert len(told) <= 1, [str(t.message) for t in told]
        assert all(issubclass(t.category, vb.StorageWarning) for t in told), told[0].message
        self.compare(approx, whole)
        assert path.exists() or told
        if path.exists():
            self.compare(self.fit(kind, checkpoint=path), whole)
        return not told

    @staticmethod
    def compare(approx: Any, whole: Any) -> None:
        np.testing.assert_array_equal(approx.hist, whole.hist)
        for a, b in zip(approx.params, whole.params, strict=True):
            np.testing.assert_array_equal(a.get_value(), b.get_value())

    def run(self, folder: Path, full: Any, size: int) -> dict[str, bool]:
        """Do everything on one disk; return what could be written."""
        self.prepare(folder)
        found = {}
        for ending in ("nc", "zarr"):
            found[ending] = self.save(folder, ending, full, size)
        for kind in self.wholes:
            found[kind] = self.keep(folder, kind, full, size)
        gc.collect()  # what closes files late does so here
        mine = {"a.nc", "a.zarr", "rows.npy", *(f"{kind}.nc" for kind in self.wholes)}
        left = {p.name for p in folder.iterdir()} - mine
        assert not left, left
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="number of disks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", help="bytes that are left on each disk, with commas between")
    parser.add_argument("--limit", action="store_true", help="limit files in the place of disks")
    arguments = parser.parse_args()
    logging.getLogger("vibayes").setLevel(logging.CRITICAL)
    checkpoint.LARGEST_SHARE = np.inf
    checkpoint.SECONDS_BETWEEN = 0.0
    loop.CHUNK_SECONDS = 0.001
    rng = np.random.default_rng(arguments.seed)
    sizes = rng.integers(0, 250_000, arguments.count) * (rng.random(arguments.count) < 0.9)
    if arguments.sizes:
        sizes = np.array([int(size) for size in arguments.sizes.split(",")])
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name))
    for size in sizes.tolist():
        with tempfile.TemporaryDirectory() as name, disk(Path(name)) as full:
            kind = limited if full is None or arguments.limit else full
            try:
                found = trial.run(Path(name), kind, size)
            except Exception as error:
                total["lost"] += 1
                print(f"{size:>8,} bytes: lost: {type(error).__name__}: {error}", flush=True)
                continue
            words = ", ".join(f"{what} {'kept' if done else 'not'}" for what, done in found.items())
            print(f"{size:>8,} bytes, {kind.__name__}: {words}", flush=True)
            total.update(what for what, done in found.items() if done)
    kept = ", ".join(f"{what} {count}" for what, count in total.items())
    print(f"{len(sizes)} disks; {total['lost']} lost; could be written: {kept or 'nothing'}")
    return int(total["lost"] > 0)


if __name__ == "__main__":
    sys.exit(main())
