"""Distributions of vectors and matrices."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new, check_whole
from vibayes.context import modelcontext
from vibayes.distributions.base import (
    Continuous,
    Discrete,
    Distribution,
    distribution_of,
    draw_from,
    to_float,
    unnamed,
)
from vibayes.distributions.constraints import (
    Constraints,
    constant_value,
    count,
    finite,
    positive,
    probability,
)
from vibayes.distributions.dist_math import log_rising_factorial, xlogy
from vibayes.distributions.shapes import Shape, as_shape, broadcast_static
from vibayes.distributions.standard_forms import LocationRoot, LocationScale
from vibayes.distributions.transforms import (
    CholeskyCovPacked,
    Transform,
    ZeroSumTransform,
    axis_length,
    simplex,
)
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.numeric import numeric_value
from vibayes.ops.cholesky import robust_cholesky
from vibayes.ops.triangular import triangular_matrix

__all__ = [
    "Dirichlet",
    "DirichletMultinomial",
    "LKJCholeskyCov",
    "Multinomial",
    "MvNormal",
    "MvStudentT",
    "ZeroSumNormal",
]

LOG_2PI = math.log(2 * math.pi)
SUM_TOLERANCE = 1e-5  # of the sum of shares that were rounded for print, or to single precision

standard_gamma = functools.partial(pt.random.gamma, scale=1.0)


class VectorValued(Distribution):
    """Base of the distributions of vectors, of a length that their parameters tell."""

    ndim_supp = 1
    length: int | None
    """Length of one event, None where only run time tells."""

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        check_event(event, (self.length,), label)


class Elliptical(VectorValued, Continuous):
    """Base of the distributions of ``mu + A z``, where z has a spherical distribution.

    Subclasses call :meth:`set_location_and_scale`, which keeps one triangular matrix: the
    Cholesky factor of the covariance, or that of the precision. Neither matrix is ever inverted.
    """

    param_ndims: Mapping[str, int] = {"mu": 1, "cov": 2, "scale": 2, "tau": 2, "chol": 2}
    constraints: ClassVar[Constraints] = {
        "mu": finite,
        "nu": positive,
        **dict.fromkeys(("cov", "Sigma", "scale", "tau", "chol"), finite),
    }

    mu: TensorVariable
    factor: TensorVariable
    of_precision: bool

    def set_location_and_scale(
        self, mu: Any, lower: bool, matrices: dict[str, Any], **params: Any
    ) -> None:
        """Keep the parameters, and the triangular factor of the one matrix that is given."""
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(matrices)}, got {', '.join(given) or 'none'}"
            )
        ((name, matrix),) = given.items()
        check_matrix(name, matrix, lower)
        matrix = to_float(matrix)
        if name == "chol" and not lower:
            matrix = matrix.mT
        mu = pt.atleast_1d(to_float(mu))
        broadcast_static(mu.type.shape[-1:], matrix.type.shape[-1:], names=("mu", name))
        self.set_params(mu=mu, **params, **{name: matrix})
        self.of_precision = name == "tau"
        self.factor = matrix if name == "chol" else robust_cholesky(matrix)
        self.length = matrix.type.shape[-1]

    def standardize(self, value: TensorVariable) -> tuple[TensorVariable, ...]:
        """Return z, half the log determinant of the covariance, and whether that is valid.

        Where it is not (the matrix was not positive definite) the first two are finite numbers
        without meaning.
        """
        diagonal = pt.diagonal(self.factor, axis1=-2, axis2=-1)
        valid = pt.all(pt.abs(diagonal) > 0, axis=-1)  # a failed factorization is all NaN
        factor = pt.switch(valid[..., None, None], self.factor, 1.0)
        half_log_det = pt.log(pt.abs(pt.diagonal(factor, axis1=-2, axis2=-1))).sum(axis=-1)
        deviation = value - self.mu
        if self.of_precision:
            return multiply_rows(deviation, factor), -half_log_det, valid
        return solve_rows(factor, deviation), half_log_det, valid

    def color(self, z: TensorVariable) -> TensorVariable:
        """Return ``mu + A z`` for each of the rows of z."""
        if self.of_precision:
            return self.mu + solve_rows(self.factor, z, transposed=True)
        return self.mu + multiply_rows(z, self.factor.mT)

    def draw_spherical(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Return the next state of the generator, and independent standard normal numbers."""
        length = self.factor.shape[-1] if self.length is None else self.length
        size = (*self.size_or_batch(size), length)
        return draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=size)

    def support_point(self) -> TensorVariable:
        return self.mu

    def standard_form(self) -> LocationRoot:
        return LocationRoot(self.mu, self.factor, self.of_precision)


