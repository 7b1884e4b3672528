"""Seeds, and the random generators that graphs draw from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType

from vibayes.arguments import check_whole, shown

__all__ = [
    "KEY_KIND",
    "as_seed_sequence",
    "check_random_seed",
    "derived_seed",
    "is_generator_state",
    "new_generator",
    "random_generators",
    "reseeded",
]

KEY_KIND = "threefry2x32"
"""How the state of a generator of JAX, a key, names its kind."""


def as_seed_sequence(random_seed: Any) -> np.random.SeedSequence:
    """Return a new seed sequence, from which nothing has been spawned yet.

    One that is given is neither advanced, nor does it matter what was spawned from it before: it
    gives the same numbers each time, as an int does. So what spawns from a sequence again and again
    has to keep the one that is returned here, and to whatever else is to draw other numbers it
    gives children. A generator is consumed, as it is by NumPy.

    Parameters
    ----------
    random_seed : int, sequence of int, SeedSequence, Generator or None
        Seed.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(random_seed, np.random.SeedSequence):
        return np.random.SeedSequence(
            random_seed.entropy,
            spawn_key=random_seed.spawn_key,
            pool_size=random_seed.pool_size,
        )
    if isinstance(random_seed, np.random.Generator):
        return np.random.SeedSequence(int(random_seed.integers(2**63)))
    if random_seed is None:
        return np.random.SeedSequence()
    several = isinstance(random_seed, Sequence) or getattr(random_seed, "ndim", False)
    if not several or isinstance(random_seed, str | bytes):
        return np.random.SeedSequence(check_whole(random_seed, "random_seed", 0, most=None))
    try:
        seeds = [check_whole(seed, "random_seed", least=0, most=None) for seed in random_seed]
    except (TypeError, ValueError):  # they are no numbers, or have further axes
        seeds = []
    if not seeds:
        raise ValueError(
            f"random_seed must be None, a whole number of at least 0 (or several), a SeedSequence "
            f"or a Generator, got {shown(random_seed)}"
        )
    return np.random.SeedSequence(seeds)


def check_random_seed(random_seed: Any) -> None:
    """Raise if something is no seed; nothing is drawn from a generator."""
    if not isinstance(random_seed, np.random.Generator):
        as_seed_sequence(random_seed)


def derived_seed(seeds: np.random.SeedSequence) -> np.random.SeedSequence:
    """Return a seed that follows from another one, and from nothing that was drawn by that."""
    return np.random.SeedSequence(seeds.entropy, spawn_key=(*seeds.spawn_key, 2**32 - 1))


def new_generator(seed: int | np.random.SeedSequence) -> np.random.Generator:
    """Return a new random generator of the kind that all of vibayes draws from."""
    return np.random.Generator(np.random.PCG64(seed))


def is_generator_state(state: Any) -> bool:
    """Tell whether a generator of that kind, or a key of JAX's, can have a state."""
    if isinstance(state, dict) and state.get("bit_generator") == KEY_KIND:
        return set(state) == {"bit_generator", "key"} and is_key(state["key"])
    bits = np.random.PCG64(0)
    try:
        bits.state = state
    except (TypeError, ValueError, KeyError, OverflowError):
        return False
    return bool(bits.state == state)


def is_key(words: Any) -> bool:
    """Tell whether something is the two words of a key."""
    return (
        isinstance(words, list)
        and len(words) == 2
        and all(type(word) is int and 0 <= word < 2**32 for word in words)
    )


def random_generators(
    outputs: Iterable[Variable], blockers: Iterable[Variable] = ()
) -> list[SharedVariable]:
    """Return the shared random generators that expressions draw from, in a stable order.

    Parameters
    ----------
    outputs
        Expressions.
    blockers
        Parts of them of which the generators do not count.
    """
    return [
        variable
        for variable in ancestors(list(outputs), blockers=list(blockers))
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
        rng: pytensor.shared(new_generator(seed), name=rng.name)
        for rng, seed in zip(old, seeds, strict=True)
    }
    advanced = [rng.default_update for rng in old if rng.default_update is not None]
    replaced = graph_replace([*outputs, *advanced], new, strict=False)
    movers = [new[rng] for rng in old if rng.default_update is not None]
    return replaced[: len(outputs)], dict(zip(movers, replaced[len(outputs) :], strict=True))
