"""The Kullback-Leibler divergence from the approximation to the posterior."""

from __future__ import annotations

from typing import Any, ClassVar

from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_real
from vibayes.families.draws import Draws
from vibayes.families.joint import Joint
from vibayes.objectives.base import Operator

__all__ = ["KL"]


class KL(Operator):
    r"""The negative evidence lower bound, which is KL(q || p) up to a constant.

    .. math:: E_q[-\log p(y \mid z) + \beta (\log q(z) - \log p(z))]

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    beta : float, default 1
        Weight of the divergence from the prior (Higgins et al. 2017, beta-VAE).
    path_derivative : bool, default False
        Whether the gradient leaves out the derivative of log q by the parameters at a fixed draw
        (Roeder et al. 2017). The expectation is the same; near a posterior that the family holds,
        the variance is far smaller. The family must know its density at any value. False leaves
        it to the approximation's ``cost_part_grad_scale``, of which True is the case 0.
    """

    is_bound = True
    setting_names: ClassVar[tuple[str, ...]] = "beta", "path_derivative"

    @check_arguments
    def __init__(self, approx: Joint, beta: float = 1.0, path_derivative: bool = False) -> None:
        super().__init__(approx)
        self.beta: float = check_real(beta, "KL: beta", least=0)
        self.path_derivative: bool = bool(path_derivative)

    @property
    def is_elbo(self) -> bool:  # type: ignore[override]
        """Whether it is the negative evidence lower bound itself."""
        return self.beta == 1.0

    def loss(self, draws: Draws) -> TensorVariable:
        logq = scaled_logq(draws, 0.0 if self.path_derivative else self.approx.cost_part_grad_scale)
        if self.beta == 1.0:  # one graph of the joint density is smaller than two of its parts
            return (logq - draws.logp).mean()
        return (self.beta * (logq - draws.varlogp) - draws.datalogp).mean()


def scaled_logq(draws: Draws, scale: Any) -> TensorVariable:
    """Return log q, the derivative by the parameters at a fixed draw scaled."""
    if isinstance(scale, float) and scale in (0.0, 1.0):
        return draws.logq if scale else draws.path_logq
    return draws.path_logq + scale * (draws.logq - draws.path_logq)
