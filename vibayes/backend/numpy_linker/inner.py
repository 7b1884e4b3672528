"""Operations that hold a graph of their own: that graph as one function, a scan as a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply
from pytensor.scan.op import Scan, ScanInfo
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
    buffers, as_while = Buffers.of(op.info), op.info.as_while
    new_types = [v.type for v in op.outer_nitsot_outs(node.outputs)]

    def loop(n_steps: Any, *inputs: Any) -> Any:
        n_steps = int(n_steps)
        inputs = (None, *inputs)
        sequences = op.outer_seqs(inputs)
        check_lengths(n_steps, sequences)
        tapped = *op.outer_mitmot(inputs), *op.outer_mitsot(inputs), *op.outer_sitsot(inputs)
        states = [np.array(x) for x in tapped]
        carried = [
            custom_rng_deepcopy(x) if is_generator else x
            for x, is_generator in zip(op.outer_untraced_sit_sot(inputs), generators, strict=True)
        ]
        lengths = [int(n) for n in op.outer_nitsot(inputs)]
        constants = op.outer_non_seqs(inputs)
        traces: list[Any] = [None] * len(lengths)
        plan = [(x, len(x), taps) for x, taps in zip(states, buffers.read, strict=True)]
        goals = [(x, len(x), taps) for x, taps in zip(states, buffers.written, strict=True)]
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
            if as_while:
                stop = bool(next(results))
        left = n_steps - done
        outputs = [*buffers.ordered(states, done, left), *ordered(traces, new_types, done, left)]
        outputs += carried
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return loop


class Buffers(NamedTuple):
    """Where the states of a scan lie in the arrays that hold them, which are written round.

    Attributes
    ----------
    first : list of int
        The place of the first state that a step writes, of each array.
    read, written : list of tuple of int
        Places, from that of the step on, that it reads and writes.
    n_both : int
        Number of arrays at the beginning that are no traces, but are read and written throughout.
    """

    first: list[int]
    read: list[tuple[int, ...]]
    written: list[tuple[int, ...]]
    n_both: int

    @classmethod
    def of(cls, info: ScanInfo) -> Buffers:
        """Return the buffers of a scan."""
        taps = [*info.mit_mot_in_slices, *info.mit_sot_in_slices, *info.sit_sot_in_slices]
        first = [-min(0, *own) for own in taps]
        n_new = info.n_mit_sot + info.n_sit_sot
        written = [*info.mit_mot_out_slices, *[(0,)] * n_new]
        return cls(first, shifted(taps, first), shifted(written, first), info.n_mit_mot)

    def ordered(self, states: Sequence[np.ndarray], done: int, left: int) -> list[np.ndarray]:
        """Return the arrays after some steps, with ``left`` cut off, those of traces in order."""
        return [
            *states[: self.n_both],
            *(
                oldest_first(x, done + at, left)
                for x, at in zip(states[self.n_both :], self.first[self.n_both :], strict=True)
            ),
        ]


def shifted(taps: Sequence[Sequence[int]], by: Sequence[int]) -> list[tuple[int, ...]]:
    """Return places of states, each moved by the place of the first one."""
    return [tuple(at + tap for tap in own) for at, own in zip(by, taps, strict=True)]


def ordered(traces: Sequence[Any], kinds: Sequence[Any], done: int, left: int) -> list[np.ndarray]:
    """Return traces without a state after some steps, with ``left`` cut off."""
    return [
        empty_trace(kind) if trace is None else oldest_first(trace, done, left)
        for trace, kind in zip(traces, kinds, strict=True)
    ]


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
