"""Values that callbacks remember, as JSON and arrays of numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["kept_value", "value_of"]

NUMBERS = {"float16", "float32", "float64", "bool"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def kept_value(value: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    """Return a value as what JSON can hold, or as an array of numbers.

    Raises
    ------
    TypeError
        If it is neither; says what it is, and what is allowed.
    """
    if isinstance(value, np.ndarray | np.generic):
        return kept_array(np.asarray(value))
    if isinstance(value, bool | int | float | list | tuple) and is_numbers(value):
        return kept_array(np.asarray(value))
    return {"json": plain_value(value)}, None


def is_numbers(value: Any) -> bool:
    """Tell whether a value is a number, or nested lists of numbers of one shape, as of arrays."""
    if isinstance(value, list | tuple):
        if not all(map(is_numbers, value)):
            return False
        try:
            return np.asarray(value).dtype.name in NUMBERS
        except (ValueError, OverflowError):
            return False
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.name in NUMBERS
    return isinstance(value, bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def kept_array(array: np.ndarray) -> tuple[dict[str, Any], np.ndarray | None]:
    if array.dtype.kind == "U":
        return {"texts": array.tolist(), "shape": list(array.shape)}, None
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.name not in NUMBERS:
        raise TypeError(f"is an array of dtype {array.dtype}; {ALLOWED}")
    return {}, array


ALLOWED = (
    "it must be numbers, texts, None, lists and dicts of these, or arrays of dtype float16 to "
    "float64, of whole numbers, bool or texts"
)


def plain_value(value: Any) -> Any:
    """Return a value that JSON gives back as it was, but for tuples, which become lists."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic) and value.dtype.name in NUMBERS:
        return value.item()
    if isinstance(value, list | tuple):
        return [plain_value(v) for v in value]
    if isinstance(value, Mapping):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"is a dict with the key {bad[0]!r}, and keys must be texts")
        return {key: plain_value(v) for key, v in value.items()}
    raise TypeError(f"holds {value!r:.60} of type {type(value).__name__}; {ALLOWED}")


def value_of(record: Mapping[str, Any], array: np.ndarray | None) -> Any:
    """Return a kept value."""
    if array is not None:
        return array
    if "texts" in record:
        return np.array(record["texts"], dtype="U").reshape(record["shape"])
    return record["json"]
