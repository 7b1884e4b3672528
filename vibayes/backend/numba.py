"""What PyTensor has to be told before Numba compiles our operations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from vibayes import interrupts

__all__ = ["ANY_ORDER", "NumbaOp", "checked_passes", "numba_version", "register_numba_versions"]

Implementation = Callable[[Any, Apply, Callable[..., Any]], tuple[Any, int]]

# The ``fastmath`` of a loop that sums: the compiler may add several parts side by side, in vector
# instructions, and fuse product and sum. Nothing else of arithmetic changes.
ANY_ORDER = {"contract", "reassoc"}

# what PyTensor has not been told yet: numba is imported only when it is needed
PENDING: dict[type[Op], Implementation] = {}


def numba_version(op_class: type[Op]) -> Callable[[Implementation], Implementation]:
    """Return a decorator of a function that says how numba compiles an operation of ours.

    The function maps an operation, its node and ``numba_njit`` to a compiled function and the
    version of its code, which is part of the name under which numba keeps it on disk. What it
    compiles may depend on the operation's ``__props__``, and on nothing else of the node than its
    dtypes and numbers of axes.
    """

    def keep(implementation: Implementation) -> Implementation:
        PENDING[op_class] = implementation
        return implementation

    return keep


def register_numba_versions() -> None:
    """Tell PyTensor how numba compiles our operations."""
    if not PENDING:
        return
    from pytensor.link.numba.dispatch.basic import (
        numba_njit,
        register_funcify_default_op_cache_key,
    )

    for op_class, implementation in list(PENDING.items()):
        register_funcify_default_op_cache_key(op_class)(with_compiler(implementation, numba_njit))
        PENDING.pop(op_class, None)


def with_compiler(implementation: Implementation, njit: Callable[..., Any]) -> Callable[..., Any]:
    """Return an implementation as PyTensor calls it."""

    def funcify(op: Any, node: Apply, **kwargs: Any) -> tuple[Any, int]:
        return implementation(op, node, njit)

    return funcify


class NumbaOp(Op):
    """Base of our operations that have a numba version.

    The first one that is used tells PyTensor of all of them, so that PyTensor's own numba mode
    knows them too.
    """

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        register_numba_versions()
        return super().__call__(*inputs, **kwargs)


@contextmanager
def checked_passes() -> Iterator[None]:
    """Let a signal end what is compiled in the block, between two passes of the compiler.

    An exception anywhere else might come while Numba takes in what it has to know of functions,
    and it would never know them.
    """
    if "numba" not in sys.modules:
        yield
        return
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            interrupts.check()

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:run_pass", Listener()):
        yield