class MvNormal(Elliptical):
    r"""Multivariate normal distribution.

    .. math:: f(x \mid \mu, \Sigma) = \frac{1}{\sqrt{(2\pi)^d |\Sigma|}}
        \exp\left(-\tfrac12 (x - \mu)^\top \Sigma^{-1} (x - \mu)\right)

    Parameters
    ----------
    mu : array_like, default 0
        Mean, of shape ``(..., d)``.
    cov : array_like, optional
        Covariance matrix, of shape ``(..., d, d)``. Exactly one of ``cov``, ``tau`` and ``chol``
        has to be given.
    tau : array_like, optional
        Precision matrix, the inverse of ``cov``.
    chol : array_like, optional
        Triangular matrix L with ``cov = L @ L.T``: the cheapest of the three.
    lower : bool, default True
        Whether ``chol`` is lower triangular. If not, ``cov = chol.T @ chol``.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (``chol``: not triangular or
        singular). A matrix known only at run time that is not positive definite has log density
        -inf, with derivatives of zero.

    Notes
    -----
    A matrix is factorized once, however many events share it, and all of them are solved for
    together.
    """

    @behind_new
    def __init__(
        self,
        mu: Any = 0.0,
        cov: Any = None,
        *,
        tau: Any = None,
        chol: Any = None,
        lower: bool = True,
    ) -> None:
        self.set_location_and_scale(mu, lower, {"cov": cov, "tau": tau, "chol": chol})

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, z = self.draw_spherical(rng, size)
        return rng, self.color(z)

    def logp(self, value: TensorVariable) -> TensorVariable:
        z, half_log_det, valid = self.standardize(value)
        constant = 0.5 * LOG_2PI * axis_length(z, -1)
        return pt.switch(valid, -0.5 * (z**2).sum(axis=-1) - half_log_det - constant, -np.inf)


class MvStudentT(Elliptical):
    r"""Multivariate Student's t distribution.

    .. math:: f(x \mid \nu, \mu, \Sigma) =
        \frac{\Gamma((\nu + d)/2)}{\Gamma(\nu/2) \sqrt{(\nu\pi)^d |\Sigma|}}
        \left(1 + \tfrac1\nu (x - \mu)^\top \Sigma^{-1} (x - \mu)\right)^{-(\nu + d)/2}

    Parameters
    ----------
    nu : array_like
        Degrees of freedom, positive.
    Sigma, scale : array_like, optional
        Scale matrix, of shape ``(..., d, d)``, under either name. Exactly one of the matrices
        has to be given. For ``nu > 2`` the covariance is ``scale * nu / (nu - 2)``.
    mu : array_like, default 0
        Location, of shape ``(..., d)``.
    tau : array_like, optional
        Inverse of the scale matrix.
    chol : array_like, optional
        Triangular matrix L with ``scale = L @ L.T``.
    lower : bool, default True
        Whether ``chol`` is lower triangular.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (``chol``: not triangular or
        singular). A matrix known only at run time that is not positive definite has log density
        -inf, with derivatives of zero.
    """

    nu: TensorVariable

    @behind_new
    def __init__(
        self,
        nu: Any,
        *,
        Sigma: Any = None,
        mu: Any = 0.0,
        scale: Any = None,
        tau: Any = None,
        chol: Any = None,
        lower: bool = True,
    ) -> None:
        scale = under_one_name(Sigma=Sigma, scale=scale)
        self.set_location_and_scale(mu, lower, {"scale": scale, "tau": tau, "chol": chol}, nu=nu)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, z = self.draw_spherical(rng, size)
        half = 0.5 * self.nu
        rng, gamma = draw_from(standard_gamma, half, rng=rng, size=size)
        return rng, self.color(z * pt.sqrt(half / gamma)[..., None])

    def logp(self, value: TensorVariable) -> TensorVariable:
        z, half_log_det, valid = self.standardize(value)
        half_nu, half_d = 0.5 * self.nu, to_float(0.5 * axis_length(z, -1))
        log_nu = pt.log(self.nu)
        constant = log_rising_factorial(half_nu, half_d) - half_d * (log_nu + math.log(math.pi))
        tail = log1p_sum_of_squares(z * pt.exp(-0.5 * log_nu)[..., None])
        return pt.switch(valid, constant - half_log_det - (half_nu + half_d) * tail, -np.inf)


