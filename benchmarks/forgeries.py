"""Forged and damaged files against ``vb.load`` and ``checkpoint=``, in processes of little memory.

Run as ``python benchmarks/forgeries.py --count 5000``: prints how many were loaded, refused, and
ended otherwise; the exit status says whether any did.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import h5py
import numpy as np
import zarr

import vibayes as vb
from vibayes.storage.netcdf import netcdf_bytes
from vibayes.storage.zarr_folders import write_zarr

MEMORY = 2**30  # bytes beyond what the process has at the beginning
SECONDS = 120  # of a machine that may be busy
GOOD = ("refused", "loaded", "broke down")  # the last: told of numbers from which no fit goes on
DATA = np.random.default_rng(1).normal(1.0, 2.0, size=(90, 3))


class Original(NamedTuple):
    """A true file, of which forgeries are made.

    Attributes
    ----------
    path : Path
        A file or folder.
    use : callable
        Given the path of a forgery, returns the approximation that it holds, or to which it leads.
    numbers : list of numpy.ndarray
        The parameters of what the true file leads to.
    """

    path: Path
    use: Callable[[Path], Any]
    numbers: list[np.ndarray]

    @property
    def kind(self) -> str:
        return self.path.parent.name


def numbers_of(approx: Any) -> list[np.ndarray]:
    return [p.get_value() for p in approx.params]


def make_model(observed: Any = DATA[:4], **kwargs: Any) -> vb.Model:
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=3)
        vb.HalfNormal("sigma", 5.0)
        vb.Normal("y", mu, 1.0, observed=observed, **kwargs)
    return model


# -- true files -----------------------------------------------------------------------------------


def originals(folder: Path) -> list[Original]:
    """Return true files: approximations in both formats, and checkpoints."""
    return [*saved(folder, "nc"), *saved(folder, "zarr"), *checkpoints(folder)]


def saved(folder: Path, ending: str) -> list[Original]:
    """Return files of approximations."""
    model = make_model()
    made = {
        "mean": vb.MeanField(model=model),
        "full": vb.FullRank(model=model),
        "low": vb.LowRank(2, model=model),
        "flow": vb.NormalizingFlow("scale-planar*2-loc", model=model),
        "mixture": vb.GaussianMixture(components=2, model=model),
        "particles": vb.Empirical(size=5, model=model),
        "fit": vb.fit(model=model, random_seed=1, progressbar=False),
    }
    place = folder / ending
    place.mkdir()
    for name, approx in made.items():
        approx.save(place / f"{name}.{ending}")

    def load(path: Path) -> Any:
        return vb.load(path, model=model)

    return [Original(place / f"{n}.{ending}", load, numbers_of(a)) for n, a in made.items()]


def checkpoints(folder: Path) -> list[Original]:
    """Return files of fits that are not done, and of one that is."""
    place, rows = folder / "checkpoint", folder / "rows.npy"
    place.mkdir()
    np.save(rows, DATA)
    stream = vb.Minibatch(np.load(rows, mmap_mode="r"), batch_size=10, buffer_bytes=24 * 80)
    epochs = vb.Minibatch(DATA, batch_size=20, replace=False)
    size = DATA.shape

    def callbacks() -> list[vb.callbacks.Callback]:
        tracker = vb.callbacks.Tracker(i=lambda approx, losses, i: i, every=3)
        return [vb.callbacks.CheckParametersConvergence(every=7, tolerance=1e-9), tracker]

    schedule = dict(method="nfvi=planar", max_steps=600, obj_n_mc=2, checkpoint_every=200)
    calls: dict[str, tuple[vb.Model, dict[str, Any]]] = {
        "callbacks": (make_model(), dict(n=60, callbacks=callbacks)),
        "stream": (make_model(stream, total_size=size), dict(n=60)),
        "epochs": (make_model(epochs, total_size=size), dict(n=60, obj_optimizer=vb.adam())),
        "schedule": (make_model(), dict(n=None) | schedule),
        "search": (make_model(), dict(n=None, method="laplace", backend=None)),
    }
    made = []
    for name, (model, options) in calls.items():
        path = place / f"{name}.nc"

        def fit(path: Path, model=model, options=options, **changed: Any) -> Any:
            options = options | changed
            options["callbacks"] = [*options.pop("callbacks", list)(), *options.pop("more", [])]
            if not options["callbacks"]:
                del options["callbacks"]
            common = dict(method="advi", random_seed=1, backend="py", progressbar=False)
            return vb.fit(model=model, checkpoint=path, diagnose=False, **common | options)

        if name == "schedule":
            with suppress(ZeroDivisionError):
                fit(path, more=[fail_at_450])
        else:
            fit(path, **({} if options["n"] is None else {"n": 45}))
        copied = place / "whole.nc"
        shutil.copy(path, copied)
        made.append(Original(path, fit, numbers_of(fit(copied))))
        copied.unlink()
    return made


def fail_at_450(approx: Any, losses: np.ndarray, i: int) -> None:
    """Fail when a checkpoint was written."""
    if i == 450:
        raise ZeroDivisionError


# -- damages --------------------------------------------------------------------------------------


def some_file(path: Path, rng: np.random.Generator) -> Path:
    """Return the file, or one of a folder."""
    if path.is_file():
        return path
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return files[rng.integers(len(files))]


def flip(path: Path, rng: np.random.Generator) -> None:
    """Change a few bytes."""
    path = some_file(path, rng)
    content = bytearray(path.read_bytes())
    for at in rng.integers(len(content), size=rng.integers(1, 8)):
        content[at] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def overwrite(path: Path, rng: np.random.Generator) -> None:
    """Write extreme numbers over a place."""
    path = some_file(path, rng)
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content) - 8))
    new = [b"\xff" * 8, bytes(8), b"\x00" * 4 + b"\xff" * 4, rng.bytes(8)][rng.integers(4)]
    content[at : at + 8] = new
    path.write_bytes(content)


def truncate(path: Path, rng: np.random.Generator) -> None:
    path = some_file(path, rng)
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def splice(path: Path, rng: np.random.Generator) -> None:
    """Cut a piece out, or put it somewhere else."""
    path = some_file(path, rng)
    content = path.read_bytes()
    a, b, c = sorted(rng.integers(len(content), size=3).tolist())
    path.write_bytes(content[:a] + content[b:c] + (content[a:b] if rng.random() < 0.5 else b""))


# -- forgeries ------------------------------------------------------------------------------------


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


def changed(value: object, rng: np.random.Generator) -> object:
    """Return something else in the place of a value: wrong altogether, or nearly right."""
    if rng.random() < 0.6:
        # a copy none of whose parts are shared: a later change is one change
        return json.loads(json.dumps(WRONG[rng.integers(len(WRONG))]))
    if isinstance(value, int) and not isinstance(value, bool):
        return value + int(rng.choice([-1, 1, 1000, -1000]))
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return value[:-1] if rng.random() < 0.5 else value + value
    return not value


def change(record: Any, rng: np.random.Generator) -> None:
    """Change an entry of nested dicts and lists, or remove it."""
    if not (places := places_in(record)):
        return
    *outer, last = places[rng.integers(len(places))]
    inner = record
    for key in outer:
        inner = inner[key]
    if rng.random() < 0.15:
        del inner[last]
    else:
        inner[last] = changed(inner[last], rng)


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """Return the arrays of a true file, its header, and its attributes."""
    if path.is_dir():
        group = zarr.open_group(path, mode="r")
        arrays, attrs = {n: np.asarray(a[...]) for n, a in group.arrays()}, dict(group.attrs)
    else:
        with h5py.File(path) as file:
            arrays = {n: a[()] for n, a in file.items() if "_dim_" not in n}
            attrs = {n: file.attrs[n] for n in ("title", "vibayes_format", "header_crc32")}
            attrs |= {n: int(np.ravel(v)[0]) for n, v in attrs.items() if n != "title"}
    return arrays, json.loads(arrays["header"].tobytes()), attrs


def rewrite(path: Path, arrays: dict[str, np.ndarray], text: bytes, attrs: dict[str, Any]) -> None:
    """Write a file whose header has the right checksum."""
    arrays = arrays | {"header": np.frombuffer(text, "u1")}
    attrs = attrs | {"header_crc32": zlib.crc32(text)}
    if path.is_dir():
        shutil.rmtree(path)
        write_zarr(path, arrays, attrs)
    else:
        path.write_bytes(netcdf_bytes(arrays, attrs))


def header(path: Path, rng: np.random.Generator) -> None:
    """Change an entry of the header, and its checksum with it."""
    arrays, record, attrs = contents(path)
    for _ in range(rng.integers(1, 3)):
        # where a fit stands is a small part of a long header
        change(record["fit"] if "fit" in record and rng.random() < 0.5 else record, rng)
    text = json.dumps(record).encode()
    rewrite(path, arrays, b"[" * 100_000 if rng.random() < 0.03 else text, attrs)


def parameters(path: Path, rng: np.random.Generator) -> None:
    """Write other numbers into an array, or numbers that are none, and their checksum."""
    arrays, record, attrs = contents(path)
    name = str(rng.choice([name for name in record["arrays"] if name in arrays]))
    values = arrays[name]
    if rng.random() < 0.5:
        values = values.astype(rng.choice(["f8", "f4", "i8", "u1"]))
    if rng.random() < 0.3:
        values = np.resize(values, (values.size + 1, *values.shape[1:]))
    if values.dtype.kind == "f":
        values.ravel()[:1] = rng.choice([np.nan, np.inf, 1e30])
    elif rng.random() < 0.7:
        limits = np.iinfo(values.dtype)
        values.ravel()[:1] = rng.choice([limits.min, limits.max, limits.max // 2])
    crc = zlib.crc32(np.ascontiguousarray(values).reshape(-1).view("u1"))
    entry = {"dtype": str(values.dtype), "shape": list(values.shape), "crc32": crc}
    record["arrays"][name] = entry
    rewrite(path, arrays | {name: values}, json.dumps(record).encode(), attrs)


def attribute(path: Path, rng: np.random.Generator) -> None:
    """Give an attribute another type or value."""
    with h5py.File(path, "a") as file:
        name = str(rng.choice(["vibayes_format", "header_crc32"]))
        values = [np.zeros(10**4), "text", 2**62, -1, np.zeros(0), [1, 2], 1.5]
        file.attrs[name] = values[rng.integers(len(values))]


def node(folder: Path, rng: np.random.Generator) -> None:
    """Change an entry of what a zarr folder says of itself or of an array."""
    files = sorted(folder.rglob("zarr.json"))
    file = files[rng.integers(len(files))]
    record = json.loads(file.read_text())
    for _ in range(rng.integers(1, 3)):
        change(record, rng)
    file.write_text(json.dumps(record))


def entry(folder: Path, rng: np.random.Generator) -> None:
    """Put something else in the place of a file of a folder, or beside it."""
    file = some_file(folder, rng)
    kind = rng.integers(8)
    if kind < 6:
        file.unlink()
    if kind == 0:
        file.symlink_to("/etc/passwd")
    elif kind == 1:
        file.symlink_to("/dev/zero")
    elif kind == 2:
        os.mkfifo(file)
    elif kind == 3:
        file.mkdir()
    elif kind == 4:
        file.touch()
        os.truncate(file, 2**36)  # of zeros that take no place
    elif kind == 6:
        (file.parent / ".zarray").write_text("{}")
    elif kind == 7:
        (folder / "extra").symlink_to(folder)


Forgery = Callable[[Path, np.random.Generator], None]
DAMAGES: list[Forgery] = [flip, overwrite, truncate, splice]
FORGERIES: dict[str, list[Forgery]] = {
    "nc": [*DAMAGES, dataset, header, header, parameters, attribute],
    "zarr": [*DAMAGES, node, node, header, parameters, entry],
    "checkpoint": [*DAMAGES, dataset, header, header, header, parameters, parameters, attribute],
}


# -- loading --------------------------------------------------------------------------------------


def outcome(path: Path, original: Original, is_damage: bool = False) -> str:
    """Use a file; return what happened."""
    try:
        approx = original.use(path)
    except vb.StorageError as error:
        return "refused" if str(path) in str(error) else f"says little: {error}"
    except FloatingPointError as error:
        return "broke down" if "The fit broke down" in str(error) else repr(error)
    except vb.StreamError:
        return "broke down"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    found = numbers_of(approx)
    if not all(np.isfinite(p).all() for p in found):
        return "has parameters that are not finite"
    if is_damage and not all(map(np.array_equal, found, original.numbers)):
        return "has other numbers"
    repr(approx), repr(approx.ending), repr(approx.diagnosis), approx.spawn_generator()
    return "loaded"


def forged(number: int, true: list[Original], folder: Path) -> str:
    """Make a forgery and use it."""
    rng = np.random.default_rng(number)
    kinds = sorted(FORGERIES)
    kind = kinds[rng.integers(len(kinds))]
    of_kind = [o for o in true if o.kind == kind]
    original = of_kind[rng.integers(len(of_kind))]
    path = folder / f"forged{original.path.suffix}"
    if original.path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(original.path, path)
    else:
        shutil.copy(original.path, path)
    forge = FORGERIES[kind][rng.integers(len(FORGERIES[kind]))]
    forge(path, rng)
    what = outcome(path, original, forge in DAMAGES).replace("\n", " ")
    return f"{kind} {original.path.stem} {forge.__name__} {what}"


def run(count: int, seed: int, batch: int = 50) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Use forged files; return how many of each kind ended how, and what went wrong."""
    found: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        true = originals(folder)
        for original in true:
            copied = folder / f"forged{original.path.suffix}"
            (shutil.copytree if original.path.is_dir() else shutil.copy)(original.path, copied)
            assert outcome(copied, original, is_damage=True) == "loaded", original.path
            shutil.rmtree(copied) if copied.is_dir() else copied.unlink()
        for first in range(seed, seed + count, batch):
            numbers = range(first, min(first + batch, seed + count))
            lines, status = in_child(numbers, true, folder)
            for line in lines:
                _, kind, _, _, what = line.split(" ", 4)
                found[kind, what if what in GOOD else "other"] += 1
                wrong += [line] if what not in GOOD else []
            if status:
                found["", "crashed"] += 1
                wrong.append(f"after {lines[-1:]} of {numbers}: status {status}")
    return found, wrong


def in_child(numbers: range, true: list[Original], folder: Path) -> tuple[list[str], int]:
    """Use some forgeries in a process of little memory; return a line of each, and its status."""
    report = folder / "report.txt"
    report.write_text("")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            limit_memory()
            with report.open("a") as file:
                for number in numbers:
                    signal.alarm(SECONDS)
                    print(number, forged(number, true, folder), file=file, flush=True)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return report.read_text().splitlines(), status


def limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY,) * 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("vibayes").setLevel(logging.CRITICAL)
    found, wrong = run(arguments.count, arguments.seed)
    for (kind, what), count in sorted(found.items()):
        print(f"{kind:<12} {what:<12} {count:>6,}")
    print("\n".join(wrong[:40]))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
