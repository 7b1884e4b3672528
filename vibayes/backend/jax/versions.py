"""What PyTensor is told of JAX: how it runs our operations, and those that it has no version of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

__all__ = ["jax_version", "register_jax_versions"]

Implementation = Callable[[Any, Any], Callable[..., Any]]

# what PyTensor has not been told yet: JAX is imported only when it is needed
PENDING: dict[type[Op], Implementation] = {}


def jax_version(op_class: type[Op]) -> Callable[[Implementation], Implementation]:
    """Return a decorator of a function that says how JAX runs an operation.

    The function maps an operation and its node to a function of JAX arrays.
    """

    def keep(implementation: Implementation) -> Implementation:
        PENDING[op_class] = implementation
        return implementation

    return keep


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
