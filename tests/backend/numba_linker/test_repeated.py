import os
import re
import subprocess
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend.modes import EVALUATE_MODE, resolve_mode
from vibayes.backend.numba_linker import linker, split
from vibayes.inference.steps import CompiledSteps
from vibayes.objectives.base import StepGraph


def shared(value, name=None):
    value = np.asarray(value)
    return pytensor.shared(value, name=name, shape=value.shape)


def steps_of(changes, loss=None, mode=None):
    steps = CompiledSteps(StepGraph(changes, loss), mode or resolve_mode())
    steps.compile(start(steps))
    return steps


def start(steps):
    return steps.state({}, {key: key.get_value() for key in steps.generators})


def after(steps, key, n):
    state, _ = steps.run(start(steps), n)
    return steps.value(state, key)


@pytest.fixture(scope="module")
def tangled():
    """Steps whose results are what others begin from, in many ways, and both their runs."""
    a, b = shared(np.arange(3.0), "a"), shared(np.ones(3), "b")
    c, d = shared(np.arange(6.0).reshape(2, 3), "c"), shared(np.zeros(2), "d")
    e, f = shared(2.0, "e"), shared(np.array([3.0]), "f")
    g, h = shared(np.ones(2), "g"), shared(np.zeros(2), "h")
    data = pytensor.shared(np.linspace(0.1, 1, 7), name="data")
    scale = pt.exp(data).sum()  # of the data alone
    spread = pt.log(data)
    changes = {
        a: b,
        b: a + c[0],
        c: pt.set_subtensor(c[1], a) * 0.5 + pt.outer(d, b),
        d: (c.sum(axis=1) + d) / scale,
        e: f[0] + spread.sum() * 0.1,
        f: pt.inc_subtensor(f[0], e) * 0.3,
        g: h,
        h: g,
    }
    loss = (a * b).sum() + e + (spread[:, None] * d).sum()
    return changes, loss, data


def test_results_do_not_mix_with_what_a_step_begins_from(tangled):
    changes, loss, data = tangled
    ours, plain = (steps_of(changes, loss, mode) for mode in (None, EVALUATE_MODE))
    for values in (None, np.linspace(0.5, 3, 4)):  # other data, of another length
        if values is not None:
            data.set_value(values)
        state, losses = ours.run(start(ours), 5)
        expected, right = plain.run(start(plain), 5)
        np.testing.assert_allclose(losses, right, rtol=1e-13)
        for x, y in zip(state.vectors, expected.vectors, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-13)


def test_the_source_names_variables_and_operations(tangled):
    changes, loss, _ = tangled
    source = steps_of(changes, loss).source
    assert "for step in range(n):" in source
    first, _, rest = source.partition("for step")
    assert "simd_log(" in first  # of the data alone: once
    assert "log(" not in rest
    for name in "abcdefgh":
        assert re.search(rf" = (with_shape\()?state0\[.*  # {name}$", source, re.M)
    assert "  # Composite" in rest
    compile(source, "source", "exec")


def test_long_functions_are_cut(tangled, monkeypatch):
    changes, loss, _ = tangled
    whole = steps_of(changes, loss)
    monkeypatch.setattr(split, "LONGEST", 12)
    cut = steps_of(changes, loss)
    assert len(re.findall(r"^def step\d\(", cut.source, re.M)) > 2
    for x, y in zip(*(s.run(start(s), 4)[0].vectors for s in (whole, cut)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_parts_of_a_function_are_compiled_once(monkeypatch):
    """What is True, or a count, at the begin of a reduction has no type of its own."""
    monkeypatch.setattr(split, "LONGEST", 12)
    data = pytensor.shared(np.linspace(0.1, 1, 7))
    in_order = pt.sort(data)  # whose type Numba finds late
    holds, count = pt.all(in_order > 0), pt.sum(in_order > 0.5)
    x = [shared(np.ones(3), f"x{k}") for k in range(4)]
    changes = {v: pt.switch(holds, 2 * v, v) + count for v in x}
    with pytensor.config.change_flags(numba__cache=False):
        steps = CompiledSteps(StepGraph(changes, None), resolve_mode())
        steps.function = steps._build(steps._graph)
        repeated = next(
            c.cell_contents
            for c in steps.function.__closure__
            if isinstance(c.cell_contents, linker.Repeated)
        )
        scope = repeated.code.py_func.__globals__
        state, _ = steps.run(start(steps), 1)
    made = [part for name, part in scope.items() if re.fullmatch(r"step\d", name)]
    assert len(made) > 1
    assert [len(part.signatures) for part in made] == [1] * len(made)
    np.testing.assert_array_equal(steps.value(state, x[0]), np.full(3, 2.0 + 4))


def test_names_make_no_difference_to_what_is_kept(monkeypatch):
    keys = []
    real = linker.sha256
    monkeypatch.setattr(linker, "sha256", lambda text: keys.append(real(text)) or keys[-1])
    for name, length in (("x", 5), ("z", 9)):
        x = shared(np.zeros(2), name)
        data = pytensor.shared(np.ones(length), name=f"{name}_data")
        steps = CompiledSteps(StepGraph({x: x + pt.exp(data).sum()}, None), resolve_mode())
        steps.function = steps._build(steps._graph)
    assert keys[0].hexdigest() == keys[1].hexdigest()


SCRIPT = """
import hashlib, numpy as np, pytensor, pytensor.tensor as pt
from numba.core import event
from vibayes.backend.modes import resolve_mode
from vibayes.inference.steps import CompiledSteps
from vibayes.objectives.base import StepGraph
class Listener(event.Listener):
    count = 0
    def on_start(self, event): Listener.count += 1
    def on_end(self, event): pass
x = pytensor.shared(np.ones(3), shape=(3,))
rng = pytensor.shared(np.random.default_rng(1))
data = pytensor.shared(np.linspace(0, 1, {length}))
next_rng, noise = pt.random.normal(size=3, rng=rng).owner.outputs
inside = 2 + pt.tanh(x + noise)
changes = {{x: pt.sort(pt.gammaln(inside) + pt.psi(inside)) + data[:3], rng: next_rng}}
steps = CompiledSteps(StepGraph(changes, data.sum()), resolve_mode())
state = steps.state({{}}, {{rng: rng.get_value()}})
with event.install_listener("numba:compile", Listener()):
    steps.compile(state)
    state, _ = steps.run(state, 20)
print(Listener.count, hashlib.sha256(state.vectors[0].tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_has_the_same_bits(tmp_path):
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    told = []
    for length in (5, 5, 9):
        command = [sys.executable, "-c", SCRIPT.format(length=length)]
        done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.split())
    assert int(told[0][0]) > 0
    assert told[1] == ["0", told[0][1]]
    assert told[2][0] == "0"
