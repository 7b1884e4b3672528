"""Graphs that draw at random, evaluated at many draws at once, the first axis being the draws.

PyTensor's ``vectorize_graph`` gives a random variable the axis of what it depends on. One that
depends on nothing with such an axis would be drawn once, and shared by all draws. Here every random
variable is drawn anew for each draw. Operations that stand for a graph of their own, of which
distributions are made that have no operation of theirs (mixtures, hurdles, autoregressions), are
replaced by that graph first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import toposort
from pytensor.tensor.random.type import RandomType

from vibayes.backend.expressions import is_random_variable
from vibayes.backend.graphs import inner_graph, is_loop, is_none, vectorized
from vibayes.distributions.shapes import known_lengths

__all__ = ["over_draws"]


def over_draws(
    outputs: Sequence[Variable],
    replacements: Mapping[Variable, Variable],
    size: Variable,
    others: Mapping[Variable, Variable],
) -> list[Variable]:
    """Return graphs with an axis of draws in front, wherever something differs between draws.

    Parameters
    ----------
    outputs
        The graphs, of one draw.
    replacements
        What to put in the place of parts of them: something of as many axes, which is the same in
        all draws, or something with the axis of draws in front.
    size
        Number of draws.
    others
        Graphs, of one draw too, in the place of further parts: those made first come first.

    Raises
    ------
    NotImplementedError
        If a loop draws at random, or an operation is for one draw alone.
    """
    new = dict(replacements)
    for old, other in others.items():
        (new[old],) = extended_graphs(new, [other], size)
    return extended_graphs(new, outputs, size)


def extended_graphs(
    new: dict[Variable, Variable], outputs: Sequence[Variable], size: Variable
) -> list[Variable]:
    """Return graphs with an axis of draws, and add all parts of them to what is known."""
    for node in toposort(list(outputs), blockers=list(new)):
        results: Sequence[Variable]
        inner = inner_graph(node)
        if is_random_variable(node.op):
            results = random_over_draws(node, new, size)
        elif inner is not None:
            own = dict(zip(inner[0], (new.get(v, v) for v in node.inputs), strict=True))
            results = extended_graphs(own, inner[1], size)
        elif any(v in new for v in node.inputs):
            results = node_over_draws(node, new)
        else:
            continue
        for old, result in zip(node.outputs, results, strict=True):
            new.setdefault(old, result)
    return [new.get(output, output) for output in outputs]


def has_draws(old: Variable, new: Mapping[Variable, Variable]) -> bool:
    """Tell whether what stands for a variable has the axis of draws."""
    return old in new and getattr(new[old].type, "ndim", 0) > getattr(old.type, "ndim", 0)


def node_over_draws(node: Apply, new: Mapping[Variable, Variable]) -> Sequence[Variable]:
    """Return the outputs of an operation on other inputs."""
    inputs = [new.get(v, v) for v in node.inputs]
    if not any(has_draws(v, new) for v in node.inputs):
        return node.op.make_node(*inputs).outputs
    if is_loop(node) and any(isinstance(v.type, RandomType) for v in inputs):
        raise NotImplementedError("a loop (scan) that draws at random cannot be drawn many times")
    return vectorized(node, inputs)


def random_over_draws(
    node: Apply, new: Mapping[Variable, Variable], size: Variable
) -> list[Variable]:
    """Return the outputs of a random variable that is drawn anew for each draw."""
    op = node.op
    rng, old_size, *old_params = node.inputs
    params = [new.get(p, p) for p in old_params]
    params = [
        p if has_draws(old, new) else pt.expand_dims(p, 0)
        for old, p in zip(old_params, params, strict=True)
    ]
    shape = new.get(old_size, old_size)
    if has_draws(old_size, new):  # computed from draws, and the same in all
        shape = shape[0]
    return op.make_node(new.get(rng, rng), draw_shape(node, shape, params, size), *params).outputs


def draw_shape(node: Apply, old_size: Variable, params: Sequence[Variable], size: Variable) -> Any:
    """Return the batch shape of all draws, their number and the shape of one of them."""
    if not is_none(old_size):
        return pt.concatenate([[size], old_size])
    if any(p.type.shape[0] != 1 for p in params):
        return None  # the parameters tell it
    shapes = [
        known_lengths(p, p.type.ndim - core)[1:]
        for p, core in zip(params, node.op.ndims_params, strict=True)
    ]
    batch = pt.broadcast_shape(*shapes, arrays_are_shapes=True) if shapes else ()
    return pt.stack([size, *batch]).astype("int64")
