"""Which calls a checkpoint is told from, and which it is not."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default

import vibayes as vb
from vibayes.updates import get_or_compute_grads

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 2))
Y = X @ [1.0, -2.0] + RNG.normal(size=60)


def make_model(x=X, y=Y, scale=5.0, observed=None):
    with vb.Model() as model:
        b = vb.Normal("b", 0, scale, shape=2)
        s = vb.HalfNormal("s", 2)
        vb.Normal("y", pt.as_tensor(x) @ b, s, observed=y if observed is None else observed)
    return model


def fit(model, path, n=20, **kwargs):
    options = dict(random_seed=1, backend="py", progressbar=False, diagnose=False)
    return vb.fit(n, model=model, checkpoint=path, **options | kwargs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.nc"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(x=X[:, ::-1]), r"the data of 'y' are others \(an array of shape \(60, 2\)\)"),
        pytest.param(dict(x=X + 1e-12), "the data of 'y' are others", marks=pytest.mark.ci),
        (dict(y=Y[::-1].copy()), r"the data of 'y' are others"),
        pytest.param(dict(x=X[:50], y=Y[:50]), "the data of 'y' are others", marks=pytest.mark.ci),
        (dict(scale=5.0000001), "the graph of 'b', or a number in it, is another"),
    ],
)
def test_other_data_are_told(path, changes, message):
    fit(make_model(), path)
    with pytest.raises(vb.StorageError, match=message):
        fit(make_model(**changes), path)
    assert len(fit(make_model(), path, 30).hist) == 30


def test_a_saved_approximation_knows_its_data(path):
    model = make_model()
    inference = vb.ADVI(model=model, random_seed=1)
    inference.fit(10, backend="py", progressbar=False)
    inference.approx.save(path)
    with pytest.raises(vb.StorageError, match="the data of 'y' are others"):
        fit(make_model(y=Y[::-1].copy()), path)
    assert len(fit(make_model(), path).hist) == 20


def test_other_data_in_a_container_are_told_by_its_name(path):
    def model(x):
        with vb.Model() as model:
            b = vb.Normal("b", 0, 5, shape=2)
            vb.Normal("y", vb.Data("covariates", x) @ b, 1.0, observed=Y)
        return model

    fit(model(X), path)
    with pytest.raises(vb.StorageError, match=r"'y' are others \(covariates of shape \(60, 2\)\)"):
        fit(model(X[::-1].copy()), path)
    fit(model(X), path)


def learning_rate(rate):
    return lambda loss, params: vb.adam(loss, params, learning_rate=rate)


def shared_rate(rate):
    return vb.adam(learning_rate=pytensor.shared(np.float64(rate), name="rate"))


class Rate:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, loss, params):
        return vb.adam(loss, params, learning_rate=self.rate)


def own_optimizer(loss, params, rate):
    grads = get_or_compute_grads(loss, params)
    return {p: p - 1e-4 * rate * g for p, g in zip(params, grads, strict=True)}


OPTIMIZERS = {
    "closure": learning_rate,
    "partial": lambda rate: partial(vb.adam, learning_rate=rate),
    "partial of code": lambda rate: partial(own_optimizer, rate=rate),
    "shared": shared_rate,
    "object": Rate,
    "method": lambda rate: Rate(rate).__call__,
    "vibayes": lambda rate: vb.adam(learning_rate=rate),
    "array": lambda rate: vb.adam(learning_rate=np.array(rate)),
}


@pytest.mark.parametrize("kind", by_default(OPTIMIZERS, {"closure", "shared", "array"}))
def test_optimizers_are_compared_by_what_they_do(path, kind):
    make = OPTIMIZERS[kind]
    fit(make_model(), path, obj_optimizer=make(0.02))
    with pytest.raises(vb.StorageError, match="obj_optimizer was"):
        fit(make_model(), path, obj_optimizer=make(0.5))
    assert len(fit(make_model(), path, 30, obj_optimizer=make(0.02)).hist) == 30


def test_other_code_of_an_optimizer_is_told(path):
    fit(make_model(), path, obj_optimizer=lambda g, p: vb.adam(g, p, learning_rate=0.1))
    with pytest.raises(vb.StorageError, match="obj_optimizer was"):
        fit(make_model(), path, obj_optimizer=lambda g, p: vb.sgd(g, p, learning_rate=0.1))


def test_an_optimizer_that_cannot_be_told_from_others_is_refused_before_the_fit(path):
    files = iter([1, 2])  # an iterator shows nothing of what it will give

    def optimizer(loss, params):
        return vb.adam(loss, params, learning_rate=next(files))

    with pytest.raises(
        vb.StorageError, match=r"options\.obj_optimizer is .*optimizer, which cannot"
    ):
        fit(make_model(), path, obj_optimizer=optimizer)
    assert not path.exists()


def test_values_of_replacements_are_compared(path):
    a = pytensor.shared(X.copy(), name="a")

    def run(value):
        with vb.Model() as model:
            b = vb.Normal("b", 0, 5, shape=2)
            vb.Normal("y", a @ b, 1.0, observed=Y)
        return fit(model, path, more_replacements={a: value})

    run(X[::-1].copy())
    with pytest.raises(vb.StorageError, match=r"options\.more_replacements was"):
        run(X)
    run(X[::-1].copy())


def test_a_permuted_start_is_told(path):
    fit(make_model(), path, start={"b": np.array([1.0, 2.0])})
    with pytest.raises(vb.StorageError, match="start was"):
        fit(make_model(), path, start={"b": np.array([2.0, 1.0])})
    fit(make_model(), path, start={"b": np.array([1.0, 2.0])})


@pytest.mark.parametrize("method", ["laplace", "advi"])
def test_searches_are_told_from_those_of_other_data(path, method):
    kwargs = dict(n=None, method=method, backend=None)
    fit(make_model(), path, **kwargs)
    with pytest.raises(vb.StorageError, match="the data of 'y' are others"):
        fit(make_model(y=Y[::-1].copy()), path, **kwargs)


def test_streams_are_told_by_a_sample_of_their_rows(tmp_path, path):
    file = tmp_path / "y.npy"

    def run(values):
        np.save(file, values)
        rows = vb.Minibatch(np.load(file, mmap_mode="r"), batch_size=10)
        with vb.Model() as model:
            mu = vb.Normal("mu", 0, 5)
            vb.Normal("y", mu, 1, observed=rows, total_size=len(values))
        return fit(model, path)

    y = np.random.default_rng(1).normal(size=400_000)
    run(y)
    run(y)
    other = y.copy()
    other[-1] += 1  # in the last block
    with pytest.raises(vb.StorageError, match=r"the data of 'Minibatch' are others \(rows\)"):
        run(other)
    with pytest.raises(vb.StorageError, match="the data of 'Minibatch' are others"):
        run(y[:-1])


def test_another_version_is_told(path, monkeypatch):
    fit(make_model(), path)
    monkeypatch.setattr("vibayes.storage.calls.__version__", "99")
    with pytest.raises(vb.StorageError, match=r"versions\.vibayes was .* and is '99'"):
        fit(make_model(), path)


SCRIPT = """
import sys, numpy as np, pytensor, vibayes as vb
from functools import partial
rng = np.random.default_rng(1)
x = rng.normal(size=(50, 2)); y = x @ [1., -2.] + rng.normal(size=50)
rate, KINDS = 0.02, {"a", "b", "c"}
def logp(value, mu):
    return -abs(value - mu) if "a" in KINDS else value * 0
