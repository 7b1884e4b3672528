r"""Kernels: how near two particles are, and how they push each other apart.

A kernel maps n particles :math:`x_1, \dots, x_n`, the rows of a matrix, to the matrix of
:math:`k(x_j, x_i)` and to the repulsion :math:`\sum_j \nabla_{x_j} k(x_j, x_i)`, one row a
particle.

The kernels here are functions of the squared distance. It is the same both ways, so that all work
is done on the n (n - 1) / 2 pairs; no n by n matrix is made, and the median distance is found by
selection, without sorting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import factorial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor.variable import TensorVariable
from scipy.spatial.distance import pdist, squareform

from vibayes.objectives.test_function import TestFunction
from vibayes.settings import ComparedBySettings

__all__ = ["IMQ", "RBF", "CallableKernel", "Kernel", "RadialKernel", "as_kernel", "imq", "rbf"]


class Kernel(ComparedBySettings, TestFunction):
    """Base of the kernels.

    Called with particles a kernel returns its matrices. Called with settings it returns a kernel
    of its kind that has them: ``rbf(h=0.5)``.
    """

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if args and isinstance(args[0], Variable):
            return self.matrices(*args, **settings)
        return type(self)(*args, **settings)

    def matrices(self, X: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return the kernel matrix (n, n) and the repulsion (n, d) of particles (n, d)."""
        raise NotImplementedError

    def direction(self, X: TensorVariable, score: TensorVariable) -> TensorVariable:
        r"""Return :math:`\sum_j k(x_j, x_i) s_j + \nabla_{x_j} k(x_j, x_i)`, one row a particle.

        Parameters
        ----------
        X
            Particles (n, d).
        score
            A vector :math:`s_j` for each (n, d): the gradient of the log density.
        """
        K, repulsion = self.matrices(X)
        return pt.dot(K, score) + repulsion


@dataclass(frozen=True, eq=False)
class CallableKernel(Kernel):
    """A kernel that a user wrote.

    Parameters
    ----------
    function : callable
        Maps particles to the kernel matrix and the repulsion.
    """

    function: Callable[[TensorVariable], tuple[TensorVariable, TensorVariable]]

    def matrices(self, X: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        result = self.function(X)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"the kernel {self.function!r} must return the kernel matrix (n, n) and the sum of "
                f"its gradients (n, d), got {result!r}"
            )
        K, repulsion = result
        return pt.as_tensor_variable(K), pt.as_tensor_variable(repulsion)


