"""Distributions of matrices, and of vectors whose covariance is a product of small matrices."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new, check_whole
from vibayes.distributions.base import Continuous, draw_from, to_float
from vibayes.distributions.constraints import (
    Constraints,
    constant_value,
    finite,
    nonnegative,
    positive,
)
from vibayes.distributions.multivariate import (
    LOG_2PI,
    VectorValued,
    check_event,
    check_matrix,
    lkj_log_constant,
    standard_gamma,
)
from vibayes.distributions.parameters import exactly_one
from vibayes.distributions.shapes import broadcast_static
from vibayes.distributions.transforms import CholeskyCorr, CholeskyCov, Transform, axis_length
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.numeric import numeric_value
from vibayes.ops.cholesky import robust_cholesky
from vibayes.ops.eigen import robust_eigh

__all__ = ["KroneckerNormal", "LKJCorr", "MatrixNormal", "Wishart"]

UNIT_TOLERANCE = 1e-4  # of the squared length of a row that was rounded to single precision


class MatrixValued(Continuous):
    """Base of the distributions of matrices, of a shape that their parameters tell."""

    ndim_supp = 2
    event: tuple[int | None, int | None]
    """Shape of one event, None for lengths that only run time tells."""

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        check_event(event, self.event, label)


class MatrixNormal(MatrixValued):
    r"""Normal distribution of matrices, of separate covariances of rows and of columns.

    .. math:: f(X \mid M, U, V) = \frac{1}{(2\pi)^{mn/2} |U|^{n/2} |V|^{m/2}}
        \exp\left(-\tfrac12 \operatorname{tr}\left[V^{-1} (X - M)^\top U^{-1} (X - M)\right]\right)

    Read row after row, X is multivariate normal with the covariance matrix :math:`U \otimes V`.

    Parameters
    ----------
    mu : array_like
        Mean M, which broadcasts to shape ``(..., m, n)``.
    rowcov : array_like, optional
        Covariance matrix U among the rows, of shape ``(..., m, m)``. Exactly one of ``rowcov`` and
        ``rowchol`` has to be given.
    rowchol : array_like, optional
        Lower triangular matrix L with ``rowcov = L @ L.T``.
    colcov : array_like, optional
        Covariance matrix V among the columns, of shape ``(..., n, n)``. Exactly one of ``colcov``
        and ``colchol`` has to be given.
    colchol : array_like, optional
        Lower triangular matrix L with ``colcov = L @ L.T``.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (a factor: not triangular or
        singular). A covariance matrix known only at run time that is not positive definite has log
        density -inf, with derivatives of zero.

    References
    ----------
    Gupta and Nagar (1999), Matrix Variate Distributions, chapter 2. Chapman and Hall.
    """

    param_ndims: Mapping[str, int] = {"mu": 2, "rowchol": 2, "colchol": 2}
    constraints: ClassVar[Constraints] = dict.fromkeys(
        ("mu", "rowcov", "rowchol", "colcov", "colchol"), finite
    )
    mu: TensorVariable
    rowchol: TensorVariable
    colchol: TensorVariable

    @behind_new
    def __init__(
        self,
        mu: Any,
        rowcov: Any = None,
        rowchol: Any = None,
        colcov: Any = None,
        colchol: Any = None,
    ) -> None:
        rowchol = factor_of(rowcov=rowcov, rowchol=rowchol)
        colchol = factor_of(colcov=colcov, colchol=colchol)
        mu = pt.atleast_Nd(to_float(mu), n=2)
        self.event = (rowchol.type.shape[-1], colchol.type.shape[-1])
        names = "mu", "the factors"
        if broadcast_static(mu.type.shape[-2:], self.event, names=names) != self.event:
            raise ShapeError(f"mu has shape {mu.type.shape}, it must broadcast to {self.event}")
        self.set_params(mu=mu, rowchol=rowchol, colchol=colchol)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        event = (self.rowchol.shape[-1], self.colchol.shape[-1])
        known = tuple(s if n is None else n for n, s in zip(self.event, event, strict=True))
        shape = (*self.size_or_batch(size), *known)
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=shape)
        return rng, self.mu + self.rowchol @ z @ self.colchol.mT

    def logp(self, value: TensorVariable) -> TensorVariable:
        rows, row_log_det, rows_valid = usable_factor(self.rowchol)
        columns, column_log_det, columns_valid = usable_factor(self.colchol)
        z = solve_lower(columns, solve_lower(rows, value - self.mu).mT)
        m, n = axis_length(rows, -1), axis_length(columns, -1)
        log_scale = n * row_log_det + m * column_log_det + 0.5 * LOG_2PI * m * n
        density = -0.5 * (z**2).sum(axis=(-2, -1)) - log_scale
        return pt.switch(rows_valid & columns_valid, density, -np.inf)

    def support_point(self) -> TensorVariable:
        return self.mu


class Wishart(MatrixValued):
    r"""Wishart distribution, of sums of squares and products of multivariate normal vectors.

    .. math:: f(X \mid \nu, V) = \frac{|X|^{(\nu - p - 1)/2}}
        {2^{\nu p / 2} \, |V|^{\nu/2} \, \Gamma_p(\nu / 2)}
        \exp\left(-\tfrac12 \operatorname{tr}(V^{-1} X)\right)

    for symmetric and positive definite X, with respect to its lower triangle. The mean is
    :math:`\nu V`.

    Parameters
    ----------
    nu : array_like
        Degrees of freedom, above ``p - 1``.
    V : array_like, optional
        Scale matrix, of shape ``(..., p, p)``. Exactly one of ``V`` and ``scale_chol`` has to be
        given.
    scale_chol : array_like, optional
        Lower triangular matrix L with ``V = L @ L.T``.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (a factor: not triangular or
        singular), or a constant ``nu`` is not above ``p - 1``.
    ShapeError
        If the length p is not known.

    Notes
    -----
    Draws are Bartlett's (1933): with independent standard normal numbers below the diagonal of A,
    and chi variables of nu, nu - 1, ... degrees of freedom on it, :math:`X = L A A^\top L^\top`.
    As a prior of covariances, :class:`LKJCholeskyCov` is the better choice.
    """

    param_ndims: Mapping[str, int] = {"scale_chol": 2}
    constraints: ClassVar[Constraints] = {"nu": positive, "V": finite, "scale_chol": finite}
    nu: TensorVariable
    scale_chol: TensorVariable

    @behind_new
    def __init__(self, nu: Any, V: Any = None, *, scale_chol: Any = None) -> None:
        scale_chol = factor_of(V=V, scale_chol=scale_chol)
        p = scale_chol.type.shape[-1]
        if p is None:
            raise ShapeError("the number of rows of V must be known; use pt.specify_shape")
        least = constant_value(nu)
        if least is not None and (least <= p - 1).any():
            raise ParameterError(f"nu must be above {p - 1} for {p} rows, got {least.min()}")
        self.p = p
        self.event = (p, p)
        self.set_params(nu=nu, scale_chol=scale_chol)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        p, batch = self.p, tuple(self.size_or_batch(size))
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=(*batch, p, p))
        half_df = 0.5 * (self.nu[..., None] - to_float(np.arange(p)))
        rng, gamma = draw_from(standard_gamma, half_df, rng=rng, size=(*batch, p))
        a = pt.switch(np.eye(p, dtype=bool), pt.sqrt(2 * gamma)[..., None], z)
        factor = self.scale_chol @ pt.switch(np.tri(p, dtype=bool), a, 0.0)
        return rng, factor @ factor.mT

    def logp(self, value: TensorVariable) -> TensorVariable:
        p, nu = self.p, self.nu
        scale, scale_log_det, scale_valid = usable_factor(self.scale_chol)
        factor, log_det, positive_definite = usable_factor(robust_cholesky(value))
        enough = nu > p - 1
        nu = pt.switch(enough, nu, float(p))
        trace = (solve_lower(scale, factor) ** 2).sum(axis=(-2, -1))
        halves = 0.5 * (nu[..., None] - to_float(np.arange(p)))
        constant = 0.5 * p * math.log(2) * nu + 0.25 * p * (p - 1) * math.log(math.pi)
        constant += pt.gammaln(halves).sum(axis=-1) + nu * scale_log_det
        density = (nu - p - 1) * log_det - 0.5 * trace - constant
        valid = scale_valid & positive_definite & enough & is_symmetric(value)
        return pt.switch(valid, density, -np.inf)

    def support_point(self) -> TensorVariable:
        """Return the mean."""
        return self.nu[..., None, None] * (self.scale_chol @ self.scale_chol.mT)

    @property
    def default_transform(self) -> Transform:
        """The Cholesky factor, with its diagonal on the log scale."""
        return CholeskyCov(self.p)


class LKJCorr(MatrixValued):
    r"""Cholesky factors of LKJ distributed correlation matrices.

    The density of the factor L of the correlation matrix :math:`R = L L^\top`, with respect to
    what is below its diagonal, is

    .. math:: f(L \mid \eta) = c_n(\eta) \, |R|^{\eta - 1} \, |J|
        = c_n(\eta) \prod_{i=1}^n L_{ii}^{2\eta - 2 + n - i}, \qquad
        c_n(\eta) = \pi^{-n(n-1)/4}
        \prod_{i=2}^n \frac{\Gamma(\eta + (n-1)/2)}{\Gamma(\eta + (n-i)/2)} .

    Parameters
    ----------
    n : int
        Number of rows of the matrix.
    eta : array_like
        Shape, positive: 1 makes all correlation matrices equally likely, larger values prefer
        small correlations.

    Notes
    -----
    Draws take the rows as normal vectors, the last element replaced by a chi variable, divided by
    their lengths: the onion method in one step. For correlations together with standard
    deviations, see :class:`LKJCholeskyCov`.

    References
    ----------
    Lewandowski, Kurowicka and Joe (2009), Generating random correlation matrices based on vines
    and extended onion method. Journal of Multivariate Analysis 100, 1989-2001.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     chol = vb.LKJCorr("chol", n=3, eta=2)
    ...     corr = vb.Deterministic("corr", chol @ chol.T)
    ...     x = vb.MvNormal("x", np.zeros(3), chol=5.0 * chol)
    """

    constraints: ClassVar[Constraints] = {"eta": positive}
    eta: TensorVariable

    @behind_new
    def __init__(self, n: int, eta: Any) -> None:
        self.n = n = check_whole(n, "n", least=1)
        self.event = (n, n)
        self.set_params(eta=eta)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        n, batch = self.n, tuple(self.size_or_batch(size))
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=(*batch, n, n))
        half_df = self.eta[..., None] + to_float(0.5 * np.arange(n - 1, -1, -1))
        rng, gamma = draw_from(standard_gamma, half_df, rng=rng, size=(*batch, n))
        rows = pt.switch(np.eye(n, dtype=bool), pt.sqrt(2 * gamma)[..., None], z)
        rows = pt.switch(np.tri(n, dtype=bool), rows, 0.0)
        return rng, rows / pt.sqrt((rows**2).sum(axis=-1, keepdims=True))

    def logp(self, value: TensorVariable) -> TensorVariable:
        n, eta = self.n, self.eta
        diagonal = pt.diagonal(value, axis1=-2, axis2=-1)
        powers = 2 * eta[..., None] + to_float(np.arange(n - 3, -3, -1))
        above = pt.switch(np.tri(n, dtype=bool), 0.0, value)
        off = pt.abs((value**2).sum(axis=-1) - 1) > UNIT_TOLERANCE
        valid = pt.all((diagonal > 0) & ~off, axis=-1) & ~pt.any(pt.neq(above, 0), axis=(-2, -1))
        log_diagonal = pt.log(pt.switch(diagonal > 0, diagonal, 1.0))
        density = lkj_log_constant(eta, n) + (powers * log_diagonal).sum(axis=-1)
        return pt.switch(valid, density, -np.inf)

    def support_point(self) -> TensorVariable:
        return pt.eye(self.n)

    @property
    def default_transform(self) -> Transform:
        """The rows below the diagonal, relative to the diagonal."""
        return CholeskyCorr(self.n)


class KroneckerNormal(VectorValued, Continuous):
    r"""Multivariate normal distribution whose covariance is a Kronecker product, plus noise.

    .. math:: x \sim N\left(\mu, \; K_1 \otimes K_2 \otimes \dots + \sigma^2 I\right)

    Parameters
    ----------
    mu : array_like
        Mean, of shape ``(..., N)`` where N is the product of the numbers of rows, or a number.
    covs : sequence of array_like, optional
        Covariance matrices :math:`K_1, K_2, \dots`. Exactly one of ``covs``, ``chols`` and
        ``evds`` has to be given.
    chols : sequence of array_like, optional
        Their lower triangular factors: ``covs[i] = chols[i] @ chols[i].T``.
    evds : sequence of pairs of array_like, optional
        Their eigenvalues and eigenvectors, as ``numpy.linalg.eigh`` gives them.
    sigma : array_like, default 0
        Standard deviation of the noise, at least 0.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (a factor: not triangular or
        singular).
    ShapeError
        If ``mu`` is not as long as the product.

    Notes
    -----
    Without noise, each matrix is factorized; with it, each is taken apart into eigenvalues and
    eigenvectors (Saatçi 2011). The product itself, of N rows, is never made. Eigenvalues may be
    equal, as those of a multiple of the identity are.

    References
    ----------
    Saatçi (2011), Scalable Inference for Structured Gaussian Process Models, chapter 5. PhD thesis,
    University of Cambridge.
    """

    param_ndims: Mapping[str, int] = {"mu": 1}
    constraints: ClassVar[Constraints] = {"mu": finite, "sigma": nonnegative}
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self,
        mu: Any,
        covs: Sequence[Any] | None = None,
        chols: Sequence[Any] | None = None,
        evds: Sequence[tuple[Any, Any]] | None = None,
        sigma: Any = 0.0,
    ) -> None:
        ways: dict[str, Sequence[Any] | None] = {"covs": covs, "chols": chols, "evds": evds}
        given = [(name, parts) for name, parts in ways.items() if parts is not None]
        if len(given) != 1:
            names = " and ".join(name for name, _ in given)
            raise ValueError(f"give exactly one of {', '.join(ways)}, got {names or 'none'}")
        ((name, parts),) = given
        noise = constant_value(sigma)
        self.noisy = evds is not None or noise is None or bool(noise.any())
        spectra: list[tuple[Any, Any]]
        if evds is not None:
            spectra = [tuple(to_float(numeric_value(p, "evds")) for p in pair) for pair in evds]
        elif self.noisy:
            spectra = [spectrum(**{f"{name}[{i}]": part}) for i, part in enumerate(parts)]
        else:
            spectra = [(None, factor_of(**{f"{name}[{i}]": part})) for i, part in enumerate(parts)]
        self.values = [values for values, _ in spectra if values is not None]
        self.matrices = [matrix for _, matrix in spectra]
        lengths = [matrix.type.shape[-1] for matrix in self.matrices]
        self.length = None if None in lengths else math.prod(lengths)
        mu = pt.atleast_1d(to_float(mu))
        if self.length is not None and mu.type.shape[-1] not in (None, 1, self.length):
            raise ShapeError(
                f"mu has length {mu.type.shape[-1]}, the product of {name} {self.length}"
            )
        self.set_params(mu=mu, sigma=sigma)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        length = math.prod(m.shape[-1] for m in self.matrices) if self.length is None else None
        shape = (*self.size_or_batch(size), self.length or length)
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=shape)
        if self.noisy:
            z = z * pt.sqrt(self._variances())
        return rng, self.mu + along_each(pt.matmul, self.matrices, z)

    def _variances(self) -> TensorVariable:
        """Return the eigenvalues of the covariance, noise included."""
        product = functools.reduce(lambda a, b: (a[:, None] * b).ravel(), self.values)
        return pt.maximum(product, 0.0) + self.sigma[..., None] ** 2

    def logp(self, value: TensorVariable) -> TensorVariable:
        deviation = value - self.mu
        if self.noisy:
            variances = self._variances()
            valid = pt.all(variances > 0, axis=-1)
            variances = pt.switch(valid[..., None], variances, 1.0)
            turned = along_each(pt.matmul, [q.mT for q in self.matrices], deviation)
            squares, half_log_det = turned**2 / variances, 0.5 * pt.log(variances).sum(axis=-1)
        else:
            factors, log_dets, valids = zip(*map(usable_factor, self.matrices), strict=True)
            squares = along_each(solve_lower, factors, deviation) ** 2
            n = axis_length(squares, -1)
            parts = zip(factors, log_dets, strict=True)
            half_log_det = pt.add(*(n / axis_length(f, -1) * log_det for f, log_det in parts))
            valid = functools.reduce(pt.and_, valids)
        constant = 0.5 * LOG_2PI * axis_length(squares, -1)
        return pt.switch(valid, -0.5 * squares.sum(axis=-1) - half_log_det - constant, -np.inf)

    def support_point(self) -> TensorVariable:
        return self.mu


def factor_of(**matrices: Any) -> TensorVariable:
    """Return the lower triangular factor of the one matrix that is given.

    A name with ``chol`` in it is that of a factor, any other that of a symmetric matrix.
    """
    name = exactly_one(**matrices)
    matrix = numeric_value(matrices[name], name)
    check_matrix(name, matrix, lower=True)
    matrix = to_float(matrix)
    return matrix if "chol" in name else robust_cholesky(matrix)


def spectrum(**matrices: Any) -> tuple[TensorVariable, TensorVariable]:
    """Return eigenvalues and eigenvectors of the one matrix, or factor, that is given."""
    name = exactly_one(**matrices)
    matrix = numeric_value(matrices[name], name)
    check_matrix(name, matrix, lower=True)
    constant = constant_value(matrix)
    if constant is not None:
        values, vectors = np.linalg.eigh(constant @ constant.T if "chol" in name else constant)
    else:
        matrix = to_float(matrix)
        values, vectors = robust_eigh(matrix @ matrix.mT if "chol" in name else matrix)
    return to_float(values), to_float(vectors)


def usable_factor(factor: TensorVariable) -> tuple[TensorVariable, ...]:
    """Return a triangular factor, half the log determinant of its square, and if it is valid.

    Where it is not (the matrix was not positive definite) the first two are finite numbers without
    meaning.
    """
    valid = pt.all(pt.abs(pt.diagonal(factor, axis1=-2, axis2=-1)) > 0, axis=-1)
    factor = pt.switch(valid[..., None, None], factor, 1.0)
    log_det = pt.log(pt.abs(pt.diagonal(factor, axis1=-2, axis2=-1))).sum(axis=-1)
    return factor, log_det, valid


def solve_lower(factor: TensorVariable, columns: TensorVariable) -> TensorVariable:
    """Solve ``factor @ x = columns`` for matrices of right-hand sides."""
    return pt.linalg.solve_triangular(factor, columns, lower=True, b_ndim=2)


def along_each(
    apply: Callable[[TensorVariable, TensorVariable], TensorVariable],
    matrices: Sequence[TensorVariable],
    x: TensorVariable,
) -> TensorVariable:
    """Apply each of the matrices to its own axis of the vectors x, read as arrays.

    Parameters
    ----------
    apply
        What to do with a matrix and columns.
    matrices
        One an axis, in the order of a Kronecker product.
    x
        Vectors, of shape ``(..., N)``.
    """
    batch = tuple(x.shape[axis] if n is None else n for axis, n in enumerate(x.type.shape[:-1]))
    length = x.type.shape[-1]
    for matrix in matrices:
        n = matrix.type.shape[-1]
        known = n is not None and length is not None
        columns = x.reshape(
            (*batch, matrix.shape[-1] if n is None else n, length // n if known else -1)
        )
        # The axis that is done goes last, and the next one comes to the front.
        x = apply(matrix, columns).mT.reshape((*batch, -1 if length is None else length))
    return x


def is_symmetric(matrix: TensorVariable) -> TensorVariable:
    """Tell which matrices are symmetric, but for rounding."""
    off = pt.abs(matrix - matrix.mT).max(axis=(-2, -1))
    tolerance = float(np.finfo(matrix.dtype).eps) ** 0.5
    return off <= tolerance * pt.abs(matrix).max(axis=(-2, -1))