def optimizer(loss, params, factor):
    if factor in {1.0, 2.0, 3.0}:
        return vb.adam(loss, params, learning_rate=factor * rate)
with vb.Model() as model:
    b = vb.Normal("b", 0, 5, shape=2)
    c = vb.CustomDist("c", 0.5, logp=logp)
    w = vb.Dirichlet("w", np.ones(3))
    z = vb.Mixture("z", w, [vb.Normal.dist(m, 1) for m in (0, 1, 2)])
    sums = pytensor.scan(lambda v, a: a + v, x[:, 0], np.float64(0.0), return_updates=False)
    p = vb.Potential("p", sums[-1] * b[0] * 0.01)
    vb.AR("t", [0.5], 1.0, init_dist=vb.Normal.dist(0, 1), steps=4)
    vb.Normal("y", x @ b + c, 1.0, observed=vb.Minibatch(y, batch_size=10) if 0 else y)
approx = vb.fit(int(sys.argv[2]), model=model, obj_optimizer=partial(optimizer, factor=1.0),
    random_seed=1, checkpoint=sys.argv[1], backend="py", progressbar=False, diagnose=False)
print(len(approx.hist))
"""


@pytest.mark.ci
def test_the_same_script_goes_on_in_another_process(path, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for n, seed in ((5, "1"), (9, "2")):
        done = subprocess.run(
            [sys.executable, str(script), str(path), str(n)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(n)
