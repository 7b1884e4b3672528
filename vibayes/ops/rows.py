"""The order of rows in an epoch: a random permutation of which any part can be computed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.jax import jax_version
from vibayes.backend.numba import NumbaOp, numba_version

__all__ = ["ShuffledRows"]

ROUNDS = 8  # with which all orders of a few rows are about equally frequent
MASK64 = 2**64 - 1
WEYL, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class ShuffledRows(NumbaOp):
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


@numba_version(ShuffledRows)
def compiled_rows(op: ShuffledRows, node: Apply, njit: Callable[..., Any]) -> tuple[Any, int]:
    size, u32, u64 = op.size, np.uint32, np.uint64
    weyl, mix_1, mix_2 = u64(WEYL), u64(MIX_1), u64(MIX_2)

    @njit
    def mixed(z):
        z = (z ^ (z >> u64(30))) * mix_1
        z = (z ^ (z >> u64(27))) * mix_2
        return z ^ (z >> u64(31))

    @njit
    def shuffle(first, length, factors, summands, result):
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

    @njit
    def rows(order, position, length):
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


@jax_version(ShuffledRows)
def jax_rows(op: ShuffledRows, node: Apply) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def u64(value: Any) -> Any:
        return jnp.asarray(value, dtype="uint64")

    def mixed(z: Any) -> Any:
        z = (z ^ (z >> u64(30))) * u64(MIX_1)
        z = (z ^ (z >> u64(27))) * u64(MIX_2)
        return z ^ (z >> u64(31))

    def rows(order: Any, position: Any, length: Any) -> Any:
        length = jnp.asarray(length, dtype="int64")
        place = position + jnp.arange(op.size)
        epoch, x = place // length, (place % length).astype("uint32")
        bits = jnp.maximum(64 - jax.lax.clz(length - 1), 2)
        mask = ((jnp.int64(1) << bits) - 1).astype("uint32")
        shift = ((bits + 1) // 2).astype("uint32")
        key, keys = mixed(u64(order) + u64(epoch) * u64(WEYL)), []
        for _ in range(ROUNDS):
            key = mixed(key + u64(WEYL))
            keys.append((key.astype("uint32") | jnp.uint32(1), (key >> u64(32)).astype("uint32")))

        def permuted(x: Any) -> Any:
            for factor, summand in keys:
                x = (x * factor + summand) & mask
                x = x ^ (x >> shift)
            return x

        def walk(x: Any) -> Any:
            return jnp.where(x >= length, permuted(x), x)

        x = jax.lax.while_loop(lambda x: (x >= length).any(), walk, permuted(x))
        return x.astype("int64")

    return rows
