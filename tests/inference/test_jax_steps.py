import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.fixed_noise import losses_and_numbers, without_noise
from helpers.lanes import by_default

import vibayes as vb
from vibayes.backend.jax import StackFunction, double_precision, jax_devices, key_of
from vibayes.backend.jax.placed import held
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.exceptions import SamplingError, StorageError
from vibayes.inference.jax_steps import JaxSteps
from vibayes.inference.steps import CompiledSteps
from vibayes.objectives.base import StepGraph
from vibayes.objectives.options import StepOptions

jax = pytest.importorskip("jax")

rng = np.random.default_rng(16)
X = rng.normal(size=(40, 3))
Y = X @ [1.0, -1.0, 0.5] + rng.normal(size=40)
QUIET = {"backend": "jax", "progressbar": False, "diagnose": False}


def regression():
    x, y = (values.astype(pytensor.config.floatX) for values in (X, Y))
    with vb.Model() as model:
        beta = vb.Normal("beta", 0, 1, shape=3)
        sigma = vb.HalfNormal("sigma", 1)
        vb.Normal("y", vb.math.dot(x, beta), sigma, observed=y)
    return model


def in_batches(replace=True):
    x, y = vb.Minibatch(X, Y, batch_size=8, replace=replace)
    with vb.Model() as model:
        beta = vb.Normal("beta", 0, 1, shape=3)
        vb.Normal("y", vb.math.dot(x, beta), 1.0, observed=y, total_size=40)
    return model


def mixture():
    with vb.Model() as model:
        w = vb.Dirichlet("w", np.ones(2))
        mu = vb.Normal("mu", 0, 3, shape=2)
        vb.NormalMixture("y", w, mu, 1.0, observed=Y)
    return model


def walk():
    with vb.Model() as model:
        rho = vb.Normal("rho", 0, 0.5)
        start = pytensor.shared(np.array(0.3, dtype=pytensor.config.floatX))
        mean = pytensor.scan(
            lambda before: rho * before + 0.1,
            outputs_info=[start],
            n_steps=40,
            return_updates=False,
        )
        vb.Normal("y", mean, 1.0, observed=Y)
    return model


def steps_of(op, mode=None, **options):
    graph = vb.Inference(op).objective.step_graph(StepOptions.of(**options))
    return JaxSteps(graph, jax_devices() if mode is None else mode)


def jaxpr_of(steps, state):
    """Return what JAX has made of steps, as text."""
    (run,) = steps.function.compiled.values()
    keys = [key_of(at) for at in state.generators]
    with double_precision():
        data = [held(v) for v in steps.function.data]
        return run.trace(np.int64(1), list(state.vectors), keys, [], data).jaxpr


def begin(steps, seed=1):
    state = steps.state({}, {key: np.random.default_rng(seed) for key in steps.generators})
    steps.compile(state)
    return state


CASES = {
    "mean field, adam": lambda: (vb.MeanField(model=regression()), {"obj_optimizer": vb.adam()}),
    "full rank, Rényi": lambda: (vb.FullRank(model=mixture()), {"op": vb.Renyi, "obj_n_mc": 3}),
    "particles": lambda: (vb.Empirical(size=12, model=regression()), {"op": vb.KSD}),
}
OTHERS = {
    "low rank, rows of an epoch": lambda: (vb.LowRank(rank=2, model=in_batches(False)), {}),
    "flows": lambda: (vb.NormalizingFlow("planar-hh-radial-scale-loc", model=regression()), {}),
    "mixture of normals": lambda: (
        vb.GaussianMixture(components=2, model=regression()),
        {"obj_n_mc": 3},
    ),
    "a scan": lambda: (vb.MeanField(model=walk()), {}),
    "random rows": lambda: (vb.MeanField(model=in_batches()), {}),
    "autoregressive flow": lambda: (vb.NormalizingFlow("iaf", model=regression()), {}),
    "couplings": lambda: (vb.NormalizingFlow("affine_coupling", model=regression()), {}),
    "splines": lambda: (vb.NormalizingFlow("spline_coupling", model=regression()), {}),
    "full affine": lambda: (vb.NormalizingFlow("full_affine", model=regression()), {}),
    "importance weights": lambda: (vb.MeanField(model=mixture()), {"op": vb.IWELBO}),
    **{
        name: lambda name=name: (
            vb.MeanField(model=regression()),
            {"obj_optimizer": getattr(vb, name)(learning_rate=0.001)},
        )
        for name in vb.updates.__all__
        if name
        in ("sgd", "momentum", "nesterov_momentum", "adagrad", "rmsprop", "adadelta", "adamax")
    },
}


