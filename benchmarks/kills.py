"""Kill fits with a checkpoint, and what saves files, by SIGKILL at random moments; then go on.

    python benchmarks/kills.py --count 200 --seed 1

Each fit runs in a process forked from one that has imported and compiled everything, so that it
begins at once with what a new process would have. It is killed, made again by the same call, killed
again, until it comes to its end. After each kill the file has to be whole; at the end the losses,
the parameters, the records of callbacks and the seeds have to be those of a fit that nothing has
killed, bit for bit, and nothing may be left beside the file. The exit status is 1 if anything was
lost.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytensor
from harm import run_cases

import vibayes as vb
from vibayes.inference import loop
from vibayes.storage import checkpoint
from vibayes.storage.files import read_file

OLD = 60  # seconds after which what a killed process has left may be removed
SHARE = 0.4  # of the time of a whole fit within which a kill comes
DATA = np.random.default_rng(1).normal([1.0, -2.0], [1.0, 3.0], size=(997, 2))


def model_of(observed, **kwargs):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=2)
        sigma = vb.HalfNormal("sigma", 5, shape=2)
        vb.Normal("y", mu, sigma, observed=observed, **kwargs)
    return model


def streamed(folder):
    path = folder / "data.npy"
    if not path.exists():
        np.save(path, DATA)
    # groups of about 40 rows, blocks that do not end where these do, epochs of 100 steps
    return vb.Minibatch(np.load(path, mmap_mode="r"), batch_size=10, buffer_bytes=16 * 80)


def whole(folder):
    return model_of(DATA), dict(n=400)


def convergence(folder):
    check = vb.callbacks.CheckParametersConvergence(every=7, tolerance=0.02)
    return model_of(DATA), dict(n=2_000, callbacks=[check])


def tracked(folder):
    tracker = vb.callbacks.Tracker(i=lambda approx, losses, i: i, every=3)
    return model_of(DATA), dict(n=300, callbacks=[tracker])


def with_replacement(folder):
    return model_of(vb.Minibatch(DATA, batch_size=20), total_size=DATA.shape), dict(n=400)


def without_replacement(folder):
    rows = vb.Minibatch(DATA, batch_size=20, replace=False)
    return model_of(rows, total_size=DATA.shape), dict(n=400)


def stream(folder):
    return model_of(streamed(folder), total_size=DATA.shape), dict(n=400)


def automatic_stream(folder):
    return model_of(streamed(folder), total_size=DATA.shape), dict(n=None, max_steps=1000)


def automatic_flow(folder):
    return model_of(DATA), dict(n=None, max_steps=1000, method="nfvi=planar*2", obj_n_mc=2)


def search(folder):
    return model_of(DATA), dict(n=None, method="laplace", backend=None)


def own_parameters(folder):
    extra = pytensor.shared(np.zeros(2), name="extra")
    steps = pytensor.shared(np.asarray(0, dtype="int64"), name="steps")
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=2)
        vb.Normal("y", mu + extra, 2, observed=DATA)
    return model, dict(n=400, more_obj_params=[extra], more_updates={steps: steps + 1})


# -- what is killed -------------------------------------------------------------------------------


class LostError(Exception):
    """Something is not as it has to be."""


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise LostError(what)


class Fit:
    """A fit with a checkpoint.

    Parameters
    ----------
    make : callable
        Given a folder for data, returns a model and the arguments of its fit.
    """

    ending = "nc"

    def __init__(self, make: Callable[[Path], tuple[vb.Model, dict[str, Any]]]) -> None:
        self.make = make

    def prepare(self, folder: Path) -> None:
        """Compile, and fit once without a checkpoint."""
        self.folder = folder
        model, arguments = self.made = self.make(folder)
        warm = {k: v for k, v in arguments.items() if k not in ("n", "max_steps", "callbacks")}
        if "more_obj_params" not in warm:  # these would be left changed
            end = {"n": 1} if arguments["n"] else {"max_steps": arguments.get("max_steps") and 1}
            vb.fit(model=model, **OPTIONS | warm | end)
        vb.MeanField(model=model).save(folder / "first.nc")  # imports what writes
        expect(done(forked(self.write_down, "whole.npz")) == 0, "the fit itself failed")
        self.whole = dict(np.load(folder / "whole.npz"))

    def write_down(self, name: str, path: Path | None = None) -> None:
        """Make the fit, and write down all that it ended with."""
        model, arguments = self.made
        kept: dict[str, Any] = {} if path is None else {"checkpoint": path}
        if path is not None and "laplace" not in arguments.values():  # that one has no steps
            kept["checkpoint_every"] = max(10, (arguments["n"] or 1000) // 40)
        approx = vb.fit(model=model, **OPTIONS | kept | arguments)
        found = {f"param_{i}": p.get_value() for i, p in enumerate(approx.params)}
        found |= {p.name: p.get_value() for p in arguments.get("more_obj_params", [])}
        found |= {p.name: p.get_value() for p in arguments.get("more_updates", {})}
        trackers = [c for c in arguments.get("callbacks", []) if hasattr(c, "hist")]
        found |= {name: np.array(v) for c in trackers for name, v in c.hist.items()}
        # seeds too are where they would be
        later = approx.spawn_generator().integers(2**62)
        hist = approx.hist
        np.savez(self.folder / name, hist=hist, later=later, ending=repr(approx.ending), **found)

    def act(self, path: Path) -> None:
        self.write_down("parts.npz", path)

    def look(self, path: Path) -> None:
        """Look at the file after a kill."""
        if path.exists():
            read_file(path)
            if not any(k.startswith("more_") for k in self.made[1]):
                vb.load(path, model=self.made[0])

    def check_end(self, path: Path) -> None:
        parts = np.load(self.folder / "parts.npz")
        expect(set(parts.files) == set(self.whole), "other entries")
        for name, value in self.whole.items():
            same = np.array_equal(without_times(parts[name]), without_times(value))
            expect(same, f"another {name}")


class Saving:
    """A file or folder that is written again and again, each time with another number in it."""

    def __init__(self, ending: str) -> None:
        self.ending = ending

    def prepare(self, folder: Path) -> None:
        with vb.Model() as self.model:
            vb.Normal("x", shape=2000)
        self.approx = vb.MeanField(model=self.model)
        self.approx.save(folder / f"first.{self.ending}")

    def act(self, path: Path) -> None:
        for number in range(20 if self.ending == "zarr" else 60):
            self.approx.params[0].set_value(np.full(2000, float(number)))
            self.approx.save(path)

    def look(self, path: Path) -> None:
        """Look at the file after a kill."""
        left_by_killed = any(p.suffix == ".old" for p in path.parent.iterdir())
        if path.exists() or left_by_killed:
            values = vb.load(path, model=self.model).params[0].get_value()
            expect(bool((values == values[0]).all()), "numbers of two files in one")

    def check_end(self, path: Path) -> None:
        self.look(path)


def without_times(array: np.ndarray) -> np.ndarray:
    """Return an ending in words without the seconds that it took."""
    if array.dtype.kind != "U":
        return array
    return np.array(re.sub(r"[0-9.]+ seconds", "seconds", str(array)))


OPTIONS = dict(method="advi", random_seed=3, backend="py", progressbar=False, diagnose=False)
FITS = [
    whole,
    convergence,
    tracked,
    with_replacement,
    without_replacement,
    stream,
    automatic_stream,
    automatic_flow,
    search,
    own_parameters,
]
CASES: dict[str, Callable[[], Fit | Saving]] = {
    **{make.__name__: lambda make=make: Fit(make) for make in FITS},
    "save nc": lambda: Saving("nc"),
    "save zarr": lambda: Saving("zarr"),
}


# -- kills ----------------------------------------------------------------------------------------


def forked(action: Callable[..., None], *args: Any) -> int:
    """Run something in a child process, and return its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action(*args)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def done(child: int) -> int:
    """Wait for a process, and return how it ended."""
    return os.waitpid(child, 0)[1]


