"""Full disks, vanished folders and readable files: the process lives, and nothing is lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vibayes as vb
from vibayes.storage import checkpoint

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "full_disks.py"
posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are set")


def run_script(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout


@pytest.mark.ci
@posix
def test_files_that_may_not_grow():
    told = run_script("--limit", "--sizes", "0,20000,1000000")
    assert "0 bytes, limited: nc not, zarr not, steps not, search not, stream not" in told
    assert "1,000,000 bytes, limited: nc kept, zarr kept, steps kept, search kept" in told


@posix
@pytest.mark.slow
def test_files_that_may_not_grow_beyond_any_of_two_hundred_sizes():
    rng = np.random.default_rng(1)
    sizes = [*range(0, 4096, 64), *rng.integers(4096, 120_000, 136).tolist()]
    run_script("--limit", "--sizes", ",".join(map(str, sizes)))


@posix
@pytest.mark.slow
def test_forty_full_file_systems():
    told = run_script("--count", 40)
    if "filled" not in told:
        pytest.skip("no file system may be mounted")


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=np.arange(5.0))
    return model


def fit(model, **kwargs):
    options = dict(n=40, random_seed=1, backend="py", progressbar=False, diagnose=False)
    return vb.fit(model=model, **options | kwargs)


@pytest.mark.parametrize("n", [40, None], ids=["steps", "search"])
def test_a_folder_that_vanishes_while_a_fit_runs(model, tmp_path, n, monkeypatch):
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", np.inf)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    folder = tmp_path / "results"
    folder.mkdir()

    def vanish(approx, losses, i):
        shutil.rmtree(folder, ignore_errors=True)

    vanish.every = 1
    options = dict(n=n, callbacks=[vanish], checkpoint=folder / "fit.nc")
    every = {} if n is None else {"checkpoint_every": 1}
    with pytest.warns(vb.StorageWarning, match="cannot be written") as told:
        approx = fit(model, **options, **every)
    told = [t for t in told if t.category is vb.StorageWarning]
    assert len(told) == 1
    assert told[0].filename == __file__
    np.testing.assert_array_equal(approx.hist, fit(model, n=n).hist)


def test_a_fit_writes_again_when_there_is_room(model, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", np.inf)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    write, calls = checkpoint.write_file, []

    def full_at_first(*args):
        calls.append(args)
        if len(calls) < 4:
            raise OSError(28, "No space left on device")
        write(*args)

    monkeypatch.setattr(checkpoint, "write_file", full_at_first)
    path = tmp_path / "fit.nc"

    def look(approx, losses, i):
        pass

    with pytest.warns(vb.StorageWarning, match="No space left on device") as told:
        fit(model, checkpoint=path, checkpoint_every=1, callbacks=[look])
    told = [t for t in told if t.category is vb.StorageWarning]
    assert len(told) == 1
    assert path.exists()


def test_new_files_can_be_read_by_whom_the_user_lets(model, tmp_path):
    before = os.umask(0o027)
    try:
        vb.MeanField(model=model).save(tmp_path / "a.nc")
    finally:
        os.umask(before)
    if sys.platform != "win32":
        assert (tmp_path / "a.nc").stat().st_mode & 0o777 == 0o640
