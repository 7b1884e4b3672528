"""Hostile and damaged files: each is refused before it can do harm, and the error says why."""

import importlib.util
import json
import os
import resource
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import vibayes as vb
from vibayes.storage import files

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "forgeries.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory of processes is limited")


def program():
    spec = importlib.util.spec_from_file_location("forgeries", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.ci
@pytest.mark.parametrize("count", [45, pytest.param(5000, marks=pytest.mark.slow)])
def test_forged_files(count):
    found, wrong = program().run(count, seed=0)
    assert wrong == []
    for kind in ("nc", "zarr", "checkpoint"):
        assert found[kind, "refused"] > 0.5 * count / 3


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.Normal("x", shape=3)
    return model


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "a.nc"
    vb.MeanField(model=model).save(path)
    return path


def assert_refused(path, model, message, **kwargs):
    with pytest.raises(vb.StorageError, match=message) as caught:
        vb.load(path, model=model, **kwargs)
    assert str(path) in str(caught.value)


def with_header(path, change):
    """Change the header, as an attacker could."""
    with h5py.File(path, "a") as file:
        record = json.loads(file["header"][()].tobytes())
        change(record)
        text = json.dumps(record).encode()
        del file["header"]
        file["header"] = np.frombuffer(text, "u1")
        file.attrs["header_crc32"] = np.array([zlib.crc32(text)])


@pytest.mark.parametrize("kind", ["chunks", "never written", "compressed"])
def test_a_small_file_that_declares_much(path, model, kind):
    with h5py.File(path, "a") as file:
        del file["parameter_0_mu"]
        if kind == "chunks":
            file.create_dataset("parameter_0_mu", (2**40,), "f8", chunks=(2**20,))
        elif kind == "never written":
            file.create_dataset("parameter_0_mu", (2**34,), "f8")
        else:
            file.create_dataset("parameter_0_mu", data=np.zeros(2**22), compression="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(path, model, "'parameter_0_mu' (lies in chunks|is longer than the file)")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_datasets_that_nobody_asks_for_are_not_read(path, model):
    with h5py.File(path, "a") as file:
        file.create_dataset("extra", (2**40,), "f8", chunks=(2**20,))
    vb.load(path, model=model)


@pytest.mark.parametrize("kind", ["external", "soft", "elsewhere", "virtual"])
def test_links_are_not_followed(path, model, kind, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # whoever opens it waits for ever
    with h5py.File(path, "a") as file:
        del file["parameter_0_mu"]
        if kind == "external":
            file["parameter_0_mu"] = h5py.ExternalLink(str(fifo), "/x")
        elif kind == "soft":
            file["parameter_0_mu"] = h5py.SoftLink("/parameter_0_rho")
        elif kind == "elsewhere":
            file.create_dataset("parameter_0_mu", (3,), "f8", external=[(str(fifo), 0, 24)])
        else:
            layout = h5py.VirtualLayout((3,), "f8")
            layout[...] = h5py.VirtualSource(str(fifo), "x", (3,))
            file.create_virtual_dataset("parameter_0_mu", layout)
    assert_refused(path, model, "is a link|in another file")


def test_what_is_no_file_is_not_opened(model, tmp_path):
    os.mkfifo(tmp_path / "fifo.nc")
    assert_refused(tmp_path / "fifo.nc", model, "neither a file nor a folder")
    assert_refused(Path("/dev/zero"), model, "neither a file nor a folder")


def test_a_long_file_is_refused_unless_it_is_trusted(path, model):
    assert_refused(path, model, "more than max_bytes=1,000", max_bytes=1000)
    with path.open("ab") as file:
        file.truncate(2**31)  # of zeros that take no place
    assert_refused(path, model, "more than max_bytes=1,073,741,824")
    vb.load(path, model=model, max_bytes=None)


def test_numbers_in_a_header_that_would_take_all_memory(path, model):
    flow = {"flow": "planar", "settings": {}}
    hidden = {"flow": "spline", "settings": {"hidden": 2**28, "bins": 4}}
    names = ["x"]
    for change, message in {
        "pool": (lambda r: r["approximation"]["seeds"].update(pool_size=2**28), "a seed in the"),
        "flows": (
            lambda r: r["approximation"].update(
                groups=[
                    {
                        "family": "flow",
                        "variables": names,
                        "options": {"flow": {"flows": [flow] * 100_000}},
                    }
                ]
            ),
            "a group of 100,000 flows has 2 parameters",
        ),
        "hidden": (
            lambda r: r["approximation"].update(
                groups=[
                    {"family": "flow", "variables": names, "options": {"flow": {"flows": [hidden]}}}
                ]
            ),
            "options .*268435456.* beyond its 6 parameters",
        ),
        "shape": (
            lambda r: r["arrays"]["parameter_0_mu"].update(shape=[2**40]),
            "more than max_bytes",
        ),
        "ending": (lambda r: r["approximation"]["ending"].update(reason=[1]), "reason of Ending"),
        "variables": (
            lambda r: r["approximation"]["groups"][0].update(variables=["x", "x"]),
            "which are not those of the model",
        ),
    }.values():
        vb.MeanField(model=model).save(path)
        with_header(path, change)
        assert_refused(path, model, message)


def test_a_header_of_deep_lists(path, model):
    text = b"[" * 1_000_000
    with h5py.File(path, "a") as file:
        del file["header"]
        file["header"] = np.frombuffer(text, "u1")
        file.attrs["header_crc32"] = np.array([zlib.crc32(text)])
    assert_refused(path, model, "RecursionError|damaged")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_no_numbers(path, model, value):
    header, arrays = files.read_file(path)
    arrays["parameter_0_mu"] = np.array([0.0, value, 0.0])
    files.write_file(path, header, arrays)
    assert_refused(path, model, "parameter 'mu' of MeanFieldGroup has values that are no finite")


@pytest.fixture
def folder(model, tmp_path):
    pytest.importorskip("zarr")
    folder = tmp_path / "a.zarr"
    vb.MeanField(model=model).save(folder)
    return folder


def test_zarr_folders_with_links_or_devices(folder, model, tmp_path):
    chunk = folder / "parameter_0_mu" / "c" / "0"
    chunk.unlink()
    chunk.symlink_to("/etc/passwd")
    assert_refused(folder, model, "neither a file nor a folder")
    chunk.unlink()
    os.mkfifo(chunk)
    assert_refused(folder, model, "neither a file nor a folder")


@pytest.mark.parametrize("change", ["shape", "chunk", "codec", "frame", "long", "json"])
def test_zarr_folders_that_declare_much(folder, model, change):
    file = folder / "parameter_0_mu" / "zarr.json"
    node = json.loads(file.read_text())
    if change == "shape":
        node["shape"] = [2**40]
    elif change == "chunk":
        node["chunk_grid"]["configuration"]["chunk_shape"] = [2**40]
    elif change == "codec":
        node["codecs"] = [{"name": "sharding_indexed", "configuration": {}}]
    elif change == "frame":
        chunk = folder / "parameter_0_mu" / "c" / "0"
        chunk.write_bytes(b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + bytes(20))
    elif change == "long":
        node["attributes"]["x"] = "a" * 2**21
    file.write_text("[" * 10_000 if change == "json" else json.dumps(node))
    assert_refused(folder, model, "damaged|as vibayes writes it|too long")
