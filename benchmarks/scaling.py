"""What a step costs a unit of what it is made of, from small to large.

``python benchmarks/scaling.py`` takes a few minutes and writes docs/figures/scaling.txt and
docs/figures/scaling.svg: nanoseconds a step and a dimension of a mean field, a row of data, a pair
of particles, and a draw. A line that falls has costs that do not grow with the size; one that is
flat has none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
import numpy as np

import vibayes as vb

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
REPEATS = 5  # timings of a size, of which the least counts: other work only adds
SECONDS = 0.3  # about as long is a timing, if it can be with LEAST steps
LEAST, MOST = 3, 20_000  # steps of a timing
GREY, LINE = "#868e99", "#3b82c4"  # seen on light and on dark pages


@dataclass(frozen=True)
class Sweep:
    """Fits of one kind and of growing size.

    Attributes
    ----------
    title, unit
        What grows, and what a step's time is divided by.
    sizes
        How large.
    inference
        Returns what is fitted, of a size.
    options
        Returns the arguments of the fit, of a size.
    units
        Returns how many units a size has.
    """

    title: str
    unit: str
    sizes: tuple[int, ...]
    inference: Callable[[int], Any]
    options: Callable[[int], dict[str, Any]] = lambda size: {}
    units: Callable[[int], int] = lambda size: size


def normals(d: int) -> Any:
    """Return a mean field of d standard deviations and means."""
    with vb.Model() as model:
        vb.Normal("x", 0, np.linspace(0.5, 2, d), shape=d)
    return vb.ADVI(model=model, random_seed=1)


def regression(n: int) -> Any:
    """Return a logistic regression on n rows of one predictor."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n)
    y = rng.random(n) < 1 / (1 + np.exp(0.5 - x))
    with vb.Model() as model:
        level, slope = vb.Normal("level", 0, 1), vb.Normal("slope", 0, 1)
        vb.Bernoulli("y", logit_p=level + slope * x, observed=y)
    return vb.ADVI(model=model, random_seed=1)


def particles(n: int) -> Any:
    """Return n particles of a mixture of two normals."""
    return vb.SVGD(n_particles=n, model=models.mixture(vb), random_seed=1)


def gamma(draws: int) -> Any:
    """Return a gamma model of 200 values."""
    return vb.ADVI(model=models.gamma(vb), random_seed=1)


SWEEPS = (
    Sweep("dimensions of a mean field", "dimension", (10**2, 10**3, 10**4, 10**5, 10**6), normals),
    Sweep("rows of data", "row", (10**3, 10**4, 10**5, 10**6, 10**7), regression),
    Sweep(
        "particles",
        "pair",
        (10**2, 300, 10**3, 3_000, 10**4),
        particles,
        lambda n: {"obj_optimizer": vb.sgd(learning_rate=0.01)},
        lambda n: n**2,
    ),
    Sweep("draws a step", "draw", (1, 3, 10, 30, 100), gamma, lambda draws: {"obj_n_mc": draws}),
)


def seconds_a_step(inference: Any, options: dict[str, Any]) -> float:
    """Return the time of a step, the least of several timings, after it was compiled."""

    def timed(n: int) -> float:
        inference.fit(n, progressbar=False, backend="numba", **options)
        return float(inference.run_seconds / n)

    timed(1)
    n = int(min(MOST, max(LEAST, SECONDS / timed(LEAST))))
    return min(timed(n) for _ in range(REPEATS))


def measured(sweep: Sweep) -> list[tuple[int, float, float]]:
    """Return size, seconds a step, and nanoseconds a step and a unit of each size."""
    found = []
    for size in sweep.sizes:
        seconds = seconds_a_step(sweep.inference(size), sweep.options(size))
        found.append((size, seconds, seconds / sweep.units(size) * 1e9))
        print(f"{size:12,} {sweep.title:30}{in_words(seconds):>12} a step", flush=True)
    return found


def in_words(seconds: float) -> str:
    for scale, unit in ((1e-6, "ns"), (1e-3, "µs"), (1, "ms")):
        if seconds < scale:
            return f"{seconds / scale * 1e3:.3g} {unit}"
    return f"{seconds:.3g} s"


def table(sweep: Sweep, rows: list[tuple[int, float, float]]) -> str:
    head = f"{sweep.title:30}{'a step':>12}{'ns a ' + sweep.unit:>16}"
    return "\n".join([head, *(f"{n:<30,}{in_words(s):>12}{ns:>16.3g}" for n, s, ns in rows)])


def draw(found: list[list[tuple[int, float, float]]]) -> Any:
    """Return a figure with a panel for each sweep."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scaling", "font.size": 10})
    rcParams["font.family"] = "sans-serif"
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    for ax, sweep, rows in zip(figure.subplots(2, 2).flat, SWEEPS, found, strict=True):
        sizes, _, costs = zip(*rows, strict=True)
        ax.loglog(sizes, costs, "o-", color=LINE, linewidth=2, markersize=5)
        middle = np.sqrt(min(costs) * max(costs))
        reach = max(np.sqrt(max(costs) / min(costs)), 10) * 1.5
        ax.set_ylim(middle / reach, middle * reach)  # two decades at least
        ax.set_xlabel(sweep.title, color=GREY)
        ax.set_ylabel(f"ns a step and {sweep.unit}", color=GREY)
        ax.set_facecolor("none")
        ax.tick_params(which="both", color=GREY, labelcolor=GREY)
        ax.grid(color=GREY, alpha=0.25)
        for side, spine in ax.spines.items():
            spine.set_color(GREY)
            spine.set_visible(side in ("left", "bottom"))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=FIGURES, help="folder of what is written")
    options = parser.parse_args()
    found = [measured(sweep) for sweep in SWEEPS]
    text = "\n\n".join(map(table, SWEEPS, found)) + "\n"
    (options.to / "scaling.txt").write_text(text, "utf-8")
    figure = draw(found)
    figure.savefig(options.to / "scaling.svg", transparent=True, metadata={"Date": None})
    print("\n" + text)


if __name__ == "__main__":
    main()
