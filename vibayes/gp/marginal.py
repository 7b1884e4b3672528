"""A Gaussian process with normal noise, whose values are integrated out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.distributions.multivariate import MvNormal
from vibayes.gp.base import JITTER, Process, factor
from vibayes.gp.cov import Covariance, WhiteNoise, as_inputs, as_number

__all__ = ["Marginal"]


class Marginal(Process):
    """A Gaussian process with normal noise, whose values are integrated out.

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
    >>> x = np.linspace(0, 1, 10)[:, None]
    >>> with vb.Model():
    ...     length = vb.InverseGamma("length", 5, 1)
    ...     gp = vb.gp.Marginal(cov_func=vb.gp.cov.Matern52(1, ls=length))
    ...     y = gp.marginal_likelihood("y", X=x, y=np.sin(6 * x[:, 0]), sigma=0.1)
    ...     mean, variance = gp.predict([[0.5]], point={"length": 0.3}, diag=True)
    >>> bool(abs(mean[0] - np.sin(3)) < 0.1)
    True
    """

    @check_arguments
    def marginal_likelihood(
        self,
        name: str,
        X: Any,
        y: Any,
        sigma: Any,
        jitter: float = JITTER,
        is_observed: bool = True,
        **kwargs: Any,
    ) -> TensorVariable:
        """Add noisy values at inputs to the open model.

        Parameters
        ----------
        name
            Name of the variable.
        X
            The inputs, one a row.
        y
            The data.
        sigma
            Standard deviation of the noise, or a covariance function.
        jitter
            What to add to the variances.
        is_observed
            Whether the variable has the data; else it is a free one.
        **kwargs
            Further arguments of the variable, such as ``dims``.
        """
        X = as_inputs(X, "Marginal.marginal_likelihood")
        noise = sigma if isinstance(sigma, Covariance) else WhiteNoise(sigma)
        y = y if not is_observed else as_number(y, "Marginal.marginal_likelihood: y")
        root = factor(self.cov_func(X) + noise(X), jitter)
        if is_observed:
            kwargs["observed"] = y
        variable = MvNormal(name, mu=self.mean_func(X), chol=root, **kwargs)
        self.known = {"X": X, "y": y if is_observed else variable, "noise": noise}
        return variable

    @check_arguments
    def conditional(
        self,
        name: str,
        Xnew: Any,
        pred_noise: bool = False,
        given: Mapping[str, Any] | None = None,
        jitter: float = JITTER,
        **kwargs: Any,
    ) -> TensorVariable:
        """Add the values at new inputs to the open model, given the data.

        Parameters
        ----------
        name
            Name of the values.
        Xnew
            The new inputs.
        pred_noise
            Whether they have noise, too.
        given
            ``X``, ``y`` and ``noise`` that take the place of those of :meth:`marginal_likelihood`.
        jitter
            What to add to the variances.
        **kwargs
            Further arguments of the variable, such as ``dims``.
        """
        return self.new_variable(name, Xnew, given, pred_noise, jitter, **kwargs)

    @check_arguments
    def predict(
        self,
        Xnew: Any,
        point: Mapping[str, Any] | None = None,
        diag: bool = False,
        pred_noise: bool = False,
        given: Mapping[str, Any] | None = None,
        model: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and covariance at new inputs, as numbers.

        Parameters
        ----------
        Xnew
            The new inputs.
        point
            Values of the free variables by name; where fits start by default.
        diag
            Whether to return variances alone.
        pred_noise
            Whether they have noise, too.
        given
            ``X``, ``y`` and ``noise`` that take the place of those of the data.
        model
            The model; by default the open one.
        """
        return self.predicted(Xnew, point, given, diag, pred_noise, model)

    def moments_at(
        self, Xnew: Any, given: Mapping[str, Any] | None, pred_noise: bool, diag: bool
    ) -> tuple[TensorVariable, TensorVariable]:
        X, y, noise = self.given_or_known(given, "X", "y", "noise")
        Xnew = as_inputs(Xnew, "Marginal")
        noise = noise if isinstance(noise, Covariance) else WhiteNoise(noise)
        root = factor(self.cov_func(X) + noise(X))
        mu, cov = self.conditioned(root, X, y, Xnew, diag)
        return mu, cov + noise(Xnew, diag=diag) if pred_noise else cov
