"""The stack of models that are open in ``with`` blocks, one stack a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

from vibayes.arguments import shown

__all__ = ["Openable", "active_model", "modelcontext", "register_converter"]

CONVERTERS: list[Callable[[Any], Any]] = []


class Openable:
    """What a ``with`` block opens: a model, to which belongs what is defined in the block."""

    def __enter__(self) -> Self:
        _stack.models.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _stack.models.pop()


class _Stack(threading.local):
    def __init__(self) -> None:
        self.models: list[Openable] = []


_stack = _Stack()


def active_model() -> Any:
    """Return the innermost open model of this thread, or None."""
    return _stack.models[-1] if _stack.models else None


def register_converter(converter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let models of another library be given wherever a model is.

    Parameters
    ----------
    converter : callable
        Returns a model for an object of that library, None for any other.

    Returns
    -------
    callable
        The converter, so that this serves as a decorator.
    """
    CONVERTERS.append(converter)
    return converter


def modelcontext(model: Any = None) -> Any:
    """Return the given model, or the innermost model open in a ``with`` block.

    Parameters
    ----------
    model
        A model, which is returned as it is. One of PyMC or Bambi is converted, at each call anew.

    Raises
    ------
    TypeError
        If no model is given and none is open in this thread, or if it is no model.
    """
    if model is None:
        model = active_model()
        if model is None:
            raise TypeError("No model is open: call this inside `with model:`, or pass `model=`.")
        return model
    if isinstance(model, Openable):
        return model
    for converter in CONVERTERS:
        converted = converter(model)
        if converted is not None:
            return converted
    raise TypeError(f"model must be a vibayes, PyMC or Bambi model, got {shown(model)}")
