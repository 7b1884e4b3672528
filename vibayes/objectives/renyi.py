"""Bounds on the evidence that use several draws at once.

Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv:1509.00519;
Li and Turner (2016), Rényi Divergence Variational Inference, arXiv:1602.02311;
Tucker, Lawson, Gu and Maddison (2019), Doubly Reparameterized Gradient Estimators for Monte Carlo
Objectives, arXiv:1810.04152.
"""

from __future__ import annotations

from typing import ClassVar

import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_real
from vibayes.families.draws import Draws
from vibayes.families.joint import Joint
from vibayes.objectives.base import Operator

__all__ = ["IWELBO", "Renyi"]


class Renyi(Operator):
    r"""The negative variational Rényi bound, by K draws.

    .. math:: -\frac{1}{1 - \alpha} \log \frac{1}{K} \sum_{k=1}^K w_k^{1 - \alpha}, \qquad
        w_k = \frac{p(y, z_k)}{q(z_k)}, \quad z_k \sim q

    With :math:`\alpha = 0` it is the importance-weighted ELBO, which comes closer to the evidence
    the more draws there are; for :math:`\alpha \to 1` it tends to the ELBO.

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    alpha : float, default 0
        Order of the divergence, any number but 1.
    doubly_reparameterized : bool, default True
        Whether to use the gradient estimator of Tucker et al., whose quality does not get worse
        with more draws. The family must know its density at any value.

    Notes
    -----
    The number K of draws is ``obj_n_mc`` of the fit.

    The bound is no sum over observations. So its mean over minibatches is not that of the whole
    data: the approximation has to cover what each minibatch by itself says of the posterior, and
    becomes too wide, the more so the smaller the minibatches are. :class:`~vibayes.KL` does not.
    """

    is_bound = True
    setting_names: ClassVar[tuple[str, ...]] = "alpha", "doubly_reparameterized"

    @check_arguments
    def __init__(
        self, approx: Joint, alpha: float = 0.0, doubly_reparameterized: bool = True
    ) -> None:
        super().__init__(approx)
        self.alpha: float = check_real(alpha, "Renyi: alpha")
        if alpha == 1:
            raise ValueError(
                f"Renyi: alpha must be a number other than 1 (for which the bound is the ELBO: "
                f"KL), got {alpha!r}"
            )
        self.doubly_reparameterized: bool = bool(doubly_reparameterized)

    def loss(self, draws: Draws) -> TensorVariable:
        power = 1 - self.alpha
        logq = draws.path_logq if self.doubly_reparameterized else draws.logq
        log_weights = pt.atleast_1d(draws.logp - logq)
        highest = disconnected_grad(log_weights.max() if power > 0 else log_weights.min())
        powers = pt.exp(power * (log_weights - highest))
        bound = pt.log(powers.mean()) / power + highest
        if not self.doubly_reparameterized:
            return -bound
        share = disconnected_grad(powers / powers.sum())
        surrogate = ((self.alpha * share + power * share**2) * log_weights).sum()
        return -(surrogate + disconnected_grad(bound - surrogate))


class IWELBO(Renyi):
    """The negative importance-weighted evidence lower bound, by K draws.

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    doubly_reparameterized : bool, default True
        Whether to use the doubly reparameterized gradient; see :class:`Renyi`, of which this is
        the case ``alpha=0``.
    """

    @check_arguments
    def __init__(self, approx: Joint, doubly_reparameterized: bool = True) -> None:
        super().__init__(approx, 0.0, doubly_reparameterized)
