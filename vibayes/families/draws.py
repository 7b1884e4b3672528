"""Symbolic draws of groups, and the log densities that objectives are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace, graph_replace, vectorize_graph
from pytensor.tensor.variable import TensorVariable

from vibayes.families.base import Group
from vibayes.model.core import Model
from vibayes.model.density import total_scale
from vibayes.model.gradients import gradient_of

__all__ = ["Draws"]


@dataclass(frozen=True)
class Draws:
    """Symbolic draws of groups, and the log densities that objectives are made of.

    Attributes
    ----------
    model : Model
    groups : sequence of Group
    z : dict of TensorVariable to TensorVariable
        Unconstrained values by value variable.
    drawn : list of tuple
        For each group, the noise and the flat unconstrained values that it became.
    size : int or None
        Number of draws, None for a single one without an axis.
    """

    model: Model
    groups: Sequence[Group]
    z: dict[TensorVariable, TensorVariable]
    drawn: list[tuple[TensorVariable, TensorVariable]]
    size: Any

    def of(self, graphs: Sequence[Variable]) -> list[Variable]:
        """Return graphs of the model's value variables, evaluated at each draw."""
        if self.size is not None:
            return vectorize_graph(list(graphs), self.z)
        if all(value.type.is_super(z.type) for value, z in self.z.items()):
            return graph_replace(list(graphs), self.z, strict=False)
        # local variables of a minibatch of another length
        return clone_replace(list(graphs), self.z, rebuild_strict=False)

    @cached_property
    def flat(self) -> TensorVariable:
        """The flat unconstrained vectors of all groups, in group order."""
        parts = [z for _, z in self.drawn]
        return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=-1)

    @cached_property
    def score(self) -> TensorVariable:
        """Gradient of :attr:`logp` by :attr:`flat`, at each draw."""
        parts = [z for _, z in self.drawn]
        grads = gradient_of(self.logp.sum(), parts, self.model)
        return grads[0] if len(grads) == 1 else pt.concatenate(grads, axis=-1)

    def scale_of(self, rv: TensorVariable) -> TensorVariable | float:
        """Return the factor by which ``total_size`` scales the log density of a variable."""
        total = self.model.rvs_to_total_sizes.get(rv)
        if total is None:
            return 1.0
        value = self.model.rvs_to_values[rv]
        if value in self.z:
            value = self.z[value] if self.size is None else self.z[value][0]
        return total_scale(total, value)

    @cached_property
    def normalizing_constant(self) -> TensorVariable | float:
        """The largest factor by which ``total_size`` scales a variable; 1 without minibatches."""
        scales = [self.scale_of(rv) for rv in self.model.rvs_to_total_sizes]
        return reduce(pt.maximum, scales) if scales else 1.0

    def _logq_scale(self, group: Group) -> TensorVariable | float:
        """Return the factor by which the density of local variables stands for that of all."""
        return self.scale_of(group.variables[0]) if group.local else 1.0

    @cached_property
    def logq(self) -> TensorVariable:
        """Log density of the approximation at each draw, if all of its groups have one."""
        logq: Any = 0.0
        for group, (noise, flat) in zip(self.groups, self.drawn, strict=True):
            logq = logq + group.log_density(noise, flat) * self._logq_scale(group)
        return logq

    @cached_property
    def path_logq(self) -> TensorVariable:
        """``logq``, with a gradient that reaches the parameters by way of the draws alone.

        Leaving out the derivative of log q by the parameters at a fixed draw, whose expectation is
        zero, leaves the expected gradient as it is, and makes its variance vanish where the
        approximation is the posterior ("sticking the landing", Roeder et al. 2017).
        """
        total: Any = 0.0
        for group, (_, z) in zip(self.groups, self.drawn, strict=True):
            at = z.type()
            frozen = {p: disconnected_grad(p) for p in group.params_dict.values()}
            density = graph_replace(group.log_density_at(at), frozen, strict=False)
            total = total + graph_replace(density, {at: z}) * self._logq_scale(group)
        return total

    @cached_property
    def logp(self) -> TensorVariable:
        """Joint log density of the model at each draw."""
        return self.of([self.model.logp()])[0]

    @cached_property
    def _prior_and_data(self) -> list[Variable]:
        model = self.model
        return self.of([model.varlogp, model.datalogp])

    @property
    def varlogp(self) -> TensorVariable:
        """Log density of the free variables at each draw."""
        return self._prior_and_data[0]

    @property
    def datalogp(self) -> TensorVariable:
        """Log likelihood at each draw, potentials included."""
        return self._prior_and_data[1]
