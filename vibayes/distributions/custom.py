"""Distributions that a user writes: a log density, a way to draw, or both."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new, check_whole, shown
from vibayes.backend.seeds import random_generators
from vibayes.distributions.base import (
    Distribution,
    distribution_of,
    draw_from,
    to_float,
)
from vibayes.distributions.shapes import known_lengths
from vibayes.distributions.transforms import Transform
from vibayes.exceptions import ShapeError
from vibayes.numeric import as_tensor
from vibayes.ops.random import NumPyRandom

__all__ = ["CustomDist", "DensityDist"]


class CustomDist(Distribution):
    """A distribution made of functions that a user writes.

    Parameters
    ----------
    *dist_params : array_like
        The parameters, handed on to all the functions in this order. Floating-point numbers become
        ``floatX``, whole numbers stay whole.
    logp : callable, optional
        ``logp(value, *dist_params)``: a PyTensor expression of the log density, one number an
        event. Needed for a model's log density.
    random : callable, optional
        ``random(*dist_params, rng=rng, size=size)``: draws as a NumPy array, from arrays and a
        ``numpy.random.Generator``. ``size`` is the shape of the draws without event axes, or None
        for that to which the parameters broadcast. Needed for draws, prior or predictive ones.
    logcdf : callable, optional
        ``logcdf(value, *dist_params)``: a PyTensor expression of the log of the distribution
        function.
    support_point : callable, optional
        ``support_point(rv, size, *dist_params)``: a PyTensor expression of a typical value, where a
        fit starts; zeros by default.
    dist : callable, optional
        ``dist(*dist_params, size)``: an expression of variables that other distributions made by
        their ``dist``. It replaces ``random``. If the expression is just one such variable, then
        all that is not given comes from its distribution, the log density among it.
    ndim_supp : int, default 0
        Number of axes of an event.
    ndims_params : sequence of int, optional
        Number of axes of an element of each parameter; zeros by default.
    signature : str, optional
        Both together, as NumPy writes them: ``"(n),(n,n)->(n)"`` has events that are vectors, as
        long as the first parameter. Of an event whose shape is not told so, ``shape``, ``dims`` or
        data have to tell it.
    dtype : str, default "floatX"
        Dtype of the variable. One of whole numbers makes the distribution discrete.
    class_name : str, default "CustomDist"
        Name of the distribution in a model's display.

    Raises
    ------
    NotImplementedError
        When the log density or a draw is asked for and no function gives it.
    ShapeError
        If the numbers of axes do not fit together.

    Notes
    -----
    ``random`` runs in Python. Compiled code returns to the interpreter for each call (PyTensor says
    so in a warning), which costs tens of microseconds on top of the function itself, and what holds
    such a call is compiled again in every session. The log density has no such cost: it is part of
    the compiled graph.

    Examples
    --------
    >>> import vibayes as vb
    >>> def logp(value, mu):
    ...     return -vb.math.abs(value - mu) - vb.math.log(2.0)
    >>> def random(mu, rng=None, size=None):
    ...     return rng.laplace(mu, size=size)
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.CustomDist("y", mu, logp=logp, random=random, observed=[1.0, 2.5, -0.3])
    """

    @behind_new
    def __init__(
        self,
        *dist_params: Any,
        dist: Callable[..., Any] | None = None,
        random: Callable[..., Any] | None = None,
        logp: Callable[..., Any] | None = None,
        logcdf: Callable[..., Any] | None = None,
        support_point: Callable[..., Any] | None = None,
        ndim_supp: int | None = None,
        ndims_params: Sequence[int] | None = None,
        signature: str | None = None,
        dtype: str = "floatX",
        class_name: str = "CustomDist",
    ) -> None:
        if dist is not None and random is not None:
            raise ValueError("give either dist or random, not both")
        if any(callable(v) and not hasattr(v, "type") for v in dist_params):
            raise TypeError(
                "a function is given by its name, as logp= or dist=; parameters come first"
            )
        self.functions = {"logp": logp, "logcdf": logcdf, "support_point": support_point}
        self.numpy_random, self.symbolic_random = random, dist
        self.class_name = class_name
        self.arguments = [as_param(v, f"parameter {i}") for i, v in enumerate(dist_params)]
        self.params = {f"p{i}": value for i, value in enumerate(self.arguments)}
        if not isinstance(dtype, str | type | np.dtype):
            raise TypeError(f"dtype must be a dtype such as 'int64', got {shown(dtype)}")
        self.dtype = pytensor.config.floatX if dtype == "floatX" else np.dtype(dtype).name
        self.parent: Distribution | None = None
        if dist is not None:
            self.sample = check_expression(dist(*self.arguments, None))
            self.dtype = self.sample.dtype
            if getattr(self.sample.tag, "distribution", None) is not None:
                self.parent = distribution_of(self.sample)
        self.discrete = np.dtype(self.dtype).kind in "biu"
        self._set_ndims(signature, ndim_supp, ndims_params)

    def _set_ndims(
        self, signature: str | None, ndim_supp: int | None, ndims_params: Sequence[int] | None
    ) -> None:
        """Set the numbers of axes of an event and of parameters, and the event's shape if known."""
        self.event: tuple[Any, ...] | None = None
        if signature is not None:
            if ndim_supp is not None or ndims_params is not None:
                raise ValueError("signature says it all: leave out ndim_supp and ndims_params")
            names, output = parse_signature(signature)
            ndims_params, ndim_supp = [len(dims) for dims in names], len(output)
        if ndim_supp is not None:
            ndim_supp = check_whole(ndim_supp, "ndim_supp", least=0)
        else:
            ndim_supp = 0 if self.parent is None else self.parent.ndim_supp
        ndims = [0] * len(self.arguments)
        if ndims_params is not None:
            if isinstance(ndims_params, Variable):
                raise TypeError(f"ndims_params must be a list of numbers, got {ndims_params}")
            ndims = [check_whole(ndim, "ndims_params", least=0) for ndim in ndims_params]
        if len(ndims) != len(self.arguments):
            raise ShapeError(
                f"{len(self.arguments)} parameters, but axes are given of {len(ndims)}"
            )
        for i, (value, ndim) in enumerate(zip(self.arguments, ndims, strict=True)):
            if value.type.ndim < ndim:
                raise ShapeError(f"parameter {i} has {value.type.ndim} axes, it needs {ndim}")
        self.ndim_supp = ndim_supp
        self.param_ndims = dict(zip(self.params, ndims, strict=True))
        if signature is not None:
            lengths: dict[str, Any] = {}
            for value, dims in zip(self.arguments, names, strict=True):
                shape = known_lengths(value, value.type.ndim)
                lengths |= zip(dims, shape[len(shape) - len(dims) :], strict=True)
            if lengths.keys() >= set(output):
                self.event = tuple(lengths[name] for name in output)

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        self.event = tuple(event)

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        if self.symbolic_random is None:
            return super().batch_shapes
        return [known_lengths(self.sample, self.sample.type.ndim - self.ndim_supp)]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        if self.symbolic_random is not None:
            draw = check_expression(self.symbolic_random(*self.arguments, size))
            return with_generator(draw, rng, self.arguments)
        inputs, ndims = list(self.arguments), list(self.param_ndims.values())
        if self.ndim_supp:
            if self.event is None:
                raise ShapeError(
                    "the shape of an event is not known; give shape, dims, observed, or a "
                    "signature in which the parameters tell it"
                )
            inputs.append(pt.stack([pt.as_tensor_variable(n) for n in self.event]).astype("int64"))
            ndims.append(1)
        op = NumPyRandom(
            name=self.class_name,
            signature=as_signature(ndims, self.ndim_supp),
            dtype=self.dtype,
            function=self.numpy_random,
        )
        return draw_from(op, *inputs, rng=rng, size=size)

    def _call(self, name: str, *leading: Any) -> TensorVariable:
        """Return what the user's function gives, or else the method of the parent."""
        function = self.functions[name]
        if function is not None:
            return pt.as_tensor_variable(function(*leading, *self.arguments))
        if self.parent is not None:
            return getattr(self.parent, name)(*leading)
        who = f"{self.class_name}({self.rv.name!r})" if self.rv.name else self.class_name
        why = ""
        if self.symbolic_random is not None:
            why = ", since what dist returns is not just a variable made by another distribution"
        raise NotImplementedError(f"{who}: give a {name} function, its {name} is not known{why}")

    def logp(self, value: TensorVariable) -> TensorVariable:
        return self._call("logp", value)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return self._call("logcdf", value)

    def support_point(self) -> TensorVariable:
        if self.functions["support_point"] is not None:
            return self._call("support_point", self.rv, self.rv_batch_shape)
        if self.parent is not None:
            return self.parent.support_point()
        return pt.zeros(self.ndim_supp * (1,), dtype=self.dtype)

    @property
    def default_transform(self) -> Transform | None:
        """That of the distribution that ``dist`` returns, if it returns just a variable."""
        return None if self.parent is None else self.parent.default_transform

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, self.class_name, 1)


