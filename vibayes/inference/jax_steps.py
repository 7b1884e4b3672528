"""Compiled steps on JAX: the graph of one step, in a loop that JAX compiles.

They do what :class:`~vibayes.inference.steps.CompiledSteps` does, to the same states: vectors of
numbers, and the states of random generators, which here are the keys of JAX's. The numbers that a
key gives are others than those of a NumPy generator of the same seed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace

from vibayes.backend.graphs import lift_constants
from vibayes.backend.jax import (
    KEY_KIND,
    JaxDevices,
    RepeatedStep,
    RowsOfBlocks,
    as_key,
    double_precision,
    in_all,
    jax_function,
    key_of,
    key_state,
    lengths_of_parts,
)
from vibayes.inference.steps import CompiledSteps, State, next_values
from vibayes.model.whole_data import minibatches_in
from vibayes.objectives.base import StepGraph

__all__ = ["JaxSteps"]


class JaxSteps(CompiledSteps):
    """A function of n steps, compiled by JAX.

    Parameters
    ----------
    graph : StepGraph
        What changes in a step, and the loss.
    mode : JaxDevices
        The devices.
    rows : collection of int
        Numbers of rows of the data, which several devices share.
    """

    def __init__(self, graph: StepGraph, mode: JaxDevices, rows: Collection[int] = ()) -> None:
        super().__init__(graph, mode)
        self.rows = rows

    @property
    def reports(self) -> bool:
        return self.mode.is_first

    def agreed(self, n: int) -> int:
        return self.mode.agreed(n)

    def alike(self, state: State) -> State:
        """Return the state in which all processes begin: that of this one, if they agree.

        Rows of minibatches are drawn as in the first one. Their generators depend on the number
        of rows, which each process has of its own.

        Raises
        ------
        ValueError
            Says what to give to all of them.
        """
        if not self.mode.span_processes:
            return state
        if self.windows:
            raise ValueError(
                "several processes do not stream minibatches: give each its own rows by "
                "vb.Data(..., local=True)"
            )
        layout = [(key.name, key.type.dtype, part.shape) for key, part in self.parts.items()]
        own = [key_of(at).tolist() for at in self.own_states(state)]
        begun = in_all((layout, [v.tobytes() for v in state.vectors], own))
        for one in begun[1:]:
            if one[0] != begun[0][0]:
                raise ValueError("the processes have different models, or fit different families")
            if one != begun[0]:
                raise ValueError(
                    "the processes begin with different numbers: give all of them the same "
                    "random_seed, and the same start"
                )
        return replace(state, generators=in_all(state.generators)[0])

    def generator_state(self, generator: np.random.Generator) -> Mapping[str, Any]:
        return key_state(generator)

    def run(self, state: State, n: int) -> tuple[State, np.ndarray]:
        keys = [key_of(at) for at in state.generators]
        with self.lock:
            vectors, keys, losses = self.function(n, state.vectors, keys, state.windows)
        states = tuple({"bit_generator": KEY_KIND, "key": key.tolist()} for key in keys)
        after = State(tuple(vectors), states, state.windows)
        return after, np.full(n, np.nan) if losses is None else losses

    def evaluate(
        self,
        outputs: Sequence[Variable],
        givens: Mapping[Variable, np.ndarray],
        generators: Sequence[SharedVariable],
        state: State,
    ) -> list[np.ndarray]:
        shapes = [*(np.shape(value) for value in givens.values()), *[None] * len(generators)]
        function = jax_function([*givens, *generators], outputs, shapes)
        with double_precision():
            keys = [as_key(key_of(at)) for at in self.own_states(state)]
            return [np.asarray(value) for value in function(*givens.values(), *keys)]

    def _build(self, graph: StepGraph) -> Any:
        targets = next_values(graph, [*self.numbers, *self.generators])
        targets, blocks = rows_from_blocks(targets, self.mode)
        return RepeatedStep(
            self.numbers,
            self.generators,
            self.windows,
            lift_constants(targets, but=lengths_of_parts(targets)),
            self.parts,
            self.dtypes,
            self.mode,
            self.rows,
            blocks,
        )


def rows_from_blocks(
    targets: Sequence[Variable], devices: JaxDevices
) -> tuple[list[Variable], dict[SharedVariable, tuple[Variable, Variable]]]:
    """Let each of several devices draw its share of a minibatch from rows of its own.

    For minibatches in memory whose rows are independent, and can be shared evenly. Of others each
    device has all data.

    Returns
    -------
    list of Variable
        The targets, in other terms.
    dict
        For the data of these minibatches, the variables that stand for the blocks and for the
        number of rows.
    """
    count = devices.count
    blocks: dict[SharedVariable, tuple[Variable, Variable]] = {}
    drawn = {}
    for batch in minibatches_in(targets) if count > 1 else ():
        uniform = batch.uniform_rows()
        if uniform is None or uniform.type.shape[0] % count:
            continue
        data = batch.shared
        if data not in blocks:
            shape = (count, None, *data.type.shape[1:])
            blocks[data] = pt.tensor("blocks", dtype=data.dtype, shape=shape), pt.lscalar("rows")
        own, rows = blocks[data]
        drawn[batch.minibatch] = RowsOfBlocks(count, devices)(own, uniform, rows)
    return (graph_replace(targets, drawn, strict=False) if drawn else list(targets)), blocks
