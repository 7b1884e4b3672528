"""What brings rows to a running fit: read and shuffled in the background, a group at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes import interrupts
from vibayes.exceptions import ShapeError
from vibayes.streaming.shuffle import BEGINNING, BlockGroup, ReadingPlace, ShuffledEpochs
from vibayes.streaming.stream import Stream

__all__ = ["Feed", "Feeds"]

SLOTS = 2  # groups of rows: one in use, one that is filled
LONGEST_WAIT_FOR_READER = 1.0  # seconds
LONGEST_DEAFNESS = 0.2  # seconds; where a lock cannot be interrupted, Ctrl-C has to wait for it


class Feed:
    """One stream for one fit.

    Steps use up one group of rows after another. What a group holds depends on its number alone,
    so that an interrupted fit goes on as if nothing had been.

    Parameters
    ----------
    stream : Stream
        Where the rows come from.
    seed : sequence of int
        Seed of their order.
    begin : ReadingPlace, optional
        Where to begin to read; see :attr:`place`.

    Attributes
    ----------
    wait_seconds : float
        Time that steps have waited for rows.
    place : ReadingPlace
        Where another feed has to begin to read for the steps to come: at the group before the one
        in use, of which some rows may be left over.
    """

    def __init__(
        self, stream: Stream, seed: Sequence[int], begin: ReadingPlace = BEGINNING
    ) -> None:
        self.wait_seconds = 0.0
        self._rows = ShuffledEpochs(
            stream.layout, stream.total_size, stream.batch_size, stream.buffer_bytes, seed, begin
        )
        self.place = begin
        self._groups: list[BlockGroup] = []
        self._in_use = 0  # number of the group that steps use, from the first that is read
        self._first_step = self._rows.first_step  # the first that uses it
        self._complete = 0  # number of groups that have been filled
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wanted = False

    def steps_ready(self, step: int) -> int:
        """Wait for the rows of a step; no earlier ones will be asked for again.

        Returns
        -------
        int
            For how many steps, from this one on, there are rows in the same group.

        Raises
        ------
        StreamError
            If the rows cannot be read. The next call tries again.
        """
        began = time.perf_counter()
        with self._changed:
            while (ready := self._steps_left(step)) <= 0:
                interrupts.check()
                self._check_reader()
                self._changed.wait(LONGEST_DEAFNESS)
        self.wait_seconds += time.perf_counter() - began
        return ready

    def leads_to(self, step: int) -> bool:
        """Tell whether a step may be the first for which this feed is asked; see :attr:`place`."""
        return self._first_step <= step <= self._rows.step_after(2)

    def windows(self) -> tuple[np.ndarray, ...]:
        """Return the rows of the group in use, for each part, and their order."""
        group = self._group(self._in_use)
        return *group.arrays, group.batch_order

    def _group(self, number: int) -> BlockGroup:
        return self._groups[number % SLOTS]

    def _steps_left(self, step: int) -> int:
        """Return how many steps there are rows for; the group before a step's may be refilled."""
        if self._in_use == self._complete:
            return 0
        end = self._first_step + self._group(self._in_use).batches
        if step < end:
            return end - step
        self.place = self._group(self._in_use).begins_at
        self._in_use, self._first_step = self._in_use + 1, end
        self._changed.notify_all()
        return self._steps_left(step)

    def _check_reader(self) -> None:
        """See to it that there is a thread that reads, and raise what it could not do."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._wanted = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="vibayes-reader", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let the thread end; a block that is being read is read to its end."""
        with self._changed:
            self._wanted = False
            self._error = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None, LONGEST_WAIT_FOR_READER)

    # -- the thread ---------------------------------------------------------------------------

    def _read(self) -> None:
        while self._has_room():
            try:
                self._work()
            except BaseException as error:
                with self._changed:
                    self._error, self._thread = error, None
                    self._changed.notify_all()
                return

    def _has_room(self) -> bool:
        """Wait until there is room for a group, and tell whether anyone wants it."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._wanted or self._complete - self._in_use < SLOTS
            )
            if not self._wanted:
                self._thread = None
                self._changed.notify_all()
            return self._wanted

    def _work(self) -> None:
        if self._complete == len(self._groups) < SLOTS:
            self._groups.append(self._rows.group())
        if self._rows.work(self._group(self._complete)):
            with self._changed:
                self._complete += 1
                self._changed.notify_all()


class Feeds:
    """The feeds of all streams that the steps of a fit read.

    Parameters
    ----------
    windows : sequence of SharedVariable
        The windows of minibatches that the steps read.
    seed : int
        Seed of the fit; streams have their own ones beside.
    begin : sequence of ReadingPlace, optional
        Where to begin to read each stream; see :attr:`places`.

    Raises
    ------
    ShapeError
        If several streams look as if they were to show the same rows.
    """

    def __init__(
        self, windows: Sequence[SharedVariable], seed: int, begin: Sequence[ReadingPlace] = ()
    ) -> None:
        self.seed = seed
        self._places = [window.tag.streamed for window in windows]
        streams = list(dict.fromkeys(stream for stream, _ in self._places))
        check_streams(streams)
        begin = begin or [BEGINNING] * len(streams)
        self._feeds = {
            stream: Feed(stream, [seed, stream.random_seed], place)
            for stream, place in zip(streams, begin, strict=True)
        }

    @property
    def places(self) -> tuple[ReadingPlace, ...]:
        """Where other feeds have to begin to read for the steps to come."""
        return tuple(feed.place for feed in self._feeds.values())

    @property
    def wait_seconds(self) -> float:
        """Time that steps have waited for rows."""
        return sum(feed.wait_seconds for feed in self._feeds.values())

    def lead_to(self, step: int) -> bool:
        """Tell whether a step may be the first for which these feeds are asked."""
        return all(feed.leads_to(step) for feed in self._feeds.values())

    def steps_ready(self, step: int, most: int) -> int:
        """Wait for the rows of a step.

        Returns
        -------
        int
            For how many steps, from this one on, there are rows in the same windows; ``most`` if
            there are more.
        """
        if not self._feeds:
            return most
        return min([most, *(feed.steps_ready(step) for feed in self._feeds.values())])

    def windows(self) -> tuple[np.ndarray, ...]:
        """Return the values of the windows, for the step that was last waited for."""
        if not self._feeds:
            return ()
        found = {stream: feed.windows() for stream, feed in self._feeds.items()}
        return tuple(found[stream][part] for stream, part in self._places)

    def stop(self) -> None:
        """End the threads that read."""
        for feed in self._feeds.values():
            feed.stop()


def check_streams(streams: Sequence[Stream]) -> None:
    """Raise if streams that are alike, and so might be meant to show the same rows, do not."""
    seen: dict[tuple[int, int, int], Stream] = {}
    for stream in streams:
        other = seen.setdefault(stream.key, stream)
        if other is not stream:
            raise ShapeError(
                f"{other} and {stream} have the same length, batch size and seed, but would show "
                f"different rows. For the same rows make them together, X, y = vb.Minibatch(...); "
                f"for different ones give them different values of random_seed."
            )
