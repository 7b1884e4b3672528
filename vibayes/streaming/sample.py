"""Some rows of data that are not in memory, for what looks at the same rows again and again."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibayes.backend.seeds import as_seed_sequence
from vibayes.streaming.shuffle import ShuffledEpochs
from vibayes.streaming.stream import Stream

__all__ = ["sample_rows"]

SEED_WORDS = 4


def sample_rows(stream: Stream, rows: int, random_seed: Any = None) -> tuple[np.ndarray, ...]:
    """Return random rows, none of them twice.

    They are the first that a fit would see: of blocks from all over the data, if its blocks can
    be read in any order, else of its first blocks.

    Parameters
    ----------
    stream : Stream
        Where the rows come from.
    rows : int
        How many; all, if there are fewer.
    random_seed : int, sequence of int, SeedSequence, Generator or None
        Seed.

    Returns
    -------
    tuple of numpy.ndarray
        For each part of a row an array, the rows along its first axis.

    Raises
    ------
    StreamError
        If the rows cannot be read.
    """
    seed = as_seed_sequence(random_seed).generate_state(SEED_WORDS).tolist()
    layout, length = stream.layout, min(rows, stream.total_size)
    seed.append(stream.random_seed)
    epochs = ShuffledEpochs(layout, stream.total_size, 1, stream.buffer_bytes, seed)
    sample = tuple(part.empty(length) for part in layout.parts)
    group, filled = epochs.group(), 0
    while filled < length:
        if not epochs.work(group):
            continue
        rows = group.order[: length - filled]
        for array, values in zip(sample, group.arrays, strict=True):
            array[filled : filled + len(rows)] = values[rows]
        filled += len(rows)
    return sample
