import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.families.mean_field import MeanFieldGroup
from vibayes.flows import SplineCouplingFlow
from vibayes.storage import files

DATA = np.random.default_rng(5).normal(1.0, 2.0, size=(20, 3))


def make_model(**changes):
    options = {"shape": 3, "sigma": vb.HalfNormal, "extra": False} | changes
    with vb.Model(coords={"k": ["a", "b", "c"]}) as model:
        mu = vb.Normal("mu", 0, 10, shape=options["shape"])
        sigma = options["sigma"]("sigma", 5.0)
        if options["extra"]:
            vb.Normal("tau")
        vb.Normal("y", mu, sigma, observed=DATA)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


def groups(model):
    return vb.Approximation(
        [vb.Group([model["sigma"]], "flow", model=model), vb.Group(vfam="fr", model=model)],
        model=model,
        random_seed=[1, 2],
    )


FAMILIES = {
    "mean field": lambda m: vb.MeanField(model=m, random_seed=1),
    "full rank": lambda m: vb.FullRank(model=m),
    "low rank": lambda m: vb.LowRank(2, model=m),
    "default low rank": lambda m: vb.LowRank(model=m),
    "formula": lambda m: vb.NormalizingFlow("scale-planar*2-loc", model=m),
    "flow": lambda m: vb.NormalizingFlow([SplineCouplingFlow(hidden=4, bins=3)], model=m),
    "particles": lambda m: vb.Empirical(size=7, model=m),
    "delta": lambda m: vb.AutoDelta(model=m),
    "mixture": lambda m: vb.GaussianMixture(components=3, model=m),
    "groups": groups,
}


def draws(approx, **kwargs):
    posterior = approx.sample(5, random_seed=3, **kwargs).posterior
    return np.concatenate([posterior[name].values.ravel() for name in ("mu", "sigma")])


def scrambled(approx):
    """Give all parameters values that no start has."""
    rng = np.random.default_rng(7)
    for p in approx.params:
        p.set_value((p.get_value() + 0.1 * rng.normal(size=p.get_value().shape)).astype(p.dtype))
    return approx