def check_as_in_numpy(case):
    approx, options = case()
    op = options.pop("op", vb.KL)(approx)
    graph = vb.Inference(op).objective.step_graph(StepOptions.of(**options))
    graph = without_noise(graph)
    found = losses_and_numbers(JaxSteps(graph, jax_devices()), 20)
    expected = losses_and_numbers(CompiledSteps(graph, EVALUATE_MODE), 20)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-9, 1e-9)


@pytest.mark.parametrize("name", by_default(CASES, {"mean field, adam"}))
def test_without_noise_steps_are_those_of_numpy(name):
    check_as_in_numpy(CASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_steps_without_noise_are_those_of_numpy(name):
    check_as_in_numpy(OTHERS[name])


@pytest.fixture(scope="module")
def batches():
    steps = steps_of(vb.KL(vb.MeanField(model=in_batches(), random_seed=1)))
    begin(steps)
    return steps


@pytest.mark.parametrize("chunks", [[1] * 12, [5, 7], [4096, 4097]])
def test_chunks_do_not_change_numbers(batches, chunks):
    state = begin(batches)
    once, losses_once = batches.run(state, sum(chunks))
    losses = []
    for n in chunks:
        state, some = batches.run(state, n)
        losses.append(some)
    np.testing.assert_array_equal(np.concatenate(losses), losses_once)
    assert state.generators == once.generators
    for a, b in zip(state.vectors, once.vectors, strict=True):
        np.testing.assert_array_equal(a, b)


def test_chunks_do_not_change_what_is_drawn_ahead_beside_what_cannot_be():
    x, y = pytensor.shared(np.zeros(3)), pytensor.shared(np.zeros(7))
    rngs = [pytensor.shared(np.random.default_rng(0)) for _ in range(4)]
    moved, noise = pt.random.normal(size=(7,), rng=rngs[0]).owner.outputs
    again, walk = pt.random.normal(x, 0.1, rng=moved).owner.outputs
    third, drawn = pt.random.uniform(size=(7,), rng=rngs[1]).owner.outputs
    mixed, other = pt.random.normal(size=(3,), rng=rngs[2]).owner.outputs
    updates = {x: walk + other, y: noise + drawn}
    updates |= {rngs[0]: again, rngs[1]: third, rngs[2]: rngs[3], rngs[3]: mixed}
    steps = JaxSteps(StepGraph(updates, y.sum() + x.sum()), jax_devices())
    state = begin(steps)
    once, losses_once = steps.run(state, 700)
    losses = []
    for n in (1, 2, 3, 250, 256, 188):
        state, some = steps.run(state, n)
        losses.append(some)
    np.testing.assert_array_equal(np.concatenate(losses), losses_once)
    assert len(set(losses_once)) == 700
    assert state.generators == once.generators
    for a, b in zip(state.vectors, once.vectors, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_call_for_another_number_of_steps_compiles_nothing(batches):
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name)
    )
    state = begin(batches)
    compiled.clear()
    for n in (1, 2, 3, 100, 5000):
        batches.run(state, n)
    assert not [name for name in compiled if "compile" in name]


def test_runs_change_nothing_that_they_are_given(batches):
    state = begin(batches)
    copies = [v.copy() for v in state.vectors]
    after, _ = batches.run(state, 10)
    for v, copy in zip(state.vectors, copies, strict=True):
        np.testing.assert_array_equal(v, copy)
    assert all(isinstance(v, np.ndarray) and v.flags.writeable for v in after.vectors)


