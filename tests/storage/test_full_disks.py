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

SCRIPT = Path(__file__).parents[1] / "helpers" / "full_disks.py"
posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are set")


def run_script(folder, sizes, *options):
    command = [sys.executable, str(SCRIPT), str(folder), ",".join(map(str, sizes)), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the end\n")
    print(done.stdout)
    return done.stdout


@posix
def test_a_file_that_may_not_grow(tmp_path):
    told = run_script(tmp_path, [0, 5_000, 30_000, 10**6])
    assert "saved False, fit warned True" in told
    assert "saved True, fit warned False" in told


@posix
@pytest.mark.slow
def test_a_file_that_may_not_grow_beyond_any_of_two_hundred_sizes(tmp_path):
    rng = np.random.default_rng(1)
    run_script(tmp_path, [*range(0, 4096, 64), *rng.integers(4096, 120_000, 136).tolist()])


@posix
@pytest.mark.slow
def test_a_full_file_system(tmp_path):
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("no file system may be mounted")
    try:
        told = run_script(tmp_path, range(0, 160_000, 4096), "--tmpfs")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert "fit warned True" in told


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
