"""Numba functions that are quick to compile and cheap to call.

Four things differ from PyTensor's numba mode.

- PyTensor's linker wraps a compiled graph in a function of ``*args``; Numba then works out the
  type of the tuple at each call in Python, some 15 µs an array. With one named argument an input
  that happens in C. The fit loop calls its steps at each look of a callback, so that this is half
  of what a look costs.
- Functions release the interpreter's lock while they run, so that a thread that reads data ahead,
  or another fit, can run beside them.
- From PyTensor 3.1 on a matrix product compiles for ten seconds and more. Numba's own ``np.dot``
  compiles in half a second and calls the same BLAS; it only wants to be told of a transposition
  instead of being handed a strided view, which it would copy.
- Arithmetic is exact, each operation rounded by itself. With PyTensor's fast math (sums in another
  order, fused products) the last bits depend on which functions the compiler joins, and these are
  others when some of them come from Numba's cache on disk: the same seed had other numbers in the
  second process. It cost no speed that could be measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.link.numba.linker import NumbaLinker
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Dot
from pytensor.tensor.type import tensor

from vibayes import interrupts
from vibayes.backend.rewriting import InterpretedRewrites
from vibayes.backend.settings import EXACT_ARITHMETIC

__all__ = ["NumbaOp", "checked_passes", "numba_mode", "numba_version"]

Implementation = Callable[[Any, Apply, Callable[..., Any]], tuple[Any, int]]

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


class FixedArityNumbaLinker(NumbaLinker):
    """Numba linker of exact arithmetic, whose functions have one named argument an input."""

    def fgraph_convert(self, fgraph: Any, **kwargs: Any) -> Any:
        """Turn a graph into a function that Numba can compile."""
        with EXACT_ARITHMETIC:
            return super().fgraph_convert(fgraph, **kwargs)

    def jit_compile(self, fn_and_cache: tuple[Any, str | None]) -> Any:
        """Compile the outermost function of a graph."""
        from pytensor.link.numba.cache import compile_numba_function_src
        from pytensor.link.numba.dispatch.basic import numba_njit

        inner, cache_key = fn_and_cache
        if cache_key is None:
            with EXACT_ARITHMETIC:
                return super().jit_compile(fn_and_cache)
        arguments = ", ".join(f"x{i}" for i in range(len(self.fgraph.inputs)))
        function = compile_numba_function_src(
            src=f"def fixed_arity({arguments}): return inner({arguments})",
            function_name="fixed_arity",
            global_env={"__name__": __name__, "inner": inner},
            # what numba keeps on disk names the module that it came from
            cache_key=f"{cache_key}_fixed_arity_nogil_exact_{__name__}",
        )
        return numba_njit(function, fastmath=False, final_function=True, cache=True, nogil=True)


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


class MatrixProduct(Op):
    """Product of two matrices, either of them transposed.

    Parameters
    ----------
    transpose_x, transpose_y
        Whether to transpose the factor first.
    """

    __props__ = ("transpose_x", "transpose_y")

    def __init__(self, transpose_x: bool, transpose_y: bool) -> None:
        self.transpose_x = transpose_x
        self.transpose_y = transpose_y

    def make_node(self, x: Variable, y: Variable) -> Apply:
        rows = x.type.shape[1 if self.transpose_x else 0]
        columns = y.type.shape[0 if self.transpose_y else 1]
        return Apply(self, [x, y], [tensor(dtype=x.type.dtype, shape=(rows, columns))])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        x, y = inputs
        outputs[0][0] = np.dot(x.T if self.transpose_x else x, y.T if self.transpose_y else y)


@node_rewriter([Dot])
def use_matrix_product(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Replace a product of float matrices by :class:`MatrixProduct`."""
    x, y = node.inputs
    if x.type.ndim != 2 or y.type.ndim != 2:
        return None
    if x.type.dtype != y.type.dtype or x.type.dtype not in ("float32", "float64"):
        return None
    (x, transpose_x), (y, transpose_y) = untransposed(x), untransposed(y)
    return [MatrixProduct(transpose_x, transpose_y)(x, y)]


def untransposed(x: Variable) -> tuple[Variable, bool]:
    """Return a matrix without its last transposition, and whether there was one."""
    node = x.owner
    if node is not None and isinstance(node.op, DimShuffle) and node.op.new_order == (1, 0):
        return node.inputs[0], True
    return x, False


@numba_version(MatrixProduct)
def compiled_product(op: MatrixProduct, node: Apply, njit: Callable[..., Any]) -> tuple[Any, int]:
    if op.transpose_x and op.transpose_y:

        @njit
        def product(x, y):
            return np.dot(x.T, y.T)

    elif op.transpose_x:

        @njit
        def product(x, y):
            return np.dot(x.T, y)

    elif op.transpose_y:

        @njit
        def product(x, y):
            return np.dot(x, y.T)

    else:

        @njit
        def product(x, y):
            return np.dot(x, y)

    return product, 1


@cache
def numba_mode() -> Mode:
    """Return PyTensor's numba mode with this linker and this matrix product."""
    register_numba_versions()
    mode = InterpretedRewrites(FixedArityNumbaLinker(), get_mode("NUMBA").provided_optimizer)
    # after all rewrites that know Dot, before those that work in place
    return mode.register((dfs_rewriter(use_matrix_product), 49.4))
