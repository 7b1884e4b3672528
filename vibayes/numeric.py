"""Numbers that users give, in whatever holds them: taken as they are meant, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from decimal import Decimal
from fractions import Fraction
from functools import partial, wraps
from typing import Any, TypeVar, cast

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import shown
from vibayes.exceptions import ImputationError

__all__ = [
    "as_tensor",
    "as_whole_numbers",
    "checked_tensor",
    "missing_message",
    "numeric_array",
    "numeric_value",
]

F = TypeVar("F", bound=Callable[..., Any])

MISSING = frozenset({"NoneType", "NAType", "NaTType", "MaskedConstant"})
"""Names of the classes of what stands for a missing number."""
ADVICE = {
    "c": "take its real part, or model both parts",
    "M": "turn dates into numbers first, such as days since the first",
    "m": "divide it by a unit first, such as np.timedelta64(1, 'D')",
    "U": "convert it first, such as by astype(float)",
    "S": "convert it first, such as by astype(float)",
    "V": "give its columns one by one",
    "O": "cast them first, as in data.astype('float64')",
}
"""What to do with what is not numbers, by the kind of its dtype."""


def numeric_array(
    data: Any, subject: str, *, copy: bool | None = True, objects: bool = True
) -> np.ndarray:
    """Return numbers as an array that PyTensor can take.

    Parameters
    ----------
    data
        A number, a list, or whatever NumPy can read: a table of pandas or polars, an array of
        xarray, a masked array without masked elements. Missing elements become NaN.
    subject
        What they are, for messages: the variable, and which of its arguments.
    copy
        Whether the array is a new one in any case, or, by None, only where it has to be.
    objects
        Whether arrays of Python's own numbers are taken: one by one, which takes long.

    Raises
    ------
    TypeError
        If they are no numbers: texts, dates, complex numbers, ragged lists, sets, functions.
    ImputationError
        If elements are masked.
    """
    if np.ma.isMaskedArray(data):
        if (mask := np.ma.getmaskarray(data)).any():
            raise ImputationError(missing_message(subject, mask, "masked"))
        data = np.ma.getdata(data)
    refuse = partial(refused, data, subject)
    if data is None or isinstance(data, str | bytes | Mapping | Set | Iterator | type):
        raise refuse("give a list, or an array" if isinstance(data, Set | Iterator) else "")
    if type(data).__name__ in MISSING:
        raise refuse("")
    try:
        value = np.array(data.to_numpy() if hasattr(data, "to_numpy") else data, copy=copy)
    except Exception as error:  # whatever foreign containers raise
        raise refuse(str(error)) from None
    if value.dtype == object and objects:
        value = from_objects(value, subject, refuse)
    if value.dtype.kind == "b":
        return value.astype("int8")
    if value.dtype.kind not in "iuf":
        kind = value.dtype.kind
        raise refuse(f"their dtype is {value.dtype}; {ADVICE.get(kind, 'convert it first')}")
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:
        return value.astype("float64")
    return value.astype(value.dtype.newbyteorder("="), copy=False)


def refused(data: Any, subject: str, why: str) -> TypeError:
    """Return the error that says what was given in the place of numbers."""
    because = f": {why}" if why else ""
    return TypeError(f"{subject} must be numbers, got {shown(data)}{because}")


def from_objects(value: np.ndarray, subject: str, refuse: Callable[[str], TypeError]) -> np.ndarray:
    """Return an array of Python's numbers as one of floats; missing ones are NaN."""
    result = np.empty(value.shape)
    for index in np.ndindex(value.shape):
        element = value[index]
        if type(element).__name__ in MISSING:
            result[index] = np.nan
            continue
        is_number = isinstance(element, int | float | Decimal | Fraction | np.number | np.bool_)
        if not is_number or np.iscomplexobj(element):
            where = f"their dtype is object, and element {index} is {shown(element)}"
            raise refuse(where if value.ndim else "")
        try:
            result[index] = float(element)
        except (OverflowError, ValueError) as error:
            raise refuse(f"{shown(element)}: {error}") from None
    return result


def missing_message(subject: str, missing: np.ndarray, kind: str) -> str:
    """Say how many of some numbers are missing, and where the first is."""
    first = tuple(int(i) for i in np.argwhere(missing)[0])
    label, _, what = subject.rpartition(": ")
    values = what.replace("data", "values") if "data" in what else f"values of {what}"
    return (
        f"{label}: {missing.sum()} of {missing.size} {values} are {kind}, the first at index "
        f"{first}. Drop those rows, or model them as variables of their own."
    )