class RadialKernel(Kernel):
    r"""A kernel :math:`k(x, y) = f(|x - y|^2)`.

    Since :math:`\nabla_{x_j} f(|x_i - x_j|^2) = -2 f'(|x_i - x_j|^2) (x_i - x_j)`, the repulsion
    is a sum over pairs too, and nothing has to be differentiated by PyTensor.
    """

    profile: ClassVar[str]
    """Name of f in ``PROFILES``."""

    power: float
    """Parameter of f."""

    def scale(self, distances: TensorVariable, n: Any) -> TensorVariable:
        """Return the squared length that distances are compared with.

        Parameters
        ----------
        distances
            Squared distances of all pairs.
        n
            Number of particles.
        """
        raise NotImplementedError

    def matrices(self, X: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        scale = self.scale(pair_distances(X), X.shape[0])
        distances = ((X[:, None] - X) ** 2).sum(axis=-1)
        K, weight = PROFILES[self.profile](pt.exp)(distances, scale, self.power)
        X = X - X.mean(axis=0)  # only differences matter, and these have more digits
        return K, X * weight.sum(axis=1, keepdims=True) - pt.dot(weight, X)

    def direction(self, X: TensorVariable, score: TensorVariable) -> TensorVariable:
        distances = pair_distances(X)
        scale = self.scale(distances, X.shape[0])
        return RadialSums(self.profile, float(self.power))(distances, scale, X, score)


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


def check_number(kernel: str, name: str, value: Any, lower: float, upper: float) -> None:
    if not isinstance(value, Real) or not lower < value < upper:
        side = "positive" if lower == 0 else "negative"
        raise ValueError(f"{kernel}: {name} must be a finite {side} number, got {value!r}")


@dataclass(frozen=True, eq=False)
class RBF(RadialKernel):
    r"""The Gaussian kernel, or radial basis function.

    .. math:: k(x, y) = \exp\left(-\frac{|x - y|^2}{2 h^2}\right)

    Parameters
    ----------
    h : float, optional
        The bandwidth. By default, at each step, that of the median heuristic: with m the median
        of the squared distances of all n² ordered pairs, :math:`h^2 = m / (2 \log(n + 1))`.

    Raises
    ------
    ValueError
        If h is not positive.

    References
    ----------
    Liu, Wang (2016), Stein Variational Gradient Descent, arXiv:1608.04471. Section 5 has the
    heuristic.
    """

    h: float | None = None

    profile: ClassVar[str] = "gaussian"
    power: ClassVar[float] = -0.5

    def __post_init__(self) -> None:
        if self.h is not None:
            check_number("rbf", "h", self.h, 0, np.inf)

    def scale(self, distances: TensorVariable, n: Any) -> TensorVariable:
        if self.h is not None:
            return pt.constant(self.h**2, dtype=distances.dtype)
        median = median_distance(distances)
        h2 = (0.5 * median / pt.log(n + 1.0)).astype(distances.dtype)
        # Where half of the distances are zero, any bandwidth that is not will do.
        return pt.switch(pt.eq(h2, 0), pt.ones_like(h2), h2)


@dataclass(frozen=True, eq=False)
class IMQ(RadialKernel):
    r"""The inverse multiquadric kernel, whose heavy tails keep far particles in touch.

    .. math:: k(x, y) = (c^2 + |x - y|^2)^\beta

    Parameters
    ----------
    beta : float, default -0.5
        The power, negative.
    c : float, default 1
        The length beyond which the kernel falls.

    Raises
    ------
    ValueError
        If beta is not negative, or c is not positive.

    References
    ----------
    Gorham, Mackey (2017), Measuring Sample Quality with Kernels, arXiv:1703.01717. They show that
    the Stein discrepancy of this kernel tells convergence for beta between -1 and 0, in any
    number of dimensions; that of the Gaussian kernel does not.
    """

    beta: float = -0.5
    c: float = 1.0

    profile: ClassVar[str] = "multiquadric"

    def __post_init__(self) -> None:
        check_number("imq", "beta", self.beta, -np.inf, 0)
        check_number("imq", "c", self.c, 0, np.inf)

    def scale(self, distances: TensorVariable, n: Any) -> TensorVariable:
        return pt.constant(self.c**2, dtype=distances.dtype)

    @property
    def power(self) -> float:
        return self.beta


rbf = RBF()
imq = IMQ()
KERNELS: dict[str, Kernel] = {"rbf": rbf, "imq": imq}


def as_kernel(kernel: str | Kernel | Callable[..., Any]) -> Kernel:
    """Return a kernel of its name, of a kernel, or of a function.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of the three.
    """
    if isinstance(kernel, str):
        if kernel not in KERNELS:
            known = ", ".join(map(repr, KERNELS))
            raise ValueError(f"the kernel {kernel!r} is unknown; known are {known}")
        return KERNELS[kernel]
    if isinstance(kernel, Kernel):
        return kernel
    if not callable(kernel):
        raise TypeError(f"the kernel must be a name or a callable, got {kernel!r}")
    return CallableKernel(kernel)


# -- operations on the pairs of particles ---------------------------------------------------------


class PairOp(Op):
    """Base of the operations on pairs (i, j) with i < j, which are in the order of ``pdist``."""

    __props__ = ()

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        register_numba_implementations()
        return super().__call__(*inputs, **kwargs)


class PairDistances(PairOp):
    """Squared distances of all pairs of rows of a matrix."""

    def make_node(self, X: Variable) -> Apply:
        X = pt.as_tensor_variable(X)
        n = X.type.shape[0]
        shape = (None if n is None else n * (n - 1) // 2,)
        return Apply(self, [X], [pt.tensor(dtype=X.dtype, shape=shape)])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
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

# log 2 in two parts: the first is so short that its product with a whole number is exact
INVERSE_LOG_2 = 1.4426950408889634
LOG_2_HIGH = 0.693147180369123816
LOG_2_LOW = 1.908214929270587700e-10
TAYLOR = tuple(1 / factorial(n) for n in range(13, -1, -1))

pair_distances = PairDistances()
median_distance = MedianDistance()


def median_ranks(pairs: int) -> tuple[int, int]:
    """Return the ranks, among the pairs, of the two middle values of the whole square matrix.

    The matrix holds the distance of each pair twice, and n zeros. A rank below zero is one of
    those.
    """
    n = round((1 + np.sqrt(1 + 8.0 * pairs)) / 2)
    return ((n * n - 1) // 2 - n) // 2, (n * n // 2 - n) // 2


@cache
def register_numba_implementations() -> None:
    """Tell PyTensor's numba backend how to compile the operations on pairs.

    All inner loops run along particles, which is what a compiler can turn into vector
    instructions: hence the transpositions.
    """
    from pytensor.link.numba.dispatch.basic import (
        numba_njit,
        register_funcify_default_op_cache_key,
    )

    @register_funcify_default_op_cache_key(PairDistances)
    def numba_pair_distances(op: PairDistances, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        @numba_njit
        def distances(X):  # type: ignore[no-untyped-def]
            n, d = X.shape
            columns = np.ascontiguousarray(X.T)
            result = np.zeros(n * (n - 1) // 2, X.dtype)
            end = 0
            for i in range(n - 1):
                row = result[end : end + n - 1 - i]
                end += row.size
                for c in range(d):
                    x, others = columns[c, i], columns[c, i + 1 :]
                    for j in range(row.size):
                        row[j] += (x - others[j]) ** 2
            return result

        return distances, 3

    @register_funcify_default_op_cache_key(MedianDistance)
    def numba_median_distance(op: MedianDistance, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        ranks = numba_njit(median_ranks)

        @numba_njit
        def limits(values):  # type: ignore[no-untyped-def]
            low, high, total = values[0], values[0], 0.0
            for v in values:
                low, high, total = min(low, v), max(high, v), total + v
            return low, high, np.isfinite(total)

        @numba_njit(fastmath=False)  # the same number must go to the same bucket each time
        def bucket_of(value, low, scale):  # type: ignore[no-untyped-def]
            return int((value - low) * scale)

        @numba_njit
        def ranked(values, rank):  # type: ignore[no-untyped-def]
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

        @numba_njit
        def one_before(values, bound, rank):  # type: ignore[no-untyped-def]
            """Return the value of a rank, given that of the next."""
            below, n_below = values[0] * 0, 0
            for v in values:
                if v < bound:
                    below, n_below = max(below, v), n_below + 1
            return below if n_below > rank else bound

        @numba_njit
        def narrowed(values, rank):  # type: ignore[no-untyped-def]
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
            for v in values:  # without branches that could not be predicted
                if n_kept == kept.size:
                    return values, 0
                kept[n_kept] = v
                n_kept += int(low <= v) & int(v <= high)
                below += int(v < low)
            if below < rank < below + n_kept:
                return kept[:n_kept], below
            return values, 0

        @numba_njit
        def median(distances):  # type: ignore[no-untyped-def]
            result = np.zeros((), distances.dtype)
            lower, upper = ranks(distances.size)
            if upper >= 0:
                near, below = narrowed(distances, upper)
                high = ranked(near, upper - below)
                low = high if lower == upper else one_before(near, high, lower - below)
                result[()] = (low + high) / 2
            return result

        return median, 4

    @numba_njit(fastmath={"contract"})  # to reassociate would cost digits
    def exp(t):  # type: ignore[no-untyped-def]
        """Return the exponentials of numbers up to zero, by vector instructions.

        With k = round(t / log 2), it is 2**k times the Taylor series at t - k log 2.
        """
        result, bits = np.empty(t.size), np.empty(t.size, np.int64)
        for i in range(t.size):
            x = -708.0 if t[i] < -708.0 else t[i]
            k = np.floor(x * INVERSE_LOG_2 + 0.5)
            rest = (x - k * LOG_2_HIGH) - k * LOG_2_LOW
            series = 0.0
            for coefficient in TAYLOR:
                series = series * rest + coefficient
            result[i] = series
            bits[i] = (np.int64(np.int32(k)) + 1023) << 52  # the exponent of a double
        return result * bits.view(np.float64)

    @register_funcify_default_op_cache_key(RadialSums)
    def numba_radial_sums(op: RadialSums, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        profile, power = numba_njit(PROFILES[op.profile](exp)), op.power

        @numba_njit
        def sums(distances, scale, X, score):  # type: ignore[no-untyped-def]
            n, d = X.shape
            x, s = np.ascontiguousarray(X.T), np.ascontiguousarray(score.T)
            at_zero, _ = profile(np.zeros(1), scale.item(), power)
            result = at_zero[0] * s
            end = 0
            for i in range(n - 1):
                start, end = end, end + n - 1 - i
                k, weight = profile(distances[start:end], scale.item(), power)
                for c in range(d):
                    x_j, s_j, result_j = x[c, i + 1 :], s[c, i + 1 :], result[c, i + 1 :]
                    x_i, s_i, total = x[c, i], s[c, i], result[c, i]
                    for j in range(k.size):
                        apart = weight[j] * (x_i - x_j[j])
                        total += k[j] * s_j[j] + apart
                        result_j[j] += k[j] * s_i - apart
                    result[c, i] = total
            return np.ascontiguousarray(result.T).astype(X.dtype)

        return sums, 5
