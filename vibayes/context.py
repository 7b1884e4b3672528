"""The stack of models that are open in ``with`` blocks, one stack a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vibayes.model.core import Model


class _Stack(threading.local):
    def __init__(self) -> None:
        self.models: list[Model] = []


_stack = _Stack()


def push(model: Model) -> None:
    _stack.models.append(model)


def pop() -> None:
    _stack.models.pop()


def active_model() -> Model | None:
    """Return the innermost open model of this thread, or None."""
    return _stack.models[-1] if _stack.models else None


def modelcontext(model: Model | None = None) -> Model:
    """Return the given model, or the innermost model open in a ``with`` block.

    Parameters
    ----------
    model
        A model, which is returned as it is. One of PyMC or Bambi is converted, at each call anew.

    Raises
    ------
    TypeError
        If no model is given and none is open in this thread.
    """
    if model is None:
        model = active_model()
    else:
        from vibayes.pymc_models.convert import as_model

        model = as_model(model)
    if model is None:
        raise TypeError("No model is open: call this inside `with model:`, or pass `model=`.")
    return model