class Dirichlet(VectorValued, Continuous):
    r"""Dirichlet distribution, of vectors of shares that sum to one.

    .. math:: f(x \mid a) = \frac{\Gamma(\sum_i a_i)}{\prod_i \Gamma(a_i)} \prod_i x_i^{a_i - 1}

    The density is one with respect to all shares but the last.

    Parameters
    ----------
    a : array_like
        Concentrations, positive, of shape ``(..., d)``.
    """

    param_ndims: Mapping[str, int] = {"a": 1}
    constraints: ClassVar[Constraints] = {"a": positive}
    a: TensorVariable

    @behind_new
    def __init__(self, a: Any) -> None:
        self.set_params(a=checked_vector("a", a))
        self.length = self.a.type.shape[-1]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.dirichlet, self.a, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        kernel = xlogy(self.a - 1, value).sum(axis=-1)
        constant = pt.gammaln(self.a.sum(axis=-1)) - pt.gammaln(self.a).sum(axis=-1)
        off = pt.abs(value.sum(axis=-1) - 1) > SUM_TOLERANCE
        valid = pt.all(value >= 0, axis=-1) & ~off & (kernel > -np.inf)
        return pt.switch(valid, kernel + constant, -np.inf)

    def support_point(self) -> TensorVariable:
        return self.a / self.a.sum(axis=-1, keepdims=True)

    @property
    def default_transform(self) -> Transform:
        """The isometric log ratio."""
        return simplex


