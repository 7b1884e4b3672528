"""Elementwise operations as functions of arrays."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np
import scipy.special
from pytensor import scalar as ps
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.scalar.basic import Composite, Identity
from pytensor.scalar.loop import ScalarLoop
from pytensor.scalar.math import Log1mexp, Softplus, TriGamma
from pytensor.tensor.basic import as_tensor_variable
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.type import discrete_dtypes, float_dtypes, tensor

from vibayes.backend.numpy_linker.convert import convert, only
from vibayes.backend.numpy_linker.linker import graph_function

__all__: list[str] = []


def second(x: Any, y: Any) -> Any:
    return np.broadcast_to(y, np.broadcast_shapes(np.shape(x), np.shape(y)))


def softplus(x: Any) -> Any:
    # as np.logaddexp(0, x), which takes three times as long
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def log_one_minus_exp(x: Any) -> Any:
    return np.where(x < -np.log(2), np.log1p(-np.exp(x)), np.log(-np.expm1(x)))


def clip(x: Any, low: Any, high: Any) -> Any:
    return np.where(x < low, low, np.where(x > high, high, x))


def trigamma(x: Any) -> Any:
    return scipy.special.polygamma(1, x)


# those that PyTensor names no NumPy function for
FUNCTIONS: dict[type, Callable[..., Any]] = {
    ps.Second: second,
    ps.Switch: np.where,
    ps.Clip: clip,
    Identity: lambda x: x,
    Softplus: softplus,
    Log1mexp: log_one_minus_exp,
    TriGamma: trigamma,
}


@convert.register(Elemwise)
def elementwise(op: Elemwise, node: Apply) -> Callable[..., Any]:
    scalar_op = op.scalar_op
    if isinstance(scalar_op, ps.Cast):
        dtype = np.dtype(scalar_op.o_type.dtype)
        return lambda x: x.astype(dtype, copy=False)
    if isinstance(scalar_op, Composite):
        return composite(scalar_op)
    if isinstance(scalar_op, ScalarLoop):
        return scalar_loop(scalar_op)
    function = array_function(scalar_op, len(node.inputs))
    if function is None:
        return convert.dispatch(Op)(op, node)
    return with_broadcast_check(with_output_dtype(function, node), node)


def array_function(scalar_op: Any, n_inputs: int) -> Callable[..., Any] | None:
    """Return the NumPy or SciPy function that does a scalar operation on arrays."""
    if type(scalar_op) in FUNCTIONS:
        return FUNCTIONS[type(scalar_op)]
    name, takes, gives = getattr(scalar_op, "nfunc_spec", None) or (None, 0, 0)
    if gives != 1:
        return None
    function = imported(name)
    if n_inputs == takes:
        return function
    return lambda *inputs: reduce(function, inputs)  # a sum, product, ... of any number


@cache
def imported(name: str) -> Callable[..., Any]:
    """Return a function by its name; one without a module is NumPy's."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module or "numpy"), attribute)


def with_output_dtype(function: Callable[..., Any], node: Apply) -> Callable[..., Any]:
    """Return a function whose result has the dtype that PyTensor says."""
    dtype = node.outputs[0].type.dtype
    given = [v.type.dtype for v in node.inputs]
    if dtype in float_dtypes and all(d in discrete_dtypes for d in given):
        # NumPy would compute with small integers in half precision
        return lambda *inputs: function(*[np.asarray(x, dtype) for x in inputs]).astype(dtype)
    with np.errstate(all="ignore"):
        own = function(*[np.ones((), d) for d in given]).dtype
    if own == dtype:
        return function
    return lambda *inputs: function(*inputs).astype(dtype)


def with_broadcast_check(function: Callable[..., Any], node: Apply) -> Callable[..., Any]:
    """Return a function that broadcasts only what PyTensor knows to have length 1."""
    shapes = [v.type.shape for v in node.inputs]
    to_check = []
    for i, own in enumerate(shapes):
        others = shapes[:i] + shapes[i + 1 :]
        unknown = [a for a, n in enumerate(own) if n is None]
        axes = [a for a in unknown if any(other[a] != 1 for other in others)]
        if axes:
            to_check.append((i, axes))
    if not to_check:
        return function

    def checked(*inputs: Any) -> Any:
        result = function(*inputs)
        lengths = result.shape
        for i, axes in to_check:
            own_lengths = inputs[i].shape
            for axis in axes:
                if own_lengths[axis] != lengths[axis]:
                    raise ValueError(
                        f"Runtime broadcasting not allowed: input {i} has shape {own_lengths}, the "
                        f"result {lengths}. If its length 1 is to be broadcast, use "
                        "specify_broadcastable on it"
                    )
        return result

    return checked


def composite(scalar_op: Composite) -> Callable[..., Any]:
    """Return a graph of scalar operations as a function of arrays."""
    function = array_graph(scalar_op)
    return only(function) if scalar_op.nout == 1 else function


def array_graph(scalar_op: Any) -> Callable[..., Any]:
    """Return the inner graph of a scalar operation as a function of arrays."""
    # as many axes as the arrays have is not known here, and does not matter to NumPy
    values = {v: tensor(dtype=v.type.dtype, shape=()) for v in scalar_op.fgraph.inputs}
    order = []

    def value(v: Any) -> Any:
        return values[v] if v in values else as_tensor_variable(v.data)

    for scalar_node in scalar_op.fgraph.toposort():
        inputs = [value(v) for v in scalar_node.inputs]
        node = Elemwise(scalar_node.op).make_node(*inputs)
        values.update(zip(scalar_node.outputs, node.outputs, strict=True))
        order.append(node)
    inputs = [values[v] for v in scalar_op.fgraph.inputs]
    return graph_function(inputs, [value(v) for v in scalar_op.fgraph.outputs], order)


def scalar_loop(scalar_op: ScalarLoop) -> Callable[..., Any]:
    """Return a loop on scalars as one on arrays, in which finished elements stay as they are."""
    step = array_graph(scalar_op)
    has_condition = scalar_op.is_while
    n_state = len(scalar_op.fgraph.outputs) - has_condition
    dtypes = [v.type.dtype for v in scalar_op.fgraph.outputs]

    def loop(n_steps: Any, *inputs: Any) -> Any:
        shape = np.broadcast_shapes(np.shape(n_steps), *[np.shape(x) for x in inputs])
        columns = [np.broadcast_to(x, shape).ravel() for x in inputs]
        limits = np.broadcast_to(n_steps, shape).ravel()
        state = [np.array(x) for x in columns[:n_state]]
        constants = columns[n_state:]
        done = np.full(limits.shape, True)  # as PyTensor has it for what takes no step
        active = np.flatnonzero(limits > 0)
        i = 0
        while len(active):
            at = [x[active] for x in (*state, *constants)]
            results = step(*at)
            for x, new in zip(state, results, strict=False):
                x[active] = new
            if has_condition:
                done[active] = results[-1]
            i += 1
            goes_on = limits[active] > i
            if has_condition:
                goes_on &= ~done[active]
            active = active[goes_on]
        state += [done] if has_condition else []
        results = [x.astype(d).reshape(shape) for x, d in zip(state, dtypes, strict=True)]
        return results[0] if len(results) == 1 else tuple(results)

    return loop
