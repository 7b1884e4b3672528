"""What tells objects of one class apart, so that one can stand in for another.

Compiled functions serve every object that would make the same ones. That is known only where a
class declares all of its settings: an attribute that it does not speak of may change anything.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Any

import numpy as np

__all__ = ["ComparedBySettings", "Identity", "attributes", "key_of", "settings_key"]


def attributes(instance: Any) -> dict[str, Any]:
    """Return all attributes of an instance by name, those in slots included."""
    slots = [
        name
        for cls in type(instance).__mro__
        for name in as_names(vars(cls).get("__slots__", ()))
        if name not in ("__dict__", "__weakref__") and hasattr(instance, name)
    ]
    found = {name: getattr(instance, name) for name in slots}
    return found | dict(getattr(instance, "__dict__", {}))


def as_names(slots: str | Iterable[str]) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def settings_key(
    instance: Any, settings: Iterable[str], derived: Collection[str] = ()
) -> Hashable | None:
    """Return what is equal for instances of a class that differ in nothing.

    Parameters
    ----------
    instance
        The object.
    settings
        Names of the attributes that tell instances apart.
    derived
        Names of further attributes: what follows from the settings, or changes no result.

    Returns
    -------
    Hashable or None
        None, where the instance has attributes beside these, or a setting cannot be compared:
        then it is equal to no other.
    """
    settings = tuple(settings)
    if attributes(instance).keys() - {*settings, *derived}:
        return None
    key = key_of([getattr(instance, name) for name in settings])
    return None if key is None else (type(instance), settings, key)


def key_of(value: Any) -> Hashable | None:
    """Return something that can be hashed, and is equal for equal values; None if there is none."""
    if value is None:
        return ("none",)  # None stands for what cannot be compared
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return None
        return "array", value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return tagged("dict", [part for item in value.items() for part in item])
    if isinstance(value, list | tuple):
        return tagged(type(value).__name__, value)
    if isinstance(value, ComparedBySettings):  # as it is now: it may be changed afterwards
        own = key_of(attributes(value))
        return value if own is None else (type(value), own)
    if isinstance(value, bool | int | float | complex):
        return (type(value).__name__, value)  # 1 and True are equal, and are not the same setting
    try:
        hash(value)
    except TypeError:
        return None
    return value


def tagged(kind: str, values: Iterable[Any]) -> Hashable | None:
    keys = tuple(map(key_of, values))
    return None if None in keys else (kind, keys)


class ComparedBySettings:
    """Objects that are equal if they are of one class and all their attributes are equal."""

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        own = key_of(attributes(self))
        return own is not None and own == key_of(attributes(other))

    def __hash__(self) -> int:
        return hash(type(self))


class Identity:
    """An object as a key that is equal to nothing but itself, whatever it says of equality."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
