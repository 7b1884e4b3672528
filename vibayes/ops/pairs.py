"""All pairs of n particles, the rows of a matrix: distances, their median, and sums of a kernel.

The squared distance is the same both ways, so that all work is done on the n (n - 1) / 2 pairs; no
n by n matrix is made, and the median is found by selection, without sorting. All inner loops of
the compiled functions run along particles, which is what a compiler can turn into vector
instructions: hence the transpositions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable

from vibayes.backend.jax import jax_version
from vibayes.backend.numba import ANY_ORDER, NumbaOp, numba_version
from vibayes.backend.numba_linker.elementary import (
    EXP,
    LOG2_HIGH,
    LOG2_LOW,
    SHIFT,
    polynomial,
    power_of_two,
)
from vibayes.backend.numba_linker.llvm_numbers import Number, multiply_add, scalar_function, where

__all__ = ["PROFILES", "RadialSums", "median_distance", "pair_distances"]


Profile = Callable[[Any, Any, float], tuple[Any, Any]]


def gaussian(exp: Callable[[Any], Any]) -> Profile:
    """Return the Gaussian kernel's f and -2 f', as a function of squared distances.

    It serves arrays, symbolic variables and compiled code, given the exponential of each.
    """

    def profile(distances: Any, scale: Any, power: float) -> tuple[Any, Any]:
        k = exp(distances * (power / scale))
        return k, k * (-2 * power / scale)

    return profile


def multiquadric(exp: Callable[[Any], Any]) -> Profile:
    """Return the inverse multiquadric kernel's f and -2 f', as :func:`gaussian` does."""

    def profile(distances: Any, scale: Any, power: float) -> tuple[Any, Any]:
        base = distances + scale
        k = base**power
        return k, k * (-2 * power) / base

    return profile


PROFILES: dict[str, Callable[..., Profile]] = {"gaussian": gaussian, "multiquadric": multiquadric}


class PairOp(NumbaOp):
    """Base of the operations on pairs (i, j) with i < j, which are in the order of ``pdist``."""

    __props__: tuple[str, ...] = ()


class PairDistances(PairOp):
    """Squared distances of all pairs of rows of a matrix."""

    def make_node(self, X: Variable) -> Apply:
        X = pt.as_tensor_variable(X)
        n = X.type.shape[0]
        shape = (None if n is None else n * (n - 1) // 2,)
        return Apply(self, [X], [pt.tensor(dtype=X.dtype, shape=shape)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        from scipy.spatial.distance import pdist  # takes long to import

        distances = pdist(inputs[0], "sqeuclidean")
        outputs[0][0] = distances.astype(node.outputs[0].dtype, copy=False)


class MedianDistance(PairOp):
    """Median of the square matrix of distances, given those of all pairs."""

    def make_node(self, distances: Variable) -> Apply:
        distances = pt.as_tensor_variable(distances)
        return Apply(self, [distances], [pt.scalar(dtype=distances.dtype)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        (distances,) = inputs
        lower, upper = median_ranks(distances.size)
        if upper < 0:
            median = 0.0
        else:
            ranked = np.partition(distances, [max(lower, 0), upper])
            median = (ranked[upper] + (ranked[lower] if lower >= 0 else 0.0)) / 2
        outputs[0][0] = np.asarray(median, dtype=distances.dtype)


class RadialSums(PairOp):
    r"""Sums over all particles: :math:`\sum_j k_{ij} s_j - 2 k'_{ij} (x_i - x_j)`.

    Parameters
    ----------
    profile : str
        Name of the kernel's function of the squared distance.
    power : float
        Its parameter.
    """

    __props__ = ("power", "profile")

    def __init__(self, profile: str, power: float) -> None:
        self.profile = profile
        self.power = power

    def make_node(self, *inputs: Variable) -> Apply:
        distances, scale, X, score = map(pt.as_tensor_variable, inputs)
        return Apply(self, [distances, scale, X, score.astype(X.dtype)], [X.type()])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        from scipy.spatial.distance import squareform

        distances, scale, X, score = inputs
        square = squareform(distances, checks=False) if len(X) > 1 else np.zeros((1, 1))
        with np.errstate(all="ignore"):  # a fit tells what is not finite
            K, weight = PROFILES[self.profile](np.exp)(square, scale, self.power)
            X = X - X.mean(axis=0)  # only differences matter, and these have more digits
            sums = K @ score + weight.sum(axis=1)[:, None] * X - weight @ X
        outputs[0][0] = sums.astype(node.outputs[0].dtype, copy=False)


# Selection: how many values tell where to look, and into how many parts a range is divided
SAMPLE = 4096
N_BUCKETS = 1024
CHUNK = 1024  # values that are looked at together, which stay in the cache

pair_distances = PairDistances()
median_distance = MedianDistance()


def median_ranks(pairs: int) -> tuple[int, int]:
    """Return the ranks, among the pairs, of the two middle values of the whole square matrix.

    The matrix holds the distance of each pair twice, and n zeros. A rank below zero is one of
    those.
    """
    n = round((1 + np.sqrt(1 + 8.0 * pairs)) / 2)
    return ((n * n - 1) // 2 - n) // 2, (n * n // 2 - n) // 2


@numba_version(PairDistances)
def compiled_pair_distances(
    op: PairDistances, node: Apply, njit: Callable[..., Any]
) -> tuple[Any, int]:
    @njit
    def distances(X):
        n, d = X.shape
        columns = np.ascontiguousarray(X.T)
        result = np.empty(n * (n - 1) // 2, X.dtype)
        end = 0
        for i in range(n - 1):
            row = result[end : end + n - 1 - i]
            end += row.size
            if d == 0:
                row[:] = 0
            for c in range(d):  # while a row is near: all of the result would not stay in the cache
                x, others = columns[c, i], columns[c, i + 1 :]
                if c == 0:
                    for j in range(row.size):
                        row[j] = (x - others[j]) ** 2
                else:
                    for j in range(row.size):
                        row[j] += (x - others[j]) ** 2
        return result

    return distances, 5


def compiled_ranked(njit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiled function that selects the value of a rank."""

    @njit
    def limits(values):
        low, high, total = values[0], values[0], 0.0
        for v in values:
            low, high, total = min(low, v), max(high, v), total + v
        return low, high, np.isfinite(total)

    @njit(fastmath=False)  # the same number must go to the same bucket each time
    def bucket_of(value, low, scale):
        return int((value - low) * scale)

    @njit
    def ranked(values, rank):
        """Find the value of a rank: keep the bucket that holds it, and look closer."""
        while True:
            low, high, finite = limits(values)
            if not finite:
                return values[0] * np.nan
            scale = N_BUCKETS / (high - low) if high > low else np.inf
            if not np.isfinite(scale):
                return low
            counts = np.zeros(N_BUCKETS + 1, np.int64)
            for v in values:
                counts[bucket_of(v, low, scale)] += 1
            bucket = 0
            while counts[bucket] <= rank:
                rank -= counts[bucket]
                bucket += 1
            kept = np.empty(counts[bucket], values.dtype)
            end = 0
            for v in values:
                if bucket_of(v, low, scale) == bucket:
                    kept[end] = v
                    end += 1
            values = kept

    return ranked