def kill(case: Fit | Saving, path: Path, seconds: float) -> str:
    """Kill one process after some time; return what it was doing, empty if it was done."""
    child = forked(case.act, path)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = done(child)
    if not os.WIFSIGNALED(status):
        expect(status == 0, "going on failed")
        case.check_end(path)
        return ""
    left = [p for p in path.parent.iterdir() if p != path]
    for place in left:  # as if time had passed: what is young may still be written
        then = place.stat().st_mtime - OLD
        os.utime(place, (then, then))
    was_there = path.exists()
    case.look(path)
    if left:
        return "in writing"
    return "after a file" if was_there else "before the first file"


def run_case(name: str, count: int, rng: np.random.Generator) -> Counter[str]:
    """Return in the midst of what processes were killed, and what was lost."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        place = folder / "files"
        case = CASES[name]()
        case.prepare(folder)
        path = place / f"killed.{case.ending}"
        while found.total() < count:
            place.mkdir()
            began = time.perf_counter()
            try:
                expect(done(forked(case.act, path)) == 0, "the call itself failed")
                case.check_end(path)
                seconds = time.perf_counter() - began
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                while what := kill(case, path, rng.uniform(0, SHARE * seconds)):
                    found[what] += 1
                    if found.total() >= count:
                        break
                expect(done(forked(case.act, path)) == 0, "going on failed")
                case.check_end(path)
                names = sorted(p.name for p in place.iterdir())
                expect(names == [path.name], f"files are left: {names}")
            except (LostError, vb.StorageError) as error:
                found[f"lost: {error}"] += 1
            shutil.rmtree(place)
    return found


def main() -> int:
    checkpoint.LARGEST_SHARE = np.inf  # as often as is asked for: a short fit would have hardly any
    loop.CHUNK_SECONDS = 0.02
    return run_cases(
        __doc__, CASES, "kills", 200, "while", run_case, lambda what: what.startswith("lost")
    )


if __name__ == "__main__":
    sys.exit(main())
