"""Operations that run once for each element of a stack, those of linear algebra above all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.tensor.basic import Split
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg import Cholesky, MatrixInverse, SolveTriangular
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape

from vibayes.backend.numpy_linker.convert import convert

__all__: list[str] = []


@convert.register(Blockwise)
def blockwise(op: Blockwise, node: Apply) -> Callable[..., Any]:
    core = op.core_op
    batch_ndim = op.batch_ndim(node)
    rows = one_by_one(op, node)
    if isinstance(core, Dot):
        return np.matmul
    if isinstance(core, Cholesky):
        return stacked_cholesky(core, rows)
    if isinstance(core, MatrixInverse):
        return stacked_inverse
    if isinstance(core, SolveTriangular):
        return triangular_solver(core, batch_ndim, rows)
    if isinstance(core, Reshape) and not any_batched(node.inputs[1], batch_ndim):
        return stacked_reshape(batch_ndim)
    if isinstance(core, Split) and not any(any_batched(v, batch_ndim) for v in node.inputs[1:]):
        return stacked_split(batch_ndim, getattr(core, "axis", None))
    if op.gufunc_spec or getattr(core, "gufunc_spec", None):
        return convert.dispatch(Op)(op, node)
    return rows


def any_batched(v: Any, batch_ndim: int) -> bool:
    return not all(v.type.broadcastable[:batch_ndim])


def one_by_one(op: Blockwise, node: Apply) -> Callable[..., Any]:
    """Return a loop over the elements of a stack."""
    batch_ndim = op.batch_ndim(node)
    core_node = op._create_dummy_core_node(list(node.inputs))
    function = convert(op.core_op, core_node)
    count = len(node.outputs)

    def rows(*inputs: Any) -> Any:
        stack = np.broadcast_shapes(*[x.shape[:batch_ndim] for x in inputs])
        stacks = [np.broadcast_to(x, (*stack, *x.shape[batch_ndim:])) for x in inputs]
        if 0 in stack:
            return empty(stack)
        results = [function(*[x[i] for x in stacks]) for i in np.ndindex(*stack)]
        columns = [results] if count == 1 else zip(*results, strict=True)
        outputs = [np.stack(column) for column in columns]
        outputs = [x.reshape(*stack, *x.shape[1:]) for x in outputs]
        return outputs[0] if count == 1 else tuple(outputs)

    def empty(stack: tuple[int, ...]) -> Any:
        outputs = [
            np.empty((*stack, *[n or 0 for n in v.type.shape[batch_ndim:]]), dtype=v.type.dtype)
            for v in node.outputs
        ]
        return outputs[0] if count == 1 else tuple(outputs)

    return rows


def stacked_reshape(batch_ndim: int) -> Callable[..., Any]:
    def reshape(x: Any, shape: Any) -> Any:
        return np.reshape(x, (*x.shape[:batch_ndim], *shape.ravel()))

    return reshape


def stacked_split(batch_ndim: int, axis: int | None) -> Callable[..., Any]:
    """Return a function that splits all elements of a stack at once.

    Up to PyTensor 3.0 the axis is an input, which comes before the lengths.
    """

    def split(x: Any, *others: Any) -> Any:
        own = others[0].item() if axis is None else axis
        places = np.cumsum(others[-1].ravel()[:-1])
        parts = np.split(x, places, axis=own if own < 0 else batch_ndim + own)
        return parts[0] if len(parts) == 1 else tuple(parts)

    return split


def stacked_cholesky(core: Cholesky, rows: Callable[..., Any]) -> Callable[..., Any]:
    def factor(x: Any) -> Any:
        try:
            if core.lower:
                return np.linalg.cholesky(x)
            return np.linalg.cholesky(x.swapaxes(-1, -2)).swapaxes(-1, -2)
        except np.linalg.LinAlgError:  # NaN only for those that are not positive definite
            return rows(x)

    return factor


def stacked_inverse(x: Any) -> np.ndarray:
    """Invert a stack of matrices, of which a singular one does not end the work on the others."""
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        found = np.full_like(x, np.nan)
        for i in np.ndindex(x.shape[:-2]):
            with suppress(np.linalg.LinAlgError):
                found[i] = np.linalg.inv(x[i])
        return found


def triangular_solver(
    core: SolveTriangular, batch_ndim: int, rows: Callable[..., Any]
) -> Callable[..., Any]:
    def solve(a: Any, b: Any) -> Any:
        stack = np.broadcast_shapes(a.shape[:batch_ndim], b.shape[:batch_ndim])
        if a.shape[-1] > np.prod(stack):
            return rows(a, b)
        a = np.broadcast_to(a, (*stack, *a.shape[batch_ndim:]))
        b = np.broadcast_to(b, (*stack, *b.shape[batch_ndim:]))
        if core.b_ndim == 1:
            return substitute(a, b[..., None], core.lower, core.unit_diagonal)[..., 0]
        return substitute(a, b, core.lower, core.unit_diagonal)

    return solve


def substitute(a: Any, b: Any, lower: bool, unit_diagonal: bool) -> np.ndarray:
    """Solve a stack of triangular systems, the same row of all of them at once."""
    n = a.shape[-1]
    x = np.array(b, dtype=np.result_type(a, b, np.float32))
    for i in range(n) if lower else range(n - 1, -1, -1):
        known = slice(0, i) if lower else slice(i + 1, n)
        x[..., i : i + 1, :] -= a[..., i : i + 1, known] @ x[..., known, :]
        if not unit_diagonal:
            x[..., i, :] /= a[..., i, i, None]
    if not unit_diagonal:
        singular = (np.diagonal(a, axis1=-2, axis2=-1) == 0).any(-1)
        x[singular] = np.nan
    return x
