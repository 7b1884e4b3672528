"""Arguments that many functions take: checked in one way, with messages of one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["check_seed", "check_whole"]


def check_whole(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    value
        What was given: any kind of number, such as ``1e4`` or one of NumPy's.
    name
        Name of the argument, for the message; whose argument it is may come before it.
    least, most
        Smallest and largest number allowed; no largest one by default.

    Raises
    ------
    ValueError
        If it is no whole number, or not within the limits.
    """
    try:
        whole = not isinstance(value, bool | np.bool_ | str | bytes) and int(value) == value
    except (TypeError, ValueError, OverflowError):  # no number, several, NaN, infinity
        whole = False
    if not whole or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {limits}, got {value!r}")
    return int(value)


def behind_new(init: Callable[..., None]) -> Any:
    """Mark an ``__init__`` that takes other arguments than a call of its class, for type checkers.

    ``__new__`` of such a class says what a call takes and gives. Some checkers hold ``__init__``
    against the call instead, unless its type is not known.
    """
    return init


def check_seed(value: Any, label: str) -> int:
    """Return a seed as an int; a new one for None.

    Parameters
    ----------
    value
        What was given.
    label
        Whose seed it is, for the message.

    Raises
    ------
    ValueError
        If it is no whole number of at least 0.
    """
    if value is None:
        entropy: Any = np.random.SeedSequence().entropy
        return int(entropy)
    return check_whole(value, f"{label}: random_seed", least=0)
