"""PyMC's distributions and transforms, with the methods that those of vibayes have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import rewritten
from vibayes.distributions.base import Distribution
from vibayes.distributions.transforms import Transform

__all__ = ["PyMCDistribution", "PyMCTransform", "without_checks"]


class PyMCDistribution(Distribution):
    """The distribution of a random variable that PyMC made.

    Parameters
    ----------
    rv : TensorVariable
        The random variable; the distribution stays attached to it.
    value : TensorVariable
        Stands for the variable's value in ``logp_graph``.
    logp_graph : TensorVariable
        Log density of the value given the other random variables.
    text : str
        How it is displayed.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> PyMCDistribution:
        return object.__new__(cls)

    def __init__(
        self, rv: TensorVariable, value: TensorVariable, logp_graph: TensorVariable, text: str
    ) -> None:
        self.params = {}
        self.ndim_supp = getattr(rv.owner.op, "ndim_supp", 0)
        self.discrete = np.dtype(rv.dtype).kind in "biu"
        self._value, self._logp, self._text = value, logp_graph, text
        self.rv = rv
        rv.tag.distribution = self

    def logp(self, value: TensorVariable) -> TensorVariable:
        value = value.astype(self._value.dtype)
        return graph_replace([self._logp], {self._value: value}, strict=False)[0]

    def support_point(self) -> TensorVariable:
        from pymc.distributions.distribution import support_point

        try:
            return support_point(self.rv)
        except NotImplementedError:
            return self.rv  # PyMC then draws from the prior, too

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        from pymc.distributions.shape_utils import change_dist_size

        draw = self.rv if size is None else change_dist_size(self.rv, size)
        own = [v for v in draw.owner.inputs if isinstance(v.type, RandomType)]
        if len(own) == 1:  # several must stay apart
            draw = graph_replace([draw], {own[0]: rng}, strict=False)[0]
        advanced = [v for v in draw.owner.outputs if isinstance(v.type, RandomType)]
        return advanced[0] if advanced else rng, draw

    def __repr__(self) -> str:
        return self._text


class PyMCTransform(Transform):
    """A transform of PyMC, of one random variable.

    Parameters
    ----------
    transform
        PyMC's transform.
    rv : TensorVariable
        The random variable, on whose parameters the transform may depend.
    """

    def __init__(self, transform: Any, rv: TensorVariable) -> None:
        self.transform, self._inputs = transform, rv.owner.inputs
        self.name = transform.name
        self.ndim_supp = transform.ndim_supp or 0

    def forward(self, value: TensorVariable) -> TensorVariable:
        return self.transform.forward(value, *self._inputs)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return self.transform.backward(value, *self._inputs)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return self.transform.log_jac_det(value, *self._inputs)

    def __repr__(self) -> str:
        return type(self.transform).__name__


def without_checks(graphs: list[TensorVariable]) -> list[TensorVariable]:
    """Return log densities that are minus infinity where PyMC would raise for a parameter.

    A search has to be able to step back from there.
    """
    from pymc.logprob.utils import CheckParameterValue

    def minus_infinity(node: Any) -> list[TensorVariable]:
        logp, *conditions = node.inputs
        valid = pt.all(pt.stack([pt.as_tensor_variable(c) for c in conditions]))
        return [pt.switch(valid, logp, -np.inf).astype(logp.dtype)]

    return rewritten(graphs, CheckParameterValue, minus_infinity)