def test_other_seeds_give_other_numbers(batches):
    first, again, other = (batches.run(begin(batches, s), 5)[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_random_rows_are_equally_frequent():
    x = vb.Minibatch(np.arange(10.0), batch_size=4)
    counts = pytensor.shared(np.zeros(10))
    hit = pt.eq(x[:, None], np.arange(10.0)).sum(axis=0)
    steps = JaxSteps(StepGraph({counts: counts + hit}, None), jax_devices())
    after, _ = steps.run(begin(steps), 5000)
    (found,) = after.vectors
    assert found.sum() == 20_000
    assert ((found - 2000) ** 2 / 2000).sum() < 27.9  # 0.999 quantile of chi-square, 9 degrees


def test_noise_has_the_right_moments():
    noise_rng = pytensor.shared(np.random.default_rng(1))
    advanced, noise = pt.random.normal(size=(500,), rng=noise_rng).owner.outputs
    sums = pytensor.shared(np.zeros(4))
    powers = pt.stack([(noise**k).mean() for k in (1, 2, 3, 4)])
    steps = JaxSteps(StepGraph({noise_rng: advanced, sums: sums + powers}, None), jax_devices())
    after, _ = steps.run(begin(steps), 400)
    moments = np.concatenate(after.vectors) / 400
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.12)
    assert (np.abs(moments - [0, 1, 0, 3]) < 4 * np.sqrt(np.array([1, 2, 15, 96]) / 200_000)).all()


def test_single_precision_is_single_throughout(float32):
    steps = steps_of(vb.KL(vb.MeanField(model=regression(), random_seed=1)))
    state, losses = steps.run(begin(steps), 50)
    assert {v.dtype for v in state.vectors} <= {np.dtype("float32"), np.dtype("int64")}
    assert losses.dtype == "float32"
    assert not re.search(r"f64\[\d", str(jaxpr_of(steps, state)))


@pytest.mark.ci
def test_new_data_are_seen_and_data_of_another_length_too():
    with vb.Model() as model:
        data = vb.Data("data", np.zeros(3))
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1.0, observed=data)
    inference = vb.ADVI(model=model, random_seed=1)
    for value in (np.full(3, 2.0), np.full(3, -2.0), np.full(7, 5.0)):
        data.set_value(value)
        approx = inference.fit(1500, obj_optimizer=vb.adam(learning_rate=0.05), **QUIET)
        expected = len(value) * value[0] / (len(value) + 0.01)
        assert abs(approx.mean.eval()[0] - expected) < 0.3


# -- fits -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return regression()


def fitted(model, n=600, **options):
    return vb.fit(n, model=model, random_seed=1, **QUIET | options)


def test_a_fit_finds_what_numpy_finds_and_leaves_numpy_arrays(model):
    approx = fitted(model, 3000, obj_optimizer=vb.adam(learning_rate=0.02), obj_n_mc=5)
    expected = fitted(model, None, backend="py", max_seconds=60)
    difference = approx.mean.eval() - expected.mean.eval()
    assert (np.abs(difference) < 0.3 * expected.std.eval()).all()
    np.testing.assert_allclose(approx.std.eval(), expected.std.eval(), rtol=0.2)
    assert all(type(p.get_value(borrow=True)) is np.ndarray for p in approx.params)
    assert approx.sample(10, random_seed=1).posterior["beta"].shape == (1, 10, 3)


def test_callbacks_see_each_iteration_and_refine_goes_on(model):
    seen = []
    inference = vb.ADVI(model=model, random_seed=1)
    inference.fit(20, callbacks=[lambda approx, losses, i: seen.append((i, losses[-1]))], **QUIET)
    inference.refine(30, callbacks=[], progressbar=False)
    once = fitted(model, 50)
    assert [i for i, _ in seen] == list(range(1, 21))
    np.testing.assert_array_equal([loss for _, loss in seen], once.hist[:20])
    np.testing.assert_array_equal(inference.hist, once.hist)


