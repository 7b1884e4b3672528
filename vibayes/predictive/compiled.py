"""Functions of many draws, called on as many at a time as memory is to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.seeds import as_seed_sequence, new_generator, random_generators
from vibayes.predictive.batching import over_draws
from vibayes.settings import Identity

__all__ = ["OverDraws", "compile_over_draws", "mode_key"]

MOST_NUMBERS = 100_000  # of the results of one call: what processors keep close at hand


@dataclass(frozen=True)
class OverDraws:
    """Expressions at many draws of what they depend on.

    Attributes
    ----------
    function : callable
        Of the number of draws, random generators, and draws.
    n_generators : int
        Number of generators.
    ndims : tuple of int
        Number of axes of each expression at one draw.
    """

    function: Any
    n_generators: int
    ndims: tuple[int, ...]

    def __call__(
        self, draws: int, values: Sequence[np.ndarray], random_seed: Any = None
    ) -> list[np.ndarray]:
        """Return the expressions, the first axis being the draws.

        The first draw is computed by itself and tells how large the results are: so how many draws
        a call takes depends on nothing but the model and its data.

        Parameters
        ----------
        draws
            Number of draws.
        values
            What the expressions depend on, the first axis being the draws.
        random_seed
            Seed of what is drawn at random.
        """
        seed = as_seed_sequence(random_seed)
        first = self._part(slice(0, 1), values, seed)
        results = [np.empty((draws, *part.shape[1:]), dtype=part.dtype) for part in first]
        numbers = sum(part.size for part in first)
        rows = max(1, MOST_NUMBERS // max(numbers, 1))
        for result, part in zip(results, first, strict=True):
            result[:1] = part
        for start in range(1, draws, rows):
            rows_here = slice(start, min(start + rows, draws))
            pieces = self._part(rows_here, values, seed)
            for result, piece in zip(results, pieces, strict=True):
                result[rows_here] = piece
        return results

    def _part(
        self, rows: slice, values: Sequence[np.ndarray], seed: np.random.SeedSequence
    ) -> list[np.ndarray]:
        """Return the expressions at some of the draws."""
        (part,) = seed.spawn(1)
        generators = [new_generator(s) for s in part.spawn(self.n_generators)]
        count = rows.stop - rows.start
        with np.errstate(all="ignore"):
            results = self.function(count, *generators, *(v[rows] for v in values))
        return [
            result if result.ndim > ndim else np.broadcast_to(result, (count, *result.shape))
            for result, ndim in zip(results, self.ndims, strict=True)
        ]


def compile_over_draws(
    outputs: Sequence[Variable],
    given: Sequence[TensorVariable],
    replacements: Mapping[Variable, Variable],
    others: Mapping[Variable, Variable] | None = None,
    mode: Any = EVALUATE_MODE,
) -> OverDraws:
    """Compile expressions of one draw into a function of many.

    Parameters
    ----------
    outputs
        The expressions.
    given
        The variables whose draws the function takes.
    replacements
        What to put in the place of other parts of the expressions, the same for all draws.
    others
        Expressions of one draw in the place of further parts.
    mode
        A PyTensor mode.
    """
    size = pt.lscalar("draws")
    stacks = {v: pt.TensorType(v.dtype, (None, *v.type.shape))(v.name) for v in given}
    results = over_draws(outputs, {**replacements, **stacks}, size, others or {})
    generators = random_generators(results)
    inputs = {rng: rng.type(rng.name) for rng in generators}
    results = graph_replace(results, inputs, strict=False) if inputs else results
    function = pytensor.function(
        [size, *inputs.values(), *stacks.values()],
        results,
        mode=mode,
        on_unused_input="ignore",
    )
    return OverDraws(function, len(generators), tuple(o.type.ndim for o in outputs))


def mode_key(mode: Any) -> Any:
    """Return what is equal for modes that are the same."""
    return mode if isinstance(mode, str) else Identity(mode)
