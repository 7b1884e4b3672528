"""What a user sees while a fit runs."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import numpy as np

__all__ = ["Progress", "logger"]

logger = logging.getLogger("vibayes")
if not logger.handlers:
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False

SECONDS_BETWEEN_UPDATES = 0.25
AVERAGE_OVER = 1000


def average_loss(losses: np.ndarray) -> float:
    """Return the mean of the last losses, NaN if there are none."""
    return float(np.mean(losses[-AVERAGE_OVER:])) if len(losses) else float("nan")


class Progress:
    """A progress bar for n iterations, silent where nobody would see it.

    Parameters
    ----------
    n : int
        Number of iterations.
    show : bool
        Whether a bar is wanted.
    """

    def __init__(self, n: int, show: bool) -> None:
        self.n = n
        self._bar = make_bar(n) if show and n > 0 and someone_watches() else None
        self._next = 0.0
        if self._bar is not None:
            self._bar.update(0)

    def update(self, done: int, losses: np.ndarray) -> None:
        """Show how far the fit is, a few times a second at most."""
        if self._bar is None:
            return
        now = time.perf_counter()
        if now < self._next and done < self.n:
            return
        self._next = now + SECONDS_BETWEEN_UPDATES
        self._show(done, losses)

    def close(self, done: int, losses: np.ndarray) -> None:
        """Show the end, also of a fit that ended early; what is said next is on a new line."""
        if self._bar is None:
            return
        if done < self.n:
            self._show(done, losses)
            self._bar.on_interrupt()
        if not in_notebook():
            print()

    def _show(self, done: int, losses: np.ndarray) -> None:
        average = average_loss(losses)
        self._bar.comment = "" if np.isnan(average) else f"Average Loss = {average:,.5g}"
        self._bar.wait_for = 0  # the throttling is done here, by time
        self._bar.update(done)


def make_bar(n: int) -> Any:
    from fastprogress.fastprogress import progress_bar

    return progress_bar(range(n))


def someone_watches() -> bool:
    """Tell whether the output goes to a terminal or to a notebook."""
    return in_notebook() or (hasattr(sys.stdout, "isatty") and sys.stdout.isatty())


def in_notebook() -> bool:
    return "ipykernel" in sys.modules
