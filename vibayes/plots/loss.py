"""The loss curve of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.html import binned, limits
from vibayes.numeric import numeric_array
from vibayes.plots.axes import check_axes, import_pyplot

__all__ = ["plot_loss"]

MOST_POINTS = 5000
FEW = 60  # losses, which are each worth a dot that can be seen
OUTER = 0.01, 0.97


@check_arguments
def plot_loss(approx: Any, ax: Any = None, start: int = 0) -> Any:
    """Draw the loss of each iteration of a fit, and its course.

    A single loss is an estimate by a draw or a few, and scatters; the line is the mean over
    stretches of the history, and a point is where it ended. The axis leaves out the first fall
    where it would hide the rest.

    Parameters
    ----------
    approx : Approximation, Inference or array_like
        What was fitted, or its ``hist``: the loss of each iteration, (n,). It is the negative
        evidence lower bound in nats, unless the objective is another.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure of its own.
    start : int, default 0
        First iteration to show.

    Returns
    -------
    matplotlib.axes.Axes
        With the plot.

    Raises
    ------
    ImportError
        If Matplotlib is missing: ``pip install matplotlib``.
    ValueError
        If there are no losses from ``start`` on.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     approx = vb.fit(500, obj_optimizer=vb.adam(), backend="py", progressbar=False)
    >>> axes = vb.plot_loss(approx)
    >>> axes.get_xlabel()
    'iteration'
    """
    hist = numeric_array(getattr(approx, "hist", approx), "plot_loss: approx, or its hist,")
    losses = np.atleast_1d(hist.astype("float64"))
    check_axes(ax, "plot_loss")
    start = check_whole(start, "start", least=0)
    if losses.ndim != 1 or len(losses) <= start:
        raise ValueError(
            f"plot_loss: approx has no losses to draw from iteration {start} on: hist has shape "
            f"{losses.shape}"
        )
    if not np.isfinite(losses).all():
        raise ValueError(f"plot_loss: approx must have finite losses, got {shown(losses)}")
    ax = import_pyplot("plot_loss").subplots(layout="constrained")[1] if ax is None else ax
    losses = losses[start:]
    step = -(-len(losses) // MOST_POINTS)
    iterations = start + np.arange(1, len(losses) + 1)
    few = len(losses) <= FEW
    ax.plot(
        iterations[::step],
        losses[::step],
        ".",
        markersize=5 if few else 1.5,
        color="0.6",
        alpha=1.0 if few else 0.5,
        zorder=1,
        label="each iteration",
    )
    ends, means = binned(losses)
    every = -(-len(losses) // len(ends))
    name = f"mean of {every:,} iterations" if every > 1 else "their course"
    ax.plot(start + ends, means, color="C0", zorder=2, label=name)
    end, last = start + len(losses), means[-1]
    ax.scatter([end], [last], s=24, color="C1", zorder=3, label=f"the end: {last:,.5g} at {end:,}")
    ax.set_ylim(*heights(losses, means))
    ax.set_xlim(start - 0.02 * len(losses), end + 0.03 * len(losses))
    ax.set(xlabel="iteration", ylabel="loss (negative ELBO)")
    ax.ticklabel_format(useOffset=False)
    ax.legend(loc="upper right", frameon=False)
    return ax


def heights(losses: np.ndarray, means: np.ndarray) -> tuple[float, float]:
    """Return the range of losses to show: without the first fall, and the farthest of either side.

    What is above and below the mean has a range of its own: losses are skewed.
    """
    if len(losses) <= FEW:
        margin = 0.05 * np.ptp(losses) or 0.01 * max(abs(losses[0]), 1.0)
        return float(losses.min() - margin), float(losses.max() + margin)
    low, high = limits(means)
    lowest, highest = np.quantile(losses[len(losses) // 10 :], OUTER)
    margin = 0.05 * (highest - lowest)
    return float(min(low, lowest - margin)), float(max(high, highest + margin))
