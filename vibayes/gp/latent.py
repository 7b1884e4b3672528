"""A Gaussian process whose values are variables of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.distributions.continuous import Normal
from vibayes.distributions.multivariate import MvNormal
from vibayes.gp.base import JITTER, Process, factor
from vibayes.gp.cov import as_inputs

__all__ = ["Latent"]


class Latent(Process):
    """A Gaussian process whose values are variables of the model, for any likelihood.

    Parameters
    ----------
    mean_func : Mean, optional
        The mean; zero by default.
    cov_func : Covariance
        The covariance.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> x = np.linspace(0, 1, 8)[:, None]
    >>> with vb.Model() as model:
    ...     length = vb.InverseGamma("length", 5, 1)
    ...     gp = vb.gp.Latent(cov_func=vb.gp.cov.ExpQuad(1, ls=length))
    ...     f = gp.prior("f", X=x)
    ...     y = vb.Poisson("y", vb.math.exp(f), observed=[1, 2, 1, 3, 4, 6, 4, 7])
    >>> [rv.name for rv in model.free_RVs]
    ['length', 'f_rotated_']
    """

    @check_arguments
    def prior(
        self,
        name: str,
        X: Any,
        reparameterize: bool = True,
        jitter: float = JITTER,
        dims: str | None = None,
    ) -> TensorVariable:
        """Add the values at inputs to the open model.

        Parameters
        ----------
        name
            Name of the values.
        X
            The inputs, one a row.
        reparameterize
            Whether the free variables are standard normals, ``NAME_rotated_``, rather than the
            values themselves.
        jitter
            What to add to the variances.
        dims
            Dimension of the values.
        """
        X = as_inputs(X, "Latent.prior")
        mu, root = self.mean_func(X), factor(self.cov_func(X), jitter)
        if reparameterize:
            (length,) = X.type.shape[:1]
            size = modelcontext(None).dim_lengths[dims] if length is None and dims else length
            noise = Normal(f"{name}_rotated_", 0.0, 1.0, size=X.shape[0] if size is None else size)
            f = modelcontext(None).register_expression(
                name, mu + pt.dot(root, noise), "deterministics", dims, f"Latent.prior({name!r})"
            )
        else:
            f = MvNormal(name, mu=mu, chol=root, dims=dims)
        self.known = {"X": X, "f": f}
        return f

    @check_arguments
    def conditional(
        self,
        name: str,
        Xnew: Any,
        given: Mapping[str, Any] | None = None,
        jitter: float = JITTER,
        **kwargs: Any,
    ) -> TensorVariable:
        """Add the values at new inputs to the open model, given those at the old ones.

        Parameters
        ----------
        name
            Name of the values.
        Xnew
            The new inputs.
        given
            ``X`` and ``f`` that take the place of those of :meth:`prior`.
        jitter
            What to add to the variances.
        **kwargs
            Further arguments of the variable, such as ``dims``.
        """
        return self.new_variable(name, Xnew, given, False, jitter, **kwargs)

    @check_arguments
    def predict(
        self,
        Xnew: Any,
        point: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        diag: bool = False,
        model: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and covariance at new inputs, as numbers.

        Parameters
        ----------
        Xnew
            The new inputs.
        point
            Values of the free variables by name; where fits start by default.
        given
            ``X`` and ``f`` that take the place of those of :meth:`prior`.
        diag
            Whether to return variances alone.
        model
            The model; by default the open one.
        """
        return self.predicted(Xnew, point, given, diag, False, model)

    def moments_at(
        self, Xnew: Any, given: Mapping[str, Any] | None, pred_noise: bool, diag: bool
    ) -> tuple[TensorVariable, TensorVariable]:
        X, f = self.given_or_known(given, "X", "f")
        Xnew = as_inputs(Xnew, "Latent")
        return self.conditioned(factor(self.cov_func(X)), X, f, Xnew, diag)
