"""Random numbers in JAX: a generator is a key, from which each draw makes the next."""

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

__all__ = ["KEY_KIND", "KeyedDraw", "as_key", "key_of", "key_state", "use_keys"]


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


class KeyedDraw(Op):
    """A random variable whose generator is a key.

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
        drawn = self.random_op.make_node(*inputs)
        return Apply(self, list(inputs), [v.type() for v in drawn.outputs])

    def perform(self, node: Apply, inputs: list[Any], outputs: list[list[Any]]) -> None:
        raise NotImplementedError("a key draws in JAX alone")


@jax_version(KeyedDraw)
def drawn_by_key(op: KeyedDraw, node: Apply) -> Any:
    import jax
    from pytensor.link.jax.dispatch.random import jax_sample_fn

    random_op, value = op.random_op, node.outputs[1]
    random_node = random_op.make_node(*node.inputs)
    size = value.type.shape[: value.type.ndim - random_op.ndim_supp]
    if None in size:
        raise NotImplementedError(
            f"{random_op.name} of a size that depends on values: JAX has to know it before"
        )
    sample = jax_sample_fn(random_op, node=random_node)

    def draw(key: Any, _: Any, *parameters: Any) -> tuple[Any, Any]:
        key, own = jax.random.split(key)
        return key, sample(own, size, value.type.dtype, *parameters)

    return draw


def use_keys(fgraph: FunctionGraph) -> None:
    """Replace the random variables of a graph by draws from keys."""
    for node in fgraph.toposort():
        if isinstance(node.op, RandomVariable):
            drawn = KeyedDraw(node.op)(*node.inputs, return_list=True)
            fgraph.replace_all(list(zip(node.outputs, drawn, strict=True)), reason="keys")
