r"""Variables as maps of standard ones: the coordinates in which a hierarchy has no funnel.

A variable x whose distribution has a location and a scale that depend on others, theta, is made of
a standard variable u. To know what the data say of x, about the normal factor
:math:`\exp(r' x - \tfrac12 x' \Lambda x)`, is to know a better map than that of the prior:

.. math:: x = m(\theta) + V(\theta)^{1/2} u, \qquad V = (Q + \Lambda)^{-1}, \qquad
    m = V (Q \mu + r)

with the prior's mean :math:`\mu(\theta)` and precision :math:`Q(\theta)`. If prior and likelihood
are normal, u is standard normal given theta and the data, and independent of theta. With
:math:`\Lambda = 0` the map is the non-centred one (Papaspiliopoulos et al. 2007); where the data
say more than the prior, it is centred at what they say; in between it is neither, as the weight of
the data is another one for each element, and each theta (Kleppe 2019, Dynamically rescaled
Hamiltonian Monte Carlo for Bayesian hierarchical models, JCGS 28(3); Gorinova et al. 2020,
arXiv:1906.03028, with weights that do not depend on theta). Whatever Lambda and r are, it is a
bijection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.ops.normal_maps import normal_map

__all__ = [
    "MOST_JOINT",
    "InMatrixProducts",
    "InProducts",
    "Innovations",
    "LocationRoot",
    "LocationScale",
    "StandardForm",
]

MOST_JOINT = 8
"""Length up to which what the data say of a vector is a matrix, and not its diagonal alone."""


class StandardForm:
    """How a variable, on the unconstrained scale, is made of standard ones.

    A form is an expression of the parameters of a distribution, which may be random variables.
    """

    def information_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of Lambda for a variable of some shape.

        That of the variable itself, for a diagonal matrix, or one more axis of the length of the
        last one, for a matrix an event.
        """
        return shape

    def met_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what the data meet of a variable of some shape."""
        return shape

    def met(self, x: TensorVariable) -> TensorVariable:
        """Return what the data meet of x: a linear map of it, x itself by default."""
        return x

    def moved(self, x: TensorVariable, shift: TensorVariable) -> TensorVariable:
        """Return the x of which the data meet what they meet of this one, and a shift."""
        return x + shift

    def conditional(
        self, u: TensorVariable, information: TensorVariable, pull: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return x, and the log determinant of its derivative by u: a scalar.

        Parameters
        ----------
        u
            The standard variable, of the shape of x.
        information
            Lambda: the precision of what the data say of x. Zeros for the non-centred x.
        pull
            r: that precision times the mean, of the shape of what the data meet.
        """
        raise NotImplementedError


