"""Callbacks: what may look at a fit while it runs, and stop it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from vibayes import interrupts
from vibayes.arguments import check_arguments, check_real, check_whole, is_real, shown
from vibayes.backend.shared import flat_values

__all__ = ["Callback", "CheckParametersConvergence", "Tracker"]


class Callback:
    """Base of the callbacks.

    A fit calls ``callback(approx, losses, i)`` after iteration ``i``, counted from 1, whenever
    ``i`` is a multiple of ``every``. Between calls nothing but compiled code runs, so a callback
    that looks seldom costs little. To end the fit, raise ``StopIteration``. A plain function
    serves as a callback too, called at each iteration unless it has an attribute ``every``. One of
    your own may call those that are here: they look at multiples of their ``every`` alone.

    Attributes
    ----------
    every : int
        Number of iterations between calls.
    """

    every: int = 1

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


def calling(callback: Callable[..., None]) -> AbstractContextManager[None]:
    """Return the block in which to call a callback: Ctrl-C may end those of the user's own."""
    own = type(callback).__module__.partition(".")[0] == __name__.partition(".")[0]
    return nullcontext() if own else interrupts.user_code()


RELATIVE_EPSILON = 1e-12


def check_order_of_norm(order: Any) -> None:
    """Raise if NumPy knows no norm of vectors of that order."""
    try:
        known = is_real(order) and order != 0 and np.isfinite(np.linalg.norm(np.ones(2), order))
    except Exception:  # NumPy raises errors of many kinds
        known = False
    if not known:
        raise ValueError(f"ord must be a number other than 0, or inf or -inf, got {shown(order)}")


class CheckParametersConvergence(Callback):
    """End the fit when the variational parameters have stopped moving.

    Parameters
    ----------
    every : int, default 100
        Number of iterations between checks.
    tolerance : float, default 1e-3
        The fit ends when the norm of the difference between two checks is below it.
    diff : {"relative", "absolute"}, default "relative"
        Whether each difference is divided by the parameter's magnitude. Relative differences of
        parameters near zero are always large.
    ord : {non-zero int, inf, -inf}, default inf
        Order of the norm; see :func:`numpy.linalg.norm`.

    Examples
    --------
    >>> import vibayes as vb
    >>> check = vb.callbacks.CheckParametersConvergence(every=50, diff="absolute")
    >>> approx = vb.fit(10000, callbacks=[check])  # doctest: +SKIP
    """

    @check_arguments
    def __init__(
        self, every: int = 100, tolerance: float = 1e-3, diff: str = "relative", ord: Any = np.inf
    ) -> None:
        if diff not in ("relative", "absolute"):
            raise ValueError(f"diff must be 'relative' or 'absolute', got {diff!r}")
        tolerance = check_real(tolerance, "tolerance", above=0, finite=False)
        check_order_of_norm(ord)
        self.every = check_whole(every, "every", least=1)
        self.tolerance = tolerance
        self.diff = diff
        self.ord = ord
        self._previous: np.ndarray | None = None

    flatten_shared = staticmethod(flat_values)

    def start(self, approx: Any) -> None:
        self._previous = self.flatten_shared(approx.params)

    def state(self) -> dict[str, Any]:
        return {"previous": self._previous}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        previous, now = np.asarray(state["previous"]), np.asarray(self._previous)
        if previous.shape != now.shape or previous.dtype.kind != "f":
            raise ValueError(
                f"parameters of dtype {previous.dtype} and shape {previous.shape}, where the fit "
                f"has {now.shape}"
            )
        self._previous = previous

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        before = self._previous
        if before is not None and i % self.every:
            return
        self._previous = current = self.flatten_shared(approx.params)
        if before is None or before.shape != current.shape:  # the first look, or another fit
            return
        change = np.abs(current - before)
        if self.diff == "relative":
            change = change / (np.abs(before) + RELATIVE_EPSILON)
        norm = change.max() if self.ord == np.inf else np.linalg.norm(change, self.ord)
        if norm < self.tolerance:
            raise StopIteration(f"Convergence achieved at {i}")


class Tracker(Callback):
    """Record statistics while a fit runs.

    Parameters
    ----------
    every : int, default 1
        Number of iterations between records.
    **statistics : callable
        What to record, by name: callables without arguments, or of ``(approx, losses, i)``. An
        exception that one of them raises ends the fit.

    Attributes
    ----------
    hist : dict of str to list
        What was recorded; ``tracker["name"]`` is ``tracker.hist["name"]``.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     advi = vb.ADVI()
    >>> tracker = vb.callbacks.Tracker(mean=advi.approx.mean.eval, i=lambda approx, losses, i: i)
    >>> approx = advi.fit(20, callbacks=[tracker])  # doctest: +SKIP
    """

    def __init__(self, *, every: int = 1, **statistics: Callable[..., Any]) -> None:
        if not statistics:
            raise ValueError("Tracker: name at least one statistic, such as mean=approx.mean.eval")
        self.every = check_whole(every, "every", least=1)
        self.hist: dict[str, list[Any]] = {name: [] for name in statistics}
        self._wants_arguments = {
            name: takes_fit(name, function) for name, function in statistics.items()
        }
        self._statistics: Mapping[str, Callable[..., Any]] = statistics

    def record(self, approx: Any, losses: np.ndarray, i: int) -> None:
        """Record each statistic once."""
        for name, function in self._statistics.items():
            wanted = self._wants_arguments[name]
            self.hist[name].append(function(approx, losses, i) if wanted else function())

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        if i % self.every == 0:
            self.record(approx, losses, i)

    def state(self) -> dict[str, Any]:
        """Return the records, of statistics that are numbers or arrays of one shape."""
        records = {name: as_record(values) for name, values in self.hist.items()}
        return {name: values for name, values in records.items() if values is not None}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        for name in self.hist.keys() & state.keys():
            self.hist[name][:] = list(state[name])

    def clear(self) -> None:
        """Forget what was recorded."""
        for values in self.hist.values():
            values.clear()

    def __getitem__(self, name: str) -> list[Any]:
        return self.hist[name]


def as_record(values: Sequence[Any]) -> np.ndarray | None:
    """Return values as an array, None if they are no numbers or differ in shape."""
    try:
        array = np.array(values)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def takes_fit(name: str, function: Callable[..., Any]) -> bool:
    """Tell by its signature whether a function wants ``(approx, losses, i)``, or nothing."""
    if not callable(function):
        raise TypeError(f"Tracker: {name} must be callable, got {shown(function)}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none; those take no arguments here
        return False
    try:
        signature.bind()
    except TypeError:
        pass
    else:
        return any(
            p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()
        ) and not is_eval(function)
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise TypeError(
            f"Tracker: {name} must take no argument, or (approx, losses, i); its signature is "
            f"{signature}"
        ) from None
    return True


def is_eval(function: Callable[..., Any]) -> bool:
    """Tell whether a function is the ``eval`` of a PyTensor variable."""
    return hasattr(getattr(function, "__self__", None), "owner")
