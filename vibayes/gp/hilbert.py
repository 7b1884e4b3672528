"""Gaussian processes as linear models of basis functions.

Solin and Särkkä (2020), Hilbert space methods for reduced-rank Gaussian process regression,
Statistics and Computing 30; Riutort-Mayol et al. (2023), Practical Hilbert space approximate
Bayesian Gaussian processes, Statistics and Computing 33.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_real, check_whole
from vibayes.backend.modes import evaluate
from vibayes.context import modelcontext
from vibayes.distributions.base import to_float
from vibayes.distributions.continuous import Normal
from vibayes.exceptions import ModelError
from vibayes.gp.base import Process
from vibayes.gp.cov import Covariance, Periodic, as_inputs, as_number
from vibayes.gp.mean import Mean

__all__ = ["HSGP", "HSGPPeriodic"]


class LinearProcess(Process):
    """Base of the processes that are sums of basis functions."""

    def coefficients(self, name: str, scales: TensorVariable, dims: Any) -> TensorVariable:
        """Add the coefficients of the basis functions to the open model."""
        raise NotImplementedError

    def prior_linearized(self, X: Any) -> tuple[TensorVariable, TensorVariable]:
        """Return the basis functions at inputs, (n, k), and the scale of each coefficient, (k,)."""
        raise NotImplementedError

    def values(self, X: Any) -> TensorVariable:
        """Return the values at inputs, of the coefficients that the prior has."""
        phi, scales = self.prior_linearized(X)
        (coefficients,) = self.given_or_known(None, "coefficients")
        return self.mean_func(X) + pt.dot(phi, self.effects(coefficients, scales))

    def effects(self, coefficients: TensorVariable, scales: TensorVariable) -> TensorVariable:
        """Return the coefficients in the scale of the values."""
        return coefficients * scales

    @check_arguments
    def prior(
        self, name: str, X: Any, dims: str | None = None, hsgp_coeffs_dims: str | None = None
    ) -> TensorVariable:
        """Add the values at inputs to the open model.

        Parameters
        ----------
        name
            Name of the values; that of the coefficients is ``NAME_hsgp_coeffs_``.
        X
            The inputs, one a row.
        dims
            Dimension of the values.
        hsgp_coeffs_dims
            Dimension of the coefficients.
        """
        X = as_inputs(X, f"{type(self).__name__}.prior")
        _, scales = self.prior_linearized(X)
        self.known["coefficients"] = self.coefficients(
            f"{name}_hsgp_coeffs_", scales, hsgp_coeffs_dims
        )
        return self._registered(name, X, dims)

    @check_arguments
    def conditional(self, name: str, Xnew: Any, dims: str | None = None) -> TensorVariable:
        """Add the values at new inputs to the open model: they follow from the coefficients.

        Parameters
        ----------
        name
            Name of the values.
        Xnew
            The new inputs.
        dims
            Dimension of the values.
        """
        return self._registered(name, Xnew, dims)

    def _registered(self, name: str, X: Any, dims: str | None) -> TensorVariable:
        model = modelcontext(None)
        label = f"{type(self).__name__}({name!r})"
        found: TensorVariable = model.register_expression(
            name, self.values(X), "deterministics", dims, label
        )
        return found


class HSGP(LinearProcess):
    """A Gaussian process as a sum of sines in a box around the inputs.

    Parameters
    ----------
    m : sequence of int
        Number of basis functions along each column of the inputs.
    L : sequence of float, optional
        Half the length of the box along each column, about the middle of the inputs.
    c : float, optional
        How many times as long as the inputs the box is, instead: 1.5 and more.
    drop_first : bool, default False
        Whether to leave out the first basis function, which an intercept may take the place of.
    parametrization : {"noncentered", "centered"}
        Whether the coefficients are standard normal variables, or have their own scales.
    mean_func : Mean, optional
        The mean; zero by default.
    cov_func : Covariance
        The covariance, of which the spectral density is known.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> x = np.linspace(0, 10, 50)[:, None]
    >>> with vb.Model() as model:
    ...     length = vb.InverseGamma("length", 5, 5)
    ...     gp = vb.gp.HSGP(m=[20], c=1.5, cov_func=vb.gp.cov.ExpQuad(1, ls=length))
    ...     f = gp.prior("f", X=x)
    ...     y = vb.Normal("y", f, 0.1, observed=np.sin(x[:, 0]))
    >>> [rv.name for rv in model.free_RVs]
    ['length', 'f_hsgp_coeffs_']
    """

    @check_arguments
    def __init__(
        self,
        m: Sequence[int],
        L: Sequence[Any] | None = None,
        c: float | None = None,
        drop_first: bool = False,
        parametrization: str = "noncentered",
        *,
        mean_func: Mean | None = None,
        cov_func: Covariance,
    ) -> None:
        super().__init__(mean_func=mean_func, cov_func=cov_func)
        if len(m) != cov_func.n_dims:
            raise ValueError(f"m must have {cov_func.n_dims} numbers, one a column, got {len(m)}")
        if (L is None) == (c is None):
            raise ValueError("HSGP: give either L, half the length of the box, or c, its factor")
        if L is not None and len(L) != len(m):
            raise ValueError(f"L must have {len(m)} numbers, one a column, got {len(L)}")
        if parametrization not in ("noncentered", "centered"):
            raise ValueError(
                f"parametrization must be 'noncentered' or 'centered', got {parametrization!r}"
            )
        self.m = [check_whole(n, "m", least=1) for n in m]
        self.L = None if L is None else [as_number(part, "HSGP: L") for part in L]
        self.c = None if c is None else check_real(c, "HSGP: c", above=1)
        self.drop_first, self.parametrization = bool(drop_first), parametrization
        self.numbers = np.array(list(product(*(range(1, n + 1) for n in self.m))), dtype=float)

    @property
    def n_basis_vectors(self) -> int:
        """Number of basis functions."""
        return len(self.numbers) - self.drop_first

    def prior_linearized(self, X: Any) -> tuple[TensorVariable, TensorVariable]:
        X = self.cov_func.columns(X)
        if "center" not in self.known:
            (values,) = evaluate([X])
            low, high = values.min(axis=0), values.max(axis=0)
            self.known["center"] = 0.5 * (low + high)
            half = 0.5 * (high - low)
            self.known["L"] = self.L if self.L is not None else list(self.c * half)
        L = pt.stack([pt.as_tensor_variable(part) for part in self.known["L"]])
        omega = np.pi * self.numbers / (2 * L)
        shifted = (X - self.known["center"])[:, None, :] + L
        phi = pt.prod(pt.sin(omega * shifted) / pt.sqrt(L), axis=-1)
        scales = pt.sqrt(self.cov_func.power_spectral_density(omega))
        first = int(self.drop_first)
        return to_float(phi[:, first:]), to_float(scales[first:])

    def coefficients(self, name: str, scales: TensorVariable, dims: Any) -> TensorVariable:
        shape = {"dims": dims} if dims is not None else {"size": self.n_basis_vectors}
        centred = self.parametrization == "centered"
        variable: TensorVariable = Normal(name, 0.0, scales if centred else 1.0, **shape)
        return variable

    def effects(self, coefficients: TensorVariable, scales: TensorVariable) -> TensorVariable:
        return coefficients if self.parametrization == "centered" else coefficients * scales


class HSGPPeriodic(LinearProcess):
    """A periodic Gaussian process as a sum of its harmonics.

    Parameters
    ----------
    m : int
        Number of harmonics, the constant included.
    scale : float or TensorVariable, default 1
        Standard deviation of the process.
    mean_func : Mean, optional
        The mean; zero by default.
    cov_func : vibayes.gp.cov.Periodic
        The covariance.
    """

    @check_arguments
    def __init__(
        self, m: int, scale: Any = 1.0, *, mean_func: Mean | None = None, cov_func: Covariance
    ) -> None:
        if not isinstance(cov_func, Periodic) or cov_func.n_dims != 1:
            raise ModelError("HSGPPeriodic: cov_func must be Periodic, of one column")
        super().__init__(mean_func=mean_func, cov_func=cov_func)
        self.m = check_whole(m, "m", least=1)
        self.scale = as_number(1.0 if scale is None else scale, "HSGPPeriodic: scale")
        self.periodic = cov_func

    def prior_linearized(self, X: Any) -> tuple[TensorVariable, TensorVariable]:
        x = self.periodic.columns(X)[:, 0]
        J = np.arange(self.m, dtype=float)
        angles = (2 * np.pi / self.periodic.period) * x[:, None] * J
        scales = self.scale * pt.sqrt(self.periodic.power_spectral_density_approx(J))
        phi = pt.concatenate([pt.cos(angles), pt.sin(angles)[:, 1:]], axis=1)
        return to_float(phi), to_float(pt.concatenate([scales, scales[1:]]))

    def coefficients(self, name: str, scales: TensorVariable, dims: Any) -> TensorVariable:
        shape = {"dims": dims} if dims is not None else {"size": 2 * self.m - 1}
        variable: TensorVariable = Normal(name, 0.0, 1.0, **shape)
        return variable
