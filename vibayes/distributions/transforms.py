"""Bijections between the support of a variable and the unconstrained space.

Each transform has ``forward`` (to the unconstrained space), ``backward`` (to the support) and
``log_jac_det``, the log of |det d backward / d value| at an unconstrained value, one number an
event. An event is made of the last ``ndim_supp`` axes; axes before those are batch axes. Formulas
follow the Stan reference manual, chapter "Constraint transforms", where it has the transform.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.constraints import constant_value
from vibayes.ops.triangular import triangle_size, triangular_matrix

__all__ = [
    "Chain",
    "CholeskyCorr",
    "CholeskyCorrTransform",
    "CholeskyCov",
    "CholeskyCovPacked",
    "CholeskyCovTransform",
    "Interval",
    "LogExpM1",
    "LogOddsTransform",
    "LogTransform",
    "Ordered",
    "SimplexTransform",
    "SumTo1",
    "Transform",
    "ZeroSumTransform",
    "circular",
    "log",
    "log_exp_m1",
    "logodds",
    "ordered",
    "simplex",
    "sum_to_1",
]


class Transform:
    """Base of all transforms."""

    name: str = ""
    """Appears in the name of the unconstrained variable: ``sigma`` becomes ``sigma_log__``."""

    ndim_supp: int = 0
    """Number of axes that the transform mixes: 0 if it acts on each element by itself."""

    is_periodic: bool = False
    """Whether values that are whole turns (2 pi) apart are one and the same."""

    def forward(self, value: TensorVariable) -> TensorVariable:
        """Map a value of the support to the unconstrained space."""
        raise NotImplementedError

    def backward(self, value: TensorVariable) -> TensorVariable:
        """Map an unconstrained value to the support."""
        raise NotImplementedError

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        """Return the log absolute determinant of ``backward``'s Jacobian at ``value``."""
        raise NotImplementedError

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the unconstrained value of a variable of the given shape."""
        return shape

    def __reduce__(self) -> Any:
        """Pickle an instance that has a name in this module by that name, so that it stays one."""
        name = next((n for n in __all__ if globals()[n] is self), None)
        return name or (copyreg.__newobj__, (type(self),), vars(self))  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LogTransform(Transform):
    """Positive numbers: ``backward(v) = exp(v)``."""

    name = "log"

    def forward(self, value: TensorVariable) -> TensorVariable:
        return pt.log(value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.exp(value)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return value


class LogExpM1(Transform):
    """Positive numbers: ``backward(v) = log(1 + exp(v))``, which is about v for large v."""

    name = "log_exp_m1"

    def forward(self, value: TensorVariable) -> TensorVariable:
        return value + pt.log(-pt.expm1(-value))

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.softplus(value)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return -pt.softplus(-value)


class LogOddsTransform(Transform):
    """Numbers between 0 and 1: ``backward(v) = 1 / (1 + exp(-v))``."""

    name = "logodds"

    def forward(self, value: TensorVariable) -> TensorVariable:
        return pt.log(value) - pt.log1p(-value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.sigmoid(value)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return -pt.softplus(value) - pt.softplus(-value)


class Interval(Transform):
    """Numbers between two bounds, or on one side of a bound.

    Parameters
    ----------
    lower, upper : array_like or TensorVariable, optional
        The bounds; None or infinite for an open side. They may be expressions of other random
        variables.

    Raises
    ------
    ValueError
        If both sides are open, or a constant lower bound is not below the upper one.
    """

    name = "interval"

    def __init__(self, lower: Any = None, upper: Any = None) -> None:
        self.lower = closed_bound(lower, -np.inf)
        self.upper = closed_bound(upper, np.inf)
        if self.lower is None and self.upper is None:
            raise ValueError("Interval: give at least one finite bound")
        low, high = constant_value(lower), constant_value(upper)
        if low is not None and high is not None and not np.all(low < high):
            raise ValueError(f"Interval: lower must be below upper, got {lower} and {upper}")

    def forward(self, value: TensorVariable) -> TensorVariable:
        if self.upper is None:
            return pt.log(value - self.lower)
        if self.lower is None:
            return pt.log(self.upper - value)
        return pt.log(value - self.lower) - pt.log(self.upper - value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        if self.upper is None:
            return self.lower + pt.exp(value)
        if self.lower is None:
            return self.upper - pt.exp(value)
        share = pt.sigmoid(value)
        return share * self.upper + (1 - share) * self.lower

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        if self.upper is None or self.lower is None:
            return value
        return pt.log(self.upper - self.lower) - pt.softplus(value) - pt.softplus(-value)


class CircularTransform(Transform):
    r"""Angles in :math:`[-\pi, \pi]`: ``backward`` wraps the line around the circle."""

    name = "circular"
    is_periodic = True

    def forward(self, value: TensorVariable) -> TensorVariable:
        return value

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.arctan2(pt.sin(value), pt.cos(value))

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value)


class Ordered(Transform):
    r"""Vectors whose elements increase.

    .. math:: x_1 = v_1, \qquad x_i = x_{i-1} + e^{v_i}

    Parameters
    ----------
    positive
        Whether all elements are positive, too: then :math:`x_1 = e^{v_1}`.
    ascending
        False for elements that decrease.
    """

    name = "ordered"
    ndim_supp = 1

    def __init__(self, positive: bool = False, ascending: bool = True) -> None:
        self.positive = positive
        self.ascending = ascending

    def forward(self, value: TensorVariable) -> TensorVariable:
        if not self.ascending:
            value = value[..., ::-1]
        first = pt.log(value[..., :1]) if self.positive else value[..., :1]
        steps = value[..., 1:] - value[..., :-1]
        return pt.concatenate([first, pt.log(steps)], axis=-1)

    def backward(self, value: TensorVariable) -> TensorVariable:
        if self.positive:
            steps = pt.exp(value)
        else:
            steps = pt.concatenate([value[..., :1], pt.exp(value[..., 1:])], axis=-1)
        increasing = pt.cumsum(steps, axis=-1)
        return increasing if self.ascending else increasing[..., ::-1]

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return value.sum(axis=-1) if self.positive else value[..., 1:].sum(axis=-1)


class SimplexTransform(Transform):
    r"""Vectors of positive shares that sum to one, by the isometric log-ratio transform.

    .. math::

        x = \operatorname{softmax}(y), \qquad
        y_i = v_i - \frac{s}{n + \sqrt n} \; (i < n), \qquad
        y_n = -\frac{s}{\sqrt n}, \qquad s = \sum_{i<n} v_i

        \log|J| = \sum_i \log x_i + \tfrac12 \log n

    The map from the :math:`n-1` numbers :math:`v` to :math:`y` is an isometry onto the plane
    :math:`\sum_i y_i = 0`. It treats all shares alike, so a symmetric Dirichlet density stays
    close to a spherical normal one in :math:`v`; and :math:`v_i` differs from the log share
    :math:`y_i` only by a part common to all, so that shares known from counts are nearly
    independent in :math:`v`. Both are what a factorized approximation needs, and what stick
    breaking and log ratios to the last share do not give.

    Notes
    -----
    A share below about :math:`10^{-277}` (:math:`10^{-34}` in single precision) is rounded up to
    that, so that the log of a share is always finite. The Jacobian is with respect to the first
    :math:`n - 1` shares, as the Dirichlet density is.

    References
    ----------
    Egozcue et al. (2003), Isometric logratio transformations for compositional data analysis.
    Mathematical Geology 35, 279-300.
    """

    name = "simplex"
    ndim_supp = 1

    def forward(self, value: TensorVariable) -> TensorVariable:
        log_share = pt.log(value)
        return drop_zero_sum(log_share - log_share.mean(axis=-1, keepdims=True), axis=-1)

    def backward(self, value: TensorVariable) -> TensorVariable:
        log_share = self._log_share(value)
        floor = 0.9 * float(np.log(np.finfo(value.dtype).tiny))
        # Not maximum: where an infinite derivative meets its mask of zeros, it gives NaN.
        return pt.exp(pt.switch(log_share > floor, log_share, floor))

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        n = axis_length(value, -1) + 1
        return self._log_share(value).sum(axis=-1) + 0.5 * pt.log(n)

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*shape[:-1], shape[-1] - 1)

    @staticmethod
    def _log_share(value: TensorVariable) -> TensorVariable:
        return log_softmax(extend_zero_sum(value, axis=-1), axis=-1)


class SumTo1(Transform):
    """Vectors that sum to one, all but the last element left as they are.

    It does not keep the elements positive: :data:`simplex` does.
    """

    name = "sumto1"
    ndim_supp = 1

    def forward(self, value: TensorVariable) -> TensorVariable:
        return value[..., :-1]

    def backward(self, value: TensorVariable) -> TensorVariable:
        return pt.concatenate([value, 1 - value.sum(axis=-1, keepdims=True)], axis=-1)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value.sum(axis=-1))

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*shape[:-1], shape[-1] - 1)


class ZeroSumTransform(Transform):
    """Arrays whose sums along some axes are zero.

    Along each of the axes it is an isometry from one element less: the one of
    :class:`SimplexTransform`. So its log Jacobian, with respect to the volume within the
    subspace, is zero.

    Parameters
    ----------
    zerosum_axes : sequence of int
        The axes. Count them from the end, to leave room for batch axes.
    """

    name = "zerosum"

    def __init__(self, zerosum_axes: Sequence[int]) -> None:
        self.zerosum_axes = tuple(int(axis) for axis in zerosum_axes)
        self.ndim_supp = len(self.zerosum_axes)

    def forward(self, value: TensorVariable) -> TensorVariable:
        for axis in self.zerosum_axes:
            value = drop_zero_sum(value, axis)
        return value

    def backward(self, value: TensorVariable) -> TensorVariable:
        for axis in self.zerosum_axes:
            value = extend_zero_sum(value, axis)
        return value

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value.sum(axis=self.zerosum_axes))

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        shorter = list(shape)
        for axis in self.zerosum_axes:
            shorter[axis] -= 1
        return tuple(shorter)

    def __repr__(self) -> str:
        return f"ZeroSumTransform({list(self.zerosum_axes)})"


class CholeskyCovPacked(Transform):
    """Lower triangular matrices of positive diagonal, packed row after row into a vector.

    The diagonal is on the log scale, the rest is left as it is. The diagonal saturates where its
    square would leave the range of floating-point numbers (about 1e148 in double precision), so
    that the variances it stands for are finite and not zero.

    Parameters
    ----------
    n : int
        Number of rows of the matrix.
    """

    name = "cholesky-cov-packed"
    ndim_supp = 1

    def __init__(self, n: int) -> None:
        self.n = n
        rows = np.arange(1, n + 1)
        self.is_diagonal = np.zeros(n * (n + 1) // 2, dtype=bool)
        self.is_diagonal[np.cumsum(rows) - 1] = True

    def forward(self, value: TensorVariable) -> TensorVariable:
        return pt.switch(self.is_diagonal, pt.log(pt.switch(self.is_diagonal, value, 1.0)), value)

    def backward(self, value: TensorVariable) -> TensorVariable:
        limit = 0.48 * float(np.log(np.finfo(value.dtype).max))
        log_diagonal = pt.clip(pt.switch(self.is_diagonal, value, 0.0), -limit, limit)
        return pt.switch(self.is_diagonal, pt.exp(log_diagonal), value)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return pt.switch(self.is_diagonal, value, 0.0).sum(axis=-1)

    def __repr__(self) -> str:
        return f"CholeskyCovPacked({self.n})"


class CholeskyCov(Transform):
    r"""Symmetric and positive definite matrices, by their Cholesky factors.

    .. math:: X = L L^\top, \qquad L_{ii} = e^{v_{ii}}, \quad L_{ij} = v_{ij} \; (i > j), \qquad
        \log|J| = n \log 2 + \sum_{i=1}^n (n - i + 2) \, v_{ii}

    The unconstrained value is the lower triangle, row after row. The Jacobian is with respect to
    the lower triangle of X. The diagonal saturates where its square would leave the range of
    floating-point numbers, as that of :class:`CholeskyCovPacked` does.

    Parameters
    ----------
    n : int
        Number of rows of the matrix.
    """

    name = "cholesky-cov"
    ndim_supp = 1

    def __init__(self, n: int) -> None:
        self.n = n
        self.packed = CholeskyCovPacked(n)

    def forward(self, value: TensorVariable) -> TensorVariable:
        row, column = np.tril_indices(self.n)
        return self.packed.forward(pt.linalg.cholesky(value)[..., row, column])

    def backward(self, value: TensorVariable) -> TensorVariable:
        factor = triangular_matrix(self.n, self.packed.backward(value))
        return factor @ factor.mT

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        powers = np.zeros(len(self.packed.is_diagonal))
        powers[self.packed.is_diagonal] = np.arange(self.n + 1, 1, -1)
        return (powers.astype(value.dtype) * value).sum(axis=-1) + self.n * float(np.log(2))

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*shape[:-2], triangle_size(self.n))

    def __repr__(self) -> str:
        return f"CholeskyCov({self.n})"


class CholeskyCorr(Transform):
    r"""Cholesky factors of correlation matrices: triangular, with rows of length one.

    .. math:: L_{ij} = v_{ij} L_{ii} \; (i > j), \qquad
        L_{ii} = \left(1 + \sum_{j < i} v_{ij}^2\right)^{-1/2}, \qquad
        \log|J| = \sum_{i=1}^n (i + 1) \log L_{ii}

    The unconstrained value is what is below the diagonal, row after row. The Jacobian is with
    respect to that part of L. Unconstrained values beyond about 1e77 (4e9 in single precision)
    count as that, so that the diagonal stays positive.

    Parameters
    ----------
    n : int
        Number of rows of the matrix.
    upper : bool, default False
        Whether the factor is upper triangular: the transpose of the lower one.
    """

    name = "cholesky-corr"
    ndim_supp = 1

    def __init__(self, n: int, upper: bool = False) -> None:
        self.n = n
        self.upper = upper
        self.below = np.tril_indices(n, -1)

    def forward(self, value: TensorVariable) -> TensorVariable:
        lower = value.mT if self.upper else value
        row, column = self.below
        return lower[..., row, column] / lower[..., row, row]

    def backward(self, value: TensorVariable) -> TensorVariable:
        rows = self._rows(value)
        lower = rows / pt.sqrt((rows**2).sum(axis=-1, keepdims=True))
        return lower.mT if self.upper else lower

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        log_squares = pt.log((self._rows(value) ** 2).sum(axis=-1))
        powers = np.arange(2, self.n + 2).astype(value.dtype)
        return -0.5 * (powers * log_squares).sum(axis=-1)

    def _rows(self, value: TensorVariable) -> TensorVariable:
        """Return the lower triangular matrix whose diagonal is one."""
        limit = np.asarray(np.finfo(value.dtype).max ** 0.25, value.dtype)
        value = pt.clip(value, -limit, limit)
        zero = pt.zeros((*value.shape[:-1], 1), dtype=value.dtype)
        position = np.zeros((self.n, self.n), dtype="int64")
        position[self.below] = np.arange(1, triangle_size(self.n - 1) + 1)
        matrix = pt.concatenate([zero, value], axis=-1)[..., position]
        return matrix + np.eye(self.n, dtype=value.dtype)

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*shape[:-2], triangle_size(self.n - 1))

    def __repr__(self) -> str:
        return f"CholeskyCorr({self.n}{', upper=True' if self.upper else ''})"


class Chain(Transform):
    """Transforms one after the other.

    Parameters
    ----------
    transform_list : sequence of Transform
        ``forward`` applies them in this order, ``backward`` in the opposite one.
    """

    name = "chain"

    def __init__(self, transform_list: Sequence[Transform]) -> None:
        if not transform_list:
            raise ValueError("Chain: give at least one transform")
        self.transform_list = list(transform_list)
        self.ndim_supp = max(transform.ndim_supp for transform in transform_list)

    def forward(self, value: TensorVariable) -> TensorVariable:
        for transform in self.transform_list:
            value = transform.forward(value)
        return value

    def backward(self, value: TensorVariable) -> TensorVariable:
        for transform in reversed(self.transform_list):
            value = transform.backward(value)
        return value

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        terms = []
        for transform in reversed(self.transform_list):
            term = transform.log_jac_det(value)
            inner = self.ndim_supp - transform.ndim_supp  # axes that this one keeps apart
            terms.append(term.sum(axis=tuple(range(-inner, 0))) if inner else term)
            value = transform.backward(value)
        return pt.add(*terms)

    def forward_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        for transform in self.transform_list:
            shape = transform.forward_shape(shape)
        return shape

    def __repr__(self) -> str:
        return f"Chain({self.transform_list})"


def closed_bound(bound: Any, open_end: float) -> TensorVariable | None:
    """Return a bound as a tensor of dtype ``floatX``, None for an open side."""
    if bound is None:
        return None
    constant = constant_value(bound)
    if constant is not None and not np.isfinite(constant).all():
        if (constant == open_end).all():
            return None
        raise ValueError(
            f"Interval: a bound is a number everywhere, or {open_end} everywhere, got {bound}"
        )
    return pt.as_tensor_variable(bound).astype(pytensor.config.floatX)


def axis_length(value: TensorVariable, axis: int) -> Any:
    """Return the length of an axis: a number where it is known, else an expression."""
    static = value.type.shape[axis]
    return value.shape[axis].astype(value.dtype) if static is None else float(static)


def extend_zero_sum(value: TensorVariable, axis: int) -> TensorVariable:
    """Map an axis isometrically to the plane, of one element more, in which the sum is zero.

    This is the reflection that takes the last axis to the plane's normal, applied to ``value``
    with a zero appended.
    """
    total = value.sum(axis=axis, keepdims=True)
    n = axis_length(value, axis) + 1
    root = n**0.5
    return pt.concatenate([value - total / (n + root), -total / root], axis=axis)


def drop_zero_sum(value: TensorVariable, axis: int) -> TensorVariable:
    """Invert :func:`extend_zero_sum`."""
    n = axis_length(value, axis)
    root = n**0.5
    axis = axis % value.type.ndim
    before = (slice(None),) * axis
    last = pt.expand_dims(value[(*before, -1)], axis)
    return value[(*before, slice(-1))] - last / (1 + root)


log = LogTransform()
logodds = LogOddsTransform()
log_exp_m1 = LogExpM1()
ordered = Ordered()
simplex = SimplexTransform()
sum_to_1 = SumTo1()
circular = CircularTransform()

CholeskyCorrTransform = CholeskyCorr
CholeskyCovTransform = CholeskyCov
