"""How graphs become functions: which mode for what, and evaluation without a compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.link.vm import VMLinker

from vibayes.backend.numba import numba_mode
from vibayes.backend.numpy_linker import NumpyLinker, numpy_mode

__all__ = [
    "AS_IT_IS",
    "EVALUATE_MODE",
    "compiled_code",
    "evaluate",
    "profiling_mode",
    "resolve_mode",
]

# NumPy runs the graph operation by operation: a call on few numbers costs more than a compiled
# one, but nothing is compiled. Right for what is evaluated a few times, or on large arrays.
EVALUATE_MODE = numpy_mode()
# For parts of graphs that were rewritten for it already.
AS_IT_IS = Mode(NumpyLinker(), None)


def resolve_mode(backend: str | None = None, mode: Any = None) -> Any:
    """Return the PyTensor mode for a fit.

    Parameters
    ----------
    backend : {"numba", "c", "py"}, optional
        The linker; numba by default. "py" calls NumPy, operation by operation: it needs no
        compilation, and its steps cost microseconds for each operation.
    mode : str or Mode, optional
        A PyTensor mode, instead of ``backend``.
    """
    if backend is not None and mode is not None:
        raise ValueError("give either backend or mode, not both")
    if mode is not None:
        return mode
    if backend in (None, "numba"):
        return numba_mode()
    if backend not in ("c", "py"):
        raise ValueError(f"backend must be 'numba', 'c' or 'py', got {backend!r}")
    return "CVM" if backend == "c" else EVALUATE_MODE


def profiling_mode(mode: Any = None) -> Any:
    """Return a mode that runs a graph operation by operation, so that each can be timed.

    Parameters
    ----------
    mode : str or Mode, optional
        A PyTensor mode, instead of NumPy's.
    """
    if mode is not None:
        return mode
    return Mode(linker=VMLinker(use_cloop=False, c_thunks=False), optimizer="fast_compile")


def evaluate(
    outputs: Sequence[Variable], givens: Mapping[Variable, Any] | None = None
) -> list[np.ndarray]:
    """Return the values of expressions, computed with NumPy.

    Parameters
    ----------
    outputs
        Expressions.
    givens
        Values of their inputs.
    """
    givens = dict(givens or {})
    function = pytensor.function(
        list(givens),
        list(outputs),
        mode=EVALUATE_MODE,
        on_unused_input="ignore",
        allow_input_downcast=True,
    )
    return function(*givens.values())


def compiled_code(function: Any) -> Callable[..., Any] | None:
    """Return what a linker made of a graph, without PyTensor's handling of inputs, or None.

    It takes the values of all inputs, those of shared variables after the others. There is none
    where each operation is a function of its own, as in C.
    """
    return getattr(function.vm, "jit_fn", None)
