import math
import platform
import re
import struct

import mpmath
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special

from vibayes.backend.modes import resolve_mode
from vibayes.backend.numba_linker import elementary, linker, llvm_numbers
from vibayes.inference.steps import CompiledSteps
from vibayes.objectives.base import StepGraph

NAMES = [formula.__name__ for formula in elementary.SIMD_FUNCTIONS]
EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, -2.0, 1e308, -1e308, 5e-324, -5e-324]
NUMPY = {
    "simd_cos": np.cos,
    "simd_digamma": special.psi,
    "simd_erf": special.erf,
    "simd_exp": np.exp,
    "simd_expm1": np.expm1,
    "simd_gammaln": special.gammaln,
    "simd_log": np.log,
    "simd_log1mexp": lambda x: np.log(-np.expm1(x)) if x > -1 else np.log1p(-np.exp(x)),
    "simd_log1p": np.log1p,
    "simd_sigmoid": special.expit,
    "simd_sin": np.sin,
    "simd_softplus": lambda x: np.logaddexp(0, x),
    "simd_tanh": np.tanh,
}
# units in the last place
BOUNDS = {
    "simd_cos": 1,
    "simd_digamma": 2,
    "simd_erf": 1.6,
    "simd_exp": 1,
    "simd_expm1": 1.6,
    "simd_gammaln": 2,
    "simd_log": 1,
    "simd_log1mexp": 2,
    "simd_log1p": 1,
    "simd_sigmoid": 2,
    "simd_sin": 1,
    "simd_softplus": 1.6,
    "simd_tanh": 1.6,
}
EXACT = {
    "simd_cos": mpmath.cos,
    "simd_digamma": mpmath.digamma,
    "simd_erf": mpmath.erf,
    "simd_exp": mpmath.exp,
    "simd_expm1": mpmath.expm1,
    "simd_gammaln": mpmath.loggamma,
    "simd_log": mpmath.log,
    "simd_log1mexp": lambda x: (
        mpmath.log(-mpmath.expm1(x)) if x > -1 else mpmath.log1p(-mpmath.exp(x))
    ),
    "simd_log1p": mpmath.log1p,
    "simd_sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "simd_sin": mpmath.sin,
    "simd_softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "simd_tanh": mpmath.tanh,
}


HOLDS = {
    "simd_or_large": lambda x: ~(np.abs(x) > elementary.LARGEST_ANGLE) | np.isinf(x),
    "simd_or_least": lambda x: ~(x < elementary.LEAST_ARGUMENT),
}


def held(name, x):
    """Return the numbers that a function holds for."""
    limit = elementary.SIMD_LIMITS.get(name)
    return x[HOLDS[limit](x.astype("float64"))] if limit else x


