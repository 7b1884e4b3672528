"""How graphs become functions: which mode for what, and evaluation without a compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.link.jax.linker import JAXLinker
from pytensor.link.vm import VMLinker

from vibayes import interrupts
from vibayes.arguments import shown
from vibayes.backend.jax import JaxDevices, jax_devices
from vibayes.backend.numba import checked_passes
from vibayes.backend.numba_linker import numba_mode
from vibayes.backend.numpy_linker import NumpyLinker, numpy_mode
from vibayes.flags import BACKENDS, config, known_backend

__all__ = [
    "AS_IT_IS",
    "EVALUATE_MODE",
    "compiled_code",
    "evaluate",
    "given_mode",
    "is_chosen_by_hand",
    "mode_of_many",
    "profiling_mode",
    "resolve_devices",
    "resolve_mode",
    "resolve_steps_mode",
    "safe_from_signals",
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
    if backend == "jax":
        raise ValueError("backend='jax' runs the steps of a fit alone: here use 'numba'")
    if backend not in BACKENDS:
        raise ValueError(f"backend must be 'numba', 'c' or 'py', got {shown(backend)}")
    return "CVM" if backend == "c" else EVALUATE_MODE


def mode_of_many(backend: str | None = None, compile_kwargs: Any = None) -> Any:
    """Return the mode of what is evaluated a few times at many draws: NumPy's by default.

    Parameters
    ----------
    backend : str, optional
        What the densities are computed by, as in :meth:`vibayes.Inference.fit`; NumPy by default.
    compile_kwargs : dict, optional
        ``mode``: a PyTensor mode.

    Raises
    ------
    TypeError
        If ``compile_kwargs`` has anything else.
    """
    mode = given_mode(compile_kwargs)
    return EVALUATE_MODE if backend is None and mode is None else resolve_mode(backend, mode)


def given_mode(compile_kwargs: Any) -> Any:
    """Return the PyTensor mode among arguments for compilation, None if there is none.

    Raises
    ------
    TypeError
        If there are others.
    """
    given = dict(compile_kwargs or {})
    mode = given.pop("mode", None)
    if given:
        raise TypeError(f"compile_kwargs takes 'mode' alone, got {next(iter(given))!r}")
    return mode


def resolve_steps_mode(
    backend: str | None = None, mode: Any = None, device: Any = None, devices: Any = None
) -> Any:
    """Return the mode of the steps of a fit: a PyTensor mode, or the devices of JAX.

    Parameters
    ----------
    backend : {"numba", "jax", "c", "py"}, optional
        What :func:`resolve_mode` takes, or JAX. By default what ``vibayes.config`` says.
    mode : str or Mode, optional
        A PyTensor mode, instead of ``backend``; ``"JAX"`` is the backend of this name.
    device, devices
        See :func:`vibayes.backend.jax.jax_devices`.

    Raises
    ------
    ValueError
        If the backend is unknown, or a device is given to one that has no choice.
    ImportError
        If JAX is wanted, and is not installed.
    """
    if backend is not None and mode is not None:
        raise ValueError("give either backend or mode, not both")
    if isinstance(getattr(mode, "linker", None), JAXLinker) or mode == "JAX":
        backend, mode = "jax", None
    if mode is not None:
        check_no_devices(device, devices)
        return resolve_mode(None, mode)
    found = resolve_devices(backend, device, devices)
    return resolve_mode(backend or config.backend) if found is None else found


def resolve_devices(
    backend: str | None = None, device: Any = None, devices: Any = None
) -> JaxDevices | None:
    """Return the devices of JAX that evaluate densities, None for NumPy.

    Parameters
    ----------
    backend : {"numba", "jax", "c", "py"}, optional
        NumPy stands in for all but JAX. By default what ``vibayes.config`` says.
    device, devices
        See :func:`vibayes.backend.jax.jax_devices`.

    Raises
    ------
    ValueError
        If the backend is unknown, or a device is given to one that has no choice.
    ImportError
        If JAX is wanted, and is not installed.
    """
    backend = config.backend if backend is None else known_backend("backend", backend)
    if backend == "jax":
        return jax_devices(device, devices)
    check_no_devices(device, devices)
    return None


def check_no_devices(device: Any, devices: Any) -> None:
    """Raise if there are devices for something else than JAX."""
    for name, value in {"device": device, "devices": devices}.items():
        if value is not None:
            raise ValueError(f"{name}={shown(value)} is for backend='jax', which was not asked for")


def is_chosen_by_hand(backend: str | None, mode: Any) -> bool:
    """Tell whether the user has said what the steps of a fit run on, rather than a rule."""
    return backend is not None or mode is not None or config.backend is not None


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


def safe_from_signals(function: Any, mode: Any) -> Callable[..., Any]:
    """Return a compiled function whose calls no signal can disturb.

    The first call, in which Numba compiles, can be ended by one.

    Parameters
    ----------
    function
        A PyTensor function.
    mode
        The mode that it was made with. Those of NumPy are Python code, and stay as they are.
    """
    if mode in (EVALUATE_MODE, AS_IT_IS):
        return function
    is_compiled = False

    def call(*args: Any) -> Any:
        nonlocal is_compiled
        if is_compiled:
            with interrupts.shut():
                return function(*args)
        with checked_passes():
            result = function(*args)
        is_compiled = True
        return result

    return call
