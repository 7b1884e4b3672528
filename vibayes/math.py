"""Functions of tensors, to write a model with.

Most of them are PyTensor's, under the same names and with the same arguments. The functions that
are defined here take anything that PyTensor can turn into a tensor, and return tensor variables.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor import (
    abs,
    all,
    and_,
    any,
    arange,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    argmax,
    argmin,
    argsort,
    as_tensor,
    betainc,
    broadcast_arrays,
    broadcast_to,
    ceil,
    clip,
    concatenate,
    constant,
    cos,
    cosh,
    cumprod,
    cumsum,
    diag,
    diff,
    digamma,
    dot,
    eq,
    erf,
    erfc,
    erfcinv,
    erfinv,
    exp,
    expand_dims,
    expm1,
    eye,
    flatten,
    floor,
    full,
    full_like,
    gamma,
    gammainc,
    gammaincc,
    gammaln,
    ge,
    gt,
    i0,
    i1,
    iv,
    kv,
    le,
    linspace,
    log,
    log1p,
    log1pexp,
    log2,
    log10,
    logaddexp,
    logsumexp,
    lt,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    moveaxis,
    neq,
    ones,
    ones_like,
    or_,
    polygamma,
    prod,
    repeat,
    reshape,
    round,
    sigmoid,
    sin,
    sinh,
    softplus,
    sort,
    sqr,
    sqrt,
    squeeze,
    stack,
    std,
    sum,
    swapaxes,
    switch,
    take,
    tan,
    tanh,
    tile,
    trace,
    transpose,
    tril,
    triu,
    unique,
    var,
    where,
    zeros,
    zeros_like,
)
from pytensor.tensor.linalg import (
    block_diag,
    cho_solve,
    cholesky,
    det,
    eigh,
    matrix_inverse,
    norm,
    slogdet,
    solve,
    solve_triangular,
)
from pytensor.tensor.special import log_softmax, softmax
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.distributions.dist_math import logdiffexp
from vibayes.ops.triangular import triangular_matrix

__all__ = [
    "abs",
    "all",
    "and_",
    "any",
    "arange",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "batched_diag",
    "betainc",
    "block_diag",
    "broadcast_arrays",
    "broadcast_to",
    "cartesian",
    "ceil",
    "cho_solve",
    "cholesky",
    "clip",
    "concatenate",
    "constant",
    "cos",
    "cosh",
    "cumprod",
    "cumsum",
    "det",
    "diag",
    "diff",
    "digamma",
    "dot",
    "eigh",
    "eq",
    "erf",
    "erfc",
    "erfcinv",
    "erfinv",
    "exp",
    "expand_dims",
    "expand_packed_triangular",
    "expm1",
    "eye",
    "flat_outer",
    "flatten",
    "flatten_list",
    "floor",
    "full",
    "full_like",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "ge",
    "gt",
    "i0",
    "i1",
    "invlogit",
    "invprobit",
    "iv",
    "kron",
    "kron_diag",
    "kron_dot",
    "kron_solve_lower",
    "kron_solve_upper",
    "kronecker",
    "kv",
    "le",
    "linspace",
    "log",
    "log1mexp",
    "log1p",
    "log1pexp",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logbern",
    "logdet",
    "logdiffexp",
    "logit",
    "logsumexp",
    "lt",
    "matmul",
    "matrix_inverse",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "neq",
    "norm",
    "ones",
    "ones_like",
    "or_",
    "polygamma",
    "probit",
    "prod",
    "repeat",
    "reshape",
    "round",
    "sgn",
    "sigmoid",
    "sin",
    "sinh",
    "slogdet",
    "softmax",
    "softplus",
    "solve",
    "solve_triangular",
    "sort",
    "sqr",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sum",
    "swapaxes",
    "switch",
    "take",
    "tan",
    "tanh",
    "tile",
    "trace",
    "transpose",
    "tril",
    "triu",
    "unique",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

invlogit = sigmoid
sgn = pt.sign

SQRT_2 = 2.0**0.5


def logit(p: Any) -> TensorVariable:
    """Return the log odds log(p / (1 - p)), the inverse of :func:`invlogit`."""
    p = pt.as_tensor_variable(p)
    return pt.log(p) - pt.log1p(-p)


def probit(p: Any) -> TensorVariable:
    """Return the quantile of the standard normal distribution, the inverse of :func:`invprobit`."""
    return -SQRT_2 * pt.erfcinv(2 * pt.as_tensor_variable(p))


def invprobit(x: Any) -> TensorVariable:
    """Return the distribution function of the standard normal distribution."""
    return 0.5 * pt.erfc(pt.as_tensor_variable(x) * (-1 / SQRT_2))


def log1mexp(x: Any, *, negative_input: bool = True) -> TensorVariable:
    """Return log(1 - exp(x)) for x <= 0, precise for small and for large differences.

    Parameters
    ----------
    x : array_like
        A log probability.
    negative_input
        False if ``x`` has the opposite sign: then this is log(1 - exp(-x)) for x >= 0.
    """
    x = pt.as_tensor_variable(x)
    return pt.log1mexp(x if negative_input else -x)


def logbern(log_p: float, rng: np.random.Generator | None = None) -> np.bool_:
    """Draw a Bernoulli variable, with NumPy, of which the log probability is given.

    Raises
    ------
    FloatingPointError
        If the log probability is NaN.
    """
    if np.isnan(log_p):
        raise FloatingPointError("log_p is NaN")
    rng = np.random.default_rng() if rng is None else rng
    return np.log(rng.uniform()) < log_p


def logdet(x: Any) -> TensorVariable:
    """Return the log of the absolute value of the determinant of a square matrix."""
    return slogdet(pt.as_tensor_variable(x))[1]


def flatten_list(tensors: Iterable[Any]) -> TensorVariable:
    """Return one vector of all elements of several tensors."""
    return pt.concatenate([pt.as_tensor_variable(tensor).ravel() for tensor in tensors])


def flat_outer(a: Any, b: Any) -> TensorVariable:
    """Return the outer product of two vectors, flattened."""
    a, b = pt.as_tensor_variable(a), pt.as_tensor_variable(b)
    return (a[:, None] * b[None, :]).ravel()


def batched_diag(C: Any) -> TensorVariable:
    """Turn vectors, the rows of a matrix, into diagonal matrices; or matrices into their diagonals.

    Raises
    ------
    ValueError
        If ``C`` has neither two axes nor three.
    """
    C = pt.as_tensor_variable(C)
    if C.type.ndim == 2:
        on_diagonal = pt.eye(C.shape[-1], dtype="bool")
        return pt.switch(on_diagonal, C[:, :, None], pt.zeros((), dtype=C.dtype))
    if C.type.ndim == 3:
        return pt.diagonal(C, axis1=-2, axis2=-1)
    raise ValueError(f"batched_diag takes vectors (2 axes) or matrices (3 axes), got {C.type.ndim}")


def expand_packed_triangular(
    n: int, packed: Any, lower: bool = True, diagonal_only: bool = False
) -> TensorVariable:
    """Return a triangular matrix whose elements are given row after row.

    Parameters
    ----------
    n
        Number of rows.
    packed : array_like
        Vector of the n * (n + 1) / 2 elements.
    lower
        Whether the matrix is lower or upper triangular.
    diagonal_only
        Whether to return only the diagonal, a vector.
    """
    n, packed = check_whole(n, "n", least=0), pt.as_tensor_variable(packed)
    if packed.type.ndim != 1:
        raise ValueError(f"packed must be a vector, got {packed.type.ndim} axes")
    if diagonal_only:
        rows, columns = np.tril_indices(n) if lower else np.triu_indices(n)
        return packed[np.flatnonzero(rows == columns)]
    return triangular_matrix(n, packed, lower)


def cartesian(*arrays: Any) -> Any:
    """Return all combinations of one row of each array, one a row; the last array runs fastest.

    Parameters
    ----------
    *arrays : array_like or TensorVariable
        Vectors of numbers, or matrices of rows.

    Returns
    -------
    numpy.ndarray or TensorVariable
        A matrix; symbolic if one of the arrays is.
    """
    symbolic = builtins.any(isinstance(array, Variable) for array in arrays)
    xp, convert = (pt, pt.as_tensor_variable) if symbolic else (np, np.asarray)
    tables = [convert(array) for array in arrays]
    tables = [table[:, None] if table.ndim == 1 else table for table in tables]
    before, after = 1, reduce(operator.mul, (table.shape[0] for table in tables))
    columns = []
    for table in tables:
        n = table.shape[0]
        after = after // n
        columns.append(xp.tile(xp.repeat(table, after, axis=0), (before, 1)))
        before = before * n
    return xp.concatenate(columns, axis=1)


def kronecker(*Ks: Any) -> TensorVariable:
    r"""Return the Kronecker product :math:`K_1 \otimes K_2 \otimes \dots` of matrices."""
    return reduce(pt.linalg.kron, map(pt.as_tensor_variable, Ks))


kron = kronecker


def kron_diag(*diags: Any) -> TensorVariable:
    """Return the diagonal of the Kronecker product of diagonal matrices, given by theirs."""
    return reduce(flat_outer, map(pt.as_tensor_variable, diags))


def apply_kron(
    op: Callable[[TensorVariable, TensorVariable], TensorVariable], krons: Sequence[Any], m: Any
) -> TensorVariable:
    """Return what ``op(kronecker(*krons), m)`` is, one factor at a time.

    Each factor acts on the axis of its own, the first, which then goes to the end.
    """
    m = pt.as_tensor_variable(m)
    n_columns = 1 if m.type.ndim == 1 else m.shape[1]
    for K in map(pt.as_tensor_variable, krons):
        m = op(K, m.reshape((K.shape[1], -1))).T
    return m.reshape((n_columns, -1)).T


def kron_dot(krons: Sequence[Any], m: Any) -> TensorVariable:
    """Return the product of a Kronecker product of matrices with a matrix.

    Parameters
    ----------
    krons : sequence of array_like
        The factors of the Kronecker product.
    m : array_like
        Matrix, or a vector that stands for a single column.

    Returns
    -------
    TensorVariable
        A matrix.
    """
    return apply_kron(pt.dot, krons, m)


def kron_solve_lower(krons: Sequence[Any], m: Any) -> TensorVariable:
    """Solve a linear system with a Kronecker product of lower triangular matrices.

    Parameters and result are those of :func:`kron_dot`.
    """
    return apply_kron(partial(solve_triangular, lower=True, b_ndim=2), krons, m)


def kron_solve_upper(krons: Sequence[Any], m: Any) -> TensorVariable:
    """Solve a linear system with a Kronecker product of upper triangular matrices.

    Parameters and result are those of :func:`kron_dot`.
    """
    return apply_kron(partial(solve_triangular, lower=False, b_ndim=2), krons, m)
