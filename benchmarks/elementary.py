"""Times the elementary functions of compiled steps beside NumPy and the C library's.

``python benchmarks/elementary.py`` prints a table: nanoseconds an element, medians of interleaved
runs over arrays that fit into the processor's cache.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from scipy import special

from vibayes.backend.numba_linker.elementary import SIMD_FUNCTIONS, simd_functions

# what NumPy, or SciPy, has; and an expression of a number with the functions of the C library
# (it has no digamma)
OTHERS: dict[str, tuple[Callable[..., Any], str]] = {
    "simd_cos": (np.cos, "math.cos(x)"),
    "simd_digamma": (special.psi, ""),
    "simd_erf": (special.erf, "math.erf(x)"),
    "simd_exp": (np.exp, "math.exp(x)"),
    "simd_expm1": (np.expm1, "math.expm1(x)"),
    "simd_gammaln": (special.gammaln, "math.lgamma(x)"),
    "simd_log": (np.log, "math.log(x)"),
    "simd_log1mexp": (
        lambda x: np.where(x < -math.log(2), np.log1p(-np.exp(x)), np.log(-np.expm1(x))),
        "math.log1p(-math.exp(x)) if x < -0.69 else math.log(-math.expm1(x))",
    ),
    "simd_log1p": (np.log1p, "math.log1p(x)"),
    "simd_sigmoid": (special.expit, "1 / (1 + math.exp(-x))"),
    "simd_sin": (np.sin, "math.sin(x)"),
    "simd_softplus": (lambda x: np.logaddexp(0, x), "max(x, 0.0) + math.log1p(math.exp(-abs(x)))"),
    "simd_tanh": (np.tanh, "math.tanh(x)"),
}


def loop(expression: str, is_sum: bool) -> Any:
    """Return a compiled function that keeps, or sums, an expression of each element x."""
    body = f"s = simd_add(s, {expression})" if is_sum else f"out[i] = {expression}"
    source = f"""
def function(array, out, s):
    for i in range(array.shape[0]):
        x = array[i]
        {body}
    return s
"""
    scope = {"math": math, **simd_functions()}
    exec(source, scope)
    return njit(scope["function"], error_model="numpy")


def seconds(function: Callable[[], Any], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - began) / repeats


def row(name: str, dtype: str, n: int, rounds: int) -> list[float]:
    """Return nanoseconds an element: a vectorized loop, one that sums, C's function, NumPy."""
    x = np.random.default_rng(0).normal(size=n).astype(dtype) * 2
    if "log" in name or "gamma" in name:
        x = -np.abs(x) if name == "simd_log1mexp" else np.abs(x)
    out, start = np.empty_like(x), x.dtype.type(0)
    in_numpy, in_c = OTHERS[name]
    loops = [loop(f"{name}(x)", False), loop(f"{name}(x)", True)]
    loops += [loop(in_c, False)] if in_c else []
    calls: list[Callable[[], Any]] = [
        *(lambda f=f: f(x, out, start) for f in loops),
        lambda: in_numpy(x),
    ]
    for call in calls:
        call()
    times = [[seconds(call, 20) for call in calls] for _ in range(rounds)]
    *ours, theirs = np.median(times, axis=0) / n * 1e9
    return [*ours, *([] if in_c else [np.nan]), theirs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5_000, help="elements of the arrays")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(f"ns an element       {'loop':>8}{'sum':>8}{'C':>8}{'NumPy':>8}")
    for formula in SIMD_FUNCTIONS:
        for dtype in ("float64", "float32"):
            name = formula.__name__
            figures = row(name, dtype, options.n, options.rounds)
            label = f"{name.removeprefix('simd_')} {dtype}"
            texts = ("" if np.isnan(v) else f"{v:.2f}" for v in figures)
            print(f"{label:20}" + "".join(f"{text:>8}" for text in texts), flush=True)


if __name__ == "__main__":
    main()
