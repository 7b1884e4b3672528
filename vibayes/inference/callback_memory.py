"""What callbacks remember, from one run of a fit to the next."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from vibayes.approximations.base import Approximation
from vibayes.callbacks.base import Callback, calling
from vibayes.exceptions import StorageWarning
from vibayes.records.fit_state import FitState, check_callback_state

__all__ = ["callback_states", "check_callbacks", "restore_callbacks", "start_callbacks"]


def check_callbacks(callbacks: Sequence[Callable[..., None]]) -> None:
    """Raise if a callback remembers what no file can hold, as far as it remembers something yet.

    Raises
    ------
    StorageError
        Names the callback.
    """
    for callback in callbacks:
        if isinstance(callback, Callback):
            try:
                state = callback.state()
            except Exception:  # it may have to be told first that the fit begins
                continue
            check_callback_state(type(callback).__qualname__, state)


def start_callbacks(callbacks: Sequence[Callable[..., None]], approx: Approximation) -> None:
    """Tell callbacks that a fit begins, or goes on."""
    for callback in callbacks:
        if isinstance(callback, Callback):
            with calling(callback):
                callback.start(approx)


def callback_states(
    callbacks: Sequence[Callable[..., None]],
) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return the class name and the state of each callback that has one.

    A callback that cannot say it costs nobody the fit, which is kept without its memory.
    """
    found = []
    for callback in callbacks:
        if isinstance(callback, Callback):
            name = type(callback).__qualname__
            try:
                state = callback.state()
            except Exception as error:
                warnings.warn(
                    f"{name}.state() raised {type(error).__name__}: {error}. The fit is kept "
                    f"without what this callback remembers.",
                    StorageWarning,
                    stacklevel=2,
                )
                continue
            if state:
                found.append((name, state))
    return tuple(found)


def restore_callbacks(
    callbacks: Sequence[Callable[..., None]], saved: FitState, is_done: bool = False
) -> None:
    """Give callbacks their states back: those of one class in their order.

    Parameters
    ----------
    callbacks
        Those of the fit, which have been told that it begins.
    saved
        Where it stands.
    is_done
        Whether it does not go on, so that none is needed.

    Raises
    ------
    StorageError
        If there are no such callbacks now, or what they remember is not theirs.
    """
    todo = [c for c in callbacks if isinstance(c, Callback)]
    for name, state in saved.callbacks:
        match = next((c for c in todo if type(c).__qualname__ == name), None)
        if match is None and is_done:
            continue
        if match is None:
            raise saved.unfit(
                f"the fit that is to go on had a callback {name}, which is missing now: pass the "
                f"same callbacks."
            )
        try:
            match.restore(state)
        except Exception as error:
            raise saved.unfit(
                f"the callback {name} cannot take over what it had remembered "
                f"({type(error).__name__}: {error})"
            ) from error
        todo.remove(match)
