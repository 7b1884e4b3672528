"""Automatic fits of hierarchies, random walks and crossed effects of growing size.

``python benchmarks/sizes.py`` takes about ten minutes and writes docs/figures/sizes.txt and
docs/figures/sizes.svg: processor time and memory of ``vb.fit(method="auto")``, verdict included,
each in a process of its own, and how far the parameters are from the truth. Given these, all is
normal: so the truth is their marginal posterior, integrated by importance sampling.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.sparse.linalg import splu
from scipy.stats import multivariate_t, norm

HERE = Path(__file__).resolve().parent
FIGURES = HERE.parent / "docs" / "figures"
OBSERVED = 5  # values of a group
POINTS = 200  # by which the truth is integrated
DF = 8
NEWTON_STEPS = 2  # after a search for the mode of the truth
WIDTH = 1e-3  # of differences
COLORS = {"hierarchy": "#3b82c4", "random walk": "#c4673b", "crossed effects": "#4f9d69"}
GREY = "#868e99"  # seen on light and on dark pages


@dataclass(frozen=True)
class Problem:
    """A normal model with normal effects, and what its parameters are.

    Attributes
    ----------
    y
        Data.
    design
        Sparse matrix of what each datum is the sum of.
    precision
        Returns the prior precision of the effects, given the scales by name.
    priors
        Scale of the half-normal prior of each scale; ``noise`` is that of the data.
    write
        Writes the model.
    """

    y: np.ndarray
    design: sp.csc_matrix
    precision: Callable[[dict[str, float]], sp.csc_matrix]
    priors: dict[str, float]
    write: Callable[[Any], None]


def chosen(*levels: np.ndarray, sizes: tuple[int, ...]) -> sp.csc_matrix:
    """Return a design: a common value, and an effect of each of several factors."""
    n = len(levels[0])
    parts = [sp.csc_matrix(np.ones((n, 1)))]
    parts += [
        sp.csc_matrix((np.ones(n), (np.arange(n), level)), shape=(n, size))
        for level, size in zip(levels, sizes, strict=True)
    ]
    return sp.hstack(parts).tocsc()


def hierarchy(size: int) -> Problem:
    """Return groups whose means are normal, five values each."""
    rng = np.random.default_rng(size)
    group = np.repeat(np.arange(size), OBSERVED)
    y = 1 + (0.7 * rng.normal(size=size))[group] + rng.normal(size=len(group))

    def write(vb: Any) -> None:
        mu, tau, noise = vb.Normal("mu", 0, 5), vb.HalfNormal("tau", 2), vb.HalfNormal("noise", 2)
        effect = vb.Normal("effect", mu, tau, shape=size)
        vb.Normal("y", effect[group], noise, observed=y)

    def precision(scales: dict[str, float]) -> sp.csc_matrix:
        return sp.diags([1 / 25, *np.full(size, scales["tau"] ** -2)]).tocsc()

    return Problem(y, chosen(group, sizes=(size,)), precision, {"tau": 2, "noise": 2}, write)


def walk(size: int) -> Problem:
    """Return a random walk that is observed at each step."""
    rng = np.random.default_rng(size)
    y = np.cumsum(0.3 * rng.normal(size=size)) + rng.normal(size=size)

    def write(vb: Any) -> None:
        tau, noise = vb.HalfNormal("tau", 1), vb.HalfNormal("noise", 2)
        start = vb.Normal.dist(0, 5)
        level = vb.GaussianRandomWalk("level", mu=0, sigma=tau, init_dist=start, shape=size)
        vb.Normal("y", level, noise, observed=y)

    step = sp.diags([-np.ones(size - 1), np.ones(size)], [-1, 0])

    def precision(scales: dict[str, float]) -> sp.csc_matrix:
        weights = sp.diags([1 / 25, *np.full(size - 1, scales["tau"] ** -2)])
        return (step.T @ weights @ step).tocsc()

    return Problem(y, sp.eye(size).tocsc(), precision, {"tau": 1, "noise": 2}, write)


def crossed(size: int) -> Problem:
    """Return values that depend on two factors, half of the effects each."""
    rng = np.random.default_rng(size)
    half, n = size // 2, OBSERVED * size
    i, j = rng.integers(half, size=n), rng.integers(half, size=n)
    y = 1 + (0.7 * rng.normal(size=half))[i] + (0.5 * rng.normal(size=half))[j]
    y += rng.normal(size=n)

    def write(vb: Any) -> None:
        mu, noise = vb.Normal("mu", 0, 5), vb.HalfNormal("noise", 2)
        tau, tau2 = vb.HalfNormal("tau", 2), vb.HalfNormal("tau2", 2)
        a, b = vb.Normal("a", 0, tau, shape=half), vb.Normal("b", 0, tau2, shape=half)
        vb.Normal("y", mu + a[i] + b[j], noise, observed=y)

    def precision(scales: dict[str, float]) -> sp.csc_matrix:
        rest = np.repeat([scales["tau"] ** -2, scales["tau2"] ** -2], half)
        return sp.diags([1 / 25, *rest]).tocsc()

    priors = {"tau": 2, "tau2": 2, "noise": 2}
    return Problem(y, chosen(i, j, sizes=(half, half)), precision, priors, write)


KINDS = {"hierarchy": hierarchy, "random walk": walk, "crossed effects": crossed}
SIZES = {
    "hierarchy": (100, 300, 1_000, 3_000, 10_000),
    "random walk": (100, 300, 1_000, 3_000, 10_000),
    "crossed effects": (100, 300, 1_000, 2_000),
}


# -- truth -------------------------------------------------------------------------------------


def log_marginal(problem: Problem, logs: np.ndarray) -> float:
    """Return the log density of logarithms of the scales, the effects integrated out."""
    scales = dict(zip(problem.priors, np.exp(logs), strict=True))
    noise, A, y = scales["noise"], problem.design, problem.y
    prior = problem.precision(scales)
    b = A.T @ y / noise**2
    factor = splu((prior + A.T @ A / noise**2).tocsc(), "MMD_AT_PLUS_A", 0.0)
    log_dets = [np.log(np.abs(f.U.diagonal())).sum() for f in (splu(prior), factor)]
    quadratic = y @ y / noise**2 - b @ factor.solve(b)
    likelihood = 0.5 * (log_dets[0] - log_dets[1] - quadratic) - len(y) * np.log(noise)
    return likelihood + sum(
        norm.logpdf(scales[name], 0, scale) + np.log(scales[name])
        for name, scale in problem.priors.items()
    )


def truth(problem: Problem, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and sds of the scales, in the order of the priors."""
    d = len(problem.priors)
    mode = minimize(lambda x: -log_marginal(problem, x), np.log(np.full(d, 0.7))).x
    for _ in range(NEWTON_STEPS):
        slope, curvature = derivatives(problem, mode)
        mode = mode + np.linalg.solve(curvature, slope)
    proposal = multivariate_t(mode, np.linalg.inv(curvature), df=DF, seed=1)
    x = proposal.rvs(points).reshape(points, d)
    logs = np.array([log_marginal(problem, row) for row in x]) - proposal.logpdf(x)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean = weights @ np.exp(x)
    return mean, np.sqrt(weights @ (np.exp(x) - mean) ** 2)