def points(name, dtype, count):
    """Return numbers of all sizes, many of them where formulas change."""
    rng = np.random.default_rng(len(name))
    lowest, highest = (-320, 308) if dtype == "float64" else (-45, 38)
    turns = np.array(
        [0.25, 1, 0.6, math.log(2) / 2, math.log(2), math.sqrt(2) - 1, 40, 54 * math.log(2)]
    )
    x = np.concatenate(
        [
            rng.uniform(-3, 3, count),
            rng.uniform(-1.3, -0.6, count),
            rng.normal(0, 100, count),
            rng.uniform(-750, 750, count // 2),
            10.0 ** rng.uniform(lowest, highest, count) * rng.choice([-1, 1], count),
            (turns[:, None] * (1 + rng.uniform(-1e-3, 1e-3, count // 4))).ravel(),
            -turns,
            np.linspace(-745.2, -708.3, 40),
            [-2.0162415611670257, -2.7566413274897994],  # where e / (1 + e) of sigmoid is off most
            [709.782712893384, math.nextafter(-1, 0), math.nextafter(0.5, 1), 2.3e-308, 2.2e-308],
        ]
    )
    if name in ("simd_sin", "simd_cos"):
        quarters = rng.integers(-2_600_000, 2_600_000, count) * (math.pi / 2)
        large, turns = rng.normal(0, 1e6, count), math.pi / 4 * np.arange(-9, 9)
        return held(name, np.concatenate([x, large, quarters, turns]))
    if name in ("simd_gammaln", "simd_digamma"):
        turns = np.array([0.5, 1, 1.15, elementary.ROOT_HIGH, 1.5, 1.75, 2, 2.875])
        off = rng.uniform(-1, 1, (count // 4, 1)) * 10.0 ** rng.uniform(-16, -1, (count // 4, 1))
        x = np.concatenate([x, (turns + off).ravel(), turns, rng.uniform(0, 8, count)])
        return held(name, np.abs(x))
    if name == "simd_log":
        return np.abs(np.concatenate([x, 1 + rng.uniform(-1, 1, count) * 10.0 ** -x[:count]]))
    if name == "simd_log1p":
        return np.where(x <= -1, -x, x)
    return -np.abs(x) if name == "simd_log1mexp" else x


def compiled(functions):
    """Return all functions as one, of a number and where the results go."""
    from numba import njit

    lines = ["def all_of_them(x, results):"]
    for k, name in enumerate(functions):
        lines += [f"    y = results[{k}]", "    for i in range(x.shape[0]):"]
        lines += [f"        y[i] = {name}(x[i])"]
    scope = dict(functions)
    exec("\n".join(lines), scope)
    return njit(scope["all_of_them"], error_model="numpy")


@pytest.fixture(scope="module")
def fused():
    return compiled({name: elementary.simd_functions()[name] for name in NAMES})


@pytest.fixture(scope="module")
def twice_rounded():
    """All functions as on a processor that has no fused product and sum."""
    before = elementary.multiply_add
    elementary.multiply_add = lambda x, y, z: x * y + z
    found = compiled(
        {f.__name__: llvm_numbers.scalar_function(f) for f in elementary.SIMD_FUNCTIONS}
    )
    found(np.zeros(1), np.empty((len(NAMES), 1)))
    elementary.multiply_add = before
    return found


def results_of(function, x):
    found = np.empty((len(NAMES), len(x)), x.dtype)
    function(x, found)
    return dict(zip(NAMES, found, strict=True))


def errors(found, x, exact):
    """Return the largest error in units of the last place, of normal and of subnormal results."""
    limits = np.finfo(found.dtype)
    worst = {True: 0.0, False: 0.0}
    with mpmath.workprec(1200 if exact is EXACT["simd_sigmoid"] else 160):
        for argument, result in zip(x.tolist(), found, strict=True):
            right = exact(mpmath.mpf(argument))
            if abs(right) > float(limits.max):
                assert np.isinf(result), argument
                continue
            unit = float(np.spacing(np.abs(found.dtype.type(float(right)))))
            is_normal = abs(right) >= float(limits.tiny)
            assert np.isfinite(result), argument
            error = float(abs(mpmath.mpf(float(result)) - right) / mpmath.mpf(unit))
            worst[is_normal] = max(worst[is_normal], error)
    return worst


@pytest.mark.parametrize(
    ("case", "dtype"), [("fused", "float64"), ("twice_rounded", "float64"), ("fused", "float32")]
)
def test_results_are_within_2_units_in_the_last_place(case, dtype, request):
    function = request.getfixturevalue(case)
    for name in NAMES:
        x = points(name, dtype, 200).astype(dtype)
        x = x[np.isfinite(x)]
        worst = errors(results_of(function, x)[name], x, EXACT[name])
        assert worst[True] <= (BOUNDS[name] if dtype == "float64" else 0.51), name
        assert worst[False] <= 1, name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_edges_are_those_of_numpy(fused, dtype):
    with np.errstate(all="ignore"):
        for name in NAMES:
            x = held(name, np.array(EDGES, dtype))
            found = results_of(fused, x)[name]
            right = np.array([NUMPY[name](float(v)) for v in x]).astype(dtype)
            np.testing.assert_allclose(found, right, rtol=4 * np.finfo(dtype).eps, err_msg=name)
            signs = ~np.isnan(right)
            assert (np.signbit(found) == np.signbit(right))[signs].all(), name


def test_numbers_do_not_depend_on_where_they_are(fused):
    x = np.linspace(-1, -0.1, 67)
    whole = results_of(fused, x)
    for start in range(9):
        for name, found in results_of(fused, x[start:]).items():
            assert found.tobytes() == whole[name][start:].tobytes(), name


def llvm_of(dispatcher):
    (text,) = dispatcher.inspect_llvm().values()
    return text


def vectors_of(coefficient, text):
    """Return the lines with a vector of a coefficient."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", coefficient))
    return re.findall(rf"<\d+ x double>.*0x{bits:X}", text)


has_vectors = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64", "arm64", "aarch64"),
    reason="the processor may have no vectors of float64",
)


@has_vectors
def test_all_of_them_are_vectorized(fused):
    results_of(fused, np.ones(3))
    text = next(t for s, t in fused.inspect_llvm().items() if "float64" in str(s))
    assert len(re.findall(r"^vector\.body\d*:", text, re.MULTILINE)) >= len(NAMES)


@has_vectors
def test_a_step_of_a_logistic_regression_is_vectorized(monkeypatch):
    """The loop that sums the log densities of the data, and keeps their derivatives."""
    made = []
    real = linker.compiled
    monkeypatch.setattr(linker, "compiled", lambda *args: made.append(real(*args)) or made[-1])
    rng = np.random.default_rng(0)
    X, y = (pytensor.shared(v) for v in (rng.normal(size=(50, 3)), rng.integers(0, 2, size=50)))
    b = pytensor.shared(np.zeros(3), shape=(3,))
    eta = X @ b
    loss = pt.softplus(pt.switch(pt.eq(y, 1), -eta, eta)).sum()
    steps = CompiledSteps(StepGraph({b: b - 0.01 * pt.grad(loss, b)}, loss), resolve_mode())
    with pytensor.config.change_flags(numba__cache=False):
        steps.compile(steps.state({}, {}))
        _, losses = steps.run(steps.state({}, {}), 3)
    assert losses[0] == pytest.approx(50 * math.log(2), rel=1e-14)
    text = llvm_of(made[-1])
    assert vectors_of(elementary.EXP[0], text)
    assert vectors_of(elementary.LOG[0], text)
    assert re.search(r"fadd reassoc <\d+ x double>", text)


@pytest.mark.parametrize(
    ("dtype", "length", "is_called", "name"),
    [
        ("float64", 15, False, "math.exp"),
        ("float64", 16, False, "simd_exp"),
        ("float64", None, False, "simd_exp"),
        ("float64", None, True, "simd_exp"),
        ("float32", None, False, "simd_exp"),
        ("float32", None, True, "math.exp"),  # not vectorized, and then quicker
    ],
)
def test_which_loops_have_them(dtype, length, is_called, name):
    x = pytensor.shared(np.ones(length or 20, dtype), shape=(length,))
    start = pytensor.shared(np.float64(0.0))
    y = pt.exp(x) + pt.erfc(x) if is_called else pt.exp(x)
    changes = {start: start + y.sum(dtype="float64")}
    if length:  # lengths of what a step changes are part of its function, those of data are not
        changes[x] = x
    steps = CompiledSteps(StepGraph(changes, None), resolve_mode())
    steps.function = steps._build(steps._graph)
    assert re.findall(r"\w+[._]exp\b", steps.source) == [name]
    assert ("simd_add" in steps.source) == (name == "simd_exp")


@pytest.mark.parametrize("is_usual", [True, False])
def test_loops_that_meet_unusual_arguments_are_right(is_usual):
    """In the place of an argument, summed whole and along axes, and not kept at all."""
    cases = [
        (pt.sin, np.sin, 1e9),
        (pt.cos, np.cos, -1e22),
        (pt.gammaln, special.gammaln, -0.5),
        (pt.psi, special.psi, -3.7),
    ]
    changes, right = {}, {}
    for k, (function, of_numpy, unusual) in enumerate(cases):
        x = np.random.default_rng(k).uniform(0.5, 3, (20, 30))
        x[7, 11] = x[7, 11] if is_usual else unusual
        v = pytensor.shared(x, shape=x.shape)
        y = of_numpy(x)
        changes[v], right[v] = function(v), y
        for axis in (0, 1, None):
            total = pytensor.shared(np.asarray(np.sum(y, axis) * 0))
            changes[total], right[total] = total + function(v).sum(axis), np.sum(y, axis)
        total = pytensor.shared(0.0)
        changes[total], right[total] = total + function(2 * v).sum(), of_numpy(2 * x).sum()
    steps = CompiledSteps(StepGraph(changes, None), resolve_mode())
    steps.compile(steps.state({}, {}))
    after, _ = steps.run(steps.state({}, {}), 1)
    for v, value in right.items():
        np.testing.assert_allclose(steps.value(after, v), value, rtol=1e-12, atol=1e-12)
    for name in elementary.SIMD_LIMITS:
        assert len(re.findall(rf"= {name}\(", steps.source)) == 2


@has_vectors
def test_a_loop_that_looks_for_unusual_arguments_is_vectorized(monkeypatch):
    made = []
    real = linker.compiled
    monkeypatch.setattr(linker, "compiled", lambda *args: made.append(real(*args)) or made[-1])
    x, total = pytensor.shared(np.ones(40), shape=(40,)), pytensor.shared(0.0)
    steps = CompiledSteps(
        StepGraph({x: x + pt.gammaln(x), total: pt.sin(x).sum()}, None), resolve_mode()
    )
    with pytensor.config.change_flags(numba__cache=False):
        steps.compile(steps.state({}, {}))
    text = llvm_of(made[-1])
    assert vectors_of(elementary.SIN[0], text)
    assert vectors_of(elementary.GAMMALN_FAR[0], text)


def test_logaddexp_is_made_of_functions_that_vectorize():
    x, total = pytensor.shared(np.ones(40), shape=(40,)), pytensor.shared(0.0)
    y = pytensor.shared(np.linspace(-800, 800, 40), shape=(40,))
    steps = CompiledSteps(
        StepGraph({x: x, y: y, total: total + pt.logaddexp(x, y).sum()}, None), resolve_mode()
    )
    steps.compile(steps.state({}, {}))
    after, _ = steps.run(steps.state({}, {}), 1)
    right = np.logaddexp(np.ones(40), y.get_value()).sum()
    assert steps.value(after, total) == pytest.approx(right, rel=1e-14)
    assert "math." not in steps.source
    assert re.findall(r"simd_(?:exp|log1p|softplus)", steps.source)
