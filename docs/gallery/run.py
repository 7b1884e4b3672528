"""Run the examples of the gallery, and write what they and the No-U-Turn sampler find.

``python docs/gallery/run.py`` for all of them, ``python docs/gallery/run.py ab_test`` for one.
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

import vibayes as vb
from vibayes.plots.axes import named_columns
from vibayes.predictive.trace import posterior_of

HERE = Path(__file__).parent
DRAWS, CHAINS = 500, 4
DPI = 70


def pages() -> list[str]:
    """Return the names of the examples, in the order of the gallery."""
    listed = (HERE / "index.md").read_text("utf-8").partition("{toctree}")[2]
    return re.findall(r"^([a-z_]+)$", listed, re.M)


def code_of(name: str) -> str:
    """Return the code of an example."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (HERE / f"{name}.md").read_text(), re.S))


def shown_in(name: str) -> list[str]:
    """Return the scalars that are compared: those that the picture is of."""
    (caption,) = re.findall(r"!\[(.*?): the fit beside", (HERE / f"{name}.md").read_text("utf-8"))
    return caption.split(", ")


def executed(name: str) -> dict[str, Any]:
    """Return what the code of an example has made."""
    names: dict[str, Any] = {"np": np, "vb": vb}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vb.ApproximationWarning)
        exec(compile(code_of(name), f"{name}.md", "exec"), names)
    return names


def scalars(trace: Any, names: list[str]) -> dict[str, np.ndarray]:
    """Return the draws of some scalars."""
    found = posterior_of(trace)
    columns = named_columns(found.posterior, found.sample_dims, names, "gallery")
    return {name: columns[name] for name in names}


def row(name: str, fitted: np.ndarray, sampled: np.ndarray) -> str:
    """Return a line of the table."""
    shift = (fitted.mean() - sampled.mean()) / sampled.std()
    numbers = (fitted.mean(), fitted.std(), sampled.mean(), sampled.std())
    text = "".join(f"{x:10.3f}" for x in numbers)
    return f"{name:16}{text}{shift:+10.2f}{fitted.std() / sampled.std():10.2f}"


def run(name: str) -> None:
    """Write the table and the picture of an example."""
    began = time.perf_counter()
    made = executed(name)
    seconds = time.perf_counter() - began
    model, approx = made["model"], made["approx"]
    began = time.perf_counter()
    options = {"model": model, "random_seed": 1, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chains that have not mixed
        trace = vb.sample(DRAWS, tune=DRAWS, chains=CHAINS, **options)
    sampling = time.perf_counter() - began
    names = shown_in(name)
    fitted = scalars(approx.sample(4000, random_seed=1), names)
    sampled = scalars(trace, names)
    verdict = approx.diagnosis or approx.diagnose()
    head = f"{'':16}{'fit':>10}{'':>10}{'NUTS':>10}{'':>10}{'mean off':>10}{'width':>10}"
    second = f"{'':16}" + f"{'mean':>10}{'sd':>10}" * 2 + f"{'(sd)':>10}{'fit/NUTS':>10}"
    lines = [
        verdict.verdict,
        "",
        head,
        second,
        *(row(n, fitted[n], sampled[n]) for n in names),
        "",
        f"{approx!r}".split(":")[0].strip("<") + f": {seconds:.0f} s, NUTS: {sampling:.0f} s",
    ]
    (HERE / "results" / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    axes = vb.plot_approximation(approx, against=trace, var_names=names, random_seed=1)
    axes[0, 0].figure.savefig(HERE / "figures" / f"{name}.png", dpi=DPI)
    print(f"{name}\n" + "\n".join(lines), flush=True)


if __name__ == "__main__":
    matplotlib.use("Agg")
    for chosen in sys.argv[1:] or pages():
        run(chosen)
