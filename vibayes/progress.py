"""What a user sees while something long goes on.

Whoever works says now and then what it does (:func:`say`, :func:`found`), which costs next to
nothing. A thread of its own looks at that a few times a second and draws it, so that a user sees
the time go on however long a piece of work is. Nothing is drawn where nobody would see it.
"""

from __future__ import annotations

import logging
import math
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

import numpy as np

from vibayes.html import loss_svg

__all__ = [
    "Report",
    "aside",
    "conclude",
    "current",
    "found",
    "logger",
    "loss_text",
    "say",
    "shown",
    "someone_watches",
]

SECONDS_BETWEEN_UPDATES = 0.25
LONGEST_SILENCE = 2.0  # seconds, however long it takes to show something
SHARE = 50  # times as long as it takes to show something, nothing new is shown
AVERAGE_OVER = 1000


class Report:
    """What goes on: whoever works writes, and whoever shows it reads.

    Parameters
    ----------
    phase : str
        What is done at first.
    limit : float, optional
        Number of seconds that it may take.

    Attributes
    ----------
    phase : str
        What is being done.
    prefix : str
        What that is for.
    elbo : float
        Best evidence lower bound so far, NaN before there is one.
    done : int
        Number of iterations done.
    total : int
        How many there are to be: zero where it is not their number that ends them.
    losses : numpy.ndarray
        Loss of each iteration.
    passes : float
        Passes over the data in each iteration, zero if nobody counts them.
    place : str
        In which pass over the data this is, and where.
    is_counting : bool
        Whether iterations go on.
    verdict : str
        What is thought of the result, in words.
    is_done : bool
        Whether it has come to its end, whatever that is.
    """

    def __init__(self, phase: str = "", limit: float | None = None) -> None:
        self.phase, self.limit, self.prefix = phase, limit, ""
        self.elbo = math.nan
        self.done = self.total = 0
        self.losses: np.ndarray = np.zeros(0)
        self.passes = 0.0
        self.place = ""
        self.is_counting = False
        self.verdict = ""
        self.is_done = False
        self._begun = time.perf_counter()

    def count(self, total: int, passes: float = 0.0) -> None:
        """Begin to count iterations: of a known number, unless it is time that limits them."""
        self.losses, self.done, self.passes = np.zeros(0), 0, passes
        self.total = total if self.limit is None else 0
        self.is_counting = True

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.perf_counter() - self._begun

    @property
    def counts(self) -> str:
        """What is known of the iterations, in words."""
        passes = f"{self.passes * self.done:,.1f} passes over the data" if self.passes else ""
        return in_words(loss_text(self.losses), passes)

    @property
    def text(self) -> str:
        """What is being done, the best bound, and the time, in words."""
        open_ended = self.is_counting and not self.total
        counts = in_words(f"{self.done:,} iterations", self.counts) if open_ended else ""
        limit = "" if self.limit is None else f" of {self.limit:g} s"
        seconds = f"{self.seconds:.1f} s{limit}"
        return in_words(self.prefix + self.phase, self.place, counts, self._bound, seconds)

    @property
    def summary(self) -> str:
        """What stays to be seen at the end, in words."""
        verdict = f"verdict: {self.verdict}" if self.verdict else ""
        return in_words(f"Done in {self.seconds:.1f} s", self._bound, verdict)

    @property
    def _bound(self) -> str:
        return "" if math.isnan(self.elbo) else f"best ELBO {self.elbo:,.2f}"


def in_words(*facts: str) -> str:
    """Return facts in a row, those left out of which nothing is known."""
    return ", ".join(fact for fact in facts if fact)


CURRENT: ContextVar[Report | None] = ContextVar("report", default=None)


def say(phase: str) -> None:
    """Say what is being done from now on, to whoever watches."""
    if (report := CURRENT.get()) is not None:
        report.phase = phase


def passing(number: int, share: float | None = None) -> None:
    """Tell which pass over the data this is, and which share of their rows it has behind it."""
    if (report := CURRENT.get()) is not None:
        rows = "" if share is None else f" ({share:.0%} of the rows)"
        report.place = f"pass {number:,} over the data{rows}"


def found(elbo: float) -> None:
    """Tell of an evidence lower bound, of which the best one is shown."""
    if (report := CURRENT.get()) is not None and not elbo <= report.elbo and elbo > -math.inf:
        report.elbo = elbo


def conclude(verdict: str = "") -> None:
    """Say that all is done; what is printed from now on comes below."""
    if (report := CURRENT.get()) is not None:
        report.verdict, report.is_done = verdict, True
        for display in [d for d in DISPLAYS if d.report is report]:
            display.close()


def current() -> Report:
    """Return the report of what goes on; one that nobody reads, if nothing is shown."""
    return CURRENT.get() or Report()


@contextmanager
def shown(
    show: bool = True, phase: str = "", limit: float | None = None, delay: float = 0.0
) -> Iterator[Report]:
    """Show what is said in the block.

    What is part of something longer is shown with that, or not shown if that is not.

    Parameters
    ----------
    show
        Whether it is wanted.
    phase
        What is done at first.
    limit
        Number of seconds that it may take.
    delay
        Number of seconds before which nothing is shown, as it may be over by then.
    """
    if (outer := CURRENT.get()) is not None:
        before = outer.phase
        outer.phase, outer.limit = phase or before, limit or outer.limit
        try:
            yield outer
        finally:
            outer.phase = before
        return
    report = Report(phase, limit)
    token = CURRENT.set(report)
    display = Display(report, delay) if show and someone_watches() else None
    try:
        yield report
    finally:
        CURRENT.reset(token)
        if display is not None:
            display.close()


