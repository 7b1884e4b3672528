"""Ranks of a simulation-based calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.inference.calibration import Calibration

__all__ = ["plot_ranks"]

COLUMNS = 4
BAND = 0.005, 0.995


@check_arguments
def plot_ranks(calibration: Any, bins: int = 20) -> Any:
    """Draw how often each rank came up, with the band in which 99 % of even counts lie.

    Parameters
    ----------
    calibration : Calibration
        What :func:`vibayes.calibrate` returned.
    bins
        Number of bars.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One a scalar.

    Raises
    ------
    ImportError
        If matplotlib is missing: it comes with the extra ``plots``.
    """
    if not isinstance(calibration, Calibration):
        raise TypeError(
            f"plot_ranks: calibration must be one of vb.calibrate, got {shown(calibration)}"
        )
    bins = check_whole(bins, "bins", least=2, most=calibration.draws + 1)
    from matplotlib import pyplot as plt
    from scipy import stats

    count = len(calibration.names)
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 2.2 * rows), squeeze=False)
    low, high = stats.binom.ppf(BAND, len(calibration.ranks), 1 / bins)
    width = (calibration.draws + 1) / bins
    places = (np.arange(bins) + 0.5) * width
    for ax, name, counts in zip(
        axes.flat, calibration.names, calibration.counts(bins), strict=False
    ):
        ax.axhspan(low, high, color="0.88")
        ax.bar(places, counts, width=0.9 * width)
        ax.set_title(name)
        ax.set_xlabel("rank")
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    figure.tight_layout()
    return axes.ravel()[:count]
