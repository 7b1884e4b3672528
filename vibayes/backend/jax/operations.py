"""JAX versions of operations of PyTensor that have none, need another package, or are slow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pytensor.graph.basic import Apply, Variable
from pytensor.scalar.loop import ScalarLoop
from pytensor.scalar.math import Erfcx, Softplus
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Dot

from vibayes.backend.jax.versions import jax_version, quick_jax_version

__all__: list[str] = []

SERIES_TERMS = 10


@jax_version(ScalarLoop)
def jax_scalar_loop(op: ScalarLoop, node: Apply) -> Callable[..., Any]:
    """Run a loop on each element of arrays, all together: those that are done wait.

    The derivatives of incomplete gamma and beta functions are such loops.
    """
    import jax
    import jax.numpy as jnp
    from pytensor.link.jax.dispatch import jax_funcify

    update = jax_funcify(op.fgraph)
    n_states = len(op.outputs) - op.is_while
    dtypes = [v.type.dtype for v in op.outputs[:n_states]]

    def loop(n_steps: Any, *inputs: Any) -> Any:
        shape = jnp.broadcast_shapes(*(jnp.shape(x) for x in (n_steps, *inputs)))
        n_steps = jnp.broadcast_to(jnp.asarray(n_steps), shape)
        first = [
            jnp.broadcast_to(jnp.asarray(x, dtype=dtype), shape)
            for x, dtype in zip(inputs[:n_states], dtypes, strict=True)
        ]

        def goes_on(carry: Any) -> Any:
            return carry[1].any()

        def step(carry: Any) -> Any:
            i, active, state, done = carry
            results = update(*state, *inputs[n_states:])
            new = [
                jnp.where(active, jnp.asarray(after, dtype=dtype), before)
                for after, before, dtype in zip(results[:n_states], state, dtypes, strict=True)
            ]
            if op.is_while:
                done = jnp.where(active, jnp.asarray(results[-1], dtype=bool), done)
            return i + 1, active & ~done & (i + 1 < n_steps), new, done

        begin = jnp.int64(0), n_steps > 0, first, op.is_while & (n_steps <= 0)
        *_, state, done = jax.lax.while_loop(goes_on, step, begin)
        if op.is_while:
            return [*state, done]
        return state[0] if n_states == 1 else state

    return loop


@jax_version(Erfcx)
def jax_erfcx(op: Erfcx, node: Apply) -> Callable[..., Any]:
    """Scale the complementary error function, or sum its asymptotic series where that is tiny."""
    import jax.numpy as jnp
    from jax.scipy.special import erfc

    def erfcx(x: Any) -> Any:
        x = jnp.asarray(x)
        large = 10.0 if x.dtype == "float64" else 5.0
        near = jnp.minimum(x, large)
        far = jnp.maximum(x, large)
        series: Any = 1.0
        for k in range(SERIES_TERMS, 0, -1):
            series = 1 - (2 * k - 1) / (2 * far * far) * series
        return jnp.where(
            x < large, jnp.exp(near * near) * erfc(near), series / (far * math.sqrt(math.pi))
        )

    return erfcx


@quick_jax_version(Softplus)
def jax_softplus(op: Softplus, node: Apply) -> Callable[..., Any]:
    """Take one exponential and one logarithm, where PyTensor has one for each of four ranges."""
    import jax.numpy as jnp

    return lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@quick_jax_version(Dot)
def jax_dot(op: Dot, node: Apply) -> Callable[..., Any]:
    """Multiply a transposed matrix by a vector without a copy of the matrix.

    XLA would transpose it at each step, which takes five times as long as to multiply by it.
    """
    import jax.numpy as jnp
    from jax.lax import dot_general

    left, right = map(is_transposed, node.inputs)

    def dot(x: Any, y: Any) -> Any:
        if left and y.size == y.shape[0]:
            return dot_general(x.T, y, (((0,), (0,)), ((), ())))
        if right and x.size == x.shape[-1]:
            return dot_general(x, y.T, (((x.ndim - 1,), (1,)), ((), ())))
        return jnp.dot(x, y)

    return dot


def is_transposed(variable: Variable) -> bool:
    """Tell whether a matrix is another one transposed."""
    node = variable.owner
    return node is not None and isinstance(node.op, DimShuffle) and node.op.new_order == (1, 0)