@contextmanager
def aside(what: str) -> Iterator[None]:
    """Say what is done in the block, but not with what bounds: they are of something else."""
    if (report := CURRENT.get()) is None:
        yield
        return
    elbo, report.prefix = report.elbo, f"{what}: "
    try:
        yield
    finally:
        report.elbo, report.prefix = elbo, ""


# -- who draws it ---------------------------------------------------------------------------------


class Display:
    """Draws a report again and again, until it is closed.

    Parameters
    ----------
    report : Report
        What to show.
    delay : float
        Number of seconds before anything is shown.
    """

    def __init__(self, report: Report, delay: float = 0.0) -> None:
        self.report, self._delay = report, delay
        self._view: TerminalView | NotebookView | None = None
        self._over = threading.Event()
        if not delay:
            self._show()
        DISPLAYS.append(self)
        self._thread = threading.Thread(target=self._draw, name="vibayes progress", daemon=True)
        self._thread.start()

    def _draw(self) -> None:
        pause = self._delay or SECONDS_BETWEEN_UPDATES
        while not self._over.wait(pause):
            began = time.perf_counter()
            with LOCK:
                if not self._over.is_set():
                    self._show()
            drawing = time.perf_counter() - began
            pause = min(max(SECONDS_BETWEEN_UPDATES, SHARE * drawing), LONGEST_SILENCE)

    def _show(self) -> None:
        if self._view is None:
            self._view = make_view()
        self._view.draw(self.report)

    def make_room(self) -> None:
        """Let something else be written where the next line would be drawn."""
        if self._view is not None:
            self._view.make_room(self.report)

    def close(self) -> None:
        """Show the end; a second time nothing is done."""
        with LOCK:
            if self._over.is_set():
                return
            self._over.set()
            DISPLAYS.remove(self)
            if self._view is not None:
                self._view.close(self.report)


DISPLAYS: list[Display] = []
LOCK = threading.RLock()


class TerminalView:
    """A line of text, and above it a bar where the number of iterations is known."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._width = 0  # of the line that is there
        self._is_left = False  # whether the bar is done with

    def draw(self, report: Report) -> None:
        if report.total and report.done and not self._is_left:
            self._draw_bar(report)
        else:
            self._draw_line(report.text)

    def _draw_bar(self, report: Report) -> None:
        if self._bar is None:
            from fastprogress.fastprogress import ConsoleProgressBar

            self._erase_line()
            self._bar = ConsoleProgressBar(range(report.total))
            self._bar.update(0)
        self._bar.comment = report.counts
        self._bar.wait_for = 0  # the throttling is done by time
        self._bar.update(report.done)
        if report.done >= report.total or not report.is_counting:
            self._is_left = True
            print()

    def _draw_line(self, text: str) -> None:
        text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r{text:{self._width}}", end="", flush=True)
        self._width = len(text)

    def _erase_line(self) -> None:
        if self._width:
            print(f"\r{'':{self._width}}\r", end="", flush=True)
            self._width = 0

    def make_room(self, report: Report) -> None:
        """Leave the bar as it is now, and begin a new line."""
        if report.total and report.done and not self._is_left:
            self._draw_bar(report)
            if not self._is_left:
                print()
        self._erase_line()

    def close(self, report: Report) -> None:
        report.is_counting = False
        self.make_room(report)
        if report.is_done and not report.total:
            print(report.summary)


class NotebookView:
    """The same in HTML, with the loss curve while there is one."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle = display(HTML(""), display_id=True)

    def draw(self, report: Report) -> None:
        if report.total and report.is_counting:
            self._handle.update(self._html(self._bar(report) + loss_svg(report.losses)))
        else:  # a bar that runs to and fro
            self._handle.update(self._html(f"<progress {STYLE}></progress> {report.text}"))

    def make_room(self, report: Report) -> None:
        """Do nothing: what is written has a place of its own."""

    def close(self, report: Report) -> None:
        """Leave a line behind; the approximation, which may be shown next, has the curve."""
        end = report.summary if report.is_done else ""
        self._handle.update(self._html(self._bar(report) if report.total else end))

    def _bar(self, report: Report) -> str:
        done = f"{report.done:,} of {report.total:,} iterations"
        facts = in_words(done, report.counts, f"{report.seconds:.1f} s")
        return f'<progress value="{report.done}" max="{report.total}" {STYLE}></progress> {facts}'


STYLE = 'style="width:260px"'


def make_view() -> TerminalView | NotebookView:
    return NotebookView() if in_notebook() else TerminalView()


def someone_watches() -> bool:
    """Tell whether the output goes to a terminal or to a notebook."""
    return in_notebook() or (hasattr(sys.stdout, "isatty") and sys.stdout.isatty())


def in_notebook() -> bool:
    return "ipykernel" in sys.modules


# -- words ----------------------------------------------------------------------------------------


def average_loss(losses: np.ndarray) -> float:
    """Return the mean of the last losses, NaN if there are none."""
    return float(np.mean(losses[-AVERAGE_OVER:])) if len(losses) else float("nan")


def loss_text(losses: np.ndarray) -> str:
    """Return the average of the last losses in words, nothing if there are none."""
    return f"Average Loss = {average_loss(losses):,.5g}" if len(losses) else ""


class StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes what is logged to wherever standard output goes now.

    Notebooks show standard error as an alarm. A line that is being drawn makes room.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard output as it is now."""
        return sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        with LOCK:
            for display in DISPLAYS:
                display.make_room()
            super().emit(record)


logger = logging.getLogger("vibayes")
if not logger.handlers:
    logger.setLevel(logging.INFO)
    logger.addHandler(StdoutHandler())
    logger.propagate = False
