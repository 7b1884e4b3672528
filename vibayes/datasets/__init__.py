"""Small real data sets, for the first fit and for examples."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from vibayes.arguments import check_arguments

__all__ = ["NAMES", "load"]

NAMES = ("kidiq", "nes2000")


@check_arguments
def load(name: str) -> dict[str, np.ndarray]:
    """Return the columns of a data set by name.

    Parameters
    ----------
    name : {"kidiq", "nes2000"}
        What they hold, and where they come from, is told in the ``README.md`` beside them.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    if name not in NAMES:
        raise ValueError(f"no data set {name!r}; there are {', '.join(NAMES)}")
    header, *rows = (files(__name__) / f"{name}.csv").read_text().split()
    columns = np.array([row.split(",") for row in rows], dtype="float64").T
    return dict(zip(header.split(","), columns, strict=True))
