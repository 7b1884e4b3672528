"""A table of posterior means, standard deviations and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["Row", "format_table", "summary_rows"]


@dataclass(frozen=True)
class Row:
    """Summary of the draws of one scalar."""

    name: str
    mean: float
    sd: float
    lower: float
    upper: float


def summary_rows(posterior: xarray.Dataset, probability: float = 0.94) -> list[Row]:
    """Return a row for each scalar of a posterior.

    Parameters
    ----------
    posterior
        Dataset with the dims ``chain`` and ``draw``.
    probability
        Mass of the equal-tailed interval.
    """
    tail = (1 - probability) / 2
    rows = []
    for name, array in posterior.data_vars.items():
        stacked = array.transpose("chain", "draw", ...)
        axes = stacked.dims[2:]
        values = stacked.values.reshape(-1, *stacked.shape[2:])
        for index in np.ndindex(values.shape[1:]):
            x = values[(slice(None), *index)]
            labels = [str(stacked[d].values[i]) for d, i in zip(axes, index, strict=True)]
            low, high = np.quantile(x, [tail, 1 - tail])
            label = f"{name}[{', '.join(labels)}]" if labels else str(name)
            rows.append(Row(label, x.mean(), x.std(ddof=1), low, high))
    return rows


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
