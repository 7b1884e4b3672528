"""Forged and damaged files against ``vb.load``, in child processes of little memory.

Run as ``python benchmarks/forgeries.py --count 5000``: prints how many were loaded, refused, and
ended otherwise; the exit status says whether any did.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import shutil
import signal
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import vibayes as vb

MEMORY = 2**30  # bytes beyond what the process has at the beginning
SECONDS = 20


def make_model() -> vb.Model:
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=3)
        vb.HalfNormal("sigma", 5.0)
        vb.Normal("y", mu, 1.0, observed=np.zeros((4, 3)))
    return model


def originals(folder: Path, model: vb.Model) -> list[Path]:
    """Return true files, of which the forgeries are made."""
    made = {
        "mean": vb.MeanField(model=model),
        "full": vb.FullRank(model=model),
        "low": vb.LowRank(2, model=model),
        "flow": vb.NormalizingFlow("scale-planar*2-loc", model=model),
        "mixture": vb.GaussianMixture(components=2, model=model),
        "particles": vb.Empirical(size=5, model=model),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made["fit"] = vb.fit(model=model, random_seed=1, progressbar=False)
    for name, approx in made.items():
        approx.save(folder / f"{name}.nc")
    return [folder / f"{name}.nc" for name in made]


# -- forgeries ------------------------------------------------------------------------------------


def flip(path: Path, rng: np.random.Generator) -> None:
    """Change a few bytes."""
    content = bytearray(path.read_bytes())
    for at in rng.integers(len(content), size=rng.integers(1, 8)):
        content[at] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def overwrite(path: Path, rng: np.random.Generator) -> None:
    """Write extreme numbers over a place."""
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content) - 8))
    new = [b"\xff" * 8, bytes(8), b"\x00" * 4 + b"\xff" * 4, rng.bytes(8)][rng.integers(4)]
    content[at : at + 8] = new
    path.write_bytes(content)


def truncate(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def splice(path: Path, rng: np.random.Generator) -> None:
    """Cut a piece out, or put it somewhere else."""
    content = path.read_bytes()
    a, b, c = sorted(rng.integers(len(content), size=3).tolist())
    path.write_bytes(content[:a] + content[b:c] + (content[a:b] if rng.random() < 0.5 else b""))


def dataset(path: Path, rng: np.random.Generator) -> None:
    """Put something else in the place of a dataset, or beside it."""
    with h5py.File(path, "a") as file:
        names = [name for name in file if "_dim_" not in name]
        name = str(rng.choice([*names, "extra"]))
        shape = file[name].shape if name in file else (3,)
        if name in file:
            del file[name]
        kind = rng.integers(10)
        if kind == 0:
            file.create_dataset(name, shape=(2**40,), dtype="f8", chunks=(2**20,))
        elif kind == 1:
            file.create_dataset(name, shape=(2**33,), dtype="f8")  # never written
        elif kind == 2:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind == 3:
            file[name] = h5py.SoftLink("/header")
        elif kind == 4:
            external = [("/etc/passwd", 0, 8 * max(1, int(np.prod(shape))))]
            file.create_dataset(name, shape=shape, dtype="f8", external=external)
        elif kind == 5 and shape:
            layout = h5py.VirtualLayout(shape, "f8")
            layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape)
            file.create_virtual_dataset(name, layout)
        elif kind == 6 and shape:
            file.create_dataset(name, shape, "f8", compression="gzip", data=np.zeros(shape))
        elif kind == 7:
            file[name] = np.array(["a"] * 3, dtype=h5py.string_dtype())
        elif kind == 8:
            file.create_group(name)
        else:
            file[name] = np.zeros(shape, [("a", "f8"), ("b", "i4")])


WRONG = [
    None,
    True,
    -1,
    0,
    2**28,
    2**70,
    1e308,
    float("nan"),
    "x",
    "",
    [],
    [[]],
    {},
    [1] * 2000,
    {"flows": [{"flow": "planar", "settings": {}}] * 100_000},
    {"flows": [{"flow": "spline", "settings": {"hidden": 2**28}}]},
    ["mu", "mu"],
]


def places_in(value: object, at: tuple = ()) -> list[tuple]:
    """Return the places of all entries of nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*at, key))
        if isinstance(inner, dict | list):
            found += places_in(inner, (*at, key))
    return found