DensityDist = CustomDist


def as_param(value: Any, subject: str) -> TensorVariable:
    """Return a parameter as a tensor; floating-point numbers become ``floatX``."""
    value = as_tensor(value, subject)
    return to_float(value) if value.dtype.startswith("float") else value


def parse_signature(signature: str) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Return the names of the core axes of each input, and of the output."""
    sides = signature.replace(" ", "").split("->")
    groups = [[split_names(g) for g in re.findall(r"\(([^()]*)\)", side)] for side in sides]
    if len(groups) != 2 or len(groups[1]) != 1:
        raise ValueError(f"a signature looks like '(n),(n,n)->(n)', got {signature!r}")
    inputs, (output,) = groups
    return inputs, output


def as_signature(ndims_params: Sequence[int], ndim_supp: int) -> str:
    """Return a signature of numbers of axes, all axes being of different length."""
    groups = [
        "(" + ",".join(f"d{i}_{axis}" for axis in range(ndim)) + ")"
        for i, ndim in enumerate((*ndims_params, ndim_supp))
    ]
    return f"{','.join(groups[:-1])}->{groups[-1]}"


def split_names(group: str) -> tuple[str, ...]:
    return tuple(name for name in group.split(",") if name)


def check_expression(variable: Any) -> TensorVariable:
    if not isinstance(variable, TensorVariable):
        raise TypeError(f"dist must return a PyTensor variable, got {variable!r}")
    return variable


def with_generator(
    draw: TensorVariable, rng: Variable, arguments: Sequence[Variable]
) -> tuple[Any, TensorVariable]:
    """Return an expression that draws from the given generator, and the generator after that.

    Every variable made by ``dist`` brings a generator of its own. They are replaced, one after the
    other, by the state in which the one before leaves the given generator.
    """
    own = random_generators([draw], blockers=arguments)
    for generator in own:
        draw, rng = graph_replace([draw, generator.default_update], {generator: rng}, strict=False)
    return rng, draw
