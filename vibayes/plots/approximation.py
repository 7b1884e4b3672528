"""An approximation beside draws that are better, or of another method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments, check_whole, listed_names
from vibayes.backend.seeds import as_seed_sequence
from vibayes.plots.axes import COLORS, density, import_pyplot, named_columns
from vibayes.predictive.trace import posterior_of

__all__ = ["plot_approximation"]

MOST_SCALARS = 6  # in a figure that can still be read
MOST_DOTS = 1000
CELLS = 60  # of a grid, in each direction
MASSES = 0.9, 0.5
EDGE = 0.002  # probability left out at each side


@check_arguments
def plot_approximation(
    approx: Approximation,
    against: Any = None,
    var_names: str | Sequence[str] | None = None,
    *,
    draws: int = 2000,
    random_seed: Any = None,
) -> Any:
    """Draw the marginals of an approximation and of pairs of its variables, beside other draws.

    Lines are the approximation: its densities, and the regions of highest density that hold 50 %
    and 90 % of it, ellipses if it is normal on the scale that is shown. Gray is what it is compared
    with.

    Parameters
    ----------
    approx : Approximation
        What is drawn.
    against : Approximation, arviz.InferenceData, xarray.DataTree or xarray.Dataset, optional
        What it is compared with, such as the draws of :func:`vibayes.sample`; by default its own
        draws, importance weighted, where that is possible.
    var_names : str or sequence of str, optional
        Variables, or single scalars such as ``"beta[age]"``; by default the first six scalars of
        the free variables.
    draws : int, default 2000
        Number of draws of an approximation.
    random_seed : int, optional
        Seed of these draws.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        (k, k), for k scalars: those above the diagonal are not shown.

    Raises
    ------
    ImportError
        If Matplotlib is missing: ``pip install matplotlib``.
    KeyError
        If a name is unknown, or ``against`` has not all of the scalars.
    ValueError
        If there is nothing to draw, or too much: more than 12 scalars.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.5)
    ...     approx = vb.fit(random_seed=1, diagnose=False, progressbar=False)
    >>> axes = vb.plot_approximation(approx, random_seed=1)
    >>> axes.shape
    (2, 2)
    """
    draws = check_whole(draws, "draws", least=100)
    label = "plot_approximation: var_names"
    names = None if var_names is None else listed_names(var_names, label)
    pyplot = import_pyplot("plot_approximation")
    own_seed, other_seed = as_seed_sequence(random_seed).spawn(2)
    own = chosen(columns_of(approx.sample(draws, own_seed), names), names, approx)
    other, label = compared_with(approx, against, draws, other_seed)
    others = {} if other is None else columns_of(other)
    if lacking := [name for name in own if others and name not in others]:
        raise KeyError(f"plot_approximation: against has no draws of {lacking[0]!r}")
    count = len(own)
    size = 1.2 + 1.9 * count, 0.9 + 1.7 * count
    figure, axes = pyplot.subplots(
        count, count, figsize=size, squeeze=False, sharex="col", layout="constrained"
    )
    for i, row in enumerate(own):
        for j, column in enumerate(own):
            ax = axes[i, j]
            if j > i:
                ax.set_axis_off()
            elif i == j:
                draw_marginal(ax, own[row], others.get(row), type(approx).__name__, label)
            else:
                draw_pair(ax, [own[column], own[row]], [others.get(column), others.get(row)])
                ax.tick_params(labelleft=j == 0)
            if i == count - 1:
                ax.set_xlabel(column)
            if j == 0 and i > 0:
                ax.set_ylabel(row)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if count > 1:
        figure.legend(handles, labels, loc="upper right", frameon=False)
    else:
        axes[0, 0].legend(frameon=False)
    return axes


def columns_of(trace: Any, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Return the draws of each scalar by name."""
    found = posterior_of(trace, name="plot_approximation: against")
    return named_columns(found.posterior, found.sample_dims, names, "plot_approximation")


