"""What several plots share: Matplotlib, figures, and the scalars that are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vibayes.arguments import shown
from vibayes.installing import missing

__all__ = ["COLORS", "check_axes", "density", "import_pyplot", "named_columns"]

COLORS = {"approximation": "#3b82c4", "against": "0.55", "bad": "#c0392b", "good": "#2e8b57"}
"""Colours that are told apart on light and on dark pages."""
GRID = 200


def import_pyplot(what: str) -> Any:
    """Return Matplotlib's pyplot for a plot of some name.

    Raises
    ------
    ImportError
        Says how it can be installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise missing(what, "matplotlib", "plots") from None
    return pyplot


def check_axes(ax: Any, what: str) -> None:
    """Raise if something that is given is no axes of Matplotlib."""
    if ax is not None and not hasattr(ax, "set_ylim"):
        raise TypeError(f"{what}: ax must be axes of Matplotlib, got {shown(ax)}")


def named_columns(
    posterior: Any, sample_dims: Sequence[str], var_names: Sequence[str] | None, what: str
) -> dict[str, np.ndarray]:
    """Return the draws of each scalar, (n,), by its name with the labels of its dims.

    Parameters
    ----------
    posterior
        Dataset of draws.
    sample_dims
        Dimensions along which they lie.
    var_names
        Variables, or single scalars such as ``"beta[age]"``; all by default.
    what
        Whose argument the names are.
    """
    found = {}
    for name, array in posterior.data_vars.items():
        stacked = array.transpose(*sample_dims, ...)
        axes = stacked.dims[len(sample_dims) :]
        values = stacked.values.reshape(-1, *stacked.shape[len(sample_dims) :])
        for index in np.ndindex(values.shape[1:]):
            labels = [str(stacked[d].values[i]) for d, i in zip(axes, index, strict=True)]
            label = f"{name}[{', '.join(labels)}]" if labels else str(name)
            if var_names is None or {str(name), label} & set(var_names):
                found[label] = values[(slice(None), *index)].astype("float64")
    known = {*map(str, posterior.data_vars), *found}
    if unknown := [name for name in var_names or () if name not in known]:
        raise KeyError(
            f"{what}: var_names has {unknown[0]!r}, which is neither a variable of the posterior "
            f"nor one of its scalars; variables are {', '.join(map(str, posterior.data_vars))}"
        )
    return found


def density(draws: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points between two ends, and an estimate of the density of draws there."""
    from scipy.stats import gaussian_kde

    x = np.linspace(low, high, GRID)
    if not draws.std() > 0:
        return x, np.zeros(GRID)
    return x, gaussian_kde(draws)(x)