def compiled_narrowed(njit: Callable[..., Any], ranked: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiled function that leaves out most values that are not of a rank."""

    @njit
    def narrowed(values, rank):
        """Return the values about a rank, judged by a sample, and the number below them.

        Among them are the values of the rank and of the one before, or they are all values.
        """
        sample = values[:: values.size // SAMPLE + 1].copy()
        middle = rank * sample.size // values.size
        margin = 2 * int(np.sqrt(sample.size))  # four standard errors
        if sample.size == values.size or not margin <= middle < sample.size - margin:
            return values, 0
        low, high = ranked(sample, middle - margin), ranked(sample, middle + margin)
        kept, n_kept, below = np.empty(values.size // 4, values.dtype), 0, 0
        is_near = np.empty(CHUNK, np.uint8)
        for start in range(0, values.size, CHUNK):
            chunk = values[start : start + CHUNK]
            if n_kept + chunk.size > kept.size:
                return values, 0
            for j in range(chunk.size):  # in vector instructions
                is_near[j] = (low <= chunk[j]) & (chunk[j] <= high)
                below += int(chunk[j] < low)
            for j in range(chunk.size):  # without branches that could not be predicted
                kept[n_kept] = chunk[j]
                n_kept += np.int64(is_near[j])
        if below < rank < below + n_kept:
            return kept[:n_kept], below
        return values, 0

    return narrowed


@numba_version(MedianDistance)
def compiled_median_distance(
    op: MedianDistance, node: Apply, njit: Callable[..., Any]
) -> tuple[Any, int]:
    ranks, ranked = njit(median_ranks), compiled_ranked(njit)
    narrowed = compiled_narrowed(njit, ranked)

    @njit
    def one_before(values, bound, rank):
        """Return the value of a rank, given that of the next."""
        below, n_below = values[0] * 0, 0
        for v in values:
            if v < bound:
                below, n_below = max(below, v), n_below + 1
        return below if n_below > rank else bound

    @njit
    def median(distances):
        result = np.zeros((), distances.dtype)
        lower, upper = ranks(distances.size)
        if upper >= 0:
            near, below = narrowed(distances, upper)
            high = ranked(near, upper - below)
            low = high if lower == upper else one_before(near, high, lower - below)
            result[()] = (low + high) / 2
        return result

    return median, 5


def exp_below_one(x: Number) -> Number:
    """Return the exponential of a number up to zero, as at least 2**-1022.

    It is :func:`~vibayes.backend.numba_linker.elementary.simd_exp` without what that does for the
    last half of a unit in the last place, for large results and for subnormal ones: half of its
    time.
    """
    x = where(x < -708.0, -708.0, x)
    shifted = multiply_add(x, x.same(1 / math.log(2)), SHIFT)
    k = shifted - SHIFT
    r = multiply_add(k, k.same(-LOG2_LOW), multiply_add(k, k.same(-LOG2_HIGH), x))
    return polynomial((*EXP, 1.0, 1.0), r) * power_of_two(shifted.bits())


@numba_version(RadialSums)
def compiled_radial_sums(op: RadialSums, node: Apply, njit: Callable[..., Any]) -> tuple[Any, int]:
    profile, power = njit(PROFILES[op.profile](scalar_function(exp_below_one))), op.power

    @njit(fastmath=ANY_ORDER)
    def sums(distances, scale, X, score):
        n, d = X.shape
        x, s = np.ascontiguousarray(X.T), np.ascontiguousarray(score.T)
        h = scale.item()
        at_zero, _ = profile(0.0, h, power)
        result = at_zero * s
        k, weight = np.empty(n), np.empty(n)
        end = 0
        for i in range(n - 1):
            start, end = end, end + n - 1 - i
            row = distances[start:end]
            if d > 1:
                for j in range(row.size):
                    k[j], weight[j] = profile(row[j], h, power)
            for c in range(d):
                x_j, s_j, result_j = x[c, i + 1 :], s[c, i + 1 :], result[c, i + 1 :]
                x_i, s_i, total = x[c, i], s[c, i], result[c, i]
                if d == 1:  # one loop, without memory for the kernel
                    for j in range(row.size):
                        k_j, weight_j = profile(row[j], h, power)
                        apart = weight_j * (x_i - x_j[j])
                        total += k_j * s_j[j] + apart
                        result_j[j] += k_j * s_i - apart
                else:
                    for j in range(row.size):
                        apart = weight[j] * (x_i - x_j[j])
                        total += k[j] * s_j[j] + apart
                        result_j[j] += k[j] * s_i - apart
                result[c, i] = total
        return np.ascontiguousarray(result.T).astype(X.dtype)

    return sums, 7


# In JAX the distances are the whole square matrix: each of its elements can be computed at the
# same time, which is what a GPU is good at. Nothing but the operations of this file sees them.


@jax_version(PairDistances)
def jax_pair_distances(op: PairDistances, node: Apply) -> Callable[..., Any]:
    import jax.numpy as jnp

    def distances(X: Any) -> Any:
        return jnp.square(X[:, None, :] - X[None, :, :]).sum(axis=-1)

    return distances


@jax_version(MedianDistance)
def jax_median_distance(op: MedianDistance, node: Apply) -> Callable[..., Any]:
    """Select by counting, which is much quicker in JAX than to sort.

    Numbers of at least zero are in the order of their bits: as whole numbers they are compared,
    counted and ranked in fewer instructions, and neighbours differ by one.
    """
    import jax
    import jax.numpy as jnp

    def ranked(bits: Any, rank: int, as_number: Callable[[Any], Any]) -> Any:
        """Return the bits of the value of a rank: an interval (low, high] shrinks about it."""
        count = len(bits)
        counter = jnp.int32 if count < 2**31 else jnp.int64
        sample = jnp.sort(bits[:: max(1, count // SAMPLE)])
        place, margin = len(sample) * (rank + 0.5) / count, 2 * math.sqrt(len(sample))
        ends = np.clip([place - margin, place + margin], 0, len(sample) - 1).astype(int)
        first, second = sample[ends[0]], sample[ends[1]]

        def goes_on(carry: Any) -> Any:
            low, high, n_low, n_high, _ = carry
            return (n_high - n_low > 2) & (high - low > 1)  # each pair is there twice

        def step(carry: Any) -> Any:
            low, high, n_low, n_high, i = carry
            share = jnp.clip((rank + 0.5 - n_low) / (n_high - n_low), 0.01, 0.99)
            start = as_number(jnp.maximum(low, 0))
            guess = start + share.astype(start.dtype) * (as_number(high) - start)
            middle = jax.lax.bitcast_convert_type(guess, bits.dtype)
            middle = jnp.where(i % 3 == 2, low + (high - low) // 2, middle)  # no end stays for long
            middle = jnp.where(i == 0, first, jnp.where(i == 1, second, middle))
            middle = jnp.clip(middle, low + 1, high - 1)
            n_middle = (bits <= middle).sum(dtype=counter)
            is_below = n_middle > rank
            low, n_low = jnp.where(is_below, low, middle), jnp.where(is_below, n_low, n_middle)
            high, n_high = jnp.where(is_below, middle, high), jnp.where(is_below, n_middle, n_high)
            return low, high, n_low, n_high, i + 1

        below_all = jnp.full((), -1, dtype=bits.dtype)
        begin = below_all, bits.max(), counter(0), counter(count), jnp.int32(0)
        low, high, n_low, *_ = jax.lax.while_loop(goes_on, step, begin)
        least = jnp.where(bits > low, bits, jnp.iinfo(bits.dtype).max).min()
        return jnp.where(n_low == rank, least, jnp.where(bits <= high, bits, -1).max())

    def median(distances: Any) -> Any:
        kind = jnp.int64 if distances.dtype == "float64" else jnp.int32
        bits = jax.lax.bitcast_convert_type(distances.ravel(), kind)

        def as_number(some: Any) -> Any:
            return jax.lax.bitcast_convert_type(some, distances.dtype)

        size = distances.size
        low = ranked(bits, (size - 1) // 2, as_number)
        is_next = (bits <= low).sum() <= size // 2
        above = jnp.where(bits > low, bits, jnp.iinfo(kind).max).min()
        middle = (as_number(low) + as_number(jnp.where(is_next, above, low))) / 2
        return jnp.where(jnp.isfinite(distances).all(), middle, jnp.nan)

    return median


@jax_version(RadialSums)
def jax_radial_sums(op: RadialSums, node: Apply) -> Callable[..., Any]:
    import jax.numpy as jnp

    profile = PROFILES[op.profile](jnp.exp)

    def sums(distances: Any, scale: Any, X: Any, score: Any) -> Any:
        K, weight = profile(distances, scale, op.power)
        X = X - X.mean(axis=0)  # only differences matter, and these have more digits
        return K @ score + weight.sum(axis=1)[:, None] * X - weight @ X

    return sums
