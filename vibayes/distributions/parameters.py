"""Parameters of which there are alternatives, or that must be in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibayes.distributions.constraints import constant_value
from vibayes.exceptions import ParameterError

__all__ = ["check_order", "chosen", "exactly_one", "only_one"]


def only_one(**given: Any) -> None:
    """Raise if more than one of several ways to state the same parameter is used."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"give either {' or '.join(given)}, not both")


def exactly_one(**given: Any) -> str:
    """Return the name of the one parameter that is given."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(f"give either {' or '.join(given)}, and not both")
    return names[0]


def chosen(*options: tuple[str, ...], **given: Any) -> tuple[str, ...]:
    """Return the names of the parameters that are given.

    Raises
    ------
    ValueError
        If they are none of the ``options``.
    """
    names = tuple(name for name, value in given.items() if value is not None)
    if names not in options:
        allowed = ", or ".join(" and ".join(option) for option in options)
        raise ValueError(f"give {allowed}; got {' and '.join(names) or 'none of them'}")
    return names


def check_order(
    low: Any, high: Any, low_name: str = "lower", high_name: str = "upper", *, strict: bool
) -> None:
    """Raise if two constants are not in order, where ``strict`` if they are equal anywhere."""
    least, most = constant_value(low), constant_value(high)
    if least is None or most is None:
        return
    if not np.all(least < most if strict else least <= most):
        raise ParameterError(
            f"{low_name} must be {'below' if strict else 'at most'} {high_name}, got {low} and "
            f"{high}"
        )