def test_a_checkpoint_goes_on_to_the_same_bits(model, tmp_path):
    path = tmp_path / "fit.nc"
    fitted(model, 250, checkpoint=path)
    resumed = fitted(model, 600, checkpoint=path)
    once = fitted(model, 600)
    np.testing.assert_array_equal(resumed.hist, once.hist)
    np.testing.assert_array_equal(resumed.mean.eval(), once.mean.eval())
    with pytest.raises(StorageError, match="backend"):
        fitted(model, 700, checkpoint=path, backend="py")


@pytest.mark.ci
def test_a_breakdown_names_variables_and_the_last_good_state_stays(model):
    inference = vb.ADVI(model=model, random_seed=2)
    with pytest.raises(FloatingPointError, match=r"broke down at iteration \d+: .*log density of"):
        inference.fit(500, obj_optimizer=vb.sgd(learning_rate=10.0), **QUIET)
    assert np.isfinite(inference.hist).all()
    assert all(np.isfinite(p.get_value()).all() for p in inference.approx.params)


@pytest.mark.ci
def test_a_fit_that_ends_by_itself(model):
    approx = fitted(in_batches(), None, max_steps=3000)
    assert approx.ending.reason
    assert np.isfinite(approx.mean.eval()).all()


@pytest.mark.ci
@pytest.mark.parametrize(
    "method", ["fullrank_advi", pytest.param("laplace", marks=pytest.mark.slow)]
)
def test_fits_without_steps_and_verdicts_are_those_of_numpy(model, method, evaluated):
    found = fitted(model, None, method=method, diagnose=True)
    assert evaluated
    evaluated.clear()
    expected = fitted(model, None, method=method, diagnose=True, backend=None)
    assert not evaluated
    difference = found.mean.eval() - expected.mean.eval()
    assert (np.abs(difference) < 0.02 * expected.std.eval()).all()
    np.testing.assert_allclose(found.std.eval(), expected.std.eval(), rtol=0.02)
    assert found.diagnosis.fits == expected.diagnosis.fits
    ours = expected.diagnose(200, random_seed=1)
    theirs = expected.diagnose(200, random_seed=1, backend="jax", device="cpu")
    assert evaluated
    assert theirs.elbo == pytest.approx(ours.elbo, rel=1e-10)
    assert theirs.khat == pytest.approx(ours.khat, rel=1e-6)


@pytest.fixture
def evaluated(monkeypatch):
    """Lengths of the stacks that JAX has evaluated."""
    lengths = []
    whole = StackFunction.__call__

    def noted(self, *values):
        lengths.append(len(values[0]))
        return whole(self, *values)

    monkeypatch.setattr(StackFunction, "__call__", noted)
    return lengths


def test_what_has_no_version_is_told_before_the_first_step():
    with vb.Model() as broken:
        x = vb.Normal("x", 0, 1, shape=4)
        positive = x[x > 0]
        vb.Potential("few", positive.sum() ** 2)
        vb.Potential("many", -pt.cumsum(positive).sum())
    with pytest.raises(NotImplementedError, match=r"backend='jax' cannot .*backend='numba'"):
        fitted(broken, 10)


def test_data_exchanged_by_a_callback_are_looked_at():
    with vb.Model() as model:
        seen = vb.Data("seen", np.array([1.0, 2.0, 0.5]), dims="row")
        vb.Exponential("y", vb.HalfNormal("rate"), observed=seen)

    def exchange(approx, losses, i):
        if i == 3:
            seen.set_value(np.array([-1.0, 2.0, 0.5]))

    with pytest.raises(SamplingError, match="were exchanged while the fit ran"):
        fitted(model, 10, callbacks=[exchange])


def test_the_users_configuration_of_jax_stays_as_it_is(model):
    before = jax.config.jax_enable_x64
    fitted(model, 10)
    assert jax.config.jax_enable_x64 is before
    assert jax.numpy.zeros(1).dtype == "float64" if before else "float32"


# -- several devices ------------------------------------------------------------------------------


