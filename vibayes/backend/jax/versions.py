"""What PyTensor is told of JAX: how it runs our operations, and those that it has no version of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.tensor.elemwise import Elemwise

__all__ = ["jax_version", "own_jax_version", "quick_jax_version", "register_jax_versions"]

Implementation = Callable[[Any, Any], Callable[..., Any]]

# what PyTensor has not been told yet: JAX is imported only when it is needed
PENDING: dict[type[Op], Implementation] = {}
# what we do otherwise than PyTensor, for ourselves alone; operations, and functions of a number
QUICK: dict[type, Implementation] = {}


def jax_version(op_class: type[Op]) -> Callable[[Implementation], Implementation]:
    """Return a decorator of a function that says how JAX runs an operation.

    The function maps an operation and its node to a function of JAX arrays.
    """

    def keep(implementation: Implementation) -> Implementation:
        PENDING[op_class] = implementation
        return implementation

    return keep


def quick_jax_version(op_class: type) -> Callable[[Implementation], Implementation]:
    """Return a decorator like :func:`jax_version`, for where PyTensor's own version is slow.

    The class may be that of an operation, or of a function that one applies to each number.
    """

    def keep(implementation: Implementation) -> Implementation:
        QUICK[op_class] = implementation
        return implementation

    return keep


def own_jax_version(node: Apply) -> Callable[..., Any] | None:
    """Return how we run an operation otherwise than PyTensor does; None for most."""
    of_each = getattr(node.op, "scalar_op", None) if isinstance(node.op, Elemwise) else None
    found = QUICK.get(type(node.op if of_each is None else of_each))
    return None if found is None else found(node.op, node)


def register_jax_versions() -> None:
    """Tell PyTensor how JAX runs our operations."""
    jax_funcify = jax_dispatch()
    for op_class, implementation in list(PENDING.items()):
        theirs = jax_funcify.registry.get(op_class)
        jax_funcify.register(op_class)(as_pytensor_calls(implementation, theirs))
        PENDING.pop(op_class, None)


@cache
def jax_dispatch() -> Any:
    """Return PyTensor's ``jax_funcify``.

    When it is imported, PyTensor switches JAX to double precision for the whole process; that is
    put back.
    """
    import jax

    wide = jax.config.jax_enable_x64
    try:
        from pytensor.link.jax.dispatch import jax_funcify
    finally:
        jax.config.update("jax_enable_x64", wide)
    return jax_funcify


def as_pytensor_calls(
    implementation: Implementation, theirs: Callable[..., Any] | None
) -> Callable[..., Any]:
    """Return an implementation as PyTensor calls it, for where its own one is not to be had."""

    def funcify(op: Any, node: Apply | None = None, **kwargs: Any) -> Callable[..., Any]:
        if theirs is not None:
            try:
                return theirs(op, node=node, **kwargs)
            except NotImplementedError:  # it needs another package
                pass
        return implementation(op, node)

    return funcify
