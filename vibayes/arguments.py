"""Arguments that many functions take: checked in one way, with messages of one form."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, TypeVar

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.tensor import TensorType
from pytensor.tensor.variable import TensorVariable

__all__ = [
    "behind_new",
    "check_annotated",
    "check_arguments",
    "check_real",
    "check_seed",
    "check_whole",
    "hints_of",
    "is_whole",
    "shown",
]

F = TypeVar("F", bound=Callable[..., Any])
LONGEST = 80
LARGEST = 2**63 - 1
"""Whole numbers are 64 bits long, wherever they count something."""


def check_whole(value: Any, name: str, least: int, most: int | None = LARGEST) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    value
        What was given: any kind of number, such as ``1e4`` or one of NumPy's.
    name
        Name of the argument, for the message; whose argument it is may come before it.
    least, most
        Smallest and largest number allowed: by default the largest that a count can be, by None
        any.

    Raises
    ------
    ValueError
        If it is no whole number, or not within the limits.
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        unlimited = most is None or (most == LARGEST and not (is_whole(value) and value > most))
        limits = f"of at least {least}" if unlimited else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {limits}, got {shown(value)}")
    return int(value)


def is_whole(value: Any) -> bool:
    """Tell whether something is one whole number, of whatever type of numbers."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        return False
    try:
        return bool(int(value) == value)
    except Exception:  # no number, several, NaN, infinity
        return False


def check_real(
    value: Any,
    name: str,
    least: float = -np.inf,
    *,
    above: float = -np.inf,
    finite: bool = True,
) -> float:
    """Return a number as a float.

    Parameters
    ----------
    value
        What was given.
    name
        Name of the argument, for the message; whose argument it is may come before it.
    least, above
        The smallest number allowed, or what it has to be greater than.
    finite
        Whether it has to be finite.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is NaN, not finite, or not within the limits.
    """
    if isinstance(value, bool | np.bool_) or not is_real(value):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf if value > 0 else -np.inf
    in_range = number >= least and (number > above or above == -np.inf)
    if not in_range or (finite and not np.isfinite(number)):
        words = "finite number" if np.isinf(number) else "number"
        if above > -np.inf:
            words = f"positive {words}" if above == 0 else f"{words} above {above}"
        elif least > -np.inf:
            words += f" of at least {least}"
        raise ValueError(f"{name} must be a {words}, got {shown(value)}")
    return number


def is_real(value: Any) -> bool:
    """Tell whether something is one real number."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = None if np.ma.isMaskedArray(value) else value[()]
    return isinstance(value, numbers.Real)


def shown(value: Any) -> str:
    """Return a value as messages show it, in one short line and whatever its class does."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of the user's
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def chosen_names(
    given: Any, known: Sequence[str], what: str, argument: str = "var_names"
) -> list[str]:
    """Return the names that were chosen, each once; all that there are if nothing was given.

    Parameters
    ----------
    given
        A name, several, or None.
    known
        The names to choose from.
    what
        What they are names of, for the message.
    argument
        Name of the argument, for the message; whose argument it is may come before it.

    Raises
    ------
    TypeError
        If something else is given.
    ValueError
        If nothing is chosen.
    KeyError
        If a name is unknown.
    """
    if given is None:
        return list(known)
    names = listed_names(given, argument)
    if unknown := [name for name in names if name not in known]:
        raise KeyError(f"{argument}: no {what} {unknown[0]!r}; there are {', '.join(known)}")
    return names


def listed_names(given: Any, argument: str) -> list[str]:
    """Return a name, or several, as a list in which each is once.

    Raises
    ------
    TypeError
        If something else is given.
    ValueError
        If there is no name.
    """
    names = [given] if isinstance(given, str) else given
    plain = isinstance(names, list | tuple | set | frozenset | dict) or hasattr(names, "tolist")
    listed = list(names) if plain and getattr(names, "ndim", 1) == 1 else [None]
    if not all(isinstance(name, str) for name in listed):
        raise TypeError(f"{argument} must be a name, or a list of names, got {shown(given)}")
    if not listed:
        raise ValueError(f"{argument} must have a name at least, got {shown(given)}")
    return list(dict.fromkeys(map(str, listed)))


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
    return check_whole(value, f"{label}: random_seed", least=0, most=None)


# -- arguments by their annotations ---------------------------------------------------------------


def check_arguments(function: F) -> F:
    """Check the arguments of each call against the annotations of a function.

    What is annotated as a flag, a number, a text, a mapping, a sequence, a function or an object of
    a class has to be one; elements and keys are looked at, too. Whole numbers, whose limits belong
    to the check, are left to :func:`check_whole`, models to ``modelcontext``.

    Raises
    ------
    TypeError
        From the decorated function, with its name, the argument's, what it may be and what it was.
    """
    own = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        owner = owner_of(function, args)
        try:
            given = own.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{owner}: {error}") from None
        for name, value in given.items():
            check_annotated(owner, function, name, value)
        return function(*args, **kwargs)

    return typing.cast(F, checked)


