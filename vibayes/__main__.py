"""``python -m vibayes``: fit a real model to real data, and show the result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import vibayes as vb
from vibayes.inference.convergence import loss_trend
from vibayes.inference.fit import METHODS
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
        "and draw the loss curve and the marginals.",
    )
    parser.add_argument(
        "--data", choices=sorted(MODELS), default="kidiq", help="data set (default: %(default)s)"
    )
    parser.add_argument(
        "--method", choices=sorted(METHODS), default="advi", help="default: %(default)s"
    )
    parser.add_argument(
        "--n", type=int, default=50_000, help="number of iterations (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed (default: %(default)s)")
    parser.add_argument(
        "--plot",
        type=Path,
        default=Path("vibayes.png"),
        help="where to write the plot (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    if args.n < 100:
        parser.error("--n must be at least 100")
    if args.seed < 0:
        parser.error("--seed must not be negative")
    if not args.plot.resolve().parent.is_dir():
        parser.error(f"--plot: there is no folder {args.plot.resolve().parent}")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = arguments(argv)
    print(f"{args.data}: {MODELS[args.data].__doc__}")
    model = MODELS[args.data]()
    inference = METHODS[args.method](model=model, random_seed=args.seed)
    inference.fit(args.n, obj_optimizer=vb.adam(learning_rate=0.02))
    posterior = inference.approx.sample(DRAWS, random_seed=args.seed).posterior
    rows = summary_rows(posterior)
    print(format_table(rows))
    print(f"convergence   {loss_trend(inference.hist)}")
    print(f"to compile    {inference.compile_seconds:.2f} s")
    print(f"to run        {inference.run_seconds:.2f} s, {args.n:,} iterations")
    try:
        plot(inference.hist, posterior, rows, args.plot)
    except ImportError:
        print("plot          not written: it needs matplotlib (pip install 'vibayes[plots]')")
        return 0
    print(f"plot          {args.plot}")
    return 0


def plot(hist: np.ndarray, posterior: Any, rows: list[Row], path: Path) -> None:
    """Draw the loss curve and the marginals, and write them to a file."""
    from matplotlib.figure import Figure

    columns = 3
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(9, 2.6 + 2.2 * lines), layout="constrained")
    grid = figure.add_gridspec(lines + 1, columns)
    loss = figure.add_subplot(grid[0, :])
    loss.plot(np.arange(1, len(hist) + 1), hist, color="0.75", linewidth=0.5, label="each")
    window = max(1, len(hist) // 200)
    means = hist[: len(hist) // window * window].reshape(-1, window).mean(axis=1)
    loss.plot(window * np.arange(1, len(means) + 1), means, label=f"mean of {window}")
    low, high = np.quantile(hist[len(hist) // 10 :], [0.001, 0.999])
    loss.set_ylim(low - 0.5 * (high - low), high + (high - low))
    loss.set(xlabel="iteration", ylabel="loss (negative ELBO)")
    loss.legend(loc="upper right")
    draws = np.concatenate([v.values.reshape(DRAWS, -1).T for v in posterior.data_vars.values()])
    for i, (row, x) in enumerate(zip(rows, draws, strict=True)):
        axes = figure.add_subplot(grid[1 + i // columns, i % columns])
        axes.hist(x, bins=50, density=True, color="C0", alpha=0.8)
        axes.axvline(row.mean, color="C1")
        axes.axvspan(row.lower, row.upper, color="C1", alpha=0.15, linewidth=0, zorder=0)
        axes.set_title(row.name, fontsize=10)
        axes.set_yticks([])
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
