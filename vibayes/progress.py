"""What a user sees while a fit runs."""

from __future__ import annotations

import logging
import sys
import time

import numpy as np

from vibayes.html import loss_svg

__all__ = ["Progress", "logger", "loss_text"]

logger = logging.getLogger("vibayes")
if not logger.handlers:
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False

SECONDS_BETWEEN_UPDATES = 0.25
SHARE = 50  # times as long as it takes to show something, nothing new is shown
AVERAGE_OVER = 1000


def average_loss(losses: np.ndarray) -> float:
    """Return the mean of the last losses, NaN if there are none."""
    return float(np.mean(losses[-AVERAGE_OVER:])) if len(losses) else float("nan")


class Progress:
    """How far n iterations are, silent where nobody would see it.

    A terminal gets a bar, a notebook a bar and the loss curve, which move while the fit runs.

    Parameters
    ----------
    n : int
        Number of iterations.
    show : bool
        Whether it is wanted.
    """

    def __init__(self, n: int, show: bool) -> None:
        self.n = n
        self._view = make_view(n) if show and n > 0 and someone_watches() else None
        self._next = 0.0
        if self._view is not None:
            self._view.show(0, np.zeros(0))

    def update(self, done: int, losses: np.ndarray) -> None:
        """Show how far the fit is, a few times a second at most."""
        if self._view is None:
            return
        now = time.perf_counter()
        if now < self._next and done < self.n:
            return
        self._view.show(done, losses)
        shown = time.perf_counter()
        self._next = shown + max(SECONDS_BETWEEN_UPDATES, SHARE * (shown - now))

    def close(self, done: int, losses: np.ndarray) -> None:
        """Show the end, also of a fit that ended early."""
        if self._view is not None:
            self._view.close(done, losses)


class TerminalView:
    """A progress bar of text."""

    def __init__(self, n: int) -> None:
        from fastprogress.fastprogress import progress_bar

        self.n = n
        self._bar = progress_bar(range(n))

    def show(self, done: int, losses: np.ndarray) -> None:
        self._bar.comment = loss_text(losses)
        self._bar.wait_for = 0  # the throttling is done by time
        self._bar.update(done)

    def close(self, done: int, losses: np.ndarray) -> None:
        if done < self.n:
            self.show(done, losses)
            self._bar.on_interrupt()
        print()  # what is said next is on a new line


class NotebookView:
    """A progress bar and the loss curve, in HTML."""

    def __init__(self, n: int) -> None:
        from IPython.display import HTML, display

        self.n = n
        self._began = time.perf_counter()
        self._html = HTML
        self._handle = display(HTML(""), display_id=True)

    def show(self, done: int, losses: np.ndarray) -> None:
        self._handle.update(self._html(self._bar(done, losses) + loss_svg(losses)))

    def close(self, done: int, losses: np.ndarray) -> None:
        """Leave the bar behind; the approximation, which may be shown next, has the curve."""
        self._handle.update(self._html(self._bar(done, losses)))

    def _bar(self, done: int, losses: np.ndarray) -> str:
        seconds = time.perf_counter() - self._began
        facts = [f"{done:,} of {self.n:,} iterations", f"{seconds:.1f} s", loss_text(losses)]
        return (
            f'<progress value="{done}" max="{self.n}" style="width:260px"></progress> '
            f"{', '.join(fact for fact in facts if fact)}"
        )


def loss_text(losses: np.ndarray) -> str:
    """Return the average of the last losses in words, nothing if there are none."""
    return f"Average Loss = {average_loss(losses):,.5g}" if len(losses) else ""


def make_view(n: int) -> TerminalView | NotebookView:
    return NotebookView(n) if in_notebook() else TerminalView(n)


def someone_watches() -> bool:
    """Tell whether the output goes to a terminal or to a notebook."""
    return in_notebook() or (hasattr(sys.stdout, "isatty") and sys.stdout.isatty())


def in_notebook() -> bool:
    return "ipykernel" in sys.modules
