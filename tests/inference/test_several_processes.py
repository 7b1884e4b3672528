"""Fits by several processes, each with rows of its own; on one machine, over its own network."""

import signal

import pytest
from helpers.processes import run_joined

pytest.importorskip("jax")

MODEL = """
import os, signal, warnings
import numpy as np
import vibayes as vb

rng = np.random.default_rng(1)
X, group, y = rng.normal(size=(41, 3)), rng.integers(0, 5, 41), rng.integers(0, 2, 41)

def model_of(rows, local=True):
    with vb.Model() as model:
        loc, scale = vb.Normal("loc"), vb.HalfNormal("scale")
        effect = vb.Normal("effect", loc, scale, shape=5)
        beta = vb.Normal("beta", 0, 1, shape=3)
        x, at, seen = (
            vb.Data(name, data[rows], local=local)
            for name, data in {"X": X, "group": group, "seen": y}.items()
        )
        vb.Bernoulli("y", logit_p=vb.math.dot(x, beta) + effect[at], observed=seen)
    return model

shares = np.split(np.arange(41), SPLIT)
options = dict(random_seed=1, backend="jax", progressbar=False, diagnose=False)
everywhere = options | dict(devices=jax.devices())
"""

SAME = """
whole, own = model_of(np.arange(41), local=False), model_of(shares[rank])
for method, n in METHODS.items():
    one = vb.fit(n, method=method, model=whole, device="cpu", **options)
    all = vb.fit(n, method=method, model=own, **everywhere)
    np.testing.assert_allclose(all.hist, one.hist, rtol=1e-10)
    for a, b in zip(all.params, one.params):
        np.testing.assert_allclose(a.get_value(), b.get_value(), rtol=1e-9, atol=1e-10)
"""
BATCHES = """
from vibayes.backend.jax import JaxDevices, in_all
x, seen = vb.Minibatch(*(vb.Data(n, v[shares[rank]], local=True, model=own)
                         for n, v in {"X2": X, "y2": y}.items()), batch_size=8)
with vb.Model() as batches:
    beta = vb.Normal("beta", 0, 1, shape=3)
    vb.Bernoulli("y", logit_p=vb.math.dot(x, beta), observed=seen, total_size=41)
first = in_all([g.tag.identity for (g,) in x.RNG.values()])[0]
x, seen = vb.Minibatch(X, y, batch_size=8)
for (generator,), identity in zip(x.RNG.values(), first):
    generator.tag.identity = identity  # which has the number of rows in it
with vb.Model() as whole_batches:
    beta = vb.Normal("beta", 0, 1, shape=3)
    vb.Bernoulli("y", logit_p=vb.math.dot(x, beta), observed=seen, total_size=41)
all = vb.fit(40, model=batches, **everywhere)
JaxDevices.count = property(lambda self: count)
one = vb.fit(40, model=whole_batches, device="cpu", **options)
np.testing.assert_allclose(all.hist, one.hist, rtol=1e-10)
"""
# one process alone judges by NumPy what all judge together
JUDGED = """
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    judged = all.diagnose(200, random_seed=3, backend="jax", devices=jax.devices())
if rank == 0:
    expected = one.diagnose(200, random_seed=3, backend="jax", device="cpu")
    np.testing.assert_allclose(judged.elbo, expected.elbo, rtol=1e-8)
"""
REFUSED = """
def told(part, n=5, **kwargs):
    try:
        vb.fit(n, **kwargs)
    except ValueError as error:
        assert part in str(error), error
    else:
        raise AssertionError(part)

told("random_seed", model=own, **everywhere | {"random_seed": rank})
told("all processes have to take part", model=own, **options)
told("takes a number of steps", model=own, n=None, **everywhere)
told("takes a number of steps", model=own, n=None, method="laplace", **everywhere)
"""


def check(code, count, timeout=300):
    found = run_joined(code, count, timeout)
    for status, output, errors in found:
        assert status == 0, without_log(errors)
        assert output.endswith("equal\n"), without_log(errors)
    first, *others = (output.count("Finished") for _, output, _ in found)
    assert max(others) < first  # which reports of what all do


def without_log(errors):
    """Return what Python has said, without what JAX has logged before."""
    return errors[errors.find("Traceback") :][:3000]


def with_split(code, split, methods):
    return code.replace("SPLIT", repr(split)).replace("METHODS", repr(methods))


@pytest.mark.ci
def test_two_processes_with_unequal_rows_give_the_losses_of_one():
    code = MODEL + SAME + JUDGED + REFUSED + "print('equal')\n"
    check(with_split(code, [13], {"advi": 30}), 2)


@pytest.mark.slow
@pytest.mark.parametrize("split", [[13], [9, 20, 31]], ids=["two", "four"])
def test_full_rank_particles_and_minibatches_of_several_processes_are_those_of_one(split):
    methods = {"fullrank_advi": 30, "svgd": 30}
    code = MODEL + SAME + BATCHES + "print('equal')\n"
    check(with_split(code, split, methods), len(split) + 1, 600)


KILLED = """
own = model_of(shares[rank])

class Kill:
    def __call__(self, approx, losses, i):
        if i == 60 and os.environ.get("KILL") == str(rank):
            os.kill(os.getpid(), signal.SIGKILL)

try:
    all = vb.fit(
        100, model=own, callbacks=[Kill()], checkpoint="PATH", checkpoint_every=25, **everywhere
    )
except vb.exceptions.ProcessError as error:
    print(error, flush=True)
    os._exit(7)
print(np.array2string(all.hist[-5:], precision=12), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", [1, 0])
def test_where_one_is_killed_the_other_ends_and_the_checkpoint_goes_on(killed, tmp_path):
    code = with_split(MODEL + KILLED, [13], {}).replace("PATH", str(tmp_path / "fit.nc"))
    ended = run_joined(code, 2, timeout=200, KILL=str(killed))
    assert ended[killed][0] == -signal.SIGKILL
    status, output, errors = ended[1 - killed]
    assert status == 7, errors
    assert "Another process of the fit has ended" in output
    assert "goes on from it" in output
    resumed = run_joined(code, 2)
    (once,) = run_joined(
        code.replace("fit.nc", "once.nc").replace("shares[rank]", "slice(None)"), 1
    )
    for status, output, errors in resumed:
        assert status == 0, without_log(errors)
        assert output[output.rindex("[") :] == once[1][once[1].rindex("[") :]
