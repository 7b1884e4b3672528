"""A table of posterior means, standard deviations and intervals, on the line and on the circle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["Row", "circular_row_of", "format_table", "rounded", "row_of", "summary_rows"]

DIGITS = 3


@dataclass(frozen=True)
class Row:
    """Summary of the draws of one scalar."""

    name: str
    mean: float
    sd: float
    lower: float
    upper: float
    is_circular: bool = False


def summary_rows(posterior: xarray.Dataset, probability: float = 0.94) -> list[Row]:
    """Return a row for each scalar of a posterior.

    Parameters
    ----------
    posterior
        Dataset with the dims ``chain`` and ``draw``.
    probability
        Mass of the equal-tailed interval.
    """
    rows = []
    for name, array in posterior.data_vars.items():
        stacked = array.transpose("chain", "draw", ...)
        axes = stacked.dims[2:]
        values = stacked.values.reshape(-1, *stacked.shape[2:])
        for index in np.ndindex(values.shape[1:]):
            x = values[(slice(None), *index)]
            labels = [str(stacked[d].values[i]) for d, i in zip(axes, index, strict=True)]
            label = f"{name}[{', '.join(labels)}]" if labels else str(name)
            rows.append(row_of(label, x, probability))
    return rows


def row_of(name: str, draws: np.ndarray, probability: float = 0.94) -> Row:
    """Return the summary of the draws of one scalar."""
    tail = (1 - probability) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Row(name, draws.mean(), draws.std(ddof=1), low, high)


def circular_row_of(name: str, draws: np.ndarray, probability: float = 0.94) -> Row:
    r"""Return the summary of the draws of an angle, in radians.

    With :math:`R e^{i \bar\theta}` the mean of :math:`e^{i \theta}`, the mean is the direction
    :math:`\bar\theta`, in :math:`[-\pi, \pi]`, and the standard deviation
    :math:`\sqrt{-2 \log R}`. The interval has equal tails on the turn about the mean; it is not
    cut at :math:`\pm \pi`, so that the mean is between its ends, and may go beyond them.

    References
    ----------
    Mardia and Jupp (2000), Directional statistics, eqs. 2.2.2 and 2.3.11.
    """
    direction = np.exp(1j * draws).mean()
    mean = np.angle(direction)
    # of offsets from the mean, which tell narrow widths, too: R is one less a very small number
    offsets = np.angle(np.exp(1j * (draws - mean)))
    sd = np.sqrt(-2 * np.log1p(-2 * np.mean(np.sin(offsets / 2) ** 2)))
    tail = (1 - probability) / 2
    low, high = mean + np.quantile(offsets, [tail, 1 - tail])
    return Row(name, mean, sd, low, high, is_circular=True)


def rounded(number: float, sd: float) -> str:
    """Return a number with as many decimals as show three digits of a standard deviation."""
    if not (np.isfinite(number) and np.isfinite(sd)) or sd <= 0:
        return f"{number:.5g}"
    decimals = DIGITS - 1 - int(np.floor(np.log10(sd)))
    if decimals > 2 * DIGITS or abs(number) >= 1e9:
        return f"{number:.{DIGITS + 2}g}"
    return f"{number:,.{max(decimals, 0)}f}"


def format_table(rows: list[Row], probability: float = 0.94) -> str:
    """Return the rows as a text table."""
    width = max(len(row.name) for row in rows)
    interval = f"{probability:.0%} interval"
    lines = [f"{'':{width}}  {'mean':>9} {'sd':>9}   {interval:>20}"]
    lines += [
        f"{r.name:{width}}  {r.mean:9.3f} {r.sd:9.3f}   {r.lower:9.3f} … {r.upper:8.3f}"
        for r in rows
    ]
    return "\n".join(lines)
