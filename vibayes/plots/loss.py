"""The loss curve of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.html import binned, limits
from vibayes.numeric import numeric_array

__all__ = ["plot_loss"]

MOST_POINTS = 5000


@check_arguments
def plot_loss(approx: Any, ax: Any = None, start: int = 0) -> Any:
    """Draw the loss of each iteration of a fit, and its course.

    A single loss is an estimate by a draw or a few, and scatters; the line is the mean over
    stretches of the history. The axis leaves out the first fall where it would hide the rest.

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
        If matplotlib is missing: it comes with the extra ``plots``.
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
    if ax is not None and not hasattr(ax, "set_ylim"):
        raise TypeError(f"plot_loss: ax must be axes of Matplotlib, got {shown(ax)}")
    start = check_whole(start, "start", least=0)
    if losses.ndim != 1 or len(losses) <= start:
        raise ValueError(
            f"plot_loss: approx has no losses to draw from iteration {start} on: hist has shape "
            f"{losses.shape}"
        )
    if not np.isfinite(losses).all():
        raise ValueError(f"plot_loss: approx must have finite losses, got {shown(losses)}")
    ax = new_axes() if ax is None else ax
    losses = losses[start:]
    step = -(-len(losses) // MOST_POINTS)
    iterations = start + np.arange(1, len(losses) + 1)
    ax.plot(
        iterations[::step], losses[::step], ".", markersize=1.5, color="0.6", alpha=0.5, zorder=1
    )
    ends, means = binned(losses)
    ax.plot(start + ends, means, color="C0", zorder=2)
    low, high = limits(means)
    spread = np.nanquantile(np.abs(losses[len(losses) // 10 :] - np.median(losses)), 0.9)
    ax.set_ylim(low - spread, high + spread)
    ax.set(xlabel="iteration", ylabel="loss (negative ELBO)")
    return ax


def new_axes() -> Any:
    """Return the axes of a new figure."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plot_loss needs matplotlib: pip install 'vibayes[plots]'") from None
    return pyplot.subplots(layout="constrained")[1]