SHARED_ROWS = """
import numpy as np, jax, vibayes as vb
assert len(jax.devices()) == 2
rng = np.random.default_rng(1)
X, group = rng.normal(size=(41, 3)), rng.integers(0, 5, 41)
y = rng.normal(size=41)
with vb.Model() as model:
    loc, scale = vb.Normal("loc"), vb.HalfNormal("scale")
    effect = vb.Normal("effect", loc, scale, shape=5)
    beta = vb.Normal("beta", 0, 1, shape=3)
    vb.Normal("y", vb.math.dot(X, beta) + effect[group], 1.0, observed=y)
options = dict(model=model, random_seed=1, backend="jax", progressbar=False, diagnose=False)
one = vb.fit(50, method=METHOD, device="cpu", **options)
two = vb.fit(50, method=METHOD, devices="cpu", **options)
np.testing.assert_allclose(two.hist, one.hist, rtol=1e-10)
for a, b in zip(two.params, one.params):
    np.testing.assert_allclose(a.get_value(), b.get_value(), rtol=1e-9, atol=1e-10)
print("equal")
"""


SHARED_BATCHES = """
import re
import numpy as np, jax, vibayes as vb
from vibayes.backend.jax import JaxDevices, double_precision
from vibayes.inference import jax_steps
rng = np.random.default_rng(1)
X = rng.normal(size=(41, 3))
y = (X.sum(axis=1) + rng.normal(size=41) > 0).astype("int8")
made = []

class Noted(jax_steps.RepeatedStep):
    def __init__(self, *args):
        super().__init__(*args)
        made.append(self)

jax_steps.RepeatedStep = Noted

def losses(**where):
    x, seen = vb.Minibatch(X, y, batch_size=8)
    with vb.Model() as model:
        beta = vb.Normal("beta", 0, 1, shape=3)
        vb.Bernoulli("y", logit_p=vb.math.dot(x, beta), observed=seen, total_size=41)
    options = dict(random_seed=1, backend="jax", progressbar=False, diagnose=False)
    return vb.fit(60, model=model, **options, **where).hist

two = losses(devices="cpu")
step = made[-1]
((shapes, run),) = step.compiled.items()
assert len(step.blocks) == 2 and not set(step.blocks) & set(step.data)
with double_precision():
    data = [step.placed(v) for v in step.data]
    for block, rows in map(step.placed.blocks, step.blocks):
        assert {shard.data.shape[:2] for shard in block.addressable_shards} == {(1, 22)}
        data += [block, step.devices.place(np.int64(rows))]
    vectors = [np.zeros(max(p.stop for p in step.parts.values() if p.vector == i), d)
               for i, d in enumerate(step.dtypes)]
    keys = [np.zeros(2, "uint32") for _ in step.generators]
    program = run.lower(np.int64(1), vectors, keys, [], data).compile().as_text()
moved = re.findall(r" = (\\S+) (all-gather|all-to-all|collective-permute)[(]", program)
assert not [shape for shape, _ in moved if ",3]" in shape or "[8]" in shape], moved
assert "all-reduce" in program
other = losses(device="cpu")
assert (two != other).any()
JaxDevices.count = property(lambda self: 2)  # the draws of two devices, made by one
np.testing.assert_allclose(losses(device="cpu"), two, rtol=1e-10)
print("equal")
"""


@pytest.mark.ci
def test_two_devices_draw_from_their_own_rows_and_move_none():
    check_on_two_devices(SHARED_BATCHES)


@pytest.mark.ci
@pytest.mark.parametrize(
    "method",
    [
        "advi",
        pytest.param("fullrank_advi", marks=pytest.mark.slow),
        pytest.param("svgd", marks=pytest.mark.slow),
    ],
)
def test_two_devices_that_share_odd_rows_give_the_losses_of_one(method):
    check_on_two_devices(SHARED_ROWS.replace("METHOD", repr(method)))


def check_on_two_devices(code):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(Path(vb.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.endswith("equal\n"), done.stderr
