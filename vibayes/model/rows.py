"""Random rows: which part of the data a minibatch shows, and how that changes from step to step.

What changes is kept in shared variables that have default updates, so that each evaluation, and
each step of a fit, sees other rows. Rows of the same seed, length and number come from the same
shared variables: everything that is evaluated in one function call sees the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.ops import view_op
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor.variable import TensorVariable

__all__ = ["RowStream", "ShuffledRows", "row_stream"]

ROUNDS = 8  # with which all orders of a few rows are about equally frequent
MOST_ROWS = 2**32
MASK64 = 2**64 - 1
WEYL, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


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
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.entropy)))


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
    """Rows that are drawn independently of each other, with replacement."""

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

    Neither a permutation nor a shuffled copy is kept: :class:`ShuffledRows` computes the place of
    a row. A batch that reaches the end of an epoch goes on with the next.
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
    Apply(view_op, [rows], [result])
    return result


STREAMS: WeakValueDictionary[RowKey, RowStream] = WeakValueDictionary()


def row_stream(key: RowKey) -> RowStream:
    """Return the stream of a key: the one that there is, as long as a minibatch uses it."""
    stream = STREAMS.get(key)
    if stream is None:
        stream = IndependentRows(key) if key.replace else EpochRows(key)
        STREAMS[key] = stream
    return stream


class ShuffledRows(Op):
    r"""A stretch of an endless sequence that runs through all rows again and again.

    The sequence is cut into epochs of ``length`` elements. Each is a permutation of the rows, of
    which any element can be computed alone: the place in the epoch goes through a few rounds of

    .. math:: x \leftarrow (a x + c) \bmod 2^m, \qquad x \leftarrow x \oplus
        \lfloor x / 2^s \rfloor

    with :math:`2^m` the next power of two, odd :math:`a` and any :math:`c` that depend on the
    round and on the epoch, and :math:`s = \lceil m / 2 \rceil`. Both maps are permutations of
    :math:`\{0, \dots, 2^m - 1\}`. A result that is no row goes through the same again, until
    it is one; that makes it a permutation of the rows.

    Parameters
    ----------
    size : int
        Length of the stretch.

    References
    ----------
    Black and Rogaway (2002), Ciphers with arbitrary finite domains, CT-RSA (going through it
    again). Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, OOPSLA
    (the numbers a and c).
    """

    __props__ = ("size",)

    def __init__(self, size: int) -> None:
        register_numba_implementation()
        self.size = size

    def make_node(self, order: Variable, position: Variable, length: Variable) -> Apply:
        inputs = [pt.as_tensor_variable(v).astype("int64") for v in (order, position, length)]
        return Apply(self, inputs, [pt.tensor(dtype="int64", shape=(self.size,))])

    def infer_shape(self, *args: Any) -> list[tuple[TensorVariable]]:
        return [(pt.constant(self.size, dtype="int64"),)]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False]] * 3

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        order, position, length = (int(v) for v in inputs)
        rows = np.empty(self.size, dtype="int64")
        done = 0
        while done < self.size:
            epoch, first = divmod(position + done, length)
            count = min(self.size - done, length - first)
            rows[done : done + count] = shuffled(order, epoch, first, count, length)
            done += count
        outputs[0][0] = rows


def shuffled(order: int, epoch: int, first: int, count: int, length: int) -> np.ndarray:
    """Return ``count`` rows from place ``first`` of an epoch on."""
    bits = max(2, (length - 1).bit_length())
    mask, shift = np.uint32(2**bits - 1), np.uint32((bits + 1) // 2)
    factors, summands = round_keys(order, epoch)

    def permuted(x: np.ndarray) -> np.ndarray:
        for factor, summand in zip(factors, summands, strict=True):
            x = (x * factor + summand) & mask
            x ^= x >> shift
        return x

    x = permuted(np.arange(first, first + count, dtype="uint32"))
    while (outside := x >= length).any():
        x[outside] = permuted(x[outside])
    return x.astype("int64")


def round_keys(order: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and the summand of each round in an epoch."""
    key = mixed((order + epoch * WEYL) & MASK64)
    factors, summands = np.empty(ROUNDS, "uint32"), np.empty(ROUNDS, "uint32")
    for i in range(ROUNDS):
        key = mixed((key + WEYL) & MASK64)
        factors[i], summands[i] = key & 0xFFFFFFFF | 1, key >> 32
    return factors, summands


def mixed(z: int) -> int:
    """Return 64 bits of which each depends on each bit of z."""
    z = ((z ^ z >> 30) * MIX_1) & MASK64
    z = ((z ^ z >> 27) * MIX_2) & MASK64
    return z ^ z >> 31


@cache
def register_numba_implementation() -> None:
    """Tell PyTensor's numba backend how to compile :class:`ShuffledRows`."""
    from pytensor.link.numba.dispatch.basic import (
        numba_njit,
        register_funcify_default_op_cache_key,
    )

    u32, u64 = np.uint32, np.uint64
    weyl, mix_1, mix_2 = u64(WEYL), u64(MIX_1), u64(MIX_2)

    @numba_njit
    def mixed(z):  # type: ignore[no-untyped-def]
        z = (z ^ (z >> u64(30))) * mix_1
        z = (z ^ (z >> u64(27))) * mix_2
        return z ^ (z >> u64(31))

    @numba_njit
    def shuffle(first, length, factors, summands, result):  # type: ignore[no-untyped-def]
        bits = 2
        while (1 << bits) < length:
            bits += 1
        mask, shift = u32((1 << bits) - 1), u32((bits + 1) // 2)
        values, places = np.empty(result.size, u32), np.empty(result.size, np.int64)
        for j in range(result.size):
            values[j], places[j] = u32(first + j), j
        left = result.size
        while left:
            for i in range(ROUNDS):
                factor, summand = factors[i], summands[i]
                for j in range(left):  # simple enough for the compiler to do several at once
                    x = u32(values[j] * factor + summand) & mask
                    values[j] = x ^ (x >> shift)
            outside = 0
            for j in range(left):
                x, place = values[j], places[j]
                result[place] = x
                values[outside], places[outside] = x, place
                outside += x >= length
            left = outside

    @register_funcify_default_op_cache_key(ShuffledRows)
    def shuffled_rows(op: ShuffledRows, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        size = op.size

        @numba_njit
        def rows(order, position, length):  # type: ignore[no-untyped-def]
            length = length.item()
            factors, summands = np.empty(ROUNDS, u32), np.empty(ROUNDS, u32)
            result = np.empty(size, np.int64)
            done = 0
            while done < size:
                epoch, first = divmod(position.item() + done, length)
                key = mixed(u64(order.item()) + u64(epoch) * weyl)
                for i in range(ROUNDS):
                    key = mixed(key + weyl)
                    factors[i], summands[i] = u32(key) | u32(1), u32(key >> u64(32))
                count = min(size - done, length - first)
                shuffle(first, length, factors, summands, result[done : done + count])
                done += count
            return result

        return rows, 1