class Multinomial(VectorValued, Discrete):
    r"""Multinomial distribution: how often each outcome occurs in n trials.

    .. math:: f(x \mid n, p) = \frac{n!}{\prod_i x_i!} \prod_i p_i^{x_i}

    Parameters
    ----------
    n : array_like
        Number of trials.
    p : array_like
        Probabilities of the outcomes, of shape ``(..., d)``, that sum to one. Constants that do
        not are rescaled, with a warning.
    """

    param_ndims: Mapping[str, int] = {"p": 1}
    constraints: ClassVar[Constraints] = {"n": count, "p": probability}
    n: TensorVariable
    p: TensorVariable

    @behind_new
    def __init__(self, n: Any, p: Any) -> None:
        self.set_params(n=n, p=checked_vector("p", sum_to_one(p)))
        self.length = self.p.type.shape[-1]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_multinomial(self.n, self.p, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        value = to_float(value)
        kernel = xlogy(value, self.p) - pt.gammaln(value + 1)
        return counts_density(value, self.n, kernel.sum(axis=-1) + pt.gammaln(self.n + 1))

    def support_point(self) -> TensorVariable:
        return round_counts(self.n, self.p)


class DirichletMultinomial(VectorValued, Discrete):
    r"""Multinomial distribution whose probabilities have a Dirichlet distribution.

    .. math:: f(x \mid n, a) = \frac{\Gamma(n + 1) \, \Gamma(\sum_i a_i)}{\Gamma(n + \sum_i a_i)}
        \prod_i \frac{\Gamma(x_i + a_i)}{\Gamma(x_i + 1) \, \Gamma(a_i)}

    Parameters
    ----------
    n : array_like
        Number of trials.
    a : array_like
        Concentrations, positive, of shape ``(..., d)``.
    """

    param_ndims: Mapping[str, int] = {"a": 1}
    constraints: ClassVar[Constraints] = {"n": count, "a": positive}
    n: TensorVariable
    a: TensorVariable

    @behind_new
    def __init__(self, n: Any, a: Any) -> None:
        self.set_params(n=n, a=checked_vector("a", a))
        self.length = self.a.type.shape[-1]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, p = draw_from(pt.random.dirichlet, self.a, rng=rng, size=size)
        return draw_multinomial(self.n, p, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        value = to_float(value)
        kernel = log_rising_factorial(self.a, value) - pt.gammaln(value + 1)
        constant = pt.gammaln(self.n + 1) - log_rising_factorial(self.a.sum(axis=-1), self.n)
        return counts_density(value, self.n, kernel.sum(axis=-1) + constant)

    def support_point(self) -> TensorVariable:
        return round_counts(self.n, self.a / self.a.sum(axis=-1, keepdims=True))


class LKJCholeskyCov(VectorValued, Continuous):
    r"""Covariance matrices with LKJ distributed correlations, as packed Cholesky factors.

    With standard deviations :math:`\sigma_i`, the lengths of the rows of L, and
    :math:`R_{ij} = (L L^\top)_{ij} / (\sigma_i \sigma_j)`,

    .. math:: f(L \mid \eta) = \prod_i f_\sigma(\sigma_i) \; c_n(\eta) |R|^{\eta - 1} \; |J|
        = c_n(\eta) \prod_{i=1}^n f_\sigma(\sigma_i) \,
        L_{ii}^{2\eta + n - i - 1} \, \sigma_i^{-(2\eta + n - 2)},

    .. math:: c_n(\eta) = \pi^{-n(n-1)/4}
        \prod_{i=2}^n \frac{\Gamma(\eta + (n-1)/2)}{\Gamma(\eta + (n-i)/2)} .

    Parameters
    ----------
    name : str
        Name of the packed factor in the model.
    eta : array_like
        Shape of the LKJ distribution, positive: 1 makes all correlation matrices equally likely,
        larger values prefer small correlations.
    n : int
        Number of rows of the matrix.
    sd_dist : TensorVariable
        Distribution of the standard deviations, made by ``dist``: of one number, which then
        holds for each of them independently, or of vectors of length ``n``.
    compute_corr : bool, default True
        Whether to return the factor as a matrix, the correlations and the standard deviations,
        instead of the packed factor.
    store_in_trace : bool, default True
        Whether these correlations and standard deviations are recorded with the model, as
        ``{name}_corr`` and ``{name}_stds``.

    Returns
    -------
    chol, corr, stds : TensorVariable
        Of shapes ``(n, n)``, ``(n, n)`` and ``(n,)``, if ``compute_corr``.
    packed : TensorVariable
        The rows of the lower triangle one after the other, otherwise. See
        :func:`vibayes.math.expand_packed_triangular`.

    Notes
    -----
    Draws take the rows of the factor of R as normal vectors, the last element replaced by a chi
    variable, divided by their lengths: the onion method in one step.

    References
    ----------
    Lewandowski, Kurowicka and Joe (2009), Generating random correlation matrices based on vines
    and extended onion method. Journal of Multivariate Analysis 100, 1989-2001.
    """

    constraints: ClassVar[Constraints] = {"eta": positive}
    eta: TensorVariable

    def __new__(
        cls,
        name: str,
        eta: Any,
        n: int,
        sd_dist: TensorVariable,
        *,
        compute_corr: bool = True,
        store_in_trace: bool = True,
        **kwargs: Any,
    ) -> Any:
        stored = compute_corr and store_in_trace
        packed = super().__new__(cls, name, eta, n, sd_dist, stored=stored, **kwargs)
        if not compute_corr:
            return packed
        chol, corr, stds = cast(LKJCholeskyCov, distribution_of(packed)).covariance
        if stored:
            corr, stds = (modelcontext()[f"{packed.name}_{part}"] for part in ("corr", "stds"))
        return chol, corr, stds

    @classmethod
    def dist(  # type: ignore[override]
        cls, eta: Any, n: int, sd_dist: TensorVariable, *, compute_corr: bool = True, **kwargs: Any
    ) -> Any:
        """Return variables that belong to no model: a triple, or the packed factor."""
        packed = super().dist(eta, n, sd_dist, **kwargs)
        return cast(LKJCholeskyCov, distribution_of(packed)).covariance if compute_corr else packed

    @behind_new
    def __init__(self, eta: Any, n: int, sd_dist: TensorVariable, *, stored: bool = False) -> None:
        self.n = n = check_whole(n, "n", least=1)
        self.length = n * (n + 1) // 2
        self.stored = stored
        self.sd = unnamed(sd_dist, "sd_dist")
        if self.sd.ndim_supp > 1:
            raise ShapeError("sd_dist must be a distribution of numbers or vectors")
        if sd_dist.type.shape[-1:] not in ((), (1,), (n,), (None,)):
            raise ShapeError(f"sd_dist has shape {sd_dist.type.shape}, it must end in n = {n}")
        self.set_params(eta=eta)

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        inner = self.sd.rv_batch_shape
        return [*super().batch_shapes, inner[:-1] if self.sd.ndim_supp == 0 else inner]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        n, batch = self.n, tuple(self.size_or_batch(size))
        rng, sd = self.sd.random(rng, (*batch, n) if self.sd.ndim_supp == 0 else batch)
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=(*batch, n, n))
        half_df = self.eta[..., None] + to_float(0.5 * np.arange(n - 1, -1, -1))
        rng, gamma = draw_from(standard_gamma, half_df, rng=rng, size=(*batch, n))
        rows = pt.switch(np.eye(n, dtype=bool), pt.sqrt(2 * gamma)[..., None], z)
        rows = pt.switch(np.tri(n, dtype=bool), rows, 0.0)
        rows = rows * (sd / pt.sqrt((rows**2).sum(axis=-1)))[..., None]
        below = np.flatnonzero(np.tri(n, dtype=bool))
        return rng, rows.reshape((*batch, n * n))[..., below]

    def logp(self, value: TensorVariable) -> TensorVariable:
        n, eta = self.n, self.eta
        chol = triangular_matrix(n, value)
        variance = (chol**2).sum(axis=-1)
        diagonal = pt.diagonal(chol, axis1=-2, axis2=-1)
        log_diagonal = pt.log(pt.switch(diagonal > 0, diagonal, 1.0))
        sd_terms = self.sd.logp(pt.sqrt(variance))
        if self.sd.ndim_supp == 0:
            sd_terms = sd_terms.sum(axis=-1)
        powers = 2 * eta[..., None] + to_float(np.arange(n - 2, -2, -1))
        kernel = powers * log_diagonal - (eta[..., None] + (0.5 * n - 1)) * pt.log(variance)
        density = sd_terms + kernel.sum(axis=-1) + lkj_log_constant(eta, n)
        return pt.switch(pt.all(diagonal > 0, axis=-1), density, -np.inf)

    def support_point(self) -> TensorVariable:
        row, column = np.tril_indices(self.n)
        sd = self.sd.support_point() + pt.zeros(self.n)
        return pt.switch(row == column, sd[..., row], 0.0)

    @property
    def default_transform(self) -> Transform:
        """The log of the diagonal."""
        return CholeskyCovPacked(self.n)

    @functools.cached_property
    def covariance(self) -> tuple[TensorVariable, ...]:
        """The Cholesky factor, the correlations and the standard deviations of the variable."""
        return covariance_parts(self.n, self.rv)

    def derived(self) -> dict[str, TensorVariable]:
        _, corr, stds = self.covariance
        return {"corr": corr, "stds": stds} if self.stored else {}


class ZeroSumNormal(Continuous):
    r"""Normal distribution of arrays whose sums along their last axes are zero.

    Along one axis of length K it is
    :math:`\operatorname{Normal}(0, \sigma^2 (I - \tfrac1K \mathbf 1 \mathbf 1^\top))`: independent
    normal numbers, given that their sum is zero. The density is one with respect to the volume
    within the subspace,

    .. math:: f(x \mid \sigma) = (2\pi\sigma^2)^{-m/2}
        \exp\left(-\frac{1}{2\sigma^2} \sum_i x_i^2\right), \qquad m = \prod_k (K_k - 1).

    Parameters
    ----------
    sigma : array_like, default 1
        Standard deviation of the numbers before they are made to sum to zero, positive. Of
        length 1 along the zero-sum axes, if it has axes.
    n_zerosum_axes : int, default 1
        How many of the last axes sum to zero.
    support_shape : int or sequence of int, optional
        Lengths of these axes; taken from ``shape``, ``dims`` or ``observed`` where it is not
        given.
    """

    constraints: ClassVar[Constraints] = {"sigma": positive}

    support_shape: tuple[Any, ...] | None
    sigma: TensorVariable

    @behind_new
    def __init__(
        self,
        sigma: Any = 1.0,
        n_zerosum_axes: int | None = None,
        support_shape: Shape | None = None,
    ) -> None:
        n = 1 if n_zerosum_axes is None else check_whole(n_zerosum_axes, "n_zerosum_axes", least=1)
        sigma = pt.atleast_Nd(to_float(sigma), n=n)
        if sigma.type.shape[-n:] != (1,) * n:
            raise ShapeError("sigma must have length 1 along the zero-sum axes")
        self.ndim_supp = n
        self.axes = tuple(range(-n, 0))
        self.param_ndims = {"sigma": n}
        self.set_params(sigma=sigma)
        self.support_shape = None
        if support_shape is not None:
            self.set_event_shape(
                as_shape(support_shape, "ZeroSumNormal", "support_shape"), "support_shape"
            )

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        check_event(event, self.support_shape or (None,) * self.ndim_supp, label)
        self.support_shape = tuple(event)

    def _known_event(self) -> tuple[Any, ...]:
        if self.support_shape is None:
            raise ShapeError("ZeroSumNormal needs shape, dims or support_shape")
        return self.support_shape

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = (*self.size_or_batch(size), *self._known_event())
        rng, z = draw_from(pt.random.normal, 0.0, self.sigma, rng=rng, size=size)
        for axis in self.axes:
            z = z - z.mean(axis=axis, keepdims=True)
        return rng, z

    def logp(self, value: TensorVariable) -> TensorVariable:
        sigma = self.sigma[(..., *(0 for _ in self.axes))]
        dimension = to_float(math.prod(length - 1 for length in self._known_event()))
        squares = ((value / self.sigma) ** 2).sum(axis=self.axes)
        density = -0.5 * squares - dimension * (pt.log(sigma) + 0.5 * LOG_2PI)
        # Sums are zero but for rounding, which the largest number decides.
        tolerance = float(np.finfo(value.dtype).eps) ** 0.5
        slack = tolerance * pt.abs(value).max(axis=self.axes, keepdims=True)
        sums = [pt.abs(value.mean(axis=axis, keepdims=True)) for axis in self.axes]
        off = [pt.any(total > slack, axis=self.axes) for total in sums]
        return pt.switch(functools.reduce(pt.or_, off), -np.inf, density)

    def support_point(self) -> TensorVariable:
        return pt.zeros(self.support_shape)

    def standard_form(self) -> LocationScale:
        return LocationScale(pt.zeros_like(self.sigma), self.sigma)

    @functools.cached_property
    def default_transform(self) -> Transform:
        """The isometry from one element less along each axis."""
        return ZeroSumTransform(self.axes)


def solve_rows(
    factor: TensorVariable, rows: TensorVariable, transposed: bool = False
) -> TensorVariable:
    """Solve ``factor @ x = row`` for each row, for all that share a factor in one call.

    Parameters
    ----------
    factor
        Lower triangular matrices, of shape ``(..., d, d)``.
    rows
        Right-hand sides, of shape ``(..., d)``.
    transposed
        Solve ``factor.T @ x = row`` instead.
    """
    solve = functools.partial(
        pt.linalg.solve_triangular, factor, lower=True, trans="T" if transposed else "N"
    )
    sharing = rows.type.ndim - factor.type.ndim + 1  # leading axes that only the rows have
    if sharing <= 0:
        return solve(rows, b_ndim=1)
    stack = rows if sharing == 1 else rows.reshape((-1, *rows.shape[sharing:]))
    solved = pt.moveaxis(solve(pt.moveaxis(stack, 0, -1), b_ndim=2), -1, 0)
    return solved if sharing == 1 else solved.reshape((*rows.shape[:sharing], *solved.shape[1:]))


def multiply_rows(rows: TensorVariable, matrix: TensorVariable) -> TensorVariable:
    """Return ``row @ matrix`` for each row, of shape ``(..., d)``."""
    if matrix.type.ndim == 2:
        return rows @ matrix
    return (rows[..., None, :] @ matrix)[..., 0, :]


def log1p_sum_of_squares(x: TensorVariable) -> TensorVariable:
    """Return ``log(1 + (x**2).sum(axis=-1))``, which is finite where the squares are not."""
    limit = np.finfo(x.dtype).max ** (1 / 3)
    far = pt.any(pt.abs(x) > limit, axis=-1)
    squares = ((x * pt.switch(far, limit**-2, 1.0)[..., None]) ** 2).sum(axis=-1)
    beyond = pt.log(pt.switch(far, squares, 1.0)) + 4 * math.log(limit)
    return pt.switch(far, beyond, pt.log1p(squares))


def counts_density(
    value: TensorVariable, n: TensorVariable, density: TensorVariable
) -> TensorVariable:
    """Return the log density of counts, -inf where they are negative or their sum is not n."""
    valid = pt.all(value >= 0, axis=-1) & pt.eq(value.sum(axis=-1), n)
    return pt.switch(valid, density, -np.inf)


def draw_multinomial(
    n: TensorVariable, p: TensorVariable, rng: Any, size: Any
) -> tuple[Any, TensorVariable]:
    """Return the generator's next state and counts, for probabilities up to rounding."""
    p = p.astype("float64")
    p = p / p.sum(axis=-1, keepdims=True)
    return draw_from(pt.random.multinomial, n.astype("int64"), p, rng=rng, size=size)


def round_counts(n: TensorVariable, p: TensorVariable) -> TensorVariable:
    """Return whole numbers near ``n * p`` that sum to n: the largest remainders are rounded up."""
    expected = n[..., None] * p
    counts = pt.floor(expected)
    missing = n[..., None] - counts.sum(axis=-1, keepdims=True)
    rank = pt.argsort(pt.argsort(counts - expected, axis=-1), axis=-1)
    return (counts + (rank < missing)).astype("int64")


def lkj_log_constant(eta: TensorVariable, n: int) -> TensorVariable:
    """Return the log of the factor that makes the density of the correlations' factor one."""
    inner = pt.gammaln(eta[..., None] + to_float(0.5 * np.arange(n - 1))).sum(axis=-1)
    return (n - 1) * (pt.gammaln(eta + 0.5 * (n - 1)) - 0.25 * n * math.log(math.pi)) - inner


def covariance_parts(n: int, packed: TensorVariable) -> tuple[TensorVariable, ...]:
    """Return the Cholesky factor, the correlations and the standard deviations."""
    chol = triangular_matrix(n, packed)
    stds = pt.sqrt((chol**2).sum(axis=-1))
    scaled = chol / stds[..., None]
    return chol, scaled @ scaled.mT, stds


def check_event(event: Sequence[Any], expected: Sequence[Any], label: str) -> None:
    """Raise if the shape of an event, as far as both are known, is not the expected one."""
    if len(event) != len(expected) or any(
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(event, expected, strict=True)
    ):
        raise ShapeError(f"{label}: one event has shape {tuple(expected)}, not {tuple(event)}")


def checked_vector(name: str, value: Any) -> TensorVariable:
    """Return a parameter that has at least one axis."""
    value = to_float(value)
    if value.type.ndim == 0:
        raise ShapeError(f"{name} must be a vector, got a number")
    return value


def sum_to_one(p: Any) -> Any:
    """Return constant probabilities rescaled to sum to one; anything else as it is."""
    constant = constant_value(p)
    if constant is None or constant.ndim == 0:
        return p
    total = constant.sum(axis=-1, keepdims=True)
    if not np.allclose(total, 1.0, atol=SUM_TOLERANCE):
        warnings.warn(
            f"p sums to {total.squeeze(-1)}, not to 1, and is rescaled", UserWarning, stacklevel=2
        )
    return constant / total


def under_one_name(**names: Any) -> Any:
    """Return the scale matrix, given under one of its names or none, checked under that name."""
    given = [(name, matrix) for name, matrix in names.items() if matrix is not None]
    if len(given) > 1:
        raise ValueError(f"give either {' or '.join(names)}, not both")
    for name, matrix in given:
        check_matrix(name, numeric_value(matrix, name), lower=True)
    return given[0][1] if given else None


def check_matrix(name: str, matrix: Any, lower: bool) -> None:
    """Raise if a parameter can never be a covariance, precision or Cholesky factor."""
    shape = pt.as_tensor_variable(matrix).type.shape
    if len(shape) < 2 or (None not in shape[-2:] and shape[-2] != shape[-1]):
        raise ShapeError(f"{name} must be a square matrix, got shape {shape}")
    constant = constant_value(matrix)
    if constant is None:
        return
    if not np.isfinite(constant).all():
        raise ParameterError(f"{name} must be finite, got {constant[~np.isfinite(constant)][0]}")
    if "chol" in name:
        other = np.triu(constant, 1) if lower else np.tril(constant, -1)
        if other.any() or not np.diagonal(constant, axis1=-2, axis2=-1).all():
            side = "lower" if lower else "upper"
            raise ParameterError(f"{name} must be {side} triangular, without zeros on the diagonal")
        return
    if not np.allclose(constant, np.swapaxes(constant, -1, -2)):
        raise ParameterError(f"{name} must be symmetric")
    try:
        np.linalg.cholesky(constant)
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(constant).min()
        raise ParameterError(
            f"{name} must be positive definite, its smallest eigenvalue is {smallest:.3g}"
        ) from None
