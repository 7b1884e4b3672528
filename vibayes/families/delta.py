"""Point estimates: all mass in one place."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.families.base import Group

__all__ = ["DeltaGroup"]


class DeltaGroup(Group):
    r"""All mass in one place.

    .. math:: z_i = \mu_i

    It has no density. As in NumPyro's ``AutoDelta``, its log density counts as zero, so that the
    loss is the negative joint log density: the place of the smallest loss is the posterior mode of
    the unconstrained values.
    """

    short_name: ClassVar[str] = "delta"
    param_names: ClassVar[frozenset[str]] = frozenset({"mu"})
    has_logq: ClassVar[bool] = False
    center_name: ClassVar[str] = "mu"

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"mu": (self.ddim,)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"mu": start}

    def transform(self, noise: TensorVariable) -> TensorVariable:
        return self.mean + pt.zeros_like(noise)

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        return pt.zeros_like(z).sum(axis=-1)

    @property
    def mean(self) -> TensorVariable:
        return self.params_dict["mu"]

    @property
    def std(self) -> TensorVariable:
        return pt.zeros_like(self.mean)

    @property
    def cov(self) -> TensorVariable:
        return pt.diag(self.std)
