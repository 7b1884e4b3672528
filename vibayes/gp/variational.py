"""Stochastic variational Gaussian processes: many rows, by minibatches.

Hensman, Fusi and Lawrence (2013), Gaussian Processes for Big Data, UAI.
"""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.distributions.continuous import Normal
from vibayes.exceptions import ModelError
from vibayes.gp.base import JITTER, Process, factor, solved
from vibayes.gp.cov import as_inputs, as_number
from vibayes.model.density import expand_total_size, total_scale

__all__ = ["SVGP"]


class SVGP(Process):
    """A Gaussian process by way of inducing values, which are variables of the model.

    Given these, rows are independent: so the likelihood can be of minibatches. With a full-rank
    group for the inducing values, a fit maximizes the bound of Hensman et al. (2013).

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
    >>> x = np.linspace(0, 6, 500)
    >>> data = np.column_stack([x, np.sin(x)])
    >>> with vb.Model() as model:
    ...     gp = vb.gp.SVGP(cov_func=vb.gp.cov.ExpQuad(1, ls=1.0))
    ...     u = gp.prior("u", Xu=np.linspace(0, 6, 10)[:, None])
    ...     batch = vb.Minibatch(data, batch_size=50)
    ...     y = gp.likelihood("y", batch[:, :1], batch[:, 1], sigma=0.1, total_size=500)
    >>> [rv.name for rv in model.free_RVs]
    ['u']
    """

    @check_arguments
    def prior(self, name: str, Xu: Any, jitter: float = JITTER) -> TensorVariable:
        """Add the inducing values to the open model: as standard normal variables.

        Parameters
        ----------
        name
            Name of the variable.
        Xu
            The inducing inputs, one a row.
        jitter
            What to add to the variances.
        """
        Xu = as_inputs(Xu, "SVGP.prior")
        if Xu.type.shape[0] is None:
            raise ModelError("SVGP.prior: the number of inducing inputs must be known")
        u = Normal(name, 0.0, 1.0, size=Xu.type.shape[0])
        self.known = {"Xu": Xu, "u": u, "root": factor(self.cov_func(Xu), jitter)}
        return u

    def at(self, X: Any) -> tuple[TensorVariable, TensorVariable]:
        """Return mean and variance of the values at inputs, given the inducing values."""
        Xu, u, root = self.given_or_known(None, "Xu", "u", "root")
        X = as_inputs(X, "SVGP")
        A = solved(root, self.cov_func(Xu, X))
        variance = self.cov_func(X, diag=True) - (A**2).sum(axis=0)
        return self.mean_func(X) + pt.dot(A.T, u), pt.maximum(variance, 0.0)

    @check_arguments
    def likelihood(
        self, name: str, X: Any, y: Any, sigma: Any, total_size: Any = None
    ) -> TensorVariable:
        r"""Add data with normal noise to the open model.

        The expected log density of the data given the inducing values is a normal one, less what
        the variance of the values costs: :math:`\sum_i \mathrm{Var}(f_i) / (2 \sigma^2)`, which is
        the potential ``NAME_variance``.

        Parameters
        ----------
        name
            Name of the observed variable.
        X, y
            Inputs and data: numbers, or minibatches of the same rows.
        sigma
            Standard deviation of the noise.
        total_size
            Number of rows of which the minibatch is a part.
        """
        sigma = as_number(sigma, "SVGP.likelihood: sigma")
        mean, variance = self.at(X)
        observed: TensorVariable = Normal(name, mean, sigma, observed=y, total_size=total_size)
        cost = -0.5 * variance / sigma**2
        if total_size is not None:
            whole = expand_total_size(total_size, 1, f"SVGP.likelihood({name!r})")
            cost = cost * total_scale(whole, variance)
        model = modelcontext(None)
        model.register_expression(f"{name}_variance", cost.sum(), "potentials")
        return observed
