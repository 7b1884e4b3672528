"""Continuous distributions of one dimension."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import Continuous, draw_from
from vibayes.distributions.constraints import finite, positive

__all__ = ["Normal"]

LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


def sigma_from(sigma: Any = None, tau: Any = None) -> Any:
    """Return the standard deviation, given as such or as the precision ``tau = 1 / sigma**2``."""
    if sigma is not None and tau is not None:
        raise ValueError("give either sigma or tau, not both")
    if tau is not None:
        return 1 / pt.sqrt(pt.as_tensor_variable(tau))
    return 1.0 if sigma is None else sigma


class Normal(Continuous):
    r"""Normal distribution.

    .. math:: f(x \mid \mu, \sigma) =
        \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{(x - \mu)^2}{2\sigma^2}\right)

    Parameters
    ----------
    mu : array_like, default 0
        Mean.
    sigma : array_like, optional
        Standard deviation, positive; 1 by default.
    tau : array_like, optional
        Precision, ``1 / sigma**2``, instead of ``sigma``.
    """

    constraints: ClassVar = {"mu": finite, "sigma": positive, "tau": positive}

    def __init__(self, mu: Any = 0.0, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(mu=mu, sigma=sigma_from(sigma, tau))

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.normal, self.mu, self.sigma, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        return -0.5 * ((value - self.mu) / self.sigma) ** 2 - pt.log(self.sigma) - LOG_SQRT_2PI

    def support_point(self) -> TensorVariable:
        return self.mu
