"""How graphs become functions: which mode for what, and evaluation without a compiler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.link.vm import VMLinker
from pytensor.tensor.random.type import RandomType

from vibayes.arguments import check_whole
from vibayes.backend.numba import numba_mode
from vibayes.backend.numpy_linker import NumpyLinker, numpy_mode

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


def drawing_mode(outputs: Sequence[Variable], random: Sequence[Variable]) -> Any:
    """Return the mode for a graph of many draws at once.

    Parameters
    ----------
    outputs
        Expressions of draws.
    random
        The inputs that differ from draw to draw: random generators.
    """
    return EVALUATE_MODE


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


def random_generators(outputs: Iterable[Variable]) -> list[SharedVariable]:
    """Return the shared random generators that expressions draw from, in a stable order."""
    return [
        variable
        for variable in ancestors(list(outputs))
        if isinstance(variable, SharedVariable) and isinstance(variable.type, RandomType)
    ]


def reseeded(
    outputs: Sequence[Variable], random_seed: Any
) -> tuple[list[Variable], dict[Variable, Variable]]:
    """Return expressions that draw from new generators, and the updates that advance those.

    The generators of the original graph are neither read nor advanced.

    Parameters
    ----------
    outputs
        Expressions.
    random_seed : int, SeedSequence, Generator or None
        Seed from which one independent stream a generator is spawned.
    """
    old = random_generators(outputs)
    seeds = as_seed_sequence(random_seed).spawn(len(old))
    new = {
        rng: pytensor.shared(np.random.Generator(np.random.PCG64(seed)), name=rng.name)
        for rng, seed in zip(old, seeds, strict=True)
    }
    advanced = [rng.default_update for rng in old if rng.default_update is not None]
    replaced = graph_replace([*outputs, *advanced], new, strict=False)
    movers = [new[rng] for rng in old if rng.default_update is not None]
    return replaced[: len(outputs)], dict(zip(movers, replaced[len(outputs) :], strict=True))


def as_replacements(replacements: Mapping[Variable, Any] | None) -> dict[Variable, Variable]:
    """Return replacements whose values are variables of types that fit."""
    result = {}
    for old, new in (replacements or {}).items():
        if not isinstance(old, Variable):
            raise TypeError(f"more_replacements: {old!r} is not a PyTensor variable")
        if not isinstance(new, Variable):
            new = pytensor.shared(np.asarray(new, dtype=old.dtype))
        result[old] = pt.as_tensor_variable(new)
    return result


def as_seed_sequence(random_seed: Any) -> np.random.SeedSequence:
    """Return a seed sequence of an int, a sequence of ints, a sequence, a generator, or None."""
    if isinstance(random_seed, np.random.SeedSequence):
        return random_seed
    if isinstance(random_seed, np.random.Generator):
        return np.random.SeedSequence(int(random_seed.integers(2**63)))
    several = np.iterable(random_seed) and not isinstance(random_seed, str)
    if random_seed is not None and not several:
        random_seed = check_whole(random_seed, "random_seed", least=0)
    try:
        return np.random.SeedSequence(random_seed)
    except (TypeError, ValueError):
        raise ValueError(
            f"random_seed must be None, a whole number of at least 0 (or several), a "
            f"SeedSequence or a Generator, got {random_seed!r}"
        ) from None
