"""What many steps draw, drawn together: the random numbers that depend on nothing but keys.

A draw is some twenty small operations, whose calls take longer than a step of a small model. A loop
of them is entered once for a block of steps, not at each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph

from vibayes.backend.jax.convert import constant_of, jax_operation, results_of
from vibayes.backend.jax.keys import KeyedDraw, moved, moves_between

__all__ = ["DrawsAhead", "take_draws_out"]

MOST_STEPS = 256
MOST_NUMBERS = 4096  # whoever looks after each step pays for a whole block


@dataclass(frozen=True)
class Draw:
    """A draw that is the same whatever state a step finds.

    Attributes
    ----------
    generator : int
        Which generator has its key.
    at : int
        How many keys further than at the begin of the step.
    sample : callable
        Maps a key to what is drawn.
    """

    generator: int
    at: int
    sample: Callable[[Any], Any]


@dataclass(frozen=True)
class DrawsAhead:
    """The draws of a block of steps.

    Attributes
    ----------
    moves : sequence of int or None
        How far a step moves the key of each generator; None where that depends on the state.
    draws : sequence of Draw
        What is drawn.
    steps : int
        How many steps are a block.
    """

    moves: Sequence[int | None]
    draws: Sequence[Draw]
    steps: int

    def __call__(self, keys: Sequence[Any]) -> list[Any]:
        """Return what each draw of the steps of a block is, along a first axis."""
        import jax

        def of_step(i: Any) -> list[Any]:
            return [
                draw.sample(moved(keys[draw.generator], i * self.moves[draw.generator] + draw.at))
                for draw in self.draws
            ]

        return jax.vmap(of_step)(jax.numpy.arange(self.steps)) if self.draws else []

    def moved(self, keys: Sequence[Any], steps: Any) -> list[Any]:
        """Return keys as they are so many steps later; those stay whose moves are not known."""
        return [
            key if by is None else moved(key, steps * by)
            for key, by in zip(keys, self.moves, strict=True)
        ]

    def stepped(self, keys: Sequence[Any], after: Sequence[Any]) -> list[Any]:
        """Return keys after a step; where moves are known, still those at the block's begin."""
        return [
            new if by is None else key for key, new, by in zip(keys, after, self.moves, strict=True)
        ]


def take_draws_out(fgraph: FunctionGraph, generators: Sequence[int]) -> DrawsAhead:
    """Make inputs of the draws of a graph that depend on keys alone, and return what draws them.

    Parameters
    ----------
    fgraph
        A rewritten graph of a step; the new inputs come last.
    generators
        Where the generators are among the inputs, and among the outputs the same after a step.
    """
    keys = [fgraph.inputs[i] for i in generators]
    moves = [moves_between(key, fgraph.outputs[i]) for key, i in zip(keys, generators, strict=True)]
    draws, numbers = [], 0
    for node in fgraph.toposort():
        found = None if not isinstance(node.op, KeyedDraw) else place_of(node.inputs[0], keys)
        if found is None or moves[found[0]] is None:
            continue
        (drawn,) = node.outputs
        if None in drawn.type.shape or not all(isinstance(v, Constant) for v in node.inputs[1:]):
            continue
        draws.append(Draw(*found, sample_of(node)))
        numbers += int(np.prod(drawn.type.shape))
        given = drawn.type()
        fgraph.add_input(given)
        fgraph.replace(drawn, given, reason="drawn ahead")
    return DrawsAhead(moves, draws, block_of_steps(numbers))


def sample_of(node: Apply) -> Callable[[Any], Any]:
    """Return a draw whose parameters are constants as a function of the key."""
    operation, constants = jax_operation(node), list(map(constant_of, node.inputs[1:]))
    return lambda key: results_of(node, operation, [key, *constants])[0]


def place_of(key: Variable, keys: Sequence[Variable]) -> tuple[int, int] | None:
    """Return from which of some keys one has moved, and how far."""
    for i, first in enumerate(keys):
        if (count := moves_between(first, key)) is not None:
            return i, count
    return None


def block_of_steps(numbers: int) -> int:
    """Return how many steps draw together: a power of two, as processors take numbers by these."""
    most = min(MOST_STEPS, MOST_NUMBERS // max(numbers, 1))
    return 1 << max(most.bit_length() - 1, 0)
