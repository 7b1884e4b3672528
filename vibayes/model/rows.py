"""Random rows: which part of the data a minibatch shows, and how that changes from step to step.

What changes is kept in shared variables that have default updates, so that each evaluation, and
each step of a fit, sees other rows. Rows of the same seed, length and number come from the same
shared variables: everything that is evaluated in one function call sees the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import view_as
from vibayes.backend.seeds import new_generator
from vibayes.ops.rows import ShuffledRows

__all__ = ["IndependentRows", "RowStream", "row_stream"]

MOST_ROWS = 2**32


@dataclass(frozen=True)
class RowKey:
    """What rows depend on; streams of equal keys are one.

    Attributes
    ----------
    seed : int
        Seed of the generator.
    occurrence : int
        How many axes of the same minibatch come before that have the same seed, length and size.
        Rows and columns of a square must not be the same numbers.
    length : int
        Number of rows when the stream was made.
    size : int
        Rows a step.
    replace : bool
        Whether rows are drawn independently.
    """

    seed: int
    occurrence: int
    length: int
    size: int
    replace: bool

    @property
    def entropy(self) -> tuple[int, ...]:
        """Whole numbers that tell the key from others."""
        return self.seed, self.occurrence, self.length, self.size, int(self.replace)

    def generator(self) -> np.random.Generator:
        """Return a new generator of this key."""
        return new_generator(np.random.SeedSequence(self.entropy))


class RowStream:
    """Rows that differ from step to step, of any number of rows.

    Parameters
    ----------
    key : RowKey
        Seed and size.

    Attributes
    ----------
    rng : SharedVariable
        Where the randomness comes from. A fit draws from a seed of its own; its tag ``identity``
        is what the fit is to tell it by from others: not its state, which evaluations change.
    """

    def __init__(self, key: RowKey) -> None:
        self.key = key
        self.rng = pytensor.shared(key.generator(), name="rng_minibatch")
        self.rng.tag.identity = key.entropy

    def rows(self, length: TensorVariable) -> TensorVariable:
        """Return the rows of this step, a vector of whole numbers from 0 to below ``length``."""
        raise NotImplementedError


class IndependentRows(RowStream):
    """Rows that are drawn independently of each other, with replacement.

    Attributes
    ----------
    uniform : TensorVariable
        For each a number from 0 to below 1, that many times the length is the row.
    """

    def __init__(self, key: RowKey) -> None:
        super().__init__(key)
        # 53 bits: in single precision most of 10^8 rows would never be drawn
        draw = pt.random.uniform(0.0, 1.0, size=(key.size,), rng=self.rng, dtype="float64")
        self.rng.default_update, self.uniform = draw.owner.outputs

    def rows(self, length: TensorVariable) -> TensorVariable:
        """Return the rows of this step."""
        return of_unknown_length((self.uniform * length).astype("int64"))


class EpochRows(RowStream):
    """Rows of which each comes once an epoch, in an order that is random and new in each.

    Neither a permutation nor a shuffled copy is kept: ``ShuffledRows`` computes the place of a row.
    A batch that reaches the end of an epoch goes on with the next.
    """

    def __init__(self, key: RowKey) -> None:
        if key.length > MOST_ROWS:
            raise ValueError(f"replace=False is for up to {MOST_ROWS:,} rows, got {key.length:,}")
        super().__init__(key)
        draw = pt.random.integers(0, 2**63 - 1, rng=self.rng)
        self.rng.default_update, fresh = draw.owner.outputs
        kept = shared_integer("order_minibatch")
        self.position = shared_integer("position_minibatch")
        self.order = pt.switch(pt.eq(self.position, 0), fresh, kept)
        kept.default_update = self.order
        self.position.default_update = self.position + key.size

    def rows(self, length: TensorVariable) -> TensorVariable:
        """Return the rows of this step."""
        rows = ShuffledRows(self.key.size)(self.order, self.position, length)
        return of_unknown_length(rows)


def shared_integer(name: str) -> SharedVariable:
    """Return a shared whole number that is 0 at first, and at the start of each fit."""
    variable = pytensor.shared(np.asarray(0, dtype="int64"), name=name)
    variable.tag.start_value = np.asarray(0, dtype="int64")
    return variable


def of_unknown_length(rows: TensorVariable) -> TensorVariable:
    """Return rows as a vector whose type tells no length.

    What is indexed by it can be replaced by data that have another number of rows.
    """
    result = pt.lvector()
    view_as(rows, result)
    return result


STREAMS: WeakValueDictionary[RowKey, RowStream] = WeakValueDictionary()


def row_stream(key: RowKey) -> RowStream:
    """Return the stream of a key: the one that there is, as long as a minibatch uses it."""
    stream = STREAMS.get(key)
    if stream is None:
        stream = IndependentRows(key) if key.replace else EpochRows(key)
        STREAMS[key] = stream
    return stream
