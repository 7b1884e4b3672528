"""Operations that hold a graph of their own: that graph as one function, a scan as a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply
from pytensor.scan.op import Scan
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.random.utils import custom_rng_deepcopy

from vibayes.backend.numpy_linker.convert import convert, only
from vibayes.backend.numpy_linker.rewrites import inner_function, inner_variables

__all__: list[str] = []


@convert.register(OpFromGraph)
def inner_graph(op: OpFromGraph, node: Apply) -> Callable[..., Any]:
    function = inner_function(*inner_variables(op), of_symbolic=True)
    return only(function) if len(node.outputs) == 1 else function


@convert.register(Scan)
def scan_loop(op: Scan, node: Apply) -> Callable[..., Any]:
    inner_inputs, inner_outputs = inner_variables(op)
    carried_inputs = op.inner_untraced_sit_sot(inner_inputs)
    generators = [isinstance(v.type, RandomType) for v in carried_inputs]
    own = [v for v, is_generator in zip(carried_inputs, generators, strict=True) if is_generator]
    step = inner_function(inner_inputs, inner_outputs, own=own)
    info = op.info
    n_both, n_traced = info.n_mit_mot, info.n_mit_mot + info.n_mit_sot + info.n_sit_sot
    read = [*info.mit_mot_in_slices, *info.mit_sot_in_slices, *info.sit_sot_in_slices]
    first = [-min(0, *taps) for taps in read]
    read = [[o + tap for tap in taps] for o, taps in zip(first, read, strict=True)]
    written = [*info.mit_mot_out_slices, *[(0,)] * (n_traced - n_both)]
    written = [[o + tap for tap in taps] for o, taps in zip(first, written, strict=True)]
    new_types = [v.type for v in op.outer_nitsot_outs(node.outputs)]

    def loop(n_steps: Any, *inputs: Any) -> Any:
        n_steps = int(n_steps)
        inputs = (None, *inputs)
        sequences = op.outer_seqs(inputs)
        check_lengths(n_steps, sequences)
        states = [
            np.array(x)
            for x in (*op.outer_mitmot(inputs), *op.outer_mitsot(inputs), *op.outer_sitsot(inputs))
        ]
        carried = [
            custom_rng_deepcopy(x) if is_generator else x
            for x, is_generator in zip(op.outer_untraced_sit_sot(inputs), generators, strict=True)
        ]
        lengths = [int(n) for n in op.outer_nitsot(inputs)]
        constants = op.outer_non_seqs(inputs)
        traces: list[Any] = [None] * len(lengths)
        plan = [(x, len(x), taps) for x, taps in zip(states, read, strict=True)]
        goals = [(x, len(x), taps) for x, taps in zip(states, written, strict=True)]
        done, stop = 0, False
        while done < n_steps and not stop:
            arguments = [x[done] for x in sequences]
            arguments += [x[(done + tap) % size] for x, size, taps in plan for tap in taps]
            results = iter(step(*arguments, *carried, *constants))
            for x, size, taps in goals:
                for tap in taps:
                    x[(done + tap) % size] = next(results)
            for i, length in enumerate(lengths):
                value = next(results)
                if traces[i] is None:
                    traces[i] = np.empty((length, *value.shape), dtype=value.dtype)
                traces[i][done % length] = value
            carried = [next(results) for _ in carried]
            done += 1
            if info.as_while:
                stop = bool(next(results))
        for i in range(n_both, n_traced):
            states[i] = oldest_first(states[i], done + first[i], n_steps - done)
        traces = [
            empty_trace(kind) if trace is None else oldest_first(trace, done, n_steps - done)
            for trace, kind in zip(traces, new_types, strict=True)
        ]
        outputs = (*states, *traces, *carried)
        return outputs[0] if len(outputs) == 1 else outputs

    return loop


def check_lengths(n_steps: int, sequences: Any) -> None:
    """Raise if a scan cannot take so many steps."""
    if n_steps < 0:
        raise IndexError(f"Scan was asked to run for a negative number of steps, {n_steps}")
    for i, sequence in enumerate(sequences):
        if len(sequence) < n_steps:
            raise ValueError(
                f"Sequence {i} has shape {sequence.shape}, but the scan takes {n_steps} steps"
            )


def oldest_first(buffer: np.ndarray, end: int, steps_left: int) -> np.ndarray:
    """Return a circular buffer from its oldest entry on.

    Parameters
    ----------
    buffer
        Array whose first axis is written round and round.
    end
        Number of entries that were written.
    steps_left
        Number of steps that a condition cut off: as many entries are left out.
    """
    size = len(buffer)
    if size < end:
        return np.roll(buffer, -(end % size), axis=0)
    buffer[end:] = 0  # what a truncated gradient leaves out
    return buffer[: size - steps_left] if size > end and steps_left else buffer


def empty_trace(kind: Any) -> np.ndarray:
    """Return the trace of no steps."""
    return np.empty((0, *[n or 0 for n in kind.shape[1:]]), dtype=kind.dtype)
