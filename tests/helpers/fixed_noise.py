"""Steps of a fit in which all that is random stays the same, so that backends can be compared."""

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType

from vibayes.backend.expressions import is_random_variable
from vibayes.backend.modes import evaluate
from vibayes.inference.steps import with_default_updates
from vibayes.objectives.base import StepGraph


def without_noise(graph: StepGraph) -> StepGraph:
    """Return a step that draws nothing: each draw is what it would be at first."""
    graph = with_default_updates(graph)
    updates = {k: v for k, v in graph.updates.items() if not isinstance(k.type, RandomType)}
    targets = [*updates.values(), *([] if graph.loss is None else [graph.loss])]
    drawn = [
        v
        for v in ancestors(targets)
        if v.owner is not None and is_random_variable(v.owner.op) and v.owner.outputs[1] is v
    ]
    fixed = {
        v: pt.constant(value, dtype=v.dtype)
        for v, value in zip(drawn, evaluate(drawn), strict=True)
    }
    targets = graph_replace(targets, fixed, strict=False) if fixed else targets
    values = dict(zip(updates, targets, strict=False))
    return StepGraph(values, None if graph.loss is None else targets[-1])


def losses_and_numbers(steps, n):
    """Return the losses and the state's numbers after n steps that draw nothing."""
    state = steps.state({}, {})
    steps.compile(state)
    state, losses = steps.run(state, n)
    return losses, np.concatenate([v.ravel() for v in state.vectors])
