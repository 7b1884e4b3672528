"""Fit models to many rows in passes: from memory, from disk, and by the workers of a Dask cluster.

    python benchmarks/passes.py                    # 10^7 rows of 20 columns, 1.7 GB, on disk
    python benchmarks/passes.py --rows 100_000     # to try it out

Writes the rows to a temporary folder, fits them by ``method="auto"`` on each road, in a process of
its own, and deletes them. The table has the verdict, the number of passes, the time, and the most
memory that the process had; what its workers have is not counted. Below is how far means and widths
are from those of the fit in memory, and results of workers from those of this process. At the end:
the time of a pass by two workers, over that by one, and over that of a process that one core runs;
and how long a pass of one vector takes beside reading the files.

The cluster runs on this machine. Of two workers a killed one dies in the middle of the fit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from apart import done_apart

HERE = Path(__file__).resolve().parent
CHUNK = 100_000
GROUPS = 1_000
VECTORS = 120  # of a pass that is timed
WORKERS = {"one worker": 1, "two workers": 2, "four workers": 4, "one of two killed": 2}
ROADS = ["memory", "disk", "two workers", "four workers", "one of two killed"]


# -- data and models ---------------------------------------------------------------------------


def write(folder: Path, rows: int, columns: int) -> None:
    """Write predictors, groups and the outcomes of each model."""
    rng = np.random.default_rng(1)
    slope = rng.normal(size=columns) / np.sqrt(columns)
    effect = 0.5 * rng.normal(size=GROUPS)
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, dtype, shape in [
            ("X", "float64", (rows, columns)),
            ("group", "int32", (rows,)),
            ("logistic", "int8", (rows,)),
            ("hierarchy", "float64", (rows,)),
            ("poisson", "int32", (rows,)),
        ]
    }
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        X, group = rng.normal(size=(count, columns)), rng.integers(0, GROUPS, count)
        eta = X @ slope - 0.5
        values = {
            "X": X,
            "group": group,
            "logistic": rng.random(count) < 1 / (1 + np.exp(-eta)),
            "hierarchy": eta + effect[group] + 1.5 * rng.normal(size=count),
            "poisson": rng.poisson(np.exp(eta)),
        }
        for name, file in files.items():
            file[start : start + count] = values[name]
    for file in files.values():
        file.flush()


def data_of(vb: Any, folder: Path, name: str, in_memory: bool) -> Any:
    path = folder / f"{name}.npy"
    values = np.load(path) if in_memory else np.load(path, mmap_mode="r")
    return vb.Data(f"{name}_data", values, in_memory=in_memory)


def model_of(vb: Any, folder: Path, name: str, in_memory: bool) -> Any:
    """Return one of the models, on all rows."""
    columns = np.load(folder / "X.npy", mmap_mode="r").shape[1]
    with vb.Model() as model:
        X = data_of(vb, folder, "X", in_memory)
        y = data_of(vb, folder, name, in_memory)
        intercept = vb.Normal("intercept", 0, 2)
        slope = vb.Normal("slope", 0, 1, shape=columns)
        eta = intercept + X @ slope
        if name == "logistic":
            vb.Bernoulli("y", logit_p=eta, observed=y)
        elif name == "poisson":
            vb.Poisson("y", vb.math.exp(eta), observed=y)
        else:
            group = data_of(vb, folder, "group", in_memory)
            scale, noise = vb.HalfNormal("scale", 1), vb.HalfNormal("noise", 2)
            effect = vb.Normal("effect", 0, scale, shape=GROUPS)
            vb.Normal("y", eta + effect[group], noise, observed=y)
    return model


# -- one fit, in a process of its own ----------------------------------------------------------


def cluster_of(workers: int) -> Any:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    )
    return Client(cluster)


def killed_after(client: Any, seconds: float) -> None:
    """Kill a worker's process when some time has gone by."""
    pid = next(iter(client.run(os.getpid).values()))
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def fitted(folder: Path, name: str, road: str, kill_after: float) -> dict[str, Any]:
    """Fit a model on a road; return what the table has, and moments of draws."""
    import vibayes as vb

    client = cluster_of(WORKERS[road]) if road in WORKERS else False
    model = model_of(vb, folder, name, in_memory=road == "memory")
    if "killed" in road:
        killed_after(client, kill_after)
    began, cpu = time.perf_counter(), time.process_time()
    approx = vb.fit(method="auto", model=model, random_seed=1, client=client, progressbar=False)
    seconds = time.perf_counter() - began
    draws = approx.sample(2_000, random_seed=2).posterior
    values = np.concatenate(
        [v.values.reshape(2_000, -1) for v in draws.data_vars.values()], axis=1
    ).astype("float64")
    return {
        "good": bool(approx.diagnosis.good),
        "passes": (re.findall(r"in (\d+) passes", approx.ending.reason) or ["?"])[0],
        "seconds": seconds,
        "cpu": time.process_time() - cpu,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "mean": values.mean(axis=0).tolist(),
        "sd": values.std(axis=0).tolist(),
    }


