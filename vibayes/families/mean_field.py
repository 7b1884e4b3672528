"""Mean field: independent normal distributions in the unconstrained space.

Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.families.base import Group

__all__ = ["MeanFieldGroup"]

DEFAULT_SIGMA = np.log(2.0)  # rho = 0


class MeanFieldGroup(Group):
    r"""Independent normal distributions.

    .. math:: z_i = \mu_i + \sigma_i \epsilon_i, \qquad
        \sigma_i = \log(1 + e^{\rho_i}), \qquad \epsilon_i \sim N(0, 1)
    """

    short_name: ClassVar[str] = "mean_field"
    aliases: ClassVar[tuple[str, ...]] = ("mf",)
    param_names: ClassVar[frozenset[str]] = frozenset({"mu", "rho"})
    is_normal: ClassVar[bool] = True
    is_diagonal: ClassVar[bool] = True
    center_name: ClassVar[str] = "mu"

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"mu": (self.ddim,), "rho": (self.ddim,)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        if sigma is None:
            rho = np.zeros_like(start)
        else:
            sigma = np.where(np.isnan(sigma), DEFAULT_SIGMA, sigma)
            rho = sigma + np.log(-np.expm1(-sigma))  # the inverse of softplus
        return {"mu": start, "rho": rho}

    @property
    def noise_size(self) -> Any:
        """Length of the noise: that of ``mu``, which may be made of a minibatch of any length."""
        length = self.mean.type.shape[0]
        return self.mean.shape[0] if length is None else length

    def transform(self, noise: TensorVariable) -> TensorVariable:
        return self.mean + self.std * noise

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        return (-0.5 * noise**2 - pt.log(self.std) - LOG_SQRT_2PI).sum(axis=-1)

    def log_density_at(self, z: TensorVariable) -> TensorVariable:
        return self.log_density((z - self.mean) / self.std, z)

    @property
    def mean(self) -> TensorVariable:
        return self.params_dict["mu"]

    @property
    def std(self) -> TensorVariable:
        return pt.softplus(self.params_dict["rho"])

    @property
    def cov(self) -> TensorVariable:
        return pt.diag(self.std**2)
