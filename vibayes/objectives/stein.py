"""The kernelized Stein discrepancy: particles that follow the density and keep apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_real
from vibayes.backend.seeds import new_generator
from vibayes.families.draws import Draws
from vibayes.families.joint import Joint
from vibayes.model.gradients import gradient_of
from vibayes.objectives.base import Operator
from vibayes.objectives.kernels import Kernel, as_kernel, rbf

__all__ = ["KSD"]


class KSD(Operator):
    r"""Kernelized Stein discrepancy: the direction in which it falls fastest.

    .. math:: \phi(x_i) = \frac{1}{n} \sum_{j=1}^n
        k(x_j, x_i) \frac{\nabla_{x_j} \log p(x_j)}{T} + \nabla_{x_j} k(x_j, x_i)

    It follows no loss, so that a fit records none.

    Parameters
    ----------
    approx : Approximation
        What is fitted. If all of its groups are empirical, their particles are moved. Otherwise
        ``obj_n_mc`` draws are particles, and the parameters that they come from follow.
    kernel : Kernel, callable or str, default rbf
        :data:`~vibayes.objectives.kernels.rbf`, :data:`~vibayes.objectives.kernels.imq` or their
        names, or a function that maps particles (n, d) to the matrix of :math:`k(x_j, x_i)` and
        the sums of its gradients (n, d).
    temperature : float, default 1
        The approximation is one of :math:`p^{1 / T}`: above 1 it is broader.

    Raises
    ------
    ValueError
        If the temperature is not positive, or the name of the kernel unknown.

    References
    ----------
    Liu, Wang (2016), Stein Variational Gradient Descent: A General Purpose Bayesian Inference
    Algorithm, arXiv:1608.04471.
    """

    setting_names: ClassVar[tuple[str, ...]] = "kernel", "temperature"

    @check_arguments
    def __init__(
        self,
        approx: Joint,
        kernel: Kernel | Callable[..., Any] | str = rbf,
        temperature: float = 1.0,
    ) -> None:
        self.kernel: Kernel = as_kernel(kernel)
        super().__init__(approx, self.kernel)
        self.temperature: float = check_real(temperature, "KSD: temperature", above=0)

    def gradients(
        self,
        params: Sequence[Variable],
        n_mc: int,
        replace: Callable[[Sequence[Variable]], list[Variable]],
    ) -> tuple[list[Variable], None, dict[Variable, Variable]]:
        particles, updates = self._particles(n_mc)
        joint = particles[0] if len(particles) == 1 else pt.concatenate(particles, axis=1)
        score = self._score(particles, replace) / self.temperature
        direction = self.kernel.direction(joint, score.astype(joint.dtype))
        ascent = (direction / joint.shape[0] / self._scale(replace)).astype(joint.dtype)
        grads = pytensor.grad(
            None, params, known_grads={joint: -ascent}, disconnected_inputs="ignore"
        )
        return grads, None, updates

    def _particles(self, n_mc: int) -> tuple[list[TensorVariable], dict[Variable, Variable]]:
        """Return the particles of each group, and the updates of the generators behind them."""
        groups = self.approx.groups
        if all(group.is_particles for group in groups):
            return [group.params_dict["histogram"] for group in groups], {}
        rngs = [pytensor.shared(new_generator(0), name=f"noise_{i}") for i in range(len(groups))]
        drawn = [group.draw(rng, n_mc) for group, rng in zip(groups, rngs, strict=True)]
        updates = {rng: next_rng for rng, (next_rng, _, _) in zip(rngs, drawn, strict=True)}
        return [flat for _, _, flat in drawn], updates

    def _scale(self, replace: Callable[[Sequence[Variable]], list[Variable]]) -> Variable:
        """Return what directions are divided by to be of the size of those of a minibatch.

        They are divided as a whole: particles still follow the posterior of all data.
        """
        one: Variable = pt.constant(1.0)
        if self.approx.scale_cost_to_minibatch:
            one = pt.as_tensor(self.approx.draw(None)[0].normalizing_constant)
        return replace([one])[0]

    def _score(
        self,
        particles: Sequence[TensorVariable],
        replace: Callable[[Sequence[Variable]], list[Variable]],
    ) -> TensorVariable:
        """Return the gradient of the log density at each particle."""
        n, groups = particles[0].shape[0], self.approx.groups
        z: dict[Variable, TensorVariable] = {}
        for group, flat in zip(groups, particles, strict=True):
            z |= group.split(flat, n)
        # differentiated by variables without a past, which no replacement can touch
        roots = {var: part.type() for var, part in z.items()}
        draws = Draws(self.approx.model, groups, roots, [], n)
        (logp,) = replace([draws.logp])
        grads = gradient_of(logp.sum(), list(roots.values()), self.approx.model)
        score = pt.concatenate([g.reshape((n, -1)) for g in grads], axis=1)
        return graph_replace(score, {roots[var]: part for var, part in z.items()}, strict=False)
