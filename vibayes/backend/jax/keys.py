"""Random numbers in JAX: a generator is a key, and each draw moves it on to the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.tensor.random.op import RandomVariable

from vibayes.backend.jax.versions import jax_version
from vibayes.backend.seeds import KEY_KIND, new_generator

__all__ = [
    "KEY_KIND",
    "KeyedDraw",
    "as_key",
    "key_of",
    "key_state",
    "moved",
    "moves_between",
    "use_keys",
]


def key_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return the state of a key that stands for a NumPy generator, which is not advanced."""
    return {"bit_generator": KEY_KIND, "key": key_of(generator.bit_generator.state).tolist()}


def key_of(state: Mapping[str, Any]) -> np.ndarray:
    """Return the two words of a key, of its own state or of that of a NumPy generator."""
    if state["bit_generator"] == KEY_KIND:
        return np.asarray(state["key"], dtype="uint32")
    generator = new_generator(0)
    generator.bit_generator.state = state
    return generator.integers(2**32, size=2, dtype="uint32")


def as_key(words: Any) -> Any:
    """Return the two words of a key as JAX takes them, whatever kind its configuration prefers."""
    import jax

    return jax.random.wrap_key_data(words, impl=KEY_KIND)


class MovedKey(Op):
    """The key after a draw from a key: the next one, of the 2^64 that there are.

    Threefry makes unrelated numbers from neighbouring keys, as it does from neighbouring counters
    (Salmon et al. 2011). So the key of any later step is known at once, and what many steps draw
    can be drawn together.
    """

    __props__ = ()

    def make_node(self, key: Variable) -> Apply:
        return Apply(self, [key], [key.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[list[Any]]) -> None:
        raise NotImplementedError("keys move in JAX alone")


@jax_version(MovedKey)
def jax_moved_key(op: MovedKey, node: Apply) -> Any:
    return lambda key: moved(key, 1)


def moved(key: Any, count: Any) -> Any:
    """Return the key that comes so many after a key; fewer than 2^32."""
    import jax
    import jax.numpy as jnp

    high, low = jax.random.key_data(key)
    after = low + jnp.asarray(count).astype("uint32")
    return as_key(jnp.stack([high + (after < low), after]))


class KeyedDraw(Op):
    """What a random variable draws from a key.

    PyTensor's own version for JAX keeps a generator as a dictionary that it changes in place, so
    that what is drawn depends on the order of operations.

    Parameters
    ----------
    random_op : RandomVariable
        What is drawn.
    """

    __props__ = ("random_op",)

    def __init__(self, random_op: RandomVariable) -> None:
        self.random_op = random_op

    def make_node(self, *inputs: Variable) -> Apply:
        _, value = self.random_op.make_node(*inputs).outputs
        return Apply(self, list(inputs), [value.type()])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[list[Any]]) -> None:
        raise NotImplementedError("a key draws in JAX alone")


@jax_version(KeyedDraw)
def drawn_by_key(op: KeyedDraw, node: Apply) -> Any:
    from pytensor.link.jax.dispatch.random import jax_sample_fn

    random_op, value = op.random_op, node.outputs[0]
    random_node = random_op.make_node(*node.inputs)
    size = value.type.shape[: value.type.ndim - random_op.ndim_supp]
    if None in size:
        raise NotImplementedError(
            f"{random_op.name} of a size that depends on values: JAX has to know it before"
        )
    sample = jax_sample_fn(random_op, node=random_node)
    return lambda key, _, *parameters: sample(key, size, value.type.dtype, *parameters)


def use_keys(fgraph: FunctionGraph) -> None:
    """Replace the random variables of a graph by draws from keys."""
    for node in fgraph.toposort():
        if isinstance(node.op, RandomVariable):
            by_key = [MovedKey()(node.inputs[0]), KeyedDraw(node.op)(*node.inputs)]
            fgraph.replace_all(list(zip(node.outputs, by_key, strict=True)), reason="keys")


def moves_between(key: Variable, later: Variable) -> int | None:
    """Return how many keys further one is than another; None if that is not known."""
    count = 0
    while later is not key:
        if later.owner is None or not isinstance(later.owner.op, MovedKey):
            return None
        later, count = later.owner.inputs[0], count + 1
    return count
