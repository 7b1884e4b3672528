"""Fit a logistic regression to data that are larger than memory should get.

    python benchmarks/streaming.py

Writes 10^7 rows of 50 columns (4 GB) to a temporary folder, fits them from there by
``vb.Minibatch``, and deletes them. Printed are the memory that the process had at its highest,
the share of time for which warm steps waited for data, and how far the result is from the truth
and from a fit of a sample of the same data in memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytensor
from apart import done_apart

CHUNK = 100_000
WARM_UP = 2_000
RATES = [1e-3, 1e-4, 1e-5]  # at the last, what a mean jumps about is less than its posterior sd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--draws", type=int, default=1, help="of the parameters, a step")
    parser.add_argument("--steps", type=int, default=90_000)
    parser.add_argument("--sample", type=int, default=200_000, help="rows of the fit in memory")
    parser.add_argument("--folder", type=Path, help="where to put the data for the time being")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that data are deleted
    needed = arguments.rows * (arguments.columns + 1) * 8
    folder = Path(tempfile.mkdtemp(prefix="vibayes-streaming-", dir=arguments.folder))
    try:
        free = shutil.disk_usage(folder).free
        if free < 1.2 * needed:
            sys.exit(f"{needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} are free")
        # in a process of its own, so that its memory does not count
        done_apart(write, folder, arguments.rows, arguments.columns)
        measure(folder, arguments)
    finally:
        shutil.rmtree(folder)


def coefficients(columns: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=columns) / np.sqrt(columns)


def write(folder: Path, rows: int, columns: int) -> None:
    rng = np.random.default_rng(2)
    truth = coefficients(columns)
    with open(folder / "X", "wb") as x_file, open(folder / "y", "wb") as y_file:
        for start in range(0, rows, CHUNK):
            X = rng.normal(size=(min(CHUNK, rows - start), columns))
            X.tofile(x_file)
            (rng.random(len(X)) < 1 / (1 + np.exp(-X @ truth))).astype("float64").tofile(y_file)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    import vibayes as vb

    rows, columns = arguments.rows, arguments.columns
    X = np.memmap(folder / "X", dtype="float64", mode="r", shape=(rows, columns))
    y = np.memmap(folder / "y", dtype="float64", mode="r")
    memory = Memory()
    memory.print("start")

    size = arguments.batch_size
    inference = regression(vb, *vb.Minibatch(X, y, batch_size=size), rows, columns)
    rate = begin(vb, inference, arguments.draws)
    print(f"compilation              {inference.compile_seconds:8.1f} s")
    memory.print(f"after {WARM_UP:,} steps")
    run, wait, began = inference.run_seconds, inference.wait_seconds, time.perf_counter()
    own, all_threads = time.thread_time(), time.process_time()
    go_on(inference, rate, arguments.steps)
    wall = time.perf_counter() - began
    own, all_threads = time.thread_time() - own, time.process_time() - all_threads
    run, wait = inference.run_seconds - run, inference.wait_seconds - wait
    memory.print("at the end")
    steps = arguments.steps
    epochs = steps * size / rows
    print(f"{steps:,} warm steps of {size} rows, {epochs:.1f} epochs: {wall:.2f} s")
    print(f"    a step               {1e6 * run / steps:8.1f} µs")
    print(f"    waiting, a step      {1e6 * wait / steps:8.1f} µs, {wait / wall:.1%} of time")
    print(f"    processor, a step    {1e6 * own / steps:8.1f} µs")
    print(f"    processor, reading   {1e6 * (all_threads - own) / steps:8.1f} µs")
    print(f"    data                 {steps * size * (columns + 1) * 8 / wall / 1e9:8.2f} GB/s")

    chosen = np.sort(np.random.default_rng(3).choice(rows, arguments.sample, replace=False))
    sample = np.asarray(X[chosen]), np.asarray(y[chosen])
    in_memory = regression(vb, *vb.Minibatch(*sample, batch_size=size), len(chosen), columns)
    go_on(in_memory, begin(vb, in_memory, arguments.draws), steps)
    means, of_sample = (i.approx.mean.eval(mode="FAST_COMPILE") for i in (inference, in_memory))
    sd = in_memory.approx.std.eval(mode="FAST_COMPILE")
    print(f"in memory, {len(chosen):,} rows: a step {1e6 * in_memory.run_seconds / steps:.1f} µs")
    print("largest distance of a mean, in posterior sds of the sample:")
    print(f"    stream from sample   {np.abs((means - of_sample) / sd).max():8.2f}")
    print(f"    sample from truth    {np.abs((of_sample - coefficients(columns)) / sd).max():8.2f}")
    print(f"    stream from truth    {np.abs((means - coefficients(columns)) / sd).max():8.2f}")
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))


def regression(vb, X, y, rows: int, columns: int):
    with vb.Model() as model:
        beta = vb.Normal("beta", 0, 2.5, shape=columns)
        vb.Bernoulli("y", logit_p=X @ beta, observed=y, total_size=rows)
    return vb.ADVI(model=model, random_seed=1, start_sigma={"beta": 0.01})


def begin(vb, inference, draws: int):
    """Make the first steps, and return the learning rate, which can be set."""
    rate = pytensor.shared(np.asarray(RATES[0], dtype=pytensor.config.floatX), name="rate")
    optimizer = vb.adam(learning_rate=rate)
    inference.fit(WARM_UP, obj_n_mc=draws, obj_optimizer=optimizer, progressbar=False)
    return rate


def go_on(inference, rate, steps: int) -> None:
    for value in RATES:
        rate.set_value(value)
        inference.refine(steps // len(RATES), progressbar=False)


class Memory:
    """Resident memory of this process."""

    def print(self, when: str) -> None:
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"memory {when:18s}{highest:8.2f} GiB at the highest")


if __name__ == "__main__":
    main()
