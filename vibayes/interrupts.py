"""Ctrl-C, taken where it can do no harm.

Python runs the handler of a signal between any two of its instructions in the main thread, those
by which compiled code reads its arguments included. An exception there ends in ``SystemError``, or
takes the process down; elsewhere it leaves behind half of what belongs together. So while a fit
runs the handler only notes the signal, and :func:`check`, at places where everything is whole,
hands it to the handler that was there before: Python's own one raises ``KeyboardInterrupt``.

A second Ctrl-C within a second, or while the first one waits, is handed on at once.

Nothing happens in other threads, where Python runs no handlers, and where the handler is not one
of Python's: signals that are ignored, or that end the process, go on to be and to do so.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import wraps
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

from vibayes.progress import logger

__all__ = ["Deferral", "check", "held", "interruptible", "last", "shut", "user_code"]

P = ParamSpec("P")
T = TypeVar("T")

SECOND_TIME = 1.0  # seconds after which a signal is a first one again

# When a signal is handed on to the handler of before: at once; at the next check, or with a second
# signal; with a second signal alone; not at all.
AT_ONCE, AT_CHECKS, HELD, SHUT = range(4)


class Waiting:
    """Handler of SIGINT that can wait."""

    def __init__(self, before: Callable[[int, FrameType | None], Any]) -> None:
        self.before = before
        self.thread = threading.get_ident()
        self.mode = SHUT
        self.noted = False
        self.urgent = False  # there was a second one
        self.frame: FrameType | None = None
        self.raised: BaseException | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        again = self.noted or time.monotonic() - STATE.handed_on < SECOND_TIME
        if self.mode == AT_ONCE or (again and self.mode < SHUT):
            self.hand_on(frame)
        else:
            self.noted, self.urgent, self.frame = True, again, frame

    def hand_on(self, frame: FrameType | None) -> None:
        """Call the handler of before."""
        self.noted = self.urgent = False
        self.frame = None
        STATE.handed_on = time.monotonic()
        try:
            self.before(signal.SIGINT, frame)
        except BaseException as error:
            self.raised = error
            raise

    def put_in_place(self) -> None:
        STATE.active = self
        signal.signal(signal.SIGINT, self)

    def remove(self) -> None:
        """Put the handler of before in place, unless someone else has put one there."""
        self.mode, before = SHUT, self.before
        if signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, before)
        STATE.active = None
        self.mode = AT_ONCE  # for a handler of the user's that calls this one


class State:
    """What there is once in a process, as signals are."""

    active: Waiting | None = None
    handed_on = -SECOND_TIME


STATE = State()


def active_here() -> Waiting | None:
    """Return the handler that waits for code of this thread, if there is one."""
    active = STATE.active
    return active if active is not None and active.thread == threading.get_ident() else None


def python_handler() -> Callable[[int, FrameType | None], Any] | None:
    """Return the handler of SIGINT if it is one of Python's, and this thread runs it."""
    if threading.current_thread() is not threading.main_thread():
        return None
    handler = signal.getsignal(signal.SIGINT)
    return handler if callable(handler) else None


def check() -> None:
    """Hand on a signal that waits: everything is whole here."""
    active = STATE.active
    if active is not None and active.noted and active.mode <= AT_CHECKS and active_here():
        active.hand_on(active.frame)


def last() -> float:
    """Return when a signal was last handed on, by ``time.monotonic()``."""
    return STATE.handed_on


class Deferral:
    """Signals wait for :func:`check` in the block, or in the function that this decorates.

    The handler of before is put back at the end, whatever happens, and gets what still waits.

    Parameters
    ----------
    keeps_result : bool, default False
        Whether a ``KeyboardInterrupt`` is dropped that would only come when all is done, so that
        the result is not lost.
    """

    def __init__(self, keeps_result: bool = False) -> None:
        self.keeps_result = keeps_result
        self._own: Waiting | None = None
        self._section: Section | None = None

    def __enter__(self) -> None:
        active = active_here()
        if active is not None:
            self._section = Section(AT_CHECKS)
            self._section.__enter__()
        elif (before := python_handler()) is not None:
            self._own = Waiting(before)
            self._own.put_in_place()
            self._own.mode = AT_CHECKS

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._section is not None:
            self._section.__exit__(kind, error, trace)
        if (own := self._own) is None:
            return
        own.remove()
        if own.noted and not isinstance(error, KeyboardInterrupt):
            try:
                own.hand_on(own.frame)
            except KeyboardInterrupt:
                if error is not None or not self.keeps_result:
                    raise
                logger.info("Interrupted when everything was done")
        raise_instead_of(error, own)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return a function during whose calls signals wait."""

        @wraps(function)
        def deferring(*args: P.args, **kwargs: P.kwargs) -> T:
            with Deferral(self.keeps_result):
                return function(*args, **kwargs)

        return deferring


class Section:
    """A part of a :class:`Deferral` in which signals are treated in another way."""

    __slots__ = ("_active", "_before", "_insists", "_mode")

    def __init__(self, mode: int, insists: bool = False) -> None:
        self._mode = mode
        self._insists = insists

    def __enter__(self) -> None:
        active = self._active = active_here()
        if active is None:
            return
        before = self._before = active.mode
        if self._mode == AT_ONCE:
            check()
            active.raised = None
        if before <= AT_CHECKS or self._mode > before:  # what is held stays so
            active.mode = self._mode

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        active = self._active
        if active is None:
            return
        active.mode = self._before
        if active.urgent and active.mode < SHUT:
            active.hand_on(active.frame)
        if self._insists and error is None and active.raised is not None:
            active.raised, active.noted = None, True
        raise_instead_of(error, active)


def interruptible() -> Section:
    """Return a block of the library's code that a signal may end anywhere.

    One whose exception was lost, as in a function that C has called, ends it at the next check.
    """
    return Section(AT_ONCE, insists=True)


def held() -> Section:
    """Return a block in which :func:`check` does nothing, to be gone through as a whole.

    A second signal ends it.
    """
    return Section(HELD)


def shut() -> Section:
    """Return a short block that no signal can end, such as a call of compiled code."""
    return Section(SHUT)


def user_code() -> Section:
    """Return a block of code of the user's, which may do with a signal what it likes."""
    return Section(AT_ONCE)


def raise_instead_of(error: BaseException | None, active: Waiting) -> None:
    """Raise what a handler has raised, where compiled code has made a ``SystemError`` of it."""
    raised, active.raised = active.raised, None
    if isinstance(error, SystemError) and raised is not None:
        raise raised from error
