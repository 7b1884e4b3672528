"""``python -m vibayes``: fit a real model to real data, and show the result."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import vibayes as vb
from vibayes.formulas import FAMILIES, model_of_formula, read_table
from vibayes.inference.base import METHODS
from vibayes.plots.axes import COLORS, density, import_pyplot
from vibayes.posterior.summary import Row, format_table, rounded, summary_rows

DRAWS = 4000
MOST_ROWS, MOST_PANELS = 40, 12  # of the table and of the picture
AROUND = 5.0  # standard deviations of the posterior that are shown at each side


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
UNITS = {
    "kidiq": [
        "points, at mean predictors",
        "points, mother finished school",
        "points per 15 of her IQ",
        "points",
    ],
    "nes2000": ["steps of 7", *["steps per unit"] * 6, "steps of 7"],
}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vibayes",
        description="Fit a regression to a data set that ships with vibayes, or to a CSV file, "
        "print the posterior with a verdict on it, and draw it.",
    )
    parser.add_argument(
        "--data",
        default="kidiq",
        help=f"{', '.join(sorted(MODELS))}, or a .csv file with --formula (default: %(default)s)",
    )
    parser.add_argument(
        "--formula", help='such as "y ~ x + (1|group)", of columns of the file; needs formulae'
    )
    parser.add_argument(
        "--family",
        choices=FAMILIES,
        default=FAMILIES[0],
        help="distribution of the response of a formula (default: %(default)s)",
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
    if args.formula is None and args.data not in MODELS:
        known = ", ".join(sorted(MODELS))
        parser.error(f"--data: {args.data!r} is not one of {known}; a CSV file needs --formula")
    if args.formula is not None and args.data in MODELS:
        parser.error("--formula needs the name of a CSV file: --data FILE.csv")
    if args.formula is not None and not os.path.exists(args.data):
        parser.error(f"--data: there is no file {args.data}")
    if args.seed < 0:
        parser.error("--seed must not be negative")
    if not (folder := args.plot.resolve().parent).is_dir():
        parser.error(f"--plot: there is no folder {folder}")
    if why := why_not_plotted(args.plot):
        parser.error(f"--plot: {why}")
    try:
        args.problem = problem(args)
    except (ImportError, ValueError) as error:
        parser.error(f"--{'data' if args.formula is None else 'formula'}: {error}")
    return args


class Problem(NamedTuple):
    """A model, what it is of, and the units of its scalars, as far as they are known."""

    model: vb.Model
    title: str
    units: list[str]


def problem(args: argparse.Namespace) -> Problem:
    """Return what is to be fitted."""
    if args.formula is None:
        return Problem(MODELS[args.data](), MODELS[args.data].__doc__ or "", UNITS[args.data])
    model = model_of_formula(args.formula, read_table(Path(args.data)), args.family)
    return Problem(model, f"{args.formula}, by {Path(args.data).name}.", [])


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
    model, about, units = args.problem
    print(f"{args.data}: {about}")
    options: dict[str, Any] = {}
    if args.n is not None:
        options["obj_optimizer"] = vb.adam(learning_rate=0.02)
    began = time.perf_counter()
    with model:
        approx = vb.fit(args.n, args.method, random_seed=args.seed, diagnose=False, **options)
    seconds = time.perf_counter() - began
    posterior = approx.sample(DRAWS, random_seed=args.seed).posterior
    rows = summary_rows(posterior)
    print(format_table(rows[:MOST_ROWS]))
    if len(rows) > MOST_ROWS:
        print(f"… and {len(rows) - MOST_ROWS:,} more")
    diagnosis = approx.diagnose()
    print(f"\n{diagnosis}\n")
    print(f"time  {seconds:.2f} s, compilation included")
    try:
        prior = vb.sample_prior_predictive(DRAWS, model=model, random_seed=args.seed).prior
        plot(f"{about} {diagnosis.headline}.", posterior, prior, rows, units, args.plot)
    except ImportError as error:
        print(f"plot  not written: {error}")
        return 0
    print(f"plot  {args.plot}")
    return 0


def plot(
    title: str, posterior: Any, prior: Any, rows: list[Row], units: list[str], path: Path
) -> None:
    """Draw the posterior of each scalar beside its prior, and write them to a file.

    Parameters
    ----------
    title
        Above all.
    posterior, prior
        Datasets of draws.
    rows
        Summaries of the posterior.
    units
        Unit of each scalar.
    path
        The file.
    """
    import_pyplot("the plot")
    from matplotlib.figure import Figure

    rows = rows[:MOST_PANELS]
    columns = min(len(rows), 4 if len(rows) % 4 == 0 else 3 if len(rows) % 3 == 0 else 2)
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(0.6 + 2.7 * columns, 1.1 + 2.1 * lines), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes[len(rows) :]:
        ax.remove()
    names = list(posterior.data_vars)
    draws, before = (np.concatenate([flat(d[n]).T for n in names]) for d in (posterior, prior))
    units = [*units, *[""] * len(rows)]
    for ax, row, unit, x, p in zip(axes, rows, units, draws, before, strict=False):
        draw_scalar(ax, row, unit, x, p)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=120)


def flat(variable: Any) -> np.ndarray:
    """Return draws of a variable as a matrix, a row each."""
    values = variable.values
    return values.reshape(values.shape[0] * values.shape[1], -1)


def draw_scalar(ax: Any, row: Row, unit: str, draws: np.ndarray, prior: np.ndarray) -> None:
    """Draw the posterior of a scalar and, as far as it is there, its prior."""
    low, high = row.mean - AROUND * row.sd, row.mean + AROUND * row.sd
    low = max(low, 0.0) if prior.min() >= 0 else low
    x, heights = density(prior, low, high)
    ax.fill_between(x, heights, color=COLORS["against"], alpha=0.45, linewidth=0, label="prior")
    x, heights = density(draws, low, high)
    ax.plot(x, heights, color=COLORS["approximation"], label="posterior")
    inside = (x >= row.lower) & (x <= row.upper)
    ax.fill_between(
        x[inside],
        heights[inside],
        color=COLORS["approximation"],
        alpha=0.25,
        linewidth=0,
        label="94 % of it",
    )
    ax.plot([row.mean] * 2, [0, heights.max()], color=COLORS["bad"], linewidth=1, label="mean")
    before, after = (
        f"{rounded(mean, sd)} ± {rounded(sd, sd)}"
        for mean, sd in ((prior.mean(), prior.std()), (row.mean, row.sd))
    )
    ax.set_title(f"{row.name}: {after}\nbefore the data: {before}", size="small")
    ax.set_xlabel(unit, size="small")
    ax.set(xlim=(low, high), yticks=[], ylim=(0, 1.08 * heights.max()))


def leave_out_news_of_arviz() -> None:
    """Show nothing of what ArviZ 0.23 tells once a day of its future: who runs this has no code."""
    warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)


def run() -> int:
    """Run the command line in a process of its own; return the exit status."""
    leave_out_news_of_arviz()
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read has seen enough, as of ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return 1


if __name__ == "__main__":
    sys.exit(run())