def check_annotated(owner: str, function: Callable[..., Any], name: str, value: Any) -> None:
    """Raise if an argument is not what its annotation in a function says.

    Parameters
    ----------
    owner
        Whose argument it is, for the message.
    function
        The function.
    name, value
        The argument. Those that ``*args`` and ``**kwargs`` take are not looked at.
    """
    hint = hints_of(function).get(name, Any)
    if not accepts(hint, value):
        raise TypeError(f"{owner}: {name} must be {in_words(hint)}, got {shown(value)}")


def owner_of(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return the name of a function as its users know it: after that of its class, if any."""
    name = function.__name__
    if not args or getattr(type(args[0]), name, None) is None:
        return name
    cls = type(args[0]).__name__
    return cls if name in ("__init__", "__call__") else f"{cls}.{name}"


@functools.cache
def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function as types, none if they cannot be read."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # names that only type checkers know
        return {}
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    own = inspect.signature(function).parameters.values()
    return {p.name: hints[p.name] for p in own if p.name in hints and p.kind not in several}


ABSTRACT: dict[Any, str] = {
    collections.abc.Mapping: "a dict",
    dict: "a dict",
    list: "a list",
    tuple: "a tuple",
    collections.abc.Sequence: "a list",
    collections.abc.Collection: "a list",
    collections.abc.Iterable: "a list",
    collections.abc.Callable: "a callable",
}
"""What the kinds of arguments are called."""


def accepts(hint: Any, value: Any) -> bool:
    """Tell whether a value is what a type says, as far as users can know."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, int) or isinstance(hint, TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(accepts(part, value) for part in inner)
    if hint in (None, types.NoneType):
        return value is None
    if hint is bool:
        return isinstance(value, bool | np.bool_) or (isinstance(value, int) and value in (0, 1))
    if hint is float:
        return is_real(value)
    if origin is collections.abc.Callable:
        return callable(value)
    if origin is type:
        return callable(value)  # whatever makes an object of the class
    if origin in (dict, list, tuple):
        return isinstance(value, origin)
    if origin is collections.abc.Mapping:
        # names, as keys, are told by those that look them up
        return isinstance(value, Mapping) and (
            inner[0] is str or all(accepts(inner[0], key) for key in value)
        )
    if origin in ABSTRACT and isinstance(value, str) and inner[0] is Any:
        return True  # a list of letters
    if origin in ABSTRACT:
        return is_listed(value) and all_are(inner[0], value)
    if hint is TensorVariable:  # shared variables are of another class
        return isinstance(value, Variable) and isinstance(value.type, TensorType)
    if isinstance(hint, type) and not hasattr(hint, "__enter__"):  # a model is converted
        return isinstance(value, hint)
    return True


def all_are(hint: Any, values: Any) -> bool:
    """Tell whether all elements are what a type says, as far as they can be had."""
    try:
        return all(accepts(hint, element) for element in values)
    except Exception:  # of a class of the user's
        return False


def is_listed(value: Any) -> bool:
    """Tell whether a value has elements that can be looked at one by one, again and again."""
    if isinstance(value, str | bytes | Mapping | type):
        return False
    if getattr(value, "ndim", 1) == 0:
        return False
    return isinstance(value, Set) or (hasattr(value, "__len__") and hasattr(value, "__getitem__"))


def in_words(hint: Any) -> str:
    """Return what a type says as messages say it."""
    simple = {
        bool: "True or False",
        int: "a whole number",
        float: "a number",
        str: "a string",
        Variable: "a PyTensor expression",
        TensorVariable: "a PyTensor expression",
    }
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(in_words, inner))
    if hint in simple:
        return simple[hint]
    if hint in (None, types.NoneType):
        return "None"
    if origin is type:
        return f"a class of {name_of(inner[0])}"
    if origin not in ABSTRACT:
        return name_of(hint)
    if origin is collections.abc.Callable or inner[0] is Any:
        return ABSTRACT[origin]
    if origin in (collections.abc.Mapping, dict):
        keys = "" if inner[0] is str else f" whose keys are {name_of(inner[0])}"
        return ABSTRACT[origin] + keys
    of = typing.get_origin(inner[0]) or inner[0]
    return f"{ABSTRACT[origin]} of {ELEMENTS.get(of, name_of(of))}"


ELEMENTS: dict[Any, str] = {
    str: "strings",
    float: "numbers",
    bool: "True or False",
    collections.abc.Callable: "callables",
    Variable: "PyTensor expressions",
    TensorVariable: "PyTensor expressions",
}


def name_of(hint: Any) -> str:
    """Return what messages call an object of a class: what the class says, or its name."""
    if not isinstance(hint, type):
        return str(hint)
    library = "PyTensor's " if hint.__module__.startswith("pytensor.") else ""
    return getattr(hint, "called", f"{library}{hint.__name__}")
