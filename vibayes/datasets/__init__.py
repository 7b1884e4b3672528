"""Small real data sets, for the first fit and for examples."""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO

import numpy as np

from vibayes.arguments import check_arguments

__all__ = ["NAMES", "get_data", "load"]

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


@check_arguments
def get_data(filename: str) -> BytesIO:
    r"""Return the file of a data set, for ``pandas.read_csv`` and the like.

    Parameters
    ----------
    filename : {"kidiq.csv", "nes2000.csv"}
        Name of the file.

    Raises
    ------
    ValueError
        If there is no such data set: nothing is downloaded.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.get_data("kidiq.csv").readline()
    b'kid_score,mom_hs,mom_iq\n'
    """
    if filename.removesuffix(".csv") not in NAMES or not filename.endswith(".csv"):
        known = ", ".join(f"{name}.csv" for name in NAMES)
        raise ValueError(
            f"get_data: filename must be one of {known}, got {filename!r}: other data have to be "
            f"read from where they are"
        )
    return BytesIO((files(__name__) / filename).read_bytes())
