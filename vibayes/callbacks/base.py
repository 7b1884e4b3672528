"""What a callback is, and when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from vibayes import interrupts
from vibayes.arguments import check_whole, shown

__all__ = ["Callback", "calling", "period", "wants_to_look"]


class Callback:
    """Base of the callbacks.

    A fit calls ``callback(approx, losses, i)`` after iteration ``i``, counted from 1, whenever
    ``i`` is a multiple of ``every``, or ``is_urgent`` is true. Between calls nothing but compiled
    code runs, so a callback that looks seldom costs little. To end the fit, raise
    ``StopIteration``. A plain function serves as a callback too, called at each iteration unless
    it has an attribute ``every``. One of your own may call those that are here: they look at
    multiples of their ``every`` alone.

    Attributes
    ----------
    every : int
        Number of iterations between calls.
    """

    every: int = 1

    @property
    def is_urgent(self) -> bool:
        """Whether to be called after the steps that are under way, whatever their number is."""
        return False

    def start(self, approx: Any) -> None:
        """Be told that a fit is about to begin, or to go on."""

    def state(self) -> dict[str, Any]:
        """Return what the callback has to remember from call to call.

        Numbers, lists of numbers of one shape and arrays of these come back as arrays; texts,
        None, and lists and dicts of all these as they are. Anything else no file can hold: a fit
        with a checkpoint refuses it when it starts.

        A checkpoint holds it, and gives it to :meth:`restore` of a callback of this class when
        the fit goes on, after :meth:`start`.
        """
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` has returned in an earlier run of the fit."""

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        """Look at the fit after iteration ``i``.

        Parameters
        ----------
        approx : Approximation
            The approximation as it stands.
        losses : numpy.ndarray
            The loss of each of the ``i`` iterations.
        i : int
            Number of iterations done.
        """
        raise NotImplementedError


def period(callback: Callable[..., None]) -> int:
    """Return the number of iterations between calls of a callback, checked."""
    if not callable(callback):
        raise TypeError(f"a callback must be callable, got {shown(callback)}")
    return check_whole(getattr(callback, "every", 1), f"every of {callback!r}", least=1)


def wants_to_look(callback: Callable[..., None], every: int, i: int) -> bool:
    """Tell whether a callback is to be called after iteration i."""
    return i % every == 0 or getattr(callback, "is_urgent", False)


def calling(callback: Callable[..., None]) -> AbstractContextManager[None]:
    """Return the block in which to call a callback: Ctrl-C may end those of the user's own.

    It serves any number of calls, one after the other.
    """
    own = type(callback).__module__.partition(".")[0] == __name__.partition(".")[0]
    return nullcontext() if own else interrupts.user_code()
