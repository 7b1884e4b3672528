"""Full rank: one normal distribution with all covariances, in the unconstrained space.

Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).

The Cholesky factor is kept as the vector of its lower triangle, see :mod:`vibayes.ops.triangular`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.families.base import Group
from vibayes.families.mean_field import DEFAULT_SIGMA
from vibayes.ops.triangular import (
    diagonal_positions,
    lower_product,
    lower_solve,
    triangle_size,
    triangular_matrix,
)

__all__ = ["FullRankGroup"]


class FullRankGroup(Group):
    r"""One normal distribution of all variables, with all covariances.

    .. math:: z = \mu + L \epsilon, \qquad \epsilon \sim N(0, I), \qquad
        \log q(z) = -\sum_i \left(\tfrac12 \epsilon_i^2 + \log |L_{ii}|
        + \tfrac12 \log 2\pi\right)

    ``L_tril`` holds the lower triangle of L row after row, in the order of ``np.tril_indices``.
    The diagonal may have either sign: L and L with a column negated give the same distribution.
    """

    short_name: ClassVar[str] = "full_rank"
    aliases: ClassVar[tuple[str, ...]] = ("fr",)
    param_names: ClassVar[frozenset[str]] = frozenset({"mu", "L_tril"})
    is_normal: ClassVar[bool] = True
    center_name: ClassVar[str] = "mu"

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"mu": (self.ddim,), "L_tril": (triangle_size(self.ddim),)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        packed = np.zeros(triangle_size(self.ddim))
        packed[diagonal_positions(self.ddim)] = (
            DEFAULT_SIGMA if sigma is None else np.where(np.isnan(sigma), DEFAULT_SIGMA, sigma)
        )
        return {"mu": start, "L_tril": packed}

    def params_near(self, mean: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
        root = np.diag(root) if root.ndim == 1 else root
        return {"mu": mean, "L_tril": root[np.tri(self.ddim, dtype=bool)]}

    def param_scales(self, sd: np.ndarray) -> dict[str, np.ndarray]:
        return {"mu": sd, "L_tril": sd[np.tril_indices(self.ddim)[0]]}

    def transform(self, noise: TensorVariable) -> TensorVariable:
        return self.mean + lower_product(self.params_dict["L_tril"], noise)

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        diagonal = self.params_dict["L_tril"][diagonal_positions(self.ddim)]
        return (-0.5 * noise**2 - pt.log(pt.abs(diagonal)) - LOG_SQRT_2PI).sum(axis=-1)

    def log_density_at(self, z: TensorVariable) -> TensorVariable:
        return self.log_density(lower_solve(self.params_dict["L_tril"], z - self.mean), z)

    def param_elements(self, name: str) -> list[str]:
        if name != "L_tril":
            return super().param_elements(name)
        rows = [self.layout.element(i) for i in range(self.ddim)]
        return [f"{row}, {column}" for i, row in enumerate(rows) for column in rows[: i + 1]]

    @property
    def L(self) -> TensorVariable:
        """Cholesky factor of the covariance, up to the signs of its columns."""
        return triangular_matrix(self.ddim, self.params_dict["L_tril"])

    @property
    def L_chol(self) -> TensorVariable:
        """Cholesky factor of the covariance, with a positive diagonal."""
        L = self.L
        return L * pt.where(pt.diag(L) < 0, -1, 1).astype(L.dtype)

    @property
    def mean(self) -> TensorVariable:
        return self.params_dict["mu"]

    @property
    def std(self) -> TensorVariable:
        return pt.sqrt((self.L**2).sum(axis=1))

    @property
    def cov(self) -> TensorVariable:
        L = self.L
        return L @ L.T
