"""Weights that are broken off a stick, one after the other."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new, check_whole
from vibayes.distributions.base import Continuous, draw_from, to_float
from vibayes.distributions.constraints import Constraints, positive
from vibayes.distributions.dist_math import log_or_minus_inf
from vibayes.distributions.multivariate import SUM_TOLERANCE, VectorValued
from vibayes.distributions.transforms import Transform, simplex

__all__ = ["StickBreakingWeights"]


class StickBreakingWeights(VectorValued, Continuous):
    r"""Weights of a Dirichlet process, of which the K-th and all after it are taken together.

    .. math:: x_k = v_k \prod_{l < k} (1 - v_l) \quad (k \le K), \qquad
        x_{K+1} = 1 - \sum_{k \le K} x_k, \qquad v_k \sim \operatorname{Beta}(1, \alpha)

    .. math:: f(x \mid \alpha, K) = \alpha^K x_{K+1}^{\alpha - 1}
        \prod_{k=2}^{K} \left(\sum_{l=k}^{K+1} x_l\right)^{-1}

    The density is one with respect to all weights but the last.

    Parameters
    ----------
    alpha : array_like
        Concentration, positive: the larger, the more weights matter.
    K : int
        How many times the stick is broken. There are K + 1 weights.

    References
    ----------
    Ishwaran and James (2001), Gibbs sampling methods for stick-breaking priors. Journal of the
    American Statistical Association 96, 161-173.
    """

    constraints: ClassVar[Constraints] = {"alpha": positive}
    alpha: TensorVariable

    @behind_new
    def __init__(self, alpha: Any, K: int) -> None:
        self.n_breaks = check_whole(K, "K", least=1)
        self.length = self.n_breaks + 1
        self.set_params(alpha=alpha)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        shape = (*batch, self.n_breaks)
        # A stick's rest of Beta(1, alpha) is a power of a uniform number.
        rng, e = draw_from(pt.random.exponential, 1.0, rng=rng, size=shape)
        rest = pt.exp(-pt.cumsum(e / self.alpha[..., None], axis=-1))
        before = pt.concatenate([pt.ones((*batch, 1), dtype=rest.dtype), rest[..., :-1]], axis=-1)
        broken = before * -pt.expm1(-e / self.alpha[..., None])
        return rng, pt.concatenate([broken, rest[..., -1:]], axis=-1)

    def logp(self, value: TensorVariable) -> TensorVariable:
        k, alpha = self.n_breaks, self.alpha
        rests = pt.cumsum(value[..., ::-1], axis=-1)[..., 1:-1]
        valid = pt.all(value > 0, axis=-1) & (pt.abs(value.sum(axis=-1) - 1) <= SUM_TOLERANCE)
        log_last, log_rests = log_or_minus_inf(value[..., -1]), log_or_minus_inf(rests)
        kernel = (alpha - 1) * pt.switch(valid, log_last, 0.0)
        kernel -= pt.switch(valid[..., None], log_rests, 0.0).sum(axis=-1)
        return pt.switch(valid, k * pt.log(alpha) + kernel, -np.inf)

    def support_point(self) -> TensorVariable:
        """Return the mean."""
        share = (self.alpha / (1 + self.alpha))[..., None] ** to_float(np.arange(self.n_breaks + 1))
        return pt.concatenate(
            [share[..., :-1] / (1 + self.alpha[..., None]), share[..., -1:]], axis=-1
        )

    @property
    def default_transform(self) -> Transform:
        """The isometric log ratio."""
        return simplex
