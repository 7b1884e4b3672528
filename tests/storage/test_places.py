import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import vibayes as vb
from vibayes.storage import places


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.Normal("x", shape=50)
    return model


def numbered(model, number):
    approx = vb.MeanField(model=model)
    approx.params[0].set_value(np.full(50, float(number)))
    return approx


def saved_number(path, model):
    values = vb.load(path, model=model).params[0].get_value()
    assert (values == values[0]).all()
    return values[0]


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_threads_that_save_to_one_path(model, ending, tmp_path):
    path, errors = tmp_path / f"a.{ending}", []

    def save(number):
        try:
            for _ in range(5):
                numbered(model, number).save(path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert saved_number(path, model) in range(6)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    numbered(model, 77).save(path)
    assert saved_number(path, model) == 77


SAVE = """
import sys, numpy as np, vibayes as vb
with vb.Model() as model:
    vb.Normal("x", shape=50)
approx = vb.MeanField(model=model)
approx.params[0].set_value(np.full(50, float(sys.argv[2])))
approx.save(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(8):
    approx.save(sys.argv[1])
"""


@pytest.mark.ci
@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_processes_that_save_to_one_path(model, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command = [sys.executable, "-c", SAVE, str(path)]
    children = [subprocess.Popen([*command, str(i)], **pipes) for i in range(2)]
    for child in children:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    read = []
    while any(child.poll() is None for child in children):
        if ending == "nc":  # a folder may be missing for a moment
            read.append(saved_number(path, model))
    assert [child.communicate()[1] for child in children] == [""] * 2
    assert [child.returncode for child in children] == [0] * 2
    assert set(read) <= {0, 1}
    assert saved_number(path, model) in range(2)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def age(path, seconds):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("name", ["a.nc", "[a]*.nc", "a" * 240 + ".nc"])
def test_what_killed_processes_left_is_removed(model, name, tmp_path):
    path = tmp_path / name
    left = {seconds: places.unfinished(path, "part") for seconds in (0, 60, 6000)}
    other = tmp_path / ".aa.nc.1-2.part"
    for seconds, part in {**left, 7000: other}.items():
        part.touch()
        age(part, seconds)
    vb.MeanField(model=model).save(path)
    assert left[0].exists()  # another process may just have begun
    assert not left[6000].exists()
    assert other.exists()
    if places.fcntl is not None:
        assert not left[60].exists()


@pytest.mark.skipif(places.fcntl is None, reason="there are no locks of files")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_writes_is_left_alone(model, kind, tmp_path):
    path = tmp_path / "a.nc"
    part = places.unfinished(path, "part")
    part.touch() if kind == "file" else part.mkdir()
    age(part, 60)
    handle = os.open(part, os.O_RDONLY)
    with places.locked(handle):
        vb.MeanField(model=model).save(path)
        assert part.exists()
    os.close(handle)
    vb.MeanField(model=model).save(path)
    assert not part.exists()


KILLED = """
import os, signal, sys, vibayes as vb
from pathlib import Path
from vibayes.storage import places
replace = os.replace
def killed(a, b):
    if Path(a).suffix == ".part":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)
places.os.replace = killed
with vb.Model() as model:
    vb.Normal("x", shape=50)
vb.MeanField(model=model).save(sys.argv[1])
"""


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed")
@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_a_kill_at_the_worst_moment_loses_nothing(model, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    numbered(model, 5).save(path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode < 0
    assert len(list(tmp_path.iterdir())) > 1 or ending == "zarr"
    for left in tmp_path.iterdir():
        if left != path:
            age(left, 60)
    assert saved_number(path, model) == 5  # a folder that was moved away is put back
    numbered(model, 6).save(path)
    assert saved_number(path, model) == 6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_long_name(model, tmp_path):
    path = tmp_path / ("a" * 250 + ".nc")
    numbered(model, 3).save(path)
    assert saved_number(path, model) == 3


def test_the_error_names_the_file(model, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(places, "flush", full)
    with pytest.raises(OSError, match=r"No space left on device: the file cannot.*a\.nc") as caught:
        vb.MeanField(model=model).save(tmp_path / "a.nc")
    assert caught.value.errno == 28
    assert Path(caught.value.filename).name == "a.nc"
    assert not list(tmp_path.iterdir())
