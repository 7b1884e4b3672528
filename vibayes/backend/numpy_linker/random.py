"""Draws at random, where NumPy has something quicker than its general functions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.tensor.random.basic import BernoulliRV, NormalRV
from pytensor.tensor.random.op import RandomVariable

from vibayes.backend.numpy_linker.convert import convert

__all__: list[str] = []


@convert.register(RandomVariable)
def random_variable(op: RandomVariable, node: Apply) -> Callable[..., Any]:
    perform = convert.dispatch(Op)(op, node)

    def drawn(rng: Any, size: Any, *params: Any) -> Any:
        # SciPy's draws unlock the memory of parameters, which that of constants forbids
        own = [
            p if isinstance(p, np.ndarray) and p.flags.writeable else np.array(p) for p in params
        ]
        return perform(rng, size, *own)

    return drawn


def drawing(op: RandomVariable, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what an operation is, by a function of a generator, a shape and its parameters."""
    dtype = op.dtype

    def drawn(rng: np.random.Generator, size: Any, *params: Any) -> Any:
        rng = rng if op.inplace else deepcopy(rng)
        lengths = np.broadcast_shapes(*map(np.shape, params)) if size is None else tuple(size)
        return rng, np.asarray(function(rng, lengths, *params), dtype=dtype)

    return drawn


@convert.register(NormalRV)
def normal(op: NormalRV, node: Apply) -> Callable[..., Any]:
    """Scale and shift standard normals: ``Generator.normal`` goes element by element."""

    def values(rng: np.random.Generator, lengths: tuple[int, ...], loc: Any, scale: Any) -> Any:
        if np.any(np.signbit(scale)):
            raise ValueError("scale < 0")
        result = rng.standard_normal(lengths)
        result *= scale
        result += loc
        return result

    return drawing(op, values)


@convert.register(BernoulliRV)
def bernoulli(op: BernoulliRV, node: Apply) -> Callable[..., Any]:
    def values(rng: np.random.Generator, lengths: tuple[int, ...], p: Any) -> Any:
        if not np.all((p >= 0) & (p <= 1)):
            raise ValueError("p < 0, p > 1 or p is NaN")
        return rng.random(lengths) < p

    return drawing(op, values)
