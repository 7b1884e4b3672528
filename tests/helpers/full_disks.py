"""A process whose files may not grow: saving and checkpoints at every size of a full disk.

Run as ``python full_disks.py FOLDER SIZES``: prints one line a size, and must end by itself. With
``--tmpfs`` the folder is a small file system that is full but for as many bytes.
"""

import gc
import os
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

import vibayes as vb
from vibayes.inference import loop
from vibayes.storage import checkpoint

checkpoint.LARGEST_SHARE = np.inf
checkpoint.SECONDS_BETWEEN = 0.0
loop.CHUNK_SECONDS = 0.001
OPTIONS = dict(random_seed=1, backend="py", progressbar=False, diagnose=False)


def make_model(length):
    with vb.Model() as model:
        x = vb.Normal("x", shape=length)
        vb.Normal("y", x, 1, observed=np.zeros(length))
    return model


class Limit:
    """Lets no file of this process grow beyond a size."""

    def __init__(self, folder, size):
        self.size = size

    def __enter__(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))

    def __exit__(self, *error):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


class Filled:
    """Fills a file system, but for a size."""

    def __init__(self, folder, size):
        self.place, self.size = folder / "filler", size

    def __enter__(self):
        left = os.statvfs(self.place.parent)
        with self.place.open("wb") as file:
            file.write(b"x" * max(0, left.f_bavail * left.f_frsize - self.size))

    def __exit__(self, *error):
        self.place.unlink()


def values(path, model):
    return vb.load(path, model=model).params[0].get_value()


def full_save(folder, model, full, size):
    """Save with little room left; return whether it succeeded."""
    path = folder / "a.nc"
    vb.MeanField(model=model).save(path)
    before = values(path, model)
    other = vb.MeanField(model=model)
    other.params[0].set_value(before + 1)
    try:
        with full(folder, size):
            other.save(path)
    except OSError as error:
        if "cannot be written" not in str(error):
            raise
        assert np.array_equal(values(path, model), before)
        return False
    finally:
        gc.collect()
    assert np.array_equal(values(path, model), before + 1)
    return True


def full_fit(folder, model, whole, full, size):
    """Fit with little room left; return whether it was told."""
    path = folder / "fit.nc"
    path.unlink(missing_ok=True)
    with warnings.catch_warnings(record=True) as told, full(folder, size):
        warnings.simplefilter("always")
        approx = vb.fit(40, model=model, checkpoint=path, checkpoint_every=5, **OPTIONS)
    gc.collect()
    assert len(told) <= 1, [str(t.message) for t in told]
    assert all(issubclass(t.category, vb.StorageWarning) for t in told)
    assert np.array_equal(approx.hist, whole.hist)
    if path.exists():
        again = vb.fit(40, model=model, checkpoint=path, **OPTIONS)
        assert np.array_equal(again.hist, whole.hist)
    assert path.exists() or told
    return bool(told)


def main(folder, sizes, full):
    model = make_model(2000)
    whole = vb.fit(40, model=model, **OPTIONS)
    for size in sizes:
        saved = full_save(folder, model, full, size)
        told = full_fit(folder, model, whole, full, size)
        left = sorted(p.name for p in folder.iterdir() if p.name not in ("a.nc", "fit.nc"))
        assert not left, left
        print(f"{size:>8,} bytes: saved {saved}, fit warned {told}", flush=True)


if __name__ == "__main__":
    kind = Filled if "--tmpfs" in sys.argv else Limit
    chosen = [a for a in sys.argv[1:] if not a.startswith("--")]
    main(Path(chosen[0]), [int(a) for a in chosen[1].split(",")], kind)
    print("the end", flush=True)
