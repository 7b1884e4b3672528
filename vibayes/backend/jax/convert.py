"""A PyTensor graph as a function of JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.basic import Split
from pytensor.tensor.type import TensorType

from vibayes.backend.jax import operations  # noqa: F401  (says how JAX runs some of PyTensor's)
from vibayes.backend.jax.devices import double_precision
from vibayes.backend.jax.keys import use_keys
from vibayes.backend.jax.versions import own_jax_version, register_jax_versions
from vibayes.backend.settings import WITHOUT_C, WITHOUT_TRACES

__all__ = [
    "constant_of",
    "function_of",
    "jax_function",
    "jax_operation",
    "lengths_of_parts",
    "not_for_jax",
    "results_of",
    "rewritten_for_jax",
]


def jax_function(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    shapes: Sequence[tuple[int, ...] | None],
) -> Callable[..., list[Any]]:
    """Return a graph as a function of JAX arrays, for JAX to compile.

    All shapes are put into the graph, and PyTensor works out what follows from them: JAX has to
    know the shape of everything before it compiles.

    Parameters
    ----------
    inputs
        Tensors, and random generators, in whose place the function takes keys.
    outputs
        Expressions of them.
    shapes
        Shapes of the tensors, None for a generator.

    Raises
    ------
    NotImplementedError
        Names an operation that has no version for JAX, and what is computed by it.
    """
    with double_precision():
        return function_of(rewritten_for_jax(inputs, outputs, shapes))


def rewritten_for_jax(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    shapes: Sequence[tuple[int, ...] | None],
) -> FunctionGraph:
    """Return a graph whose shapes are known, after PyTensor's rewrites for JAX.

    See :func:`jax_function`.
    """
    register_jax_versions()
    known = [with_shape(v, shape) for v, shape in zip(inputs, shapes, strict=True)]
    replaced = clone_replace(
        list(outputs), dict(zip(inputs, known, strict=True)), rebuild_strict=False
    )
    fgraph = FunctionGraph(known, replaced, clone=True)
    with WITHOUT_C, WITHOUT_TRACES:
        get_mode("JAX").optimizer.rewrite(fgraph)
    use_keys(fgraph)
    return fgraph


def with_shape(variable: Variable, shape: tuple[int, ...] | None) -> Variable:
    """Return a variable like another one, of a shape that is known."""
    if shape is None or not isinstance(variable.type, TensorType):
        return variable.type(variable.name)
    return variable.type.clone(shape=shape)(variable.name)


def function_of(fgraph: FunctionGraph) -> Callable[..., list[Any]]:
    """Return a rewritten graph as a function of JAX arrays."""
    constants = {v: constant_of(v) for v in fgraph.variables if isinstance(v, Constant)}
    steps = [(node, jax_operation(node)) for node in fgraph.toposort()]

    def function(*values: Any) -> list[Any]:
        known = constants | dict(zip(fgraph.inputs, values, strict=True))
        for node, operation in steps:
            results = results_of(node, operation, [known[v] for v in node.inputs])
            known.update(zip(node.outputs, results, strict=True))
        return [known[v] for v in fgraph.outputs]

    return function


def constant_of(variable: Constant) -> Any:
    """Return the value of a constant as JAX takes it."""
    import jax
    from pytensor.link.jax.dispatch import jax_typify

    if not isinstance(variable.type, TensorType) or variable.type.ndim == 0:
        return jax_typify(variable.data)
    # jax.numpy.array, which jax_typify calls, would compile a conversion for each shape
    return jax.device_put(np.asarray(variable.data, dtype=variable.type.dtype))


def results_of(node: Apply, operation: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
    """Return what an operation makes of its inputs, in the dtypes that PyTensor gives to it."""
    from jax.errors import JAXIndexError

    try:
        results = operation(*inputs)
    except (JAXIndexError, NotImplementedError, TypeError) as error:  # it has to know a value
        raise not_for_jax(node, error) from error
    if len(node.outputs) == 1 and not isinstance(results, tuple | list):
        results = [results]
    return [
        in_dtype(value, getattr(variable.type, "dtype", None))
        for value, variable in zip(results, node.outputs, strict=True)
    ]


def in_dtype(value: Any, dtype: str | None) -> Any:
    """Return an array in a dtype; keys, and what is known before arrays are, stay as they are."""
    own = getattr(value, "dtype", None)
    if own is None or dtype is None:  # and not by equality, which takes None for a dtype
        return value
    return value if own == dtype else value.astype(dtype)


def jax_operation(node: Apply) -> Callable[..., Any]:
    """Return what an operation does, as a function of JAX arrays."""
    from pytensor.link.jax.dispatch import jax_funcify

    if (own := own_jax_version(node)) is not None:
        return own
    try:
        return jax_funcify(node.op, node=node)
    except (NotImplementedError, AttributeError) as error:
        raise not_for_jax(node, error) from error


def not_for_jax(node: Apply, error: BaseException) -> NotImplementedError:
    """Return an error that says which operation has no version for JAX, and where it stands."""
    named = [v.name for v in ancestors(node.inputs) if v.name]
    where = f" (computed from {', '.join(dict.fromkeys(named[:5]))})" if named else ""
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return NotImplementedError(
        f"backend='jax' cannot run the operation {node.op}{where}: {why}. Use backend='numba'."
    )


def lengths_of_parts(outputs: Sequence[Variable]) -> set[Variable]:
    """Return the constants that tell where arrays are split, which JAX has to know as numbers."""
    nodes = {v.owner for v in ancestors(list(outputs)) if v.owner is not None}
    return {node.inputs[1] for node in nodes if isinstance(node.op, Split)}