def derivatives(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient and negative Hessian of the log density, by differences."""
    d, moves = len(x), WIDTH * np.eye(len(x))
    here = log_marginal(problem, x)
    up, down = (np.array([log_marginal(problem, x + s * m) for m in moves]) for s in (1, -1))
    H = np.diag(up + down - 2 * here)
    for i in range(d):
        for j in range(i):
            both = log_marginal(problem, x + moves[i] + moves[j])
            H[i, j] = H[j, i] = both - up[i] - up[j] + here
    return (up - down) / (2 * WIDTH), -H / WIDTH**2


# -- fits --------------------------------------------------------------------------------------


def measure(kind: str, size: int) -> dict[str, Any]:
    """Fit, in this process."""
    import vibayes as vb

    problem = KINDS[kind](size)
    with vb.Model() as model:
        problem.write(vb)
    began = time.process_time()
    approx = vb.fit(method="auto", model=model, random_seed=1, progressbar=False)
    seconds = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    draws = approx.sample(4_000, random_seed=2, var_names=list(problem.priors)).posterior
    mean, sd = truth(problem, POINTS)
    found = [draws[name].values.ravel() for name in problem.priors]
    return {
        "good": bool(approx.diagnosis.good),
        "seconds": seconds,
        "memory": memory,
        "shift": max(abs(v.mean() - m) / s for v, m, s in zip(found, mean, sd, strict=True)),
        "widths": [f(v.std() / s for v, s in zip(found, sd, strict=True)) for f in (min, max)],
    }


def in_a_process(kind: str, size: int) -> dict[str, Any]:
    """Return what a process of its own measures."""
    path = filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, __file__, "--one", kind, str(size)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def draw(found: dict[str, dict[int, dict[str, Any]]], path: Path) -> None:
    """Draw processor time and memory by size; open circles are fits that are not called Good."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sizes"
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    panels = zip(axes, ("seconds", "memory"), ("processor time (s)", "memory (MB)"), strict=True)
    for ax, name, label in panels:
        for kind, by_size in found.items():
            values = [one[name] for one in by_size.values()]
            ax.loglog(list(by_size), values, color=COLORS[kind], label=kind)
            for size, one in by_size.items():
                face = COLORS[kind] if one["good"] else "none"
                ax.plot(size, one[name], "o", color=COLORS[kind], markerfacecolor=face)
        ax.set_xlabel("effects, or steps of the walk", color=GREY)
        ax.set_ylabel(label, color=GREY)
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(which="both", colors=GREY)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        ax.patch.set_visible(False)
    axes[0].legend(frameon=False, labelcolor=GREY)
    figure.savefig(path, transparent=True, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=10_000, help="the largest size")
    parser.add_argument("--to", type=Path, default=FIGURES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    found: dict[str, dict[int, dict[str, Any]]] = {}
    lines = [f"{'':16} {'size':>6} verdict   CPU (s)  memory (MB)  means off by (sd)  widths"]
    print(lines[0])
    for kind, sizes in SIZES.items():
        for size in (s for s in sizes if s <= options.most):
            one = found.setdefault(kind, {})[size] = in_a_process(kind, size)
            low, high = one["widths"]
            verdict = "Good" if one["good"] else "not Good"
            lines.append(
                f"{kind:16} {size:6,} {verdict:8} {one['seconds']:8.1f} {one['memory']:12.0f}"
                f" {one['shift']:18.2f}  {low:.2f} to {high:.2f}"
            )
            print(lines[-1], flush=True)
    (options.to / "sizes.txt").write_text("\n".join(lines) + "\n")
    draw(found, options.to / "sizes.svg")


if __name__ == "__main__":
    main()
