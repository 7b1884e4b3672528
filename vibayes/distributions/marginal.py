"""Variables that depend on a discrete one, which is summed out of their density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import Distribution, to_float
from vibayes.distributions.constraints import constant_value
from vibayes.distributions.holder import Holder
from vibayes.distributions.transforms import Transform
from vibayes.exceptions import ModelError

__all__ = ["MarginalPart", "Summed", "states_of"]


class Summed(Holder):
    """A discrete variable that is summed out, and whose elements each event depends on.

    Parameters
    ----------
    rv
        The discrete variable.
    dist
        Its distribution.
    states
        The values that it can have.
    dependents
        The variables that depend on it, and their distributions.
    owners
        For each of these the place, in the flat discrete variable, of the element that each event
        depends on; -1 for none.
    """

    def __init__(
        self,
        rv: TensorVariable,
        dist: Distribution,
        states: np.ndarray,
        dependents: Sequence[tuple[TensorVariable, Distribution]],
        owners: Sequence[np.ndarray],
    ) -> None:
        self.rv, self.dist, self.states = rv, dist, states
        self.dependents, self.owners = list(dependents), list(owners)
        self.size = int(np.prod(rv.type.shape, dtype=int))

    def at_state(self, graph: TensorVariable, state: int) -> TensorVariable:
        """Return an expression with all elements of the discrete variable at one state."""
        value = pt.full(self.rv.type.shape, np.asarray(state, dtype=self.rv.dtype))
        others = {  # which depend on the discrete variable themselves, but stay what they are
            v: v.type()
            for v in ancestors([graph])
            if v is not self.rv and v.name is not None and hasattr(v.tag, "distribution")
        }
        (graph,) = graph_replace([graph], {**others, self.rv: value}, strict=False)
        back = {placeholder: v for v, placeholder in others.items()}
        return graph_replace([graph], back, strict=False)[0]

    def logp(self, first: TensorVariable, inside: bool) -> TensorVariable:
        """Return the log density of all dependents, a number for each element of the variable.

        Parameters
        ----------
        first
            Value of the first of the dependents; the others stand for themselves.
        inside
            Whether that value is inside of its support.
        """
        values = [first, *(rv for rv, _ in self.dependents[1:])]
        terms, rest = [], pt.constant(0.0, dtype=pytensor.config.floatX)
        for i, state in enumerate(self.states):
            total = pt.broadcast_to(
                self.dist.logp(pt.full(self.rv.type.shape, state)), self.rv.type.shape
            ).ravel()
            for j, (value, (_, dist), owner) in enumerate(
                zip(values, self.dependents, self.owners, strict=True)
            ):
                formula = dist.interior_logp if inside and not j else dist.logp
                events = pt.broadcast_to(self.at_state(formula(value), state), owner.shape).ravel()
                own = np.nonzero(owner.ravel() >= 0)[0]
                if np.array_equal(owner.ravel(), np.arange(self.size)):
                    total = total + events
                else:
                    total = pt.inc_subtensor(total[owner.ravel()[own]], events[own])
                if i == 0 and len(own) < owner.size:
                    rest = rest + events[np.nonzero(owner.ravel() < 0)[0]].sum()
            terms.append(total)
        summed = pt.logsumexp(pt.stack(terms), axis=0)
        return to_float(summed + rest / self.size)


class MarginalPart(Distribution):
    """The distribution of a variable that depends on a discrete one, which is summed out.

    The first of several such variables has the density of all of them, the others have none.

    Parameters
    ----------
    base
        The distribution given the discrete variable.
    summed
        What is summed out.
    is_first
        Whether the density goes with this variable.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> MarginalPart:
        return object.__new__(cls)

    def __init__(self, base: Distribution, summed: Summed, is_first: bool) -> None:
        self.base, self.is_first = base, is_first
        self.summed, self.summed_rv, self.summed_dist = summed, summed.rv, summed.dist
        self.params, self.parts, self.discrete = base.params, base.parts, base.discrete
        self.rv = base.rv
        shape = summed.owners[0].shape
        self.pointwise = is_first and shape == summed.rv.type.shape and len(summed.owners) == 1
        self.pointwise = self.pointwise and np.array_equal(
            summed.owners[0].ravel(), np.arange(summed.size)
        )
        self.ndim_supp = base.ndim_supp if self.pointwise else base.rv.type.ndim

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        """Those of the distribution given the discrete variable."""
        return self.base.batch_shapes if self.pointwise else []

    @property
    def default_transform(self) -> Transform | None:
        """That of the distribution given the discrete variable."""
        return self.base.default_transform

    def logp(self, value: TensorVariable) -> TensorVariable:
        return self._density(value, inside=False)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        return self._density(value, inside=True)

    def _density(self, value: TensorVariable, inside: bool) -> TensorVariable:
        if not self.is_first:
            return pt.zeros((), dtype=pytensor.config.floatX)
        total = self.summed.logp(value, inside)
        return total.reshape(self.summed.rv.type.shape) if self.pointwise else total.sum()

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return self.base.random(rng, size)

    def support_point(self) -> TensorVariable:
        return self.summed.at_state(self.base.support_point(), int(self.summed.states[0]))

    def __repr__(self) -> str:
        return repr(self.base)


def states_of(dist: Distribution, name: str) -> np.ndarray:
    """Return the values that a discrete variable can have.

    Raises
    ------
    ModelError
        If they are not finitely many, or not known before the fit.
    """
    kind = type(dist).__name__
    if kind == "Bernoulli":
        return np.arange(2)
    if kind == "Categorical":
        length = dist.p.type.shape[-1]  # type: ignore[attr-defined]
        if length is not None:
            return np.arange(length)
    if kind in ("Binomial", "BetaBinomial", "DiscreteUniform"):
        ends = ("lower", "upper") if kind == "DiscreteUniform" else (None, "n")
        low, high = (0 if e is None else constant_value(dist.params[e]) for e in ends)
        if low is not None and high is not None:
            return np.arange(int(np.min(low)), int(np.max(high)) + 1)
    raise ModelError(
        f"{name!r} cannot be summed out: {kind} is none of Bernoulli, Categorical, Binomial, "
        f"BetaBinomial and DiscreteUniform with a constant number of states"
    )
