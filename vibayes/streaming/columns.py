"""Which columns of a block become which variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["column_names", "has_names", "parts_of"]


def parts_of(values: Any, columns: Sequence[Any] | None) -> list[Any]:
    """Return the parts of a block."""
    if columns is not None:
        return [column_of(values, entry) for entry in columns]
    if has_names(values):
        return [values[key] for key in values]
    return list(values) if isinstance(values, list | tuple) else [values]


def column_of(values: Any, entry: Any) -> Any:
    """Return one column, a vector, or several, a matrix."""
    if not has_names(values):
        return np.asarray(values)[:, entry]
    if isinstance(entry, list | tuple):
        return np.stack([np.asarray(values[name]) for name in entry], axis=1)
    return values[entry]


def has_names(values: Any) -> bool:
    """Tell whether a block has named columns: a dict, a table of pandas or of Arrow."""
    return isinstance(values, Mapping) or hasattr(values, "columns")


def column_names(columns: Sequence[Any]) -> list[str]:
    """Return all names in entries of ``columns``, each once."""
    entries = [entry if isinstance(entry, list | tuple) else [entry] for entry in columns]
    return list(dict.fromkeys(str(name) for entry in entries for name in entry))
