"""Gaussian processes with normal noise on many inputs, by way of few inducing ones.

Quiñonero-Candela and Rasmussen (2005), A unifying view of sparse approximate Gaussian process
regression, JMLR 6; Titsias (2009), Variational learning of inducing variables, AISTATS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, shown
from vibayes.context import modelcontext
from vibayes.gp.base import JITTER, factor, solved
from vibayes.gp.cov import Covariance, as_inputs, as_number
from vibayes.gp.marginal import Marginal
from vibayes.gp.mean import Mean

__all__ = ["MarginalApprox", "MarginalSparse"]

KINDS = ("VFE", "FITC", "DTC")


class MarginalApprox(Marginal):
    """A Gaussian process with normal noise, by way of inducing inputs.

    Parameters
    ----------
    approx : {"VFE", "FITC", "DTC"}
        Which approximation: the variational free energy of Titsias, a lower bound of the evidence;
        the fully independent training conditional; the deterministic one.
    mean_func : Mean, optional
        The mean; zero by default.
    cov_func : Covariance
        The covariance.
    """

    @check_arguments
    def __init__(
        self,
        approx: str = "VFE",
        *,
        mean_func: Mean | None = None,
        cov_func: Covariance | None = None,
    ) -> None:
        if approx not in KINDS:
            raise ValueError(f"approx must be one of {', '.join(KINDS)}, got {shown(approx)}")
        super().__init__(mean_func=mean_func, cov_func=cov_func)
        self.approx = approx

    def __add__(self, other: Any) -> Any:
        made = super().__add__(other)
        made.approx = self.approx
        return made

    @check_arguments
    def marginal_likelihood(  # type: ignore[override]
        self,
        name: str,
        X: Any,
        Xu: Any,
        y: Any,
        sigma: Any,
        jitter: float = JITTER,
    ) -> TensorVariable:
        """Add the density of noisy values at inputs to the open model.

        Parameters
        ----------
        name
            Name of the term, a potential.
        X
            The inputs, one a row.
        Xu
            The inducing inputs: numbers, or a free variable.
        y
            The data.
        sigma
            Standard deviation of the noise.
        jitter
            What to add to the variances.
        """
        label = f"{type(self).__name__}.marginal_likelihood"
        X, Xu = as_inputs(X, label), as_inputs(Xu, label)
        y, sigma = as_number(y, f"{label}: y"), as_number(sigma, f"{label}: sigma")
        self.known = {"X": X, "Xu": Xu, "y": y, "sigma": sigma}
        _, _, noise, lost, root_b, c = self._parts(X, Xu, y, sigma, jitter)
        residual = y - self.mean_func(X)
        quadratic = (residual**2 / noise).sum() - (c**2).sum()
        log_det = pt.log(noise).sum() + 2 * pt.log(pt.diagonal(root_b)).sum()
        trace = (lost / sigma**2).sum() if self.approx == "VFE" else 0.0
        constant = X.shape[0] * np.log(2 * np.pi)
        logp = -0.5 * (constant + log_det + quadratic + trace)
        model = modelcontext(None)
        return model.register_expression(name, logp, "potentials", None, f"{label}({name!r})")

    def _parts(
        self,
        X: TensorVariable,
        Xu: TensorVariable,
        y: TensorVariable,
        sigma: TensorVariable,
        jitter: float = JITTER,
    ) -> tuple[TensorVariable, ...]:
        """Return factors, the variance of each observation, and what inducing inputs lose of it."""
        root_u = factor(self.cov_func(Xu), jitter)
        A = solved(root_u, self.cov_func(Xu, X))
        lost = pt.clip(self.cov_func(X, diag=True) - (A**2).sum(axis=0), 0.0, np.inf)
        noise = sigma**2 + (lost if self.approx == "FITC" else pt.zeros_like(lost))
        root_b = factor(pt.eye(Xu.shape[0]) + pt.dot(A / noise, A.T), 0.0)
        c = solved(root_b, pt.dot(A, (y - self.mean_func(X)) / noise))
        return root_u, A, noise, lost, root_b, c

    def moments_at(
        self, Xnew: Any, given: Mapping[str, Any] | None, pred_noise: bool, diag: bool
    ) -> tuple[TensorVariable, TensorVariable]:
        X, Xu, y, sigma = self.given_or_known(given, "X", "Xu", "y", "sigma")
        Xnew = as_inputs(Xnew, type(self).__name__)
        root_u, _, _, _, root_b, c = self._parts(X, Xu, y, sigma)
        A = solved(root_u, self.cov_func(Xu, Xnew))
        C = solved(root_b, A)
        mu = self.mean_func(Xnew) + pt.dot(A.T, solved(root_b, c, transposed=True))
        extra = sigma**2 if pred_noise else 0.0
        if diag:
            own = self.cov_func(Xnew, diag=True)
            return mu, own - (A**2).sum(axis=0) + (C**2).sum(axis=0) + extra
        cov = self.cov_func(Xnew) - pt.dot(A.T, A) + pt.dot(C.T, C)
        return mu, cov + extra * pt.eye(Xnew.shape[0])


MarginalSparse = MarginalApprox