def chosen(
    columns: dict[str, np.ndarray], names: Sequence[str] | None, approx: Approximation
) -> dict[str, np.ndarray]:
    """Return the scalars to show: those that are named, or the first of the free variables."""
    if names is None:
        free = {rv.name for rv in approx.model.free_RVs}
        first = [name for name in columns if name.partition("[")[0] in free][:MOST_SCALARS]
        return {name: columns[name] for name in first}
    if len(columns) > 2 * MOST_SCALARS:
        raise ValueError(
            f"plot_approximation: var_names has {len(columns)} scalars, and {2 * MOST_SCALARS} are "
            f"the most that can be told apart: name some, such as {next(iter(columns))!r}"
        )
    return columns


def compared_with(
    approx: Approximation, against: Any, draws: int, random_seed: Any
) -> tuple[Any, str]:
    """Return draws to compare with, None if there are none, and what to call them."""
    if isinstance(against, Approximation):
        return against.sample(draws, random_seed), type(against).__name__
    if against is not None:
        return against, "draws to compare with"
    try:
        return approx.sample(draws, random_seed, importance=True), "importance weighted"
    except NotImplementedError:  # it has no density
        return None, ""


def draw_marginal(
    ax: Any, own: np.ndarray, other: np.ndarray | None, name: str, label: str
) -> None:
    """Draw the density of a scalar, over a histogram of the other draws."""
    low, high = ends(own, other)
    if other is not None:
        inside = other[(other >= low) & (other <= high)]
        weights = np.full(len(inside), CELLS / 2 / (high - low) / len(other))
        ax.hist(
            inside,
            bins=np.linspace(low, high, CELLS // 2 + 1),
            weights=weights,
            color=COLORS["against"],
            alpha=0.45,
            label=label,
        )
    ax.plot(*density(own, low, high), color=COLORS["approximation"], label=name)
    ax.set(xlim=(low, high), yticks=[])


def draw_pair(ax: Any, own: list[np.ndarray], others: list[Any]) -> None:
    """Draw the regions of highest density of two scalars, over the other draws as dots."""
    (x_low, x_high), (y_low, y_high) = (ends(a, b) for a, b in zip(own, others, strict=True))
    if others[0] is not None:
        step = -(-len(others[0]) // MOST_DOTS)
        x, y = (other[::step] for other in others)
        ax.plot(x, y, ".", markersize=2, color=COLORS["against"], alpha=0.5, rasterized=True)
    if all(x.std() > 0 for x in own):
        x, y = np.linspace(x_low, x_high, CELLS), np.linspace(y_low, y_high, CELLS)
        heights, levels = regions(np.array(own), x, y)
        ax.contour(x, y, heights, levels, colors=COLORS["approximation"], linewidths=1.2)
    ax.set(xlim=(x_low, x_high), ylim=(y_low, y_high))


def ends(own: np.ndarray, other: np.ndarray | None) -> tuple[float, float]:
    """Return the range to show."""
    draws = own if other is None else np.concatenate([own, other])
    low, high = np.quantile(draws, [EDGE, 1 - EDGE])
    margin = 0.05 * (high - low) or max(abs(low), 1.0) * 0.05
    return float(low - margin), float(high + margin)


def regions(draws: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Return the density (len(y), len(x)) of draws (2, n), and the levels that hold some of it."""
    from scipy.stats import gaussian_kde

    try:
        estimate = gaussian_kde(draws)
    except np.linalg.LinAlgError:  # one is a function of the other
        return np.zeros((len(y), len(x))), [1.0]
    grid = np.array([part.ravel() for part in np.meshgrid(x, y)])
    heights = estimate(grid).reshape(len(y), len(x))
    ordered = np.sort(heights.ravel())[::-1]
    held = np.cumsum(ordered) / ordered.sum()
    levels = [float(ordered[np.searchsorted(held, mass)]) for mass in MASSES]
    return heights, levels if levels[0] < levels[1] else levels[:1]
