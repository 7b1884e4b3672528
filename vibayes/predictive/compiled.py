"""Functions of many draws, called on as many at a time as memory is to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace, graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.seeds import as_seed_sequence, new_generator, random_generators
from vibayes.predictive.batching import over_draws
from vibayes.settings import Identity

__all__ = ["OverDraws", "compile_over_draws", "mode_key"]

MOST_NUMBERS = 100_000  # of the results of one call: what processors keep close at hand


class OverDraws:
    """Expressions at many draws of what they depend on.

    Parameters
    ----------
    function : callable
        Of the number of draws, random generators, and draws.
    n_generators : int
        Number of generators.
    ndims : tuple of int
        Number of axes of each expression at one draw.
    one_by_one : callable, optional
        Makes a function of the same arguments, and the number of its generators, that goes through
        the draws one by one: if operations are for one draw alone, which some tell when they run.
    """

    def __init__(
        self,
        function: Any,
        n_generators: int,
        ndims: tuple[int, ...],
        one_by_one: Callable[[], tuple[Any, int]] | None = None,
    ) -> None:
        self.function, self.n_generators, self.ndims = function, n_generators, ndims
        self._one_by_one = one_by_one

    def __call__(
        self,
        draws: int,
        values: Sequence[np.ndarray],
        random_seed: Any = None,
        fixed: Sequence[np.ndarray] = (),
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
        fixed
            What else the expressions depend on, the same for all draws.
        """
        seed = as_seed_sequence(random_seed)
        first = self._first(values, fixed, seed.spawn(1)[0])
        results = [np.empty((draws, *part.shape[1:]), dtype=part.dtype) for part in first]
        numbers = sum(part.size for part in first)
        rows = max(1, MOST_NUMBERS // max(numbers, 1))
        for result, part in zip(results, first, strict=True):
            result[:1] = part
        for start in range(1, draws, rows):
            rows_here = slice(start, min(start + rows, draws))
            pieces = self._part(rows_here, values, fixed, seed.spawn(1)[0])
            for result, piece in zip(results, pieces, strict=True):
                result[rows_here] = piece
        return results

    def _first(
        self,
        values: Sequence[np.ndarray],
        fixed: Sequence[np.ndarray],
        seed: np.random.SeedSequence,
    ) -> list[np.ndarray]:
        """Return the expressions at the first draw, which tells whether many can go together."""
        try:
            return self._part(slice(0, 1), values, fixed, seed)
        except Exception:  # whatever an operation raises that is for one draw alone
            if self._one_by_one is None:
                raise
            self.function, self.n_generators = self._one_by_one()
            self._one_by_one = None
            return self._part(slice(0, 1), values, fixed, seed)

    def _part(
        self,
        rows: slice,
        values: Sequence[np.ndarray],
        fixed: Sequence[np.ndarray],
        seed: np.random.SeedSequence,
    ) -> list[np.ndarray]:
        """Return the expressions at some of the draws."""
        seeds = as_seed_sequence(seed).spawn(self.n_generators)  # a second attempt has the same
        generators = [new_generator(s) for s in seeds]
        count = rows.stop - rows.start
        with np.errstate(all="ignore"):
            results = self.function(count, *generators, *(v[rows] for v in values), *fixed)
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
    fixed: Sequence[Variable] = (),
) -> OverDraws:
    """Compile expressions of one draw into a function of many.

    Where an operation is for one draw alone, as a loop is that draws at random, the function goes
    through the draws one by one.

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
    fixed
        Further inputs of the function, the same for all draws.
    """
    ndims = tuple(o.type.ndim for o in outputs)

    def many() -> tuple[Any, int]:
        size = pt.lscalar("draws")
        stacks = {v: pt.TensorType(v.dtype, (None, *v.type.shape))(v.name) for v in given}
        results = over_draws(outputs, {**replacements, **stacks}, size, others or {})
        return compiled_draws([size], [*stacks.values(), *fixed], results, mode)

    def single() -> tuple[Any, int]:
        inputs = {v: v.type(v.name) for v in given}
        results = at_one_draw(outputs, {**replacements, **inputs}, others or {})
        function, count = compiled_draws([], [*inputs.values(), *fixed], results, mode)
        return partial(one_by_one, function, count, len(given)), count

    try:
        return OverDraws(*many(), ndims, single)
    except (TypeError, ValueError, NotImplementedError):
        return OverDraws(*single(), ndims)


def compiled_draws(
    first: Sequence[Variable], last: Sequence[Variable], results: Sequence[Variable], mode: Any
) -> tuple[Any, int]:
    """Return a function whose generators are inputs, between others, and their number."""
    generators = random_generators(results)
    inputs = {rng: rng.type(rng.name) for rng in generators}
    results = graph_replace(list(results), inputs, strict=False) if inputs else list(results)
    function = pytensor.function(
        [*first, *inputs.values(), *last], results, mode=mode, on_unused_input="ignore"
    )
    return function, len(generators)


def at_one_draw(
    outputs: Sequence[Variable],
    replacements: Mapping[Variable, Variable],
    others: Mapping[Variable, Variable],
) -> list[Variable]:
    """Return graphs of one draw in which other variables stand for some, as in `over_draws`."""
    new = dict(replacements)
    for old, other in others.items():
        (new[old],) = clone_replace([other], new, rebuild_strict=False)
    return clone_replace(list(outputs), new, rebuild_strict=False)


def one_by_one(
    function: Any, n_generators: int, n_values: int, count: int, *inputs: Any
) -> list[np.ndarray]:
    """Return the results of a function of one draw for each of several, one after the other."""
    generators, others = inputs[:n_generators], inputs[n_generators:]
    values, fixed = others[:n_values], others[n_values:]
    results = [
        function(*(rng.spawn(1)[0] for rng in generators), *(v[i] for v in values), *fixed)
        for i in range(count)
    ]
    return [np.stack(column) for column in zip(*results, strict=True)]


def mode_key(mode: Any) -> Any:
    """Return what is equal for modes that are the same."""
    return mode if isinstance(mode, str) else Identity(mode)