@pytest.mark.parametrize("ending", ["nc", "zarr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_back(model, family, ending, tmp_path):
    approx = scrambled(FAMILIES[family](model))
    approx.hist = np.array([3.0, np.nan, 1.0])
    for _ in range(2):  # what is there is replaced
        approx.save(tmp_path / f"a.{ending}")
    loaded = vb.load(tmp_path / f"a.{ending}", model=model)
    assert type(loaded) is type(approx)
    assert loaded.key == approx.key  # compiled functions of one serve the other
    np.testing.assert_array_equal(loaded.hist, approx.hist)
    for a, b in zip(approx.params, loaded.params, strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
        assert a.get_value() is not b.get_value()
    np.testing.assert_array_equal(draws(loaded), draws(approx))
    assert [f.name for f in tmp_path.iterdir()] == [f"a.{ending}"]


def test_every_built_in_family_is_tried_here():
    def concrete(cls):
        return {c for s in cls.__subclasses__() for c in {s, *concrete(s)}}

    known = {c for c in concrete(SingleGroupApproximation) if c.__module__.startswith("vibayes")}
    model = make_model()
    assert known <= {type(make(model)) for make in FAMILIES.values()}


def test_random_state_ending_findings_and_judgement(model, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vb.ApproximationWarning)
        approx = vb.fit(model=model, random_seed=1, progressbar=False)
    with model:  # the model of the block
        approx.save(tmp_path / "a.nc")
        loaded = vb.load(tmp_path / "a.nc")
    assert str(loaded.diagnosis) == str(approx.diagnosis)
    assert loaded.diagnosis == approx.diagnosis
    assert loaded.ending.reason == approx.ending.reason
    for name, value in vars(approx.ending.findings).items():
        np.testing.assert_array_equal(getattr(loaded.ending.findings, name), value)
    assert loaded.diagnose() == approx.diagnose()
    assert str(loaded.diagnose(random_seed=1)) == str(approx.diagnose(random_seed=1))
    a, b = (x.spawn_generator().standard_normal(3) for x in (approx, loaded))
    np.testing.assert_array_equal(a, b)
    a, b = (x.spawn_generator(for_nodes=True).standard_normal(3) for x in (approx, loaded))
    np.testing.assert_array_equal(a, b)


def test_a_fit_ends_the_judgement_of_the_one_before(model):
    approx = scrambled(vb.MeanField(model=model))
    approx.diagnose()
    assert approx.diagnosis is not None
    vb.KLqp(approx).fit(1, backend="py", progressbar=False)
    assert approx.diagnosis is None


def test_particles_of_a_trace(model, tmp_path):
    trace = {"mu": np.ones((4, 3)), "sigma": np.array([1.0, 2.0, 3.0, 4.0])}
    vb.Empirical(trace, model=model).save(tmp_path / "a.nc")
    loaded = vb.load(tmp_path / "a.nc", model=model)
    sigma = loaded.sample(50, random_seed=1)["sigma"]
    np.testing.assert_allclose(sigma, np.round(sigma), rtol=1e-14)
    assert set(np.round(sigma)) == {1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize(("old", "new"), [("float32", "float64"), ("float64", "float32")])
def test_other_precision(old, new, tmp_path):
    with pytensor.config.change_flags(floatX=old):
        approx = scrambled(vb.FullRank(model=make_model()))
        approx.save(tmp_path / "a.nc")
    with pytensor.config.change_flags(floatX=new):
        loaded = vb.load(tmp_path / "a.nc", model=make_model())
        assert {p.dtype for p in loaded.params} == {new}
        draws(loaded)
    for a, b in zip(approx.params, loaded.params, strict=True):
        np.testing.assert_allclose(a.get_value(), b.get_value(), rtol=1e-6)


def test_a_loaded_approximation_can_be_fitted_and_pickled(model, tmp_path):
    scrambled(vb.MeanField(model=model)).save(tmp_path / "a.nc")
    loaded = vb.load(tmp_path / "a.nc", model=model)
    vb.KLqp(loaded).fit(3, backend="py", progressbar=False)
    assert len(loaded.hist) == 3
    assert pickle.loads(pickle.dumps(loaded)).ddim == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": 2}, r"'mu' has shape \(3,\) in the file, \(2,\) in the model"),
        ({"shape": ()}, r"'mu' has shape \(3,\) in the file, \(\) in the model"),
        ({"sigma": lambda n, s: vb.Normal(n, 0, s)}, "'sigma' has transform 'log' in the file, no"),
        ({"extra": True}, "the file has no variable 'tau'"),
        ({"sigma": lambda n, s: vb.HalfNormal("s", s)}, "the model has no variable 'sigma'; the"),
    ],
)
def test_another_model(model, changes, message, tmp_path):
    vb.MeanField(model=model).save(tmp_path / "a.nc")
    other = two_dimensional() if changes == {"shape": 2} else make_model(**changes)
    with pytest.raises(vb.StorageError, match=message):
        vb.load(tmp_path / "a.nc", model=other)


def two_dimensional():
    with vb.Model() as model:
        vb.Normal("mu", 0, 10, shape=2)
        vb.HalfNormal("sigma", 5.0)
    return model


def test_another_order_of_variables(model, tmp_path):
    with vb.Model() as other:
        vb.HalfNormal("sigma", 5.0)
        vb.Normal("mu", 0, 10, shape=3)
    vb.MeanField(model=model).save(tmp_path / "a.nc")
    with pytest.raises(vb.StorageError, match="order of the variables is mu, sigma in the file"):
        vb.load(tmp_path / "a.nc", model=other)


# -- what is not a file of vibayes ----------------------------------------------------------------


def test_no_file_and_no_folder(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        vb.load(tmp_path / "a.nc", model=model)
    with pytest.raises(FileNotFoundError, match=r"the folder .*none.* does not exist"):
        vb.MeanField(model=model).save(tmp_path / "none" / "a.nc")
    with pytest.raises(ValueError, match=r"must end with \.nc"):
        vb.MeanField(model=model).save(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "content", [b"", b"mu,sigma\n1,2\n", b"\x89HDF\r\n\x1a\n", pickle.dumps({"mu": 1})]
)
def test_foreign_bytes(model, content, tmp_path):
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(vb.StorageError, match=r"not a file of vibayes|not a whole file"):
        vb.load(tmp_path / "a.nc", model=model)


def test_foreign_netcdf(model, tmp_path):
    import xarray

    xarray.Dataset({"mu": ("k", np.arange(3.0))}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(vb.StorageError, match="not a file of vibayes: it holds other data"):
        vb.load(tmp_path / "a.nc", model=model)


def test_foreign_zarr(model, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(vb.StorageError, match="not a zarr folder"):
        vb.load(tmp_path / "a.zarr", model=model)


def test_truncated_anywhere(model, tmp_path):
    scrambled(vb.FullRank(model=model)).save(tmp_path / "a.nc")
    whole = (tmp_path / "a.nc").read_bytes()
    for length in np.linspace(1, len(whole) - 1, 25).astype(int):
        (tmp_path / "b.nc").write_bytes(whole[:length])
        with pytest.raises(vb.StorageError):
            vb.load(tmp_path / "b.nc", model=model)


def test_damaged_anywhere(model, tmp_path):
    """A byte that has changed is told, or does not matter."""
    approx = scrambled(vb.FullRank(model=model))
    approx.save(tmp_path / "a.nc")
    whole = bytearray((tmp_path / "a.nc").read_bytes())
    rng = np.random.default_rng(2)
    told = 0
    for place in rng.integers(0, len(whole), 60):
        broken = whole.copy()
        broken[place] ^= 0xFF
        (tmp_path / "b.nc").write_bytes(broken)
        try:
            loaded = vb.load(tmp_path / "b.nc", model=model)
        except vb.StorageError:
            told += 1
        else:
            for a, b in zip(approx.params, loaded.params, strict=True):
                np.testing.assert_array_equal(a.get_value(), b.get_value())
    assert told


def test_damaged_zarr(model, tmp_path):
    scrambled(vb.FullRank(model=model)).save(tmp_path / "a.zarr")
    chunk = next(p for p in (tmp_path / "a.zarr" / "parameter_0_mu").rglob("c/0"))
    chunk.unlink()
    with pytest.raises(vb.StorageError, match="damaged: parameter_0_mu"):
        vb.load(tmp_path / "a.zarr", model=model)


def test_a_newer_format(model, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FORMAT", 99)
    vb.MeanField(model=model).save(tmp_path / "a.nc")
    monkeypatch.undo()
    with pytest.raises(vb.StorageError, match="newer vibayes"):
        vb.load(tmp_path / "a.nc", model=model)


def with_header(path, **changes):
    """Write a file whose header is another one, as an attacker could."""
    header, arrays = files.read_file(path)
    for key, value in changes.items():
        header["approximation"][key] = value
    files.write_file(path, header, arrays)


def test_names_in_a_file_are_not_executed(model, tmp_path):
    path = tmp_path / "a.nc"
    flag = tmp_path / "executed"
    code = f"__import__('pathlib').Path({str(flag)!r}).touch()"
    group = {"family": code, "variables": ["mu", "sigma"], "options": {}}
    vb.MeanField(model=model).save(path)
    for changes in ({"class": code}, {"groups": [group]}, {"groups": [flows_of(code)]}):
        vb.MeanField(model=model).save(path)
        with_header(path, **changes)
        with pytest.raises(vb.StorageError, match="unknown"):
            vb.load(path, model=model)
    assert not flag.exists()


def flows_of(name):
    flows = {"flows": [{"flow": name, "settings": {}}]}
    return {"family": "flow", "variables": ["mu", "sigma"], "options": {"flow": flows}}


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_in_a_zarr_folder_are_not_loaded(model, tmp_path):
    """Zarr's format 2 has an encoding that unpickles."""
    folder, flag = tmp_path / "a.zarr", tmp_path / "executed"
    (folder / "header").mkdir(parents=True)
    (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    (folder / ".zattrs").write_text(json.dumps({"vibayes_format": 1}))
    array = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "|O",
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "pickle", "protocol": 5}],
    }
    (folder / "header" / ".zarray").write_text(json.dumps(array))
    (folder / "header" / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["x"]}))
    (folder / "header" / "0").write_bytes(pickle.dumps([Touch(flag), "|O", (1,)], protocol=5))
    with pytest.raises(vb.StorageError, match="not a zarr folder"):
        vb.load(folder, model=model)
    assert not flag.exists()


# -- what cannot be saved -------------------------------------------------------------------------


def test_expressions_cannot_be_saved(model, tmp_path):
    rho = pytensor.shared(np.zeros(3), shape=(3,))
    group = vb.Group([model["mu"]], params={"mu": 2 * rho, "rho": rho}, model=model)
    approx = vb.Approximation([group, vb.Group(vfam="mf", model=model)], model=model)
    with pytest.raises(vb.StorageError, match=r"the parameters of 'mu' are expressions"):
        approx.save(tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_a_family_without_a_name_cannot_be_saved(model, tmp_path):
    class Nameless(MeanFieldGroup):
        short_name = ""
        aliases = ()

    approx = vb.Approximation([Nameless(model=model)], model=model)
    with pytest.raises(vb.StorageError, match="Nameless of 'mu', 'sigma' has no short_name"):
        approx.save(tmp_path / "a.nc")


# -- other processes and other Pythons ------------------------------------------------------------

LOAD = """
import sys
sys.path.insert(0, {here!r})
from test_saving import draws, make_model
import numpy as np, vibayes as vb
np.save({out!r}, draws(vb.load({path!r}, model=make_model())))
"""


def python_of_others():
    """Return Pythons of other environments that are named for this test."""
    return [p for p in os.environ.get("VIBAYES_OTHER_PYTHONS", "").split(os.pathsep) if p]


@pytest.mark.ci
@pytest.mark.parametrize("python", [sys.executable, *python_of_others()])
def test_another_process(model, python, tmp_path):
    approx = scrambled(groups(model))
    path, out = str(tmp_path / "a.nc"), str(tmp_path / "draws.npy")
    approx.save(path)
    code = LOAD.format(here=str(Path(__file__).parent), path=path, out=out)
    subprocess.run([python, "-c", code], check=True)
    np.testing.assert_allclose(np.load(out), draws(approx), rtol=1e-12)


# -- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["nc", "zarr"])
@pytest.mark.parametrize("step", ["places.flush", "files.checksum"])
def test_an_interrupt_leaves_the_old_file(model, ending, step, tmp_path, monkeypatch):
    path = tmp_path / f"a.{ending}"
    vb.MeanField(model=model).save(path)
    before = vb.load(path, model=model)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"vibayes.storage.{step}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scrambled(vb.MeanField(model=model)).save(path)
    monkeypatch.undo()
    after = vb.load(path, model=model)
    for a, b in zip(before.params, after.params, strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


def test_the_file_can_be_read_without_vibayes(model, tmp_path):
    import xarray

    approx = scrambled(vb.MeanField(model=model))
    approx.save(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as dataset:
        mu = dataset["parameter_0_mu"].values
        header = json.loads(dataset["header"].values.astype("uint8").tobytes())
    np.testing.assert_array_equal(mu, approx.shared_params["mu"].get_value())
    assert header["versions"]["vibayes"] == vb.__version__
    assert header["model"][1]["transform"] == "log"
