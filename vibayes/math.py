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
from pytensor.tensor import linalg, special
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.distributions import dist_math
from vibayes.numeric import numeric_value, of_numbers
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

abs = of_numbers(pt.abs)
all = of_numbers(pt.all)
and_ = of_numbers(pt.and_)
any = of_numbers(pt.any)
arange = of_numbers(pt.arange)
arccos = of_numbers(pt.arccos)
arccosh = of_numbers(pt.arccosh)
arcsin = of_numbers(pt.arcsin)
arcsinh = of_numbers(pt.arcsinh)
arctan = of_numbers(pt.arctan)
arctan2 = of_numbers(pt.arctan2)
arctanh = of_numbers(pt.arctanh)
argmax = of_numbers(pt.argmax)
argmin = of_numbers(pt.argmin)
argsort = of_numbers(pt.argsort)
as_tensor = of_numbers(pt.as_tensor)
betainc = of_numbers(pt.betainc)
broadcast_arrays = of_numbers(pt.broadcast_arrays)
broadcast_to = of_numbers(pt.broadcast_to)
ceil = of_numbers(pt.ceil)
clip = of_numbers(pt.clip)
concatenate = of_numbers(pt.concatenate)
constant = of_numbers(pt.constant)
cos = of_numbers(pt.cos)
cosh = of_numbers(pt.cosh)
cumprod = of_numbers(pt.cumprod)
cumsum = of_numbers(pt.cumsum)
diag = of_numbers(pt.diag)
diff = of_numbers(pt.diff)
digamma = of_numbers(pt.digamma)
dot = of_numbers(pt.dot)
eq = of_numbers(pt.eq)
erf = of_numbers(pt.erf)
erfc = of_numbers(pt.erfc)
erfcinv = of_numbers(pt.erfcinv)
erfinv = of_numbers(pt.erfinv)
exp = of_numbers(pt.exp)
expand_dims = of_numbers(pt.expand_dims)
expm1 = of_numbers(pt.expm1)
eye = of_numbers(pt.eye)
flatten = of_numbers(pt.flatten)
floor = of_numbers(pt.floor)
full = of_numbers(pt.full)
full_like = of_numbers(pt.full_like)
gamma = of_numbers(pt.gamma)
gammainc = of_numbers(pt.gammainc)
gammaincc = of_numbers(pt.gammaincc)
gammaln = of_numbers(pt.gammaln)
ge = of_numbers(pt.ge)
gt = of_numbers(pt.gt)
i0 = of_numbers(pt.i0)
i1 = of_numbers(pt.i1)
iv = of_numbers(pt.iv)
kv = of_numbers(pt.kv)
le = of_numbers(pt.le)
linspace = of_numbers(pt.linspace)
log = of_numbers(pt.log)
log1p = of_numbers(pt.log1p)
log1pexp = of_numbers(pt.log1pexp)
log2 = of_numbers(pt.log2)
log10 = of_numbers(pt.log10)
logaddexp = of_numbers(pt.logaddexp)
logsumexp = of_numbers(pt.logsumexp)
lt = of_numbers(pt.lt)
matmul = of_numbers(pt.matmul)
max = of_numbers(pt.max)
maximum = of_numbers(pt.maximum)
mean = of_numbers(pt.mean)
min = of_numbers(pt.min)
minimum = of_numbers(pt.minimum)
moveaxis = of_numbers(pt.moveaxis)
neq = of_numbers(pt.neq)
ones = of_numbers(pt.ones)
ones_like = of_numbers(pt.ones_like)
or_ = of_numbers(pt.or_)
polygamma = of_numbers(pt.polygamma)
prod = of_numbers(pt.prod)
repeat = of_numbers(pt.repeat)
reshape = of_numbers(pt.reshape)
round = of_numbers(pt.round)
sigmoid = of_numbers(pt.sigmoid)
sin = of_numbers(pt.sin)
sinh = of_numbers(pt.sinh)
softplus = of_numbers(pt.softplus)
sort = of_numbers(pt.sort)
sqr = of_numbers(pt.sqr)
sqrt = of_numbers(pt.sqrt)
squeeze = of_numbers(pt.squeeze)
stack = of_numbers(pt.stack)
std = of_numbers(pt.std)
sum = of_numbers(pt.sum)
swapaxes = of_numbers(pt.swapaxes)
switch = of_numbers(pt.switch)
take = of_numbers(pt.take)
tan = of_numbers(pt.tan)
tanh = of_numbers(pt.tanh)
tile = of_numbers(pt.tile)
trace = of_numbers(pt.trace)
transpose = of_numbers(pt.transpose)
tril = of_numbers(pt.tril)
triu = of_numbers(pt.triu)
unique = of_numbers(pt.unique)
var = of_numbers(pt.var)
where = of_numbers(pt.where)
zeros = of_numbers(pt.zeros)
zeros_like = of_numbers(pt.zeros_like)
block_diag = of_numbers(linalg.block_diag)
cho_solve = of_numbers(linalg.cho_solve)
cholesky = of_numbers(linalg.cholesky)
det = of_numbers(linalg.det)
eigh = of_numbers(linalg.eigh)
matrix_inverse = of_numbers(linalg.matrix_inverse)
norm = of_numbers(linalg.norm)
slogdet = of_numbers(linalg.slogdet)
solve = of_numbers(linalg.solve)
solve_triangular = of_numbers(linalg.solve_triangular)
log_softmax = of_numbers(special.log_softmax)
softmax = of_numbers(special.softmax)
invlogit = sigmoid
sgn = of_numbers(pt.sign)
logdiffexp = of_numbers(dist_math.logdiffexp)

