"""What an objective is, and how it becomes the updates of a step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import Approximation, Draws
from vibayes.distributions.base import to_float
from vibayes.updates import total_norm_constraint

__all__ = ["Operator", "StepGraph"]


@dataclass(frozen=True)
class StepGraph:
    """One step of a fit: what changes, and the loss that it follows."""

    updates: dict[Variable, Variable]
    loss: TensorVariable | None


class Operator:
    """Base of the objectives: a loss of symbolic draws of an approximation.

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    """

    def __init__(self, approx: Approximation) -> None:
        self.approx = approx

    def loss(self, draws: Draws) -> TensorVariable:
        """Return the scalar to be made small."""
        raise NotImplementedError

    def gradients(
        self,
        params: Sequence[Variable],
        n_mc: int,
        replace: Callable[[Sequence[Variable]], list[Variable]],
    ) -> tuple[list[Variable], TensorVariable | None, dict[Variable, Variable]]:
        """Return gradients, the loss if there is one, and the updates of random generators.

        An operator that follows no loss overrides this method instead of :meth:`loss`.

        Parameters
        ----------
        params
            Shared variables to differentiate by.
        n_mc
            Number of draws.
        replace
            Applies the user's replacements to graphs; whatever depends on the model goes through
            it.
        """
        draws, updates = self.approx.draw(None if n_mc == 1 else n_mc)
        (loss,) = replace([to_float(self.loss(draws))])
        return pytensor.grad(loss, params, disconnected_inputs="ignore"), loss, updates

    @property
    def key(self) -> Hashable:
        """Equal for operators that make the same loss."""
        return type(self), id(self)

    def step(
        self,
        *,
        obj_n_mc: int = 1,
        obj_optimizer: Callable[..., Mapping[Variable, Variable]],
        more_obj_params: Sequence[Variable] = (),
        more_updates: Mapping[Variable, Variable] | None = None,
        more_replacements: Mapping[Variable, Variable] | None = None,
        total_grad_norm_constraint: float | None = None,
        score: bool = True,
    ) -> StepGraph:
        """Return the updates of one step.

        Parameters
        ----------
        obj_n_mc
            Number of Monte Carlo draws that estimate the loss.
        obj_optimizer
            Maps gradients and parameters to updates.
        more_obj_params
            Shared variables to be optimized beside the variational parameters.
        more_updates
            Further shared variables, and their values after a step.
        more_replacements
            What to put in the place of parts of the model's graph.
        total_grad_norm_constraint
            Largest allowed norm of all gradients together.
        score
            Whether to report the loss of each step.
        """
        params = [*self.approx.params, *more_obj_params]
        swap = dict(more_replacements or {})

        def replace(graphs: Sequence[Variable]) -> list[Variable]:
            return graph_replace(list(graphs), swap, strict=False) if swap else list(graphs)

        grads, loss, updates = self.gradients(params, obj_n_mc, replace)
        if total_grad_norm_constraint is not None:
            grads = total_norm_constraint(grads, total_grad_norm_constraint)
        updates |= dict(obj_optimizer(grads, params))
        updates |= dict(more_updates or {})
        return StepGraph(updates, loss if score else None)
