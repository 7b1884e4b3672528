"""Callbacks that record what a fit does."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vibayes.arguments import check_whole, shown
from vibayes.callbacks.base import Callback
from vibayes.installing import missing

__all__ = ["TensorBoard", "Tqdm", "Tracker"]


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
        self._statistics = of_fit("Tracker", statistics)

    def record(self, approx: Any, losses: np.ndarray, i: int) -> None:
        """Record each statistic once."""
        for name, function in self._statistics.items():
            self.hist[name].append(function(approx, losses, i))

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


class TensorBoard(Callback):
    """Write the loss, and statistics, to where TensorBoard shows them.

    Parameters
    ----------
    writer : path or object
        A folder such as ``"runs/first"``, to which the writer of PyTorch or of tensorboardX
        writes, whichever is installed; or a writer, which has methods ``add_scalar(tag, value,
        iteration)`` and ``flush()``.
    every : int, default 100
        Number of iterations between records. Of the loss the mean since the last one is written,
        as ``loss``.
    **statistics : callable
        Further numbers, by name: callables without arguments, or of ``(approx, losses, i)``.

    Raises
    ------
    ImportError
        If ``writer`` is a folder, and neither library is installed.

    Examples
    --------
    >>> import vibayes as vb
    >>> class Printing:
    ...     def add_scalar(self, tag, value, iteration):
    ...         print(tag, iteration)
    ...
    ...     def flush(self): ...
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     board = vb.callbacks.TensorBoard(Printing(), every=50)
    ...     approx = vb.fit(100, callbacks=[board], backend="py", diagnose=False)
    loss 50
    loss 100
    """

    def __init__(self, writer: Any, *, every: int = 100, **statistics: Callable[..., Any]) -> None:
        self.every = check_whole(every, "TensorBoard: every", least=1)
        self._statistics = of_fit("TensorBoard", statistics)
        self.writer = as_writer(writer)

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        if len(losses):
            self.writer.add_scalar("loss", float(np.mean(losses[-self.every :])), i)
        for name, function in self._statistics.items():
            self.writer.add_scalar(name, as_scalar(function(approx, losses, i), name), i)
        self.writer.flush()


class Tqdm(Callback):
    """Show the loss, and statistics, in a progress bar of tqdm.

    For fits within a program whose other bars are tqdm's; ``progressbar=False`` then leaves out
    the bar of the fit itself.

    Parameters
    ----------
    total : int, optional
        Number of iterations, if that is known.
    every : int, default 100
        Number of iterations between two looks. Of the loss the mean since the last one is shown.
    bar : callable, optional
        Makes the bar, as ``bar(total=...)``; by default ``tqdm.auto.tqdm``, which suits terminals
        and notebooks.
    **statistics : callable
        Further numbers, by name: callables without arguments, or of ``(approx, losses, i)``.

    Raises
    ------
    ImportError
        If tqdm is missing: ``pip install tqdm``.

    Examples
    --------
    >>> import vibayes as vb
    >>> bar = vb.callbacks.Tqdm(10_000, every=500)  # doctest: +SKIP
    >>> approx = vb.fit(10_000, callbacks=[bar], progressbar=False)  # doctest: +SKIP
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        every: int = 100,
        bar: Callable[..., Any] | None = None,
        **statistics: Callable[..., Any],
    ) -> None:
        self.total = None if total is None else check_whole(total, "Tqdm: total", least=1)
        self.every = check_whole(every, "Tqdm: every", least=1)
        self._statistics = of_fit("Tqdm", statistics)
        if bar is not None and not callable(bar):
            raise TypeError(f"Tqdm: bar must be a callable, such as tqdm.tqdm, got {shown(bar)}")
        self._make = tqdm_bar() if bar is None else bar
        self._bar: Any = None

    def start(self, approx: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = self._make(total=self.total)

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        if self._bar is None:
            self.start(approx)
        shown = {"loss": float(np.mean(losses[-self.every :]))} if len(losses) else {}
        for name, function in self._statistics.items():
            shown[name] = as_scalar(function(approx, losses, i), name, "Tqdm")
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(i - self._bar.n)
        if self.total is not None and i >= self.total:
            self._bar.close()


def tqdm_bar() -> Callable[..., Any]:
    """Return what makes a bar of tqdm."""
    try:
        return importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        raise missing("Tqdm", "tqdm") from None


def as_writer(writer: Any) -> Any:
    """Return a writer of records; of a folder one that writes there.

    Raises
    ------
    TypeError
        If it is neither.
    ImportError
        If no library is installed that writes to a folder.
    """
    if isinstance(writer, str | os.PathLike):
        return summary_writer()(str(Path(writer)))
    if isinstance(writer, type) or not all(
        callable(getattr(writer, name, None)) for name in ("add_scalar", "flush")
    ):
        raise TypeError(
            f"TensorBoard: writer must be a folder, or an object with methods add_scalar and "
            f"flush, got {shown(writer)}"
        )
    return writer


def summary_writer() -> Any:
    """Return the class of writers of a library that is installed."""
    for library in ("torch.utils.tensorboard", "tensorboardX"):
        try:
            return importlib.import_module(library).SummaryWriter
        except ImportError:
            continue
    raise ImportError(
        "TensorBoard: to write to a folder needs tensorboardX (pip install tensorboardX), or "
        "PyTorch with tensorboard"
    )


def as_scalar(value: Any, name: str, owner: str = "TensorBoard") -> float:
    """Return a statistic as a number, or raise."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: {name} must return one number, got {shown(value)}")
    return float(array.item())


def of_fit(
    owner: str, statistics: Mapping[str, Callable[..., Any]]
) -> dict[str, Callable[[Any, np.ndarray, int], Any]]:
    """Return statistics as functions of ``(approx, losses, i)``, also those that take nothing."""

    def without(function: Callable[..., Any]) -> Callable[[Any, np.ndarray, int], Any]:
        return lambda approx, losses, i: function()

    return {
        name: function if takes_fit(owner, name, function) else without(function)
        for name, function in statistics.items()
    }


def as_record(values: Sequence[Any]) -> np.ndarray | None:
    """Return values as an array, None if they are no numbers or differ in shape."""
    try:
        array = np.array(values)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def takes_fit(owner: str, name: str, function: Callable[..., Any]) -> bool:
    """Tell by its signature whether a function wants ``(approx, losses, i)``, or nothing."""
    if not callable(function):
        raise TypeError(f"{owner}: {name} must be callable, got {shown(function)}")
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
            f"{owner}: {name} must take no argument, or (approx, losses, i); its signature is "
            f"{signature}"
        ) from None
    return True


def is_eval(function: Callable[..., Any]) -> bool:
    """Tell whether a function is the ``eval`` of a PyTensor variable."""
    return hasattr(getattr(function, "__self__", None), "owner")