def pass_seconds(folder: Path, workers: int) -> dict[str, Any]:
    """Return the seconds of a pass of the logistic regression; by one core if no worker does it."""
    import vibayes as vb
    from vibayes.model.passes import computing
    from vibayes.model.target import Target

    if not workers:
        os.sched_setaffinity(0, {0})
    model = model_of(vb, folder, "logistic", in_memory=False)
    with computing(cluster_of(workers) if workers else False):
        target = Target(model)
        Z = np.random.default_rng(1).normal(0, 0.1, (VECTORS, target.ddim))
        target(Z)  # reads
        times = []
        for _ in range(3):
            began = time.perf_counter()
            target(Z)
            times.append(time.perf_counter() - began)
    return {"seconds": float(np.median(times))}


def file_seconds(folder: Path) -> dict[str, Any]:
    """Return the seconds in which the files of a model are read, and of a pass of one vector.

    Each is the second time, so that the files are where the system keeps what was read.
    """
    import vibayes as vb
    from vibayes.model.target import Target

    target = Target(model_of(vb, folder, "logistic", in_memory=False))
    Z = np.random.default_rng(1).normal(0, 0.1, (1, target.ddim))
    times = {}
    for name, what in {"read": lambda: read_through(folder), "pass": lambda: target(Z)}.items():
        what()
        began = time.perf_counter()
        what()
        times[name] = time.perf_counter() - began
    return times


def read_through(folder: Path) -> None:
    """Read the files of the logistic regression, and do nothing with them."""
    room = bytearray(2**24)
    for name in ("X", "logistic"):
        with open(folder / f"{name}.npy", "rb", buffering=0) as file:
            while file.readinto(room):
                pass


def in_a_process(*arguments: Any) -> dict[str, Any]:
    """Return what a process of its own finds."""
    path = filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# -- all of them -------------------------------------------------------------------------------


def compared(found: dict[str, Any], other: dict[str, Any]) -> tuple[float, float, float]:
    """Return the largest distance of a mean in sds, and the smallest and largest ratio of sds."""
    mean, sd, others_mean, others_sd = (
        np.array(x) for x in (found["mean"], found["sd"], other["mean"], other["sd"])
    )
    ratio = sd / others_sd
    return float(np.abs((mean - others_mean) / others_sd).max()), ratio.min(), ratio.max()


def show_model(folder: Path, name: str, roads: list[str]) -> None:
    """Print the lines of one model."""
    found: dict[str, dict[str, Any]] = {}
    for road in roads:
        half = found.get("two workers", {"seconds": 10.0})["seconds"] / 2
        one = found[road] = in_a_process(folder, name, road, half)
        good = "Good" if one["good"] else "not Good"
        line = f"{name:10} {road:18} {good:8} {one['passes']:>6} {one['seconds']:8.1f}"
        print(f"{line} {one['cpu']:8.1f} {one['memory'] / 2**30:8.2f}", flush=True)
    if {"memory", "disk"} <= set(found):
        shift, low, high = compared(found["disk"], found["memory"])
        print(f"    disk, from memory: means within {shift:.1e} sd, widths {low:.4f} to {high:.4f}")
    for road in set(roads) & set(WORKERS) if "disk" in found else ():
        differences = [
            np.abs(np.array(found[road][k]) - np.array(found["disk"][k])).max()
            for k in ("mean", "sd")
        ]
        print(f"    {road}, from disk here: the same to {max(differences):.1e}")


def show_passes(folder: Path) -> None:
    """Print what a pass takes by one core and by workers."""
    times = {workers: in_a_process(folder, "pass", workers)["seconds"] for workers in (0, 1, 2)}
    print(f"\na pass of {VECTORS} vectors, logistic: one core {times[0]:.2f} s, ", end="")
    print(f"one worker {times[1]:.2f} s, two workers {times[2]:.2f} s: ", end="")
    print(f"{times[2] / times[0]:.2f} and {times[2] / times[1]:.2f} of these")
    both = in_a_process(folder, "files")
    print(f"reading the files {both['read']:.2f} s, a pass of one vector {both['pass']:.2f} s")


def one_of(folder: Path, what: str, rest: list[str]) -> dict[str, Any]:
    """Return what this process was started to find."""
    if what == "files":
        return file_seconds(folder)
    if what == "pass":
        return pass_seconds(folder, int(rest[0]))
    return fitted(folder, what, rest[0], float(rest[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=lambda text: int(text.replace("_", "")), default=10**7)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--models", default="logistic,poisson,hierarchy")
    parser.add_argument("--roads", default=",".join(ROADS))
    parser.add_argument("--folder", type=Path, help="where to put the data for the time being")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, what, *rest = arguments.one
        print(json.dumps(one_of(Path(folder), what, rest)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that data are deleted
    folder = Path(tempfile.mkdtemp(prefix="vibayes-passes-", dir=arguments.folder))
    try:
        # in a process of its own, as what this one had in memory counts for those that it starts
        done_apart(write, folder, arguments.rows, arguments.columns)
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{arguments.rows:,} rows, {arguments.columns} columns, {size / 1e9:.2f} GB")
        print("load average", *(f"{load:.1f}" for load in os.getloadavg()))
        print(f"\n{'model':10} {'road':18} verdict  passes  seconds      CPU   memory (GiB)")
        for name in arguments.models.split(","):
            show_model(folder, name, arguments.roads.split(","))
        show_passes(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
