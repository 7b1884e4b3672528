"""Which ArviZ there is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

__all__ = ["arviz_generation"]


@cache
def arviz_generation() -> int:
    """Return the major version of ArviZ, found without importing it."""
    return int(version("arviz").split(".")[0])
