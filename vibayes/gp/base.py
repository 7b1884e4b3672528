"""What all Gaussian processes are: a mean, a covariance, and conditionals by Cholesky factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.linalg import cholesky, solve_triangular
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.backend.modes import evaluate
from vibayes.context import modelcontext
from vibayes.distributions.multivariate import MvNormal
from vibayes.exceptions import ModelError
from vibayes.gp.cov import Constant, Covariance
from vibayes.gp.mean import Mean, Zero

__all__ = ["JITTER", "Process", "factor", "solved"]

JITTER = 1e-6  # of the diagonal, so that rounding leaves matrices positive definite


def factor(matrix: TensorVariable, jitter: float = JITTER) -> TensorVariable:
    """Return the Cholesky factor of a covariance matrix."""
    return cholesky(matrix + jitter * pt.eye(matrix.shape[0]))


def solved(root: TensorVariable, right: TensorVariable, transposed: bool = False) -> TensorVariable:
    """Return the solution of a system with a lower triangular matrix, or with its transpose."""
    if transposed:
        return solve_triangular(root.T, right, lower=False, b_ndim=right.type.ndim)
    return solve_triangular(root, right, lower=True, b_ndim=right.type.ndim)


class Process:
    """Base of all Gaussian processes.

    Parameters
    ----------
    mean_func
        The mean.
    cov_func
        The covariance.
    """

    @check_arguments
    def __init__(
        self, *, mean_func: Mean | None = None, cov_func: Covariance | None = None
    ) -> None:
        self.mean_func: Mean = Zero() if mean_func is None else mean_func
        self.cov_func: Covariance = Constant(0.0) if cov_func is None else cov_func
        self.known: dict[str, Any] = {}

    def __add__(self, other: Self) -> Self:
        """Return the process that is the sum of two independent ones."""
        if type(other) is not type(self):
            raise TypeError(f"only processes of one kind can be added, got {other!r}")
        return type(self)(
            mean_func=self.mean_func + other.mean_func, cov_func=self.cov_func + other.cov_func
        )

    def given_or_known(self, given: Mapping[str, Any] | None, *names: str) -> list[Any]:
        """Return what a conditional is given: what was told, else what the process has seen."""
        found = {**self.known, **(given or {})}
        if missing := [n for n in names if n not in found]:
            raise ModelError(
                f"{type(self).__name__}: {missing[0]!r} is not known; call prior or "
                f"marginal_likelihood first, or name it in given"
            )
        return [found[n] for n in names]

    def moments_at(
        self, Xnew: Any, given: Mapping[str, Any] | None, pred_noise: bool, diag: bool
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return mean and covariance (or variances) at new inputs."""
        raise NotImplementedError

    def conditioned(
        self,
        root: TensorVariable,
        X: TensorVariable,
        values: TensorVariable,
        Xnew: TensorVariable,
        diag: bool,
    ) -> tuple[TensorVariable, TensorVariable]:
        """Return mean and covariance (or variances) at new inputs, given values at others.

        Parameters
        ----------
        root
            Cholesky factor of the covariance of ``values``.
        X, values
            The other inputs, and what is known there.
        Xnew
            The new inputs.
        diag
            Whether to return variances alone.
        """
        A = solved(root, self.cov_func(X, Xnew))
        mu = self.mean_func(Xnew) + pt.dot(A.T, solved(root, values - self.mean_func(X)))
        explained = (A**2).sum(axis=0) if diag else pt.dot(A.T, A)
        return mu, self.cov_func(Xnew, diag=diag) - explained

    def new_variable(
        self, name: str, Xnew: Any, given: Any, pred_noise: bool, jitter: float, **kwargs: Any
    ) -> TensorVariable:
        mu, cov = self.moments_at(Xnew, given, pred_noise, diag=False)
        return MvNormal(name, mu=mu, chol=factor(cov, jitter), **kwargs)

    def predicted(
        self, Xnew: Any, point: Any, given: Any, diag: bool, pred_noise: bool, model: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers of a conditional at a point of the model."""
        model = modelcontext(model)
        graphs: list[Variable] = [*self.moments_at(Xnew, given, pred_noise, diag)]
        inputs = dict(point or {})
        values = {}
        start = model.initial_point(
            start={k: v for k, v in inputs.items() if k in startable(model)}
        )
        for value in model.value_vars:
            values[value] = inputs.get(value.name, start[value.name])
        mu, cov = evaluate(model.replace_rvs_by_values(graphs), values)
        return mu, cov


def startable(model: Any) -> set[str]:
    """Return the names of free variables and of their unconstrained values."""
    return {rv.name for rv in model.free_RVs} | {v.name for v in model.value_vars}
