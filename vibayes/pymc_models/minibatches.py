"""``pymc.Minibatch`` as :class:`vibayes.Minibatch`, from which a fit draws by its own seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors

from vibayes.backend.modes import evaluate
from vibayes.exceptions import ModelError
from vibayes.model.minibatch import Minibatch

__all__ = ["minibatch_replacements"]


def minibatch_replacements(
    graphs: Sequence[Variable], copies: Mapping[Variable, Variable]
) -> dict[Variable, Variable]:
    """Return minibatches of vibayes by the outputs of PyMC's.

    Parameters
    ----------
    graphs
        What depends on minibatches.
    copies
        Copies of shared variables, by the original: of these the minibatches are to show rows.
    """
    from pymc.data import MinibatchOp

    nodes = dict.fromkeys(
        v.owner for v in ancestors(graphs) if v.owner and isinstance(v.owner.op, MinibatchOp)
    )
    by_generator: dict[Variable, list[Variable]] = {}
    found: dict[Variable, Variable] = {}
    for node in nodes:  # those of one generator are copies of each other, and show the same rows
        generator = node.inputs[-1]
        if generator not in by_generator:
            by_generator[generator] = minibatches_of(node, copies, seed=len(by_generator))
        found |= zip(node.outputs, by_generator[generator], strict=False)
    return found


def minibatches_of(node: Apply, copies: Mapping[Variable, Variable], seed: int) -> list[Variable]:
    """Return minibatches for the outputs of one call of ``pymc.Minibatch``: of the same rows."""
    data = [whole(v, copies) for v in node.inputs[:-1]]  # the last one is the random generator
    outputs = node.outputs[: len(data)]
    size = outputs[0].type.shape[0]
    if size is None:
        size = int(evaluate([outputs[0].shape[0]])[0])
    made = Minibatch(*data, batch_size=size, random_seed=seed)
    minibatches = made if isinstance(made, tuple) else (made,)
    return [
        new if new.dtype == old.dtype else new.astype(old.dtype)
        for new, old in zip(minibatches, outputs, strict=True)
    ]


def whole(data: Variable, copies: Mapping[Variable, Variable]) -> Variable:
    """Return the data of a minibatch as numbers, or as the copy of a shared variable."""
    if isinstance(data, Constant):
        return data.data
    if isinstance(data, SharedVariable):
        return copies.get(data, data)
    if any(isinstance(v, SharedVariable) for v in ancestors([data])):
        (copied,) = graph_replace([data], copies, strict=False)
        raise ModelError(
            f"A pymc.Minibatch shows rows of the expression {copied}; give it the data themselves, "
            f"or pymc.Data, and write the expression of the minibatch."
        )
    return evaluate([data])[0]
