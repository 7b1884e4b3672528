"""Time the steps of large models on whatever device JAX has, or with Numba.

    python benchmarks/devices.py                    # all cases on JAX's default device
    python benchmarks/devices.py --scale 0.01       # a hundredth of the data, to try it out
    python benchmarks/devices.py --backend numba    # the same on the CPU by Numba

Each case is run in a process of its own, in single precision unless --float64 is given, as GPUs
are made for. The table has the time of a step and that from the model to the first result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SECONDS = 3.0  # that a case is timed for, after the first result
REPEATS = 3


def rows(count: int, scale: float) -> int:
    return max(200, round(count * scale))


def floats(values: np.ndarray) -> np.ndarray:
    import pytensor

    return values.astype(pytensor.config.floatX)


# -- cases: a method and the arguments of its fit --------------------------------------------------


def logistic(scale: float) -> tuple[Any, dict[str, Any]]:
    """Logistic regression, 1,000,000 rows of 100 predictors, mean field."""
    import vibayes as vb

    rng = np.random.default_rng(0)
    X = floats(rng.standard_normal((rows(1_000_000, scale), 100), dtype="float32"))
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, :10].sum(axis=1)))).astype("int8")
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 1, shape=100)
        vb.Bernoulli("y", logit_p=vb.math.dot(X, slope), observed=y)
    return vb.ADVI(model=model, random_seed=1), {}


def autoencoder(scale: float) -> tuple[Any, dict[str, Any]]:
    """Variational autoencoder, 60,000 pictures of 784 pixels, batches of 512."""
    import pytensor
    import pytensor.tensor as pt

    import vibayes as vb

    rng = np.random.default_rng(0)
    pictures = (rng.random((rows(60_000, scale), 784)) < 0.2).astype("int8")
    batch = vb.Minibatch(pictures, batch_size=min(512, len(pictures)))
    hidden, codes = 500, 32

    def weights(name: str, n: int, m: int) -> Any:
        return pytensor.shared(floats(rng.normal(0, n**-0.5, (n, m))), name=name, shape=(n, m))

    names = {"in": (784, hidden), "mu": (hidden, codes), "rho": (hidden, codes)}
    names |= {"out": (codes, hidden), "pixels": (hidden, 784)}
    w = {name: weights(name, *shape) for name, shape in names.items()}
    inner = pt.tanh(pt.dot(batch.astype(pytensor.config.floatX), w["in"]))
    with vb.Model() as model:
        z = vb.Normal("z", 0, 1, shape=(batch.batch_shape[0], codes), total_size=pictures.shape[0])
        logit = pt.dot(pt.tanh(pt.dot(z, w["out"])), w["pixels"])
        vb.Bernoulli("x", logit_p=logit, observed=batch, total_size=pictures.shape)
        encoded = (pt.dot(inner, w["mu"]), pt.dot(inner, w["rho"]))
        approx = vb.MeanField(local_rv={z: encoded}, model=model, random_seed=1)
    options = {"more_obj_params": list(w.values()), "obj_optimizer": vb.adam(learning_rate=1e-3)}
    return vb.Inference(vb.KL(approx)), options


def particles(scale: float) -> tuple[Any, dict[str, Any]]:
    """Stein variational gradient descent, 10,000 particles in 10 dimensions."""
    import vibayes as vb

    rng = np.random.default_rng(0)
    X = floats(rng.standard_normal((200, 10)))
    y = (rng.random(200) < 1 / (1 + np.exp(-X[:, 0]))).astype("int8")
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 1, shape=10)
        vb.Bernoulli("y", logit_p=vb.math.dot(X, slope), observed=y)
    return vb.SVGD(n_particles=rows(10_000, scale), model=model, random_seed=1), {}


def network(scale: float) -> tuple[Any, dict[str, Any]]:
    """Bayesian network, 1,000,000 weights, batches of 512 of 50,000 rows, mean field."""
    import pytensor.tensor as pt

    import vibayes as vb

    rng = np.random.default_rng(0)
    wide = max(16, round(900 * scale**0.5))
    X = floats(rng.standard_normal((rows(50_000, scale), 200), dtype="float32"))
    y = floats(np.sin(X[:, 0]) + 0.1 * rng.standard_normal(len(X)))
    batch = vb.Minibatch(X, y, batch_size=min(512, len(X)))
    with vb.Model() as model:
        first = vb.Normal("first", 0, 200**-0.5, shape=(200, wide))
        second = vb.Normal("second", 0, wide**-0.5, shape=(wide, wide))
        last = vb.Normal("last", 0, wide**-0.5, shape=wide)
        inner = pt.tanh(pt.dot(pt.tanh(pt.dot(batch[0], first)), second))
        vb.Normal("y", pt.dot(inner, last), 0.1, observed=batch[1], total_size=len(X))
    return vb.ADVI(model=model, random_seed=1), {"obj_optimizer": vb.adam(learning_rate=1e-3)}


CASES: dict[str, Callable[[float], tuple[Any, dict[str, Any]]]] = {
    "logistic": logistic,
    "autoencoder": autoencoder,
    "particles": particles,
    "network": network,
}


# -- measuring ---------------------------------------------------------------------------------


def measure(name: str, scale: float, backend: str, device: str | None) -> dict[str, Any]:
    """Return the seconds of a step, and of all up to the first result."""
    began = time.perf_counter()
    inference, options = CASES[name](scale)
    options |= {"backend": backend, "progressbar": False}
    if device:
        options["device"] = device
    inference.fit(1, **options)
    first = time.perf_counter() - began

    def seconds_of(n: int) -> float:
        began = time.perf_counter()
        inference.refine(n, progressbar=False)
        return time.perf_counter() - began

    n = 1
    while (seconds := seconds_of(n)) * REPEATS < SECONDS:  # as many steps as take a while
        n = max(n + 1, min(10 * n, round(1.5 * n * SECONDS / REPEATS / seconds)))
    step = median(seconds_of(n) / n for _ in range(REPEATS))
    return {"step": step, "first": first, "device": device_name(backend, device)}


def device_name(backend: str, device: str | None) -> str:
    if backend != "jax":
        return f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {backend}"
    import jax

    found = jax.devices(device)[0] if device else jax.devices()[0]
    cpus = f", {os.cpu_count()} CPUs" if found.platform == "cpu" else ""
    return f"{found.device_kind} ({found.platform}{cpus}), JAX {jax.__version__}"


def in_a_process(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return what a process of its own measures, or its error."""
    flags = [os.environ.get("PYTENSOR_FLAGS"), f"floatX={'float64' if args.float64 else 'float32'}"]
    env = os.environ | {"PYTENSOR_FLAGS": ",".join(filter(None, flags))}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), env.get("PYTHONPATH")]))
    command = [sys.executable, __file__, "--one", name, "--scale", str(args.scale)]
    command += ["--backend", args.backend, *(["--device", args.device] if args.device else [])]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "killed"}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Run the command line; return the exit status: 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES), help="default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data")
    parser.add_argument("--backend", choices=["jax", "numba"], default="jax")
    parser.add_argument("--device", help="a kind of device of JAX, such as cpu or gpu")
    parser.add_argument("--float64", action="store_true", help="double precision")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.scale, args.backend, args.device)))
        return 0
    names = args.cases.split(",")
    if unknown := set(names) - set(CASES):
        parser.error(f"--cases: {', '.join(sorted(unknown))} not known; there are {list(CASES)}")
    failed = False
    for name in names:
        found = in_a_process(name, args)
        failed |= "error" in found
        if "error" in found:
            print(f"{name:12} FAILED: {found['error']}", flush=True)
        else:
            times = f"{found['step'] * 1e3:10.3f} ms a step {found['first']:7.1f} s to the first"
            print(f"{name:12} {times}   {found['device']}", flush=True)
    precision = "double" if args.float64 else "single"
    print(f"{precision} precision, scale {args.scale}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
