"""Covariance functions of Gaussian processes.

Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.distributions.base import to_float
from vibayes.exceptions import ShapeError
from vibayes.numeric import as_tensor

__all__ = [
    "Constant",
    "Cosine",
    "Covariance",
    "ExpQuad",
    "Exponential",
    "Linear",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Polynomial",
    "RatQuad",
    "Stationary",
    "WhiteNoise",
    "as_inputs",
]

SMALLEST = 1e-12  # squared distance: the root of a smaller one has no gradient


def as_inputs(X: Any, label: str) -> TensorVariable:
    """Return inputs as a matrix, one row an input; a vector is a column."""
    X = to_float(as_tensor(X, f"{label}: X"))
    if X.type.ndim == 1:
        X = X[:, None]
    if X.type.ndim != 2:
        raise ShapeError(f"{label}: X must have a row for each input, got {X.type.ndim} axes")
    return X


def as_number(value: Any, label: str) -> TensorVariable:
    """Return a parameter as a tensor of dtype ``floatX``."""
    return to_float(as_tensor(value, label))


class Covariance:
    """Base of all covariance functions.

    They can be added and multiplied, with each other and with numbers; a matrix of covariances is
    had by a call: ``cov(X)`` of inputs with themselves, ``cov(X, Xs)`` with others,
    ``cov(X, diag=True)`` of each with itself.

    Parameters
    ----------
    input_dim : int
        Number of columns of the inputs.
    active_dims : sequence of int, optional
        The columns that count; by default all.
    """

    input_dim: int
    active_dims: np.ndarray

    def __init__(self, input_dim: int, active_dims: Sequence[int] | None = None) -> None:
        self.input_dim = check_whole(input_dim, "input_dim", least=1)
        chosen = range(self.input_dim) if active_dims is None else active_dims
        self.active_dims = np.array(
            [check_whole(i, "active_dims", least=0, most=self.input_dim - 1) for i in chosen]
        )

    @property
    def n_dims(self) -> int:
        """Number of columns that count."""
        return len(self.active_dims)

    def columns(self, X: Any) -> TensorVariable:
        """Return the columns of inputs that count."""
        X = as_inputs(X, type(self).__name__)
        width = X.type.shape[1]
        if width is not None and width != self.input_dim:
            raise ShapeError(
                f"{type(self).__name__}: X has {width} columns, input_dim is {self.input_dim}"
            )
        return X if self.n_dims == self.input_dim else X[:, self.active_dims]

    def __call__(self, X: Any, Xs: Any = None, diag: bool = False) -> TensorVariable:
        """Return covariances of inputs with others, or with themselves."""
        return self.diag(X) if diag else self.full(X, Xs)

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        """Return the matrix of covariances."""
        raise NotImplementedError

    def diag(self, X: Any) -> TensorVariable:
        """Return the variance at each input."""
        raise NotImplementedError

    def power_spectral_density(self, omega: TensorVariable) -> TensorVariable:
        """Return the spectral density at frequencies, (n, d)."""
        raise NotImplementedError(f"the spectral density of {type(self).__name__} is not known")

    def __add__(self, other: Any) -> Covariance:
        return Sum([self, as_covariance(other, self.input_dim)])

    def __mul__(self, other: Any) -> Covariance:
        return Product([self, as_covariance(other, self.input_dim)])

    def __pow__(self, exponent: Any) -> Covariance:
        return Power(self, exponent)

    __radd__ = __add__
    __rmul__ = __mul__
    __array_ufunc__ = None  # so that arrays leave products to these


def as_covariance(value: Any, input_dim: int) -> Covariance:
    """Return a covariance function, or the constant one of a number."""
    return value if isinstance(value, Covariance) else Constant(value, input_dim)


class Constant(Covariance):
    """The same covariance of all inputs.

    Parameters
    ----------
    c
        The covariance.
    input_dim
        Number of columns of the inputs.
    """

    def __init__(self, c: Any, input_dim: int = 1) -> None:
        super().__init__(input_dim)
        self.c = as_number(c, "Constant: c")
        if self.c.type.ndim:
            raise ShapeError(
                f"a factor of a covariance function must be one number, got {shown(c)}"
            )

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        X = as_inputs(X, "Constant")
        Xs = X if Xs is None else as_inputs(Xs, "Constant")
        return pt.full((X.shape[0], Xs.shape[0]), self.c)

    def diag(self, X: Any) -> TensorVariable:
        return pt.full((as_inputs(X, "Constant").shape[0],), self.c)


class Sum(Covariance):
    """The sum of covariance functions."""

    def __init__(self, parts: Sequence[Covariance]) -> None:
        super().__init__(max(part.input_dim for part in parts))
        self.parts = list(parts)

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        first, *others = (part.full(X, Xs) for part in self.parts)
        return sum(others, first)

    def diag(self, X: Any) -> TensorVariable:
        first, *others = (part.diag(X) for part in self.parts)
        return sum(others, first)

    def power_spectral_density(self, omega: TensorVariable) -> TensorVariable:
        first, *others = (part.power_spectral_density(omega) for part in self.parts)
        return sum(others, first)


class Product(Covariance):
    """The product of covariance functions."""

    def __init__(self, parts: Sequence[Covariance]) -> None:
        super().__init__(max(part.input_dim for part in parts))
        self.parts = list(parts)

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        return pt.prod(pt.stack([part.full(X, Xs) for part in self.parts]), axis=0)

    def diag(self, X: Any) -> TensorVariable:
        return pt.prod(pt.stack([part.diag(X) for part in self.parts]), axis=0)

    def power_spectral_density(self, omega: TensorVariable) -> TensorVariable:
        others = [part for part in self.parts if not isinstance(part, Constant)]
        if len(others) != 1:
            raise NotImplementedError("the spectral density of a product is not known")
        density = others[0].power_spectral_density(omega)
        for part in self.parts:
            if isinstance(part, Constant):
                density = part.c * density
        return density


class Power(Covariance):
    """A power of a covariance function."""

    def __init__(self, base: Covariance, exponent: Any) -> None:
        super().__init__(base.input_dim)
        self.base, self.exponent = base, as_number(exponent, "the exponent of a covariance")

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        return self.base.full(X, Xs) ** self.exponent

    def diag(self, X: Any) -> TensorVariable:
        return self.base.diag(X) ** self.exponent


class WhiteNoise(Covariance):
    """Independent noise at each input.

    Parameters
    ----------
    sigma
        Its standard deviation.
    input_dim
        Number of columns of the inputs.
    """

    def __init__(self, sigma: Any, input_dim: int = 1) -> None:
        super().__init__(input_dim)
        self.sigma = as_number(sigma, "WhiteNoise: sigma")

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        if Xs is None:
            return pt.diag(self.diag(X))
        shape = as_inputs(X, "WhiteNoise").shape[0], as_inputs(Xs, "WhiteNoise").shape[0]
        return pt.zeros(shape, dtype=pytensor.config.floatX)

    def diag(self, X: Any) -> TensorVariable:
        return pt.full((as_inputs(X, "WhiteNoise").shape[0],), self.sigma**2)


class Stationary(Covariance):
    """Base of the covariance functions of a distance in units of a length.

    Parameters
    ----------
    input_dim
        Number of columns of the inputs.
    ls
        Length scale, or one for each active column.
    ls_inv
        Its inverse, instead.
    active_dims
        The columns that count; by default all.
    """

    @check_arguments
    def __init__(
        self,
        input_dim: int,
        ls: Any = None,
        ls_inv: Any = None,
        active_dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_dim, active_dims)
        label = type(self).__name__
        if (ls is None) == (ls_inv is None):
            raise ValueError(f"{label}: give either ls or ls_inv")
        self.ls = (
            as_number(ls, f"{label}: ls")
            if ls_inv is None
            else 1 / as_number(ls_inv, f"{label}: ls_inv")
        )

    def squared_distance(self, X: Any, Xs: Any = None) -> TensorVariable:
        """Return squared distances in units of the length scale."""
        X = self.columns(X) / self.ls
        Xs = X if Xs is None else self.columns(Xs) / self.ls
        squares = (X**2).sum(1)[:, None] + (Xs**2).sum(1)[None, :] - 2 * pt.dot(X, Xs.T)
        return pt.clip(squares, 0.0, np.inf)

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        return self.of_squared_distance(self.squared_distance(X, Xs))

    def diag(self, X: Any) -> TensorVariable:
        return pt.ones((as_inputs(X, type(self).__name__).shape[0],), dtype=self.ls.dtype)

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        """Return the covariance at a squared distance."""
        raise NotImplementedError

    def volume(self) -> TensorVariable:
        """Return the product of the length scales of all columns that count."""
        return pt.prod(self.ls * pt.ones(self.n_dims, dtype=self.ls.dtype))

    def scaled(self, omega: TensorVariable) -> TensorVariable:
        """Return squared frequencies in units of the inverse length scale."""
        return ((omega * self.ls) ** 2).sum(axis=-1)


def root(r2: TensorVariable) -> TensorVariable:
    """Return a distance of a squared one, with a gradient at zero."""
    return pt.sqrt(r2 + SMALLEST)


class ExpQuad(Stationary):
    r"""The exponentiated quadratic, very smooth.

    .. math:: k(r) = e^{-r^2 / 2}
    """

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        return pt.exp(-0.5 * r2)

    def power_spectral_density(self, omega: TensorVariable) -> TensorVariable:
        return (2 * np.pi) ** (self.n_dims / 2) * self.volume() * pt.exp(-0.5 * self.scaled(omega))


class Exponential(Stationary):
    r"""The exponential, of half the rate of :class:`Matern12`.

    .. math:: k(r) = e^{-r / 2}
    """

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        return pt.exp(-0.5 * root(r2))


class Matern(Stationary):
    """Base of the Matérn functions."""

    nu: float

    def power_spectral_density(self, omega: TensorVariable) -> TensorVariable:
        from scipy.special import gamma

        d, nu = self.n_dims, self.nu
        constant = 2**d * np.pi ** (d / 2) * gamma(nu + d / 2) * (2 * nu) ** nu / gamma(nu)
        return constant * self.volume() * (2 * nu + self.scaled(omega)) ** -(nu + d / 2)


class Matern12(Matern):
    r"""The Matérn function of smoothness 1/2: continuous, nowhere smooth.

    .. math:: k(r) = e^{-r}
    """

    nu = 0.5

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        return pt.exp(-root(r2))


class Matern32(Matern):
    r"""The Matérn function of smoothness 3/2: with one derivative.

    .. math:: k(r) = (1 + \sqrt 3 r) e^{-\sqrt 3 r}
    """

    nu = 1.5

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        r = np.sqrt(3.0) * root(r2)
        return (1 + r) * pt.exp(-r)


class Matern52(Matern):
    r"""The Matérn function of smoothness 5/2: with two derivatives.

    .. math:: k(r) = (1 + \sqrt 5 r + 5 r^2 / 3) e^{-\sqrt 5 r}
    """

    nu = 2.5

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        r = np.sqrt(5.0) * root(r2)
        return (1 + r + r**2 / 3) * pt.exp(-r)


class RatQuad(Stationary):
    r"""The rational quadratic: a mixture of :class:`ExpQuad` of many lengths.

    .. math:: k(r) = (1 + r^2 / (2 \alpha))^{-\alpha}

    Parameters
    ----------
    input_dim
        Number of columns of the inputs.
    alpha
        How similar the lengths are.
    ls
        Length scale, or one for each active column.
    ls_inv
        Its inverse, instead.
    active_dims
        The columns that count; by default all.
    """

    def __init__(
        self,
        input_dim: int,
        alpha: Any,
        ls: Any = None,
        ls_inv: Any = None,
        active_dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_dim, ls, ls_inv, active_dims)
        self.alpha = as_number(alpha, "RatQuad: alpha")

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        return (1 + 0.5 * r2 / self.alpha) ** -self.alpha


class Cosine(Stationary):
    r"""The cosine.

    .. math:: k(r) = \cos(2 \pi r)
    """

    def of_squared_distance(self, r2: TensorVariable) -> TensorVariable:
        return pt.cos(2 * np.pi * root(r2))


class Periodic(Stationary):
    r"""A function that repeats itself.

    .. math:: k(x, x') = \exp\left(-\frac{1}{2} \sum_i
        \frac{\sin^2(\pi (x_i - x'_i) / T)}{\ell_i^2}\right)

    Parameters
    ----------
    input_dim
        Number of columns of the inputs.
    period
        The period T.
    ls
        Length scale, or one for each active column.
    ls_inv
        Its inverse, instead.
    active_dims
        The columns that count; by default all.
    """

    def __init__(
        self,
        input_dim: int,
        period: Any,
        ls: Any = None,
        ls_inv: Any = None,
        active_dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_dim, ls, ls_inv, active_dims)
        self.period = as_number(period, "Periodic: period")

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        X = self.columns(X)
        Xs = X if Xs is None else self.columns(Xs)
        waves = pt.sin(np.pi * (X[:, None, :] - Xs[None, :, :]) / self.period)
        return pt.exp(-0.5 * ((waves / self.ls) ** 2).sum(axis=-1))

    def power_spectral_density_approx(self, J: TensorVariable) -> TensorVariable:
        """Return the variance of each harmonic (Solin and Särkkä 2014, eq. 26)."""
        a = 1 / (4 * self.ls**2)  # of cos(2 pi x / T), of which the squared sine is half
        variances = 2 * pt.ive(J, a)
        return pt.switch(pt.eq(J, 0), 0.5 * variances, variances)


class Linear(Covariance):
    r"""That of straight lines.

    .. math:: k(x, x') = (x - c) (x' - c)

    Parameters
    ----------
    input_dim
        Number of columns of the inputs.
    c
        Where all lines meet.
    active_dims
        The columns that count; by default all.
    """

    def __init__(self, input_dim: int, c: Any, active_dims: Sequence[int] | None = None) -> None:
        super().__init__(input_dim, active_dims)
        self.c = as_number(c, f"{type(self).__name__}: c")

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        X = self.columns(X) - self.c
        return pt.dot(X, (X if Xs is None else self.columns(Xs) - self.c).T)

    def diag(self, X: Any) -> TensorVariable:
        return ((self.columns(X) - self.c) ** 2).sum(axis=1)


class Polynomial(Linear):
    r"""That of polynomials.

    .. math:: k(x, x') = ((x - c) (x' - c) + b)^d

    Parameters
    ----------
    input_dim
        Number of columns of the inputs.
    c
        The origin.
    d
        The degree.
    offset
        The constant b.
    active_dims
        The columns that count; by default all.
    """

    def __init__(
        self,
        input_dim: int,
        c: Any,
        d: Any,
        offset: Any,
        active_dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_dim, c, active_dims)
        self.d, self.offset = as_number(d, "Polynomial: d"), as_number(offset, "Polynomial: offset")

    def full(self, X: Any, Xs: Any = None) -> TensorVariable:
        return (super().full(X, Xs) + self.offset) ** self.d

    def diag(self, X: Any) -> TensorVariable:
        return (super().diag(X) + self.offset) ** self.d