class LocationScale(StandardForm):
    """Independent elements ``location + scale * u``.

    Parameters
    ----------
    location, scale : TensorVariable
        Broadcastable to the variable. For distributions that are not normal, any measures of
        location and scale.
    """

    def __init__(self, location: TensorVariable, scale: TensorVariable) -> None:
        self.location, self.scale = location, scale

    def conditional(
        self, u: TensorVariable, information: TensorVariable, pull: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        precision = 1 + information * self.scale**2  # of u, given the data
        shift = self.scale * (pull - information * self.location) / precision
        x = self.location + self.scale * (shift + u / pt.sqrt(precision))
        log_slope = pt.log(self.scale) - 0.5 * pt.log(precision)
        return x, shaped(log_slope, u).sum()


class InProducts(StandardForm):
    r"""A variable of which the data speak in a product :math:`e = c\, x` alone.

    Information and pull are those of e. What the data say of x is then
    :math:`\exp(c\, r' x - \tfrac12 c^2 x' \Lambda x)`.

    Parameters
    ----------
    own : LocationScale
        The form of x.
    factor : TensorVariable
        c, broadcastable to x.
    """

    def __init__(self, own: LocationScale, factor: TensorVariable) -> None:
        self.own, self.factor = own, factor

    def met(self, x: TensorVariable) -> TensorVariable:
        return x * self.factor

    def moved(self, x: TensorVariable, shift: TensorVariable) -> TensorVariable:
        return x + shift / self.factor

    def conditional(
        self, u: TensorVariable, information: TensorVariable, pull: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        return self.own.conditional(u, information * self.factor**2, pull * self.factor)


class InMatrixProducts(StandardForm):
    r"""Vectors of which the data speak in products :math:`e = A x` alone.

    Information and pull are those of e, one vector a row. What the data say of x is then
    :math:`\exp(r' A x - \tfrac12 x' A' \Lambda A x)`.

    Parameters
    ----------
    own : LocationScale
        The form of the matrix x.
    matrix : TensorVariable
        A, of shape ``(d, d)``, with an inverse.
    axis : {0, 1}
        The axis of x along which its vectors lie.
    """

    def __init__(self, own: LocationScale, matrix: TensorVariable, axis: int) -> None:
        self.own, self.matrix, self.axis = own, matrix, axis

    def information_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*self.met_shape(shape), shape[self.axis])

    def met_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape if self.axis == 1 else shape[::-1]

    def met(self, x: TensorVariable) -> TensorVariable:
        return times(self.matrix, self.in_rows(x))

    def moved(self, x: TensorVariable, shift: TensorVariable) -> TensorVariable:
        return x + self.in_rows(times(pt.linalg.inv(self.matrix), shift))

    def in_rows(self, x: TensorVariable) -> TensorVariable:
        """Return x with its vectors in rows; or in their own place, if they are in rows."""
        return x if self.axis == 1 else x.mT

    def conditional(
        self, u: TensorVariable, information: TensorVariable, pull: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        A, rows = self.matrix, self.in_rows(u)
        location, scale = (
            self.in_rows(shaped(part, u)) for part in (self.own.location, self.own.scale)
        )
        root = scale[..., None] * np.eye(u.type.shape[self.axis], dtype=u.dtype)
        own = LocationRoot(location, root)
        x, log_det = own.conditional(rows, A.mT @ information @ A, times(A.mT, pull))
        return self.in_rows(x), log_det


class LocationRoot(StandardForm):
    """Vectors ``location + A u``, the last axis that of a vector.

    Parameters
    ----------
    location : TensorVariable
        Of shape ``(..., d)``.
    factor : TensorVariable
        Lower triangular, of shape ``(..., d, d)``: A, or the Cholesky factor of the precision.
    of_precision : bool
        Whether it is that of the precision.
    """

    def __init__(
        self, location: TensorVariable, factor: TensorVariable, of_precision: bool = False
    ) -> None:
        self.location, self.factor, self.of_precision = location, factor, of_precision

    def information_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, shape[-1]) if shape[-1] <= MOST_JOINT else shape

    def conditional(
        self, u: TensorVariable, information: TensorVariable, pull: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        A, d = self.factor, u.type.shape[-1]
        if information.type.ndim == u.type.ndim:  # a diagonal
            information = information[..., None] * np.eye(d, dtype=information.dtype)
        if self.of_precision:
            wanted = times(A, times(A.mT, self.location)) + pull
            x, log_det = normal_map(A @ A.mT + information, wanted, u)
            return x, -log_det.sum()
        # in units of the prior, whose covariance may be singular but for rounding
        wanted = times(A.mT, pull - times(information, self.location))
        precision = np.eye(d, dtype=u.dtype) + A.mT @ information @ A
        z, log_det = normal_map(precision, wanted, u)
        diagonal = pt.log(pt.abs(pt.diagonal(A, axis1=-2, axis2=-1)))
        return self.location + times(A, z), shaped(diagonal, u).sum() - log_det.sum()


class Innovations(StandardForm):
    r"""Series of normal innovations, the last axis that of time.

    .. math:: x_t - m_t \sim N(0, s_t) \; (t < p), \qquad
        x_t - \sum_{i=1}^p \phi_i x_{t-i} - c \sim N(0, \sigma) \; (t \ge p)

    The precision of such a series has p bands: what the data say is added to the diagonal.

    Parameters
    ----------
    first_mean, first_sd : TensorVariable
        m and s, of shape ``(..., p)``.
    lags : sequence of TensorVariable
        :math:`\phi_1, \dots, \phi_p`, of shape ``(...)``.
    constant, sigma : TensorVariable
        Of shape ``(...)``.
    """

    def __init__(
        self,
        first_mean: TensorVariable,
        first_sd: TensorVariable,
        lags: Sequence[TensorVariable],
        constant: TensorVariable,
        sigma: TensorVariable,
    ) -> None:
        # precisions of steps and of the first values differ by many orders of magnitude
        self.first_mean, self.first_sd, self.constant, self.sigma = (
            x.astype("float64") for x in (first_mean, first_sd, constant, sigma)
        )
        self.lags = [lag.astype("float64") for lag in lags]

    def conditional(
        self, u: TensorVariable, information: TensorVariable, pull: TensorVariable
    ) -> tuple[TensorVariable, TensorVariable]:
        bands, product = self.prior(u.type.shape[-1])
        bands[0] = bands[0] + information
        # vectorized, parts are joined at once only if all of them have the axes of draws, as u has
        bands = [shaped(band, u) for band in bands]
        precision = pt.stack(bands, axis=-2)
        x, log_det = normal_map(precision, product + pull, u.astype("float64"), banded=True)
        return x.astype(u.dtype), -log_det.sum().astype(u.dtype)

    def prior(self, n: int) -> tuple[list[TensorVariable], TensorVariable]:
        """Return the bands of the prior's precision, and that precision times the prior's mean."""
        p, time = len(self.lags), np.arange(n)
        precision = (1 / self.sigma**2)[..., None]
        weights = [pt.ones(()), *(-lag[..., None] for lag in self.lags)]  # of x_t, x_(t-1), ...

        def steps(j: int) -> np.ndarray:
            """Tell for which values the one j later is made by a step."""
            return ((time + j >= p) & (time + j < n)).astype("float64")

        bands = [
            sum(precision * weights[j] * weights[j + k] * steps(j + k) for j in range(p + 1 - k))
            for k in range(p + 1)
        ]
        product = sum(
            precision * self.constant[..., None] * weights[j] * steps(j) for j in range(p + 1)
        )
        first = 1 / self.first_sd**2
        bands[0] = bands[0] + at_begin(first, n)
        return bands, product + at_begin(first * self.first_mean, n)


def shaped(x: TensorVariable, like: TensorVariable) -> TensorVariable:
    """Return x with the shape of another tensor: vectorized sooner than by ``broadcast_to``."""
    return x + pt.zeros_like(like)


def at_begin(x: TensorVariable, n: int) -> TensorVariable:
    """Return x followed by zeros along its last axis, of length n."""
    first = np.arange(n) < x.type.shape[-1]
    where = np.minimum(np.arange(n), x.type.shape[-1] - 1)
    return pt.switch(first, x[..., where], 0.0)


def times(matrix: TensorVariable, vector: TensorVariable) -> TensorVariable:
    """Return ``matrix @ vector``, both of any number of leading axes that broadcast."""
    return (matrix * vector[..., None, :]).sum(axis=-1)
