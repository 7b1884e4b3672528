"""``python -m vibayes``: fit a real model to real data, and show the result."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import vibayes as vb
from vibayes.inference.base import METHODS
from vibayes.inference.convergence import FEWEST_LOSSES
from vibayes.posterior.summary import Row, format_table, summary_rows

DRAWS = 4000


def kidiq() -> vb.Model:
    """Test scores of children, by their mothers' IQ and schooling."""
    data = vb.datasets.load("kidiq")
    iq = data["mom_iq"]
    predictors = {
        "mom_hs": data["mom_hs"] - data["mom_hs"].mean(),
        "mom_iq": (iq - iq.mean()) / 15,
    }
    return regression(predictors, data["kid_score"], "kid_score")


def nes2000() -> vb.Model:
    """Party identification of voters, by ideology, race, age, education, gender and income."""
    data = vb.datasets.load("nes2000")
    names = ["real_ideo", "race_adj", "age_discrete", "educ1", "gender", "income"]
    return regression(
        {name: data[name] - data[name].mean() for name in names}, data["partyid7"], "partyid7"
    )


def regression(predictors: dict[str, np.ndarray], response: np.ndarray, name: str) -> vb.Model:
    """Return a linear regression with weakly informative priors."""
    X = np.column_stack(list(predictors.values()))
    with vb.Model(coords={"predictor": list(predictors)}) as model:
        intercept = vb.Normal("intercept", response.mean(), 2.5 * response.std())
        slope = vb.Normal("slope", 0, 2.5 * response.std() / X.std(axis=0), dims="predictor")
        sigma = vb.HalfNormal("sigma", 2 * response.std())
        vb.Normal(name, intercept + X @ slope, sigma, observed=response)
    return model


MODELS = {"kidiq": kidiq, "nes2000": nes2000}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vibayes",
        description="Fit a regression to a data set that ships with vibayes, print the posterior "
        "with a verdict on it, and draw it.",
    )
    parser.add_argument(
        "--data", choices=sorted(MODELS), default="kidiq", help="data set (default: %(default)s)"
    )
    parser.add_argument(
        "--method", choices=sorted(METHODS), default="auto", help="default: %(default)s"
    )
    parser.add_argument(
        "--n", type=int, help="number of iterations (default: until it has converged)"
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--plot",
        type=Path,
        default=Path("vibayes.png"),
        help="where to write the plot (default: %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"vibayes {vb.__version__}")
    args = parser.parse_args(argv)
    if args.n is not None and args.n < 100:
        parser.error("--n must be at least 100")
    if args.n is not None and not METHODS[args.method].takes_steps:
        parser.error(f"--n has no effect on {args.method}, which ends by itself")
    if args.seed < 0:
        parser.error("--seed must not be negative")
    if not (folder := args.plot.resolve().parent).is_dir():
        parser.error(f"--plot: there is no folder {folder}")
    if why := why_not_plotted(args.plot):
        parser.error(f"--plot: {why}")
    return args


def why_not_plotted(path: Path) -> str:
    """Say why a plot cannot be written to a path; empty if it can, or if nothing can draw it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    if os.path.isdir(path):
        return f"{path} is a folder, not the name of a file such as vibayes.png"
    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in formats:
        known = ", ".join(f".{name}" for name in sorted(formats))
        return f"the name of {path} must end with one of {known}"
    return why_not_written(path)


def why_not_written(path: Path) -> str:
    """Say why a file cannot be written, which the system knows best; empty if it can."""
    try:
        is_new = not path.exists()
        if not is_new and not path.is_file():
            return f"{path} is no regular file"
        with path.open("ab"):
            pass
    except OSError as error:
        return f"{path} cannot be written ({error.strerror})"
    if is_new:
        path.unlink()
    return ""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = arguments(argv)
    print(f"{args.data}: {MODELS[args.data].__doc__}")
    model = MODELS[args.data]()
    options: dict[str, Any] = {}
    if args.n is not None:
        options["obj_optimizer"] = vb.adam(learning_rate=0.02)
    began = time.perf_counter()
    with model:
        approx = vb.fit(args.n, args.method, random_seed=args.seed, diagnose=False, **options)
    seconds = time.perf_counter() - began
    posterior = approx.sample(DRAWS, random_seed=args.seed).posterior
    rows = summary_rows(posterior)
    print(format_table(rows))
    print(f"\n{approx.diagnose()}\n")
    print(f"time  {seconds:.2f} s, compilation included")
    try:
        plot(approx.hist, posterior, rows, args.plot)
    except ImportError:
        print("plot  not written: it needs matplotlib (pip install 'vibayes[plots]')")
        return 0
    print(f"plot  {args.plot}")
    return 0


def plot(hist: np.ndarray, posterior: Any, rows: list[Row], path: Path) -> None:
    """Draw the marginals, and the loss curve where there is one, and write them to a file."""
    from matplotlib.figure import Figure

    columns = 3
    lines, top = -(-len(rows) // columns), int(len(hist) >= FEWEST_LOSSES)
    figure = Figure(figsize=(9, 2.6 * top + 2.2 * lines), layout="constrained")
    grid = figure.add_gridspec(lines + top, columns)
    if top:
        vb.plot_loss(hist, ax=figure.add_subplot(grid[0, :]))
    draws = np.concatenate([v.values.reshape(DRAWS, -1).T for v in posterior.data_vars.values()])
    for i, (row, x) in enumerate(zip(rows, draws, strict=True)):
        axes = figure.add_subplot(grid[top + i // columns, i % columns])
        axes.hist(x, bins=50, density=True, color="C0", alpha=0.8)
        axes.axvline(row.mean, color="C1")
        axes.axvspan(row.lower, row.upper, color="C1", alpha=0.15, linewidth=0, zorder=0)
        axes.set_title(row.name, fontsize=10)
        axes.set_yticks([])
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
