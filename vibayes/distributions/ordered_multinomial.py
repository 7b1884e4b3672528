"""Counts of ordered categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import Discrete, to_float
from vibayes.distributions.constraints import Constraints, count, finite
from vibayes.distributions.discrete import check_cutpoints
from vibayes.distributions.multivariate import (
    VectorValued,
    counts_density,
    draw_multinomial,
    round_counts,
)

__all__ = ["OrderedMultinomial"]


class OrderedMultinomial(VectorValued, Discrete):
    r"""How often each of K ordered categories occurs in n trials.

    The categories are cut out of a logistic distribution around a predictor, as those of
    :class:`OrderedLogistic`:

    .. math:: f(x \mid \eta, c, n) = \frac{n!}{\prod_k x_k!} \prod_{k=1}^K p_k^{x_k}, \qquad
        \sum_{l \le k} p_l = \frac{1}{1 + e^{-(c_k - \eta)}}

    Parameters
    ----------
    eta : array_like
        The predictor.
    cutpoints : array_like
        K - 1 increasing numbers along the last axis.
    n : array_like
        Number of trials.
    compute_p : bool, default True
        Whether the model also records the probabilities of the categories, under the variable's
        name with ``_probs`` appended.

    Raises
    ------
    ParameterError
        If constant cutpoints do not increase.
    """

    param_ndims: Mapping[str, int] = {"cutpoints": 1}
    constraints: ClassVar[Constraints] = {"eta": finite, "cutpoints": finite, "n": count}
    eta: TensorVariable
    cutpoints: TensorVariable
    n: TensorVariable
    compute_p: bool

    @behind_new
    def __init__(self, eta: Any, cutpoints: Any, n: Any, *, compute_p: bool = True) -> None:
        check_cutpoints(cutpoints)
        self.compute_p = compute_p
        self.set_params(eta=eta, cutpoints=cutpoints, n=n)
        cuts = self.cutpoints.type.shape[-1]
        self.length = None if cuts is None else cuts + 1

    def derived(self) -> dict[str, TensorVariable]:
        return {"probs": pt.exp(self.log_probabilities())} if self.compute_p else {}

    def log_probabilities(self) -> TensorVariable:
        """Return the log probabilities of the categories, along a last axis."""
        z = self.cutpoints - self.eta[..., None]
        below, above = -pt.softplus(-z), -pt.softplus(z)
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u))
        gap = self.cutpoints[..., :-1] - self.cutpoints[..., 1:]
        increasing = gap < 0
        share = pt.log1mexp(pt.switch(increasing, gap, -1.0))
        between = pt.switch(increasing, share, -np.inf) + below[..., 1:] + above[..., :-1]
        return pt.concatenate([below[..., :1], between, above[..., -1:]], axis=-1)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        p = pt.exp(self.log_probabilities())
        return draw_multinomial(self.n, p, rng=rng, size=size)

    def logp(self, value: TensorVariable) -> TensorVariable:
        value = to_float(value)
        log_p = self.log_probabilities()
        kernel = pt.switch(value > 0, value * log_p, 0.0) - pt.gammaln(value + 1)
        return counts_density(value, self.n, kernel.sum(axis=-1) + pt.gammaln(self.n + 1))

    def support_point(self) -> TensorVariable:
        return round_counts(self.n, pt.exp(self.log_probabilities()))
