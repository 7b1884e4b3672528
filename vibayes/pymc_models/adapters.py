"""PyMC's distributions and transforms, with the methods that those of vibayes have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import replaced, rewritten
from vibayes.backend.xtensors import as_named, dims_of, in_tensors, leading
from vibayes.distributions.base import Distribution
from vibayes.distributions.standard_forms import StandardForm
from vibayes.distributions.transforms import Transform
from vibayes.pymc_models.forms import parameters_of

__all__ = [
    "NamedTransform",
    "PyMCDistribution",
    "PyMCTransform",
    "origin_of",
    "without_checks",
]


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
    ndim_supp : int, optional
        Number of axes of an event, if the operation does not tell.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> PyMCDistribution:
        return object.__new__(cls)

    def __init__(
        self,
        rv: TensorVariable,
        value: TensorVariable,
        logp_graph: TensorVariable,
        text: str,
        ndim_supp: int | None = None,
    ) -> None:
        self.params, self.param_ndims, self._form = parameters_of(rv)
        own = getattr(rv.owner.op, "ndim_supp", 0)
        self.ndim_supp = own if ndim_supp is None else ndim_supp
        self.discrete = np.dtype(rv.dtype).kind in "biu"
        self._value, self._logp, self._text = value, logp_graph, text
        self.rv = rv
        rv.tag.distribution = self

    def logp(self, value: TensorVariable) -> TensorVariable:
        value = value.astype(self._value.dtype)
        return replaced([self._logp], {self._value: value})[0]

    def standard_form(self) -> StandardForm | None:
        return None if self._form is None else self._form(*self.params.values())

    def support_point(self) -> TensorVariable:
        from pymc.distributions.distribution import support_point

        try:
            return support_point(self.rv)
        except NotImplementedError:
            return self.rv  # PyMC then draws from the prior, too

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        from pymc.distributions.shape_utils import change_dist_size

        if origin_of(self.rv) is not self.rv:  # along named axes, whose lengths tell its own
            size = None
        draw = self.rv if size is None else change_dist_size(self.rv, size)
        node = origin_of(draw).owner
        own = [v for v in node.inputs if isinstance(v.type, RandomType)]
        if len(own) == 1:  # several must stay apart
            advanced = [v for v in node.outputs if isinstance(v.type, RandomType)]
            draw, *advanced = graph_replace([draw, *advanced], {own[0]: rng}, strict=False)
            rng = advanced[0] if advanced else rng
        return rng, draw

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
        self.is_periodic = transform.name == "circular"

    def forward(self, value: TensorVariable) -> TensorVariable:
        return self.transform.forward(value, *self._inputs)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return self.transform.backward(value, *self._inputs)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return self.transform.log_jac_det(value, *self._inputs)

    def __repr__(self) -> str:
        return type(self.transform).__name__


class NamedTransform(PyMCTransform):
    """A transform of PyMC, of one random variable whose axes have names.

    Parameters
    ----------
    transform
        PyMC's transform, of xtensors.
    rv : TensorVariable
        The random variable, as a tensor.
    dims : tuple of str
        The names of its axes.
    """

    def __init__(self, transform: Any, rv: TensorVariable, dims: tuple[str, ...]) -> None:
        self.transform, self.dims, self._inputs = transform, dims, ()
        self.name = transform.name
        self.unconstrained_dims = dims_of(transform.forward(self._placeholder(rv.dtype, dims)))
        self._graphs: dict[tuple[str, str], tuple[Variable, TensorVariable]] = {}

    def forward(self, value: TensorVariable) -> TensorVariable:
        return self._at(value, "forward", self.dims, self.unconstrained_dims)

    def backward(self, value: TensorVariable) -> TensorVariable:
        return self._at(value, "backward", self.unconstrained_dims, self.dims)

    def log_jac_det(self, value: TensorVariable) -> TensorVariable:
        return self._at(value, "log_jac_det", self.unconstrained_dims, self.dims)

    @staticmethod
    def _placeholder(dtype: str, dims: tuple[str, ...]) -> Variable:
        return as_named(pt.TensorType(dtype, (None,) * len(dims))(), dims)

    def _at(
        self, value: TensorVariable, method: str, dims: tuple[str, ...], new: tuple[str, ...]
    ) -> TensorVariable:
        """Return what a method says of a value with some dims, along others."""
        key = method, value.dtype
        if key not in self._graphs:
            named = self._placeholder(value.dtype, dims)
            result = leading(getattr(self.transform, method)(named), new)
            self._graphs[key] = named.owner.inputs[0], in_tensors([result])[0]
        placeholder, result = self._graphs[key]
        return graph_replace([result], {placeholder: value}, strict=False)[0]


def origin_of(rv: Variable) -> Variable:
    """Return what a variable was drawn as, before its axes were put in order, or it was clipped."""
    while not (hasattr(rv.owner.op, "ndim_supp") or hasattr(rv.owner.op, "core_dims")):
        drawn = [v for v in rv.owner.inputs if is_drawn(v)]
        if not drawn:
            return rv
        rv = drawn[0]
    return rv


def is_drawn(variable: Variable) -> bool:
    """Tell whether something depends on a random generator."""
    return any(isinstance(v.type, RandomType) for v in ancestors([variable]))


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