SQRT_2 = 2.0**0.5


@of_numbers
def logit(p: Any) -> TensorVariable:
    """Return the log odds log(p / (1 - p)), the inverse of :func:`invlogit`."""
    p = pt.as_tensor_variable(p)
    return pt.log(p) - pt.log1p(-p)


@of_numbers
def probit(p: Any) -> TensorVariable:
    """Return the quantile of the standard normal distribution, the inverse of :func:`invprobit`."""
    return -SQRT_2 * pt.erfcinv(2 * pt.as_tensor_variable(p))


@of_numbers
def invprobit(x: Any) -> TensorVariable:
    """Return the distribution function of the standard normal distribution."""
    return 0.5 * pt.erfc(pt.as_tensor_variable(x) * (-1 / SQRT_2))


@of_numbers
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


@of_numbers
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


@of_numbers
def logdet(x: Any) -> TensorVariable:
    """Return the log of the absolute value of the determinant of a square matrix."""
    return slogdet(pt.as_tensor_variable(x))[1]


@of_numbers
def flatten_list(tensors: Iterable[Any]) -> TensorVariable:
    """Return one vector of all elements of several tensors."""
    return pt.concatenate([pt.as_tensor_variable(tensor).ravel() for tensor in tensors])


@of_numbers
def flat_outer(a: Any, b: Any) -> TensorVariable:
    """Return the outer product of two vectors, flattened."""
    a, b = pt.as_tensor_variable(a), pt.as_tensor_variable(b)
    return (a[:, None] * b[None, :]).ravel()


@of_numbers
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


@of_numbers
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
    if packed.type.ndim != 1 or packed.type.shape[0] not in (None, n * (n + 1) // 2):
        raise ValueError(
            f"packed must be a vector of {n * (n + 1) // 2} elements, got {packed.type}"
        )
    if diagonal_only:
        rows, columns = np.tril_indices(n) if lower else np.triu_indices(n)
        return packed[np.flatnonzero(rows == columns)]
    return triangular_matrix(n, packed, lower)


@of_numbers
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
    tables = [convert(numeric_value(v, f"cartesian: array {i}")) for i, v in enumerate(arrays)]
    tables = [table[:, None] if table.ndim == 1 else table for table in tables]
    before, after = 1, reduce(operator.mul, (table.shape[0] for table in tables))
    columns = []
    for table in tables:
        n = table.shape[0]
        after = after // n
        columns.append(xp.tile(xp.repeat(table, after, axis=0), (before, 1)))
        before = before * n
    return xp.concatenate(columns, axis=1)


@of_numbers
def kronecker(*Ks: Any) -> TensorVariable:
    r"""Return the Kronecker product :math:`K_1 \otimes K_2 \otimes \dots` of matrices."""
    return reduce(pt.linalg.kron, map(pt.as_tensor_variable, Ks))


kron = kronecker


@of_numbers
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


@of_numbers
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


@of_numbers
def kron_solve_lower(krons: Sequence[Any], m: Any) -> TensorVariable:
    """Solve a linear system with a Kronecker product of lower triangular matrices.

    Parameters and result are those of :func:`kron_dot`.
    """
    return apply_kron(partial(solve_triangular, lower=True, b_ndim=2), krons, m)


@of_numbers
def kron_solve_upper(krons: Sequence[Any], m: Any) -> TensorVariable:
    """Solve a linear system with a Kronecker product of upper triangular matrices.

    Parameters and result are those of :func:`kron_dot`.
    """
    return apply_kron(partial(solve_triangular, lower=False, b_ndim=2), krons, m)