def numeric_value(value: Any, subject: str) -> Any:
    """Return what a user gives for a parameter: a number, an array, or a tensor.

    Parameters
    ----------
    value
        Numbers as for :func:`numeric_array`, a tensor, or a list that holds tensors.
    subject
        What it is, for messages.

    Raises
    ------
    TypeError
        If it is neither numbers nor a tensor of real numbers.
    ImputationError
        If elements are masked.
    """
    if type(value) in (float, int) and (abs(value) < 2**63 or value != value):
        return value
    if isinstance(value, list | tuple) and holds_tensors(value):
        try:
            value = pt.as_tensor_variable(value)
        except Exception as error:  # of several kinds, for shapes and elements that do not fit
            raise refused(value, subject, str(error)) from None
    if isinstance(value, Variable):
        return checked_tensor(value, subject)
    array = numeric_array(value, subject)
    return array if array.ndim else array.item()


def holds_tensors(values: Any) -> bool:
    """Tell whether nested lists have a tensor somewhere."""
    if isinstance(values, list | tuple):
        try:
            return any(map(holds_tensors, values))
        except RecursionError:  # a list that holds itself
            return False
    return isinstance(values, Variable)


def checked_tensor(value: Variable, subject: str) -> Variable:
    """Return a variable if it is a tensor of real numbers."""
    dtype = getattr(value.type, "dtype", "")
    if isinstance(value.type, pt.TensorType) and not dtype.startswith("complex"):
        return value
    advice = "its .values" if hasattr(value.type, "dims") else "PyTensor's tensors of real numbers"
    raise TypeError(
        f"{subject} must be numbers, got {shown(value)} ({value.type}); {advice} will do"
    )


def as_tensor(value: Any, subject: str) -> TensorVariable:
    """Return numbers, or a tensor, as a tensor; see :func:`numeric_value`."""
    return pt.as_tensor_variable(numeric_value(value, subject))


def as_whole_numbers(value: np.ndarray, subject: str) -> np.ndarray:
    """Return numbers as whole ones of dtype int64.

    Raises
    ------
    ValueError
        If one is not whole, or too large.
    """
    label, _, what = subject.rpartition(": ")
    values = what.replace("data", "values")
    broken = (value != np.floor(value)) | ~np.isfinite(value)
    if broken.any():
        raise ValueError(
            f"{label}: {what} must be whole numbers, but {broken.sum()} of {value.size} {values} "
            f"are not, the first of them {value[broken][0]}"
        )
    large = (value >= 2**63) | (value < -(2**63))
    if large.any():
        raise ValueError(
            f"{label}: {what} must be whole numbers below 2**63, but {large.sum()} of "
            f"{value.size} {values} are not, the first of them {value[large][0]}"
        )
    return value.astype("int64")


# -- functions of tensors -------------------------------------------------------------------------


def of_numbers(function: F) -> F:
    """Let a function of tensors take numbers in any container, and name what it cannot take.

    What the function takes goes to it as it is. Tables of pandas and their kind, and masked arrays
    without masked elements, become arrays.
    """
    op = getattr(function, "scalar_op", function)  # of what works element by element
    name = getattr(function, "__name__", None) or getattr(op, "name", None) or str(op)
    name = f"math.{name.lower()}"

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not any(map(is_foreign, args)):
            try:
                return function(*args, **kwargs)
            except Exception:  # of many kinds; without numbers in foreign containers it may work
                pass
        keys = [*(f"argument {i}" for i in range(1, len(args) + 1)), *kwargs]
        given = dict(zip(keys, [*args, *kwargs.values()], strict=True))
        taken = [as_operand(value, f"{name}: {key}") for key, value in given.items()]
        named = dict(zip(kwargs, taken[len(args) :], strict=True))
        try:
            return function(*taken[: len(args)], **named)
        except FloatingPointError:
            raise
        except Exception as error:
            values = ", ".join(f"{key} = {shown(value)}" for key, value in given.items())
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{name}: {error}; got {values}") from error

    return cast(F, checked)


def is_foreign(value: Any) -> bool:
    """Tell whether NumPy would take something for an array, or for one without its mask."""
    return hasattr(value, "to_numpy") or isinstance(value, np.ma.MaskedArray | np.matrix)


def as_operand(value: Any, subject: str) -> Any:
    """Return an argument as PyTensor takes it; of a list that holds tensors, each element."""
    if isinstance(value, bool):
        return np.bool_(value) if "argument" in subject else value
    if value is None or isinstance(value, str | Variable):
        return value
    if isinstance(value, list | tuple) and any(not isinstance(v, int | float) for v in value):
        try:
            return [as_operand(element, subject) for element in value]
        except RecursionError:
            raise refused(value, subject, "the list holds itself") from None
    return numeric_value(value, subject)