def header(path: Path, rng: np.random.Generator) -> None:
    """Change an entry of the header, and its checksum with it."""
    with h5py.File(path, "a") as file:
        record = json.loads(file["header"][()].tobytes())
        for _ in range(rng.integers(1, 3)):
            places = places_in(record)
            if not places:
                break
            *outer, last = places[rng.integers(len(places))]
            inner = record
            for key in outer:
                inner = inner[key]
            if rng.random() < 0.15:
                del inner[last]
            else:
                inner[last] = copy.deepcopy(WRONG[rng.integers(len(WRONG))])
        text = json.dumps(record).encode()
        if rng.random() < 0.03:
            text = b"[" * 100_000
        del file["header"]
        file["header"] = np.frombuffer(text, "u1")
        file.attrs["header_crc32"] = np.array([zlib.crc32(text)])


def parameters(path: Path, rng: np.random.Generator) -> None:
    """Write numbers that are none into a parameter, its checksum with them."""
    with h5py.File(path, "a") as file:
        record = json.loads(file["header"][()].tobytes())
        names = [name for name in record["arrays"] if name in file]
        name = str(rng.choice(names))
        values = file[name][()].astype(rng.choice(["f8", "f4", "i8", "u1"]))
        if values.dtype.kind == "f":
            values.ravel()[:1] = rng.choice([np.nan, np.inf, 1e30])
        del file[name]
        file[name] = values
        crc = zlib.crc32(np.ascontiguousarray(values).reshape(-1).view("u1"))
        entry = {"dtype": str(values.dtype), "shape": list(values.shape), "crc32": crc}
        record["arrays"][name] = entry
        text = json.dumps(record).encode()
        del file["header"]
        file["header"] = np.frombuffer(text, "u1")
        file.attrs["header_crc32"] = np.array([zlib.crc32(text)])


def attribute(path: Path, rng: np.random.Generator) -> None:
    """Give an attribute another type or value."""
    with h5py.File(path, "a") as file:
        name = str(rng.choice(["vibayes_format", "header_crc32"]))
        values = [np.zeros(10**4), "text", 2**62, -1, np.zeros(0), [1, 2], 1.5]
        file.attrs[name] = values[rng.integers(len(values))]


FORGERIES: list[Callable[[Path, np.random.Generator], None]] = [
    flip,
    overwrite,
    truncate,
    splice,
    dataset,
    header,
    header,
    parameters,
    attribute,
]


# -- loading --------------------------------------------------------------------------------------


def outcome(path: Path, model: vb.Model) -> str:
    """Load a file and use what comes out; return what happened."""
    try:
        approx = vb.load(path, model=model)
    except vb.StorageError as error:
        return "refused" if str(path) in str(error) else f"says little: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    assert all(np.isfinite(p.get_value()).all() for p in approx.params)
    repr(approx), repr(approx.ending), repr(approx.diagnosis), approx.spawn_generator()
    return "loaded"


def run(count: int, seed: int, batch: int = 50) -> tuple[Counter[str], list[str]]:
    """Load forged files; return how many ended how, and what went wrong."""
    model, found, wrong = make_model(), Counter(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        true = originals(folder, model)
        for path in true:
            assert outcome(path, model) == "loaded"
        for first in range(seed, seed + count, batch):
            numbers = range(first, min(first + batch, seed + count))
            report = folder / "report.txt"
            report.write_text("")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # threads that wait do no harm
                child = os.fork()
            if child == 0:
                status = 1
                try:
                    limit_memory()
                    with report.open("a") as file:
                        for number in numbers:
                            signal.alarm(SECONDS)
                            print(
                                number, forged(number, true, folder, model), file=file, flush=True
                            )
                    status = 0
                finally:
                    os._exit(status)
            _, status = os.waitpid(child, 0)
            lines = report.read_text().splitlines()
            for line in lines:
                what = line.split(" ", 2)
                found[what[2] if what[2] in ("refused", "loaded") else "other"] += 1
                wrong += [line] if what[2] not in ("refused", "loaded") else []
            if status:
                found["crashed"] += 1
                wrong.append(f"after {lines[-1:]} of {numbers}: status {status}")
    return found, wrong


def limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY,) * 2)


def forged(number: int, true: list[Path], folder: Path, model: vb.Model) -> str:
    """Make a forgery and load it."""
    rng = np.random.default_rng(number)
    path = folder / "forged.nc"
    shutil.copy(true[rng.integers(len(true))], path)
    forge = FORGERIES[rng.integers(len(FORGERIES))]
    forge(path, rng)
    return f"{forge.__name__} {outcome(path, model)}".replace("\n", " ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found, wrong = run(arguments.count, arguments.seed)
    print(dict(found))
    print("\n".join(wrong[:40]))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
