"""A scan over each element of a stack, as one scan over the whole stack."""

from __future__ import annotations

from collections.abc import Sequence

import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.scan.op import Scan
from pytensor.tensor.basic import Alloc, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.shape import Shape_i
from pytensor.tensor.subtensor import Subtensor
from pytensor.tensor.type import tensor

__all__ = ["stack_scan"]

# operations through which a number stays the same for all of a stack
KEEP_SAME = (Alloc, DimShuffle, Elemwise, ScalarFromTensor, Subtensor, TensorFromScalar)


def stack_scan(
    node: Apply, inner_inputs: Sequence[Variable], inner_outputs: Sequence[Variable]
) -> list[Variable] | None:
    """Return the outputs of a vectorized scan as those of a scan of vectorized steps.

    What is the same for all elements stays without their axes; states always get them.

    Parameters
    ----------
    node
        A ``Blockwise`` scan.
    inner_inputs, inner_outputs
        One step of it, unvectorized.

    Returns
    -------
    list of Variable, or None
        None if elements may differ in their number of steps.
    """
    scan = node.op.core_op
    info = scan.info
    ndim = node.op.batch_ndim(node)
    counts = [node.inputs[0], *scan.outer_nitsot(node.inputs)]
    if info.as_while or not all(same_for_all(v, ndim) for v in counts):
        return None
    counts = [v[(0,) * ndim] for v in counts]
    inputs = stacked_inputs(node, inner_inputs)
    outputs = vectorize_graph(list(inner_outputs), dict(zip(inner_inputs, inputs, strict=True)))
    outputs = with_stacked_states(scan, inputs, inner_outputs, outputs, ndim)
    stacked = Scan(
        inputs,
        outputs,
        info,
        truncate_gradient=scan.truncate_gradient,
        name=scan.name,
        allow_gc=scan.allow_gc,
        strict=scan.strict,
    )
    batch_shape = [length_of_axis(node, axis) for axis in range(ndim)]
    results = stacked(*stacked_outer_inputs(node, counts, batch_shape), return_list=True)
    traced = len(results) - info.n_untraced_sit_sot
    return [
        stack_first(result, ndim, old.type.ndim, batch_shape) if k < traced else result
        for k, (result, old) in enumerate(zip(results, node.outputs, strict=True))
    ]


def stacked_inputs(node: Apply, inner_inputs: Sequence[Variable]) -> list[Variable]:
    """Return inputs of a step with the axes of the stack, where they have them."""
    scan, ndim = node.op.core_op, node.op.batch_ndim(node)
    tapped = [
        *scan.inner_mitmot(inner_inputs),
        *scan.inner_mitsot(inner_inputs),
        *scan.inner_sitsot(inner_inputs),
        *scan.inner_untraced_sit_sot(inner_inputs),
    ]
    first_axes = dict.fromkeys(tapped, node.outputs[0].type.shape[:ndim])
    others = zip(
        [*scan.inner_seqs(inner_inputs), *scan.inner_non_seqs(inner_inputs)],
        [*scan.outer_seqs(node.inputs), *scan.outer_non_seqs(node.inputs)],
        strict=True,
    )
    first_axes |= {v: outer.type.shape[:ndim] for v, outer in others if is_batched(outer, ndim)}
    return [
        tensor(dtype=v.type.dtype, shape=(*first_axes.get(v, ()), *v.type.shape))
        for v in inner_inputs
    ]


def stacked_outer_inputs(
    node: Apply, counts: Sequence[Variable], batch_shape: Sequence[Variable | int]
) -> list[Variable]:
    """Return what the scan of vectorized steps is applied to.

    Parameters
    ----------
    node
        The ``Blockwise`` scan.
    counts
        The number of steps, and the lengths of traces without a state.
    batch_shape
        Lengths of the axes of the stack.
    """
    scan, ndim = node.op.core_op, node.op.batch_ndim(node)
    n_steps, *lengths = counts
    tapped = [
        *scan.outer_mitmot(node.inputs),
        *scan.outer_mitsot(node.inputs),
        *scan.outer_sitsot(node.inputs),
    ]
    return [
        n_steps,
        *[
            steps_first(v, ndim) if is_batched(v, ndim) else without_axes(v, ndim)
            for v in scan.outer_seqs(node.inputs)
        ],
        *[steps_first(broadcast(v, batch_shape, ndim), ndim) for v in tapped],
        *[broadcast(v, batch_shape, ndim) for v in scan.outer_untraced_sit_sot(node.inputs)],
        *lengths,
        *[
            v if is_batched(v, ndim) else without_axes(v, ndim)
            for v in scan.outer_non_seqs(node.inputs)
        ],
    ]


def with_stacked_states(
    scan: Scan,
    inputs: Sequence[Variable],
    unstacked: Sequence[Variable],
    outputs: Sequence[Variable],
    ndim: int,
) -> list[Variable]:
    """Return the outputs of a step, those that become states with the type of these states."""
    positions = list(range(len(outputs)))
    groups = zip(
        [
            *scan.inner_mitmot_outs_grouped(positions),
            *[[i] for i in scan.inner_mitsot_outs(positions)],
            *[[i] for i in scan.inner_sitsot_outs(positions)],
            *[[i] for i in scan.inner_untraced_sit_sot_outs(positions)],
        ],
        [
            *[taps[0] for taps in scan.inner_mitmot_grouped(inputs)],
            *[taps[0] for taps in scan.inner_mitsot_grouped(inputs)],
            *scan.inner_sitsot(inputs),
            *scan.inner_untraced_sit_sot(inputs),
        ],
        strict=True,
    )
    result = list(outputs)
    for members, state in groups:
        batch_shape = [state.shape[axis] for axis in range(ndim)]
        for i in members:
            if result[i].type.ndim == unstacked[i].type.ndim:
                result[i] = pt.alloc(result[i], *batch_shape, *result[i].shape)
            result[i] = pt.specify_shape(result[i], state.type.shape)
    return result


def same_for_all(v: Variable, ndim: int) -> bool:
    """Tell whether a number is the same for all elements of a stack.

    It is if it is made of lengths, since all elements have the same shape.
    """
    if not is_batched(v, ndim) or (v.owner and isinstance(v.owner.op, Shape_i)):
        return True
    if isinstance(v, Constant):
        return v.data.size == 1
    if v.owner is None or not isinstance(v.owner.op, KEEP_SAME):
        return False
    return all(same_for_all(x, x.type.ndim) for x in v.owner.inputs)


def is_batched(v: Variable, ndim: int) -> bool:
    """Tell whether a variable may differ along the first axes."""
    return not all(v.type.broadcastable[:ndim])


def length_of_axis(node: Apply, axis: int) -> Variable | int:
    """Return the length of an axis of a stack."""
    known = node.outputs[0].type.shape[axis]
    if known is not None:
        return known
    return next(v for v in node.inputs if not v.type.broadcastable[axis]).shape[axis]


def without_axes(v: Variable, ndim: int) -> Variable:
    """Drop the first axes, all of length 1."""
    return v.dimshuffle(*range(ndim, v.type.ndim))


def broadcast(v: Variable, batch_shape: Sequence[Variable | int], ndim: int) -> Variable:
    """Give a variable the full length along the first axes."""
    return pt.alloc(v, *batch_shape, *[v.shape[a] for a in range(ndim, v.type.ndim)])


def steps_first(v: Variable, ndim: int) -> Variable:
    """Move the axis of steps before those of the stack."""
    return v.dimshuffle(ndim, *range(ndim), *range(ndim + 1, v.type.ndim))


def stack_first(
    v: Variable, ndim: int, full_ndim: int, batch_shape: Sequence[Variable | int]
) -> Variable:
    """Move the axes of the stack, added where they are missing, before that of steps."""
    if v.type.ndim == full_ndim:
        return v.dimshuffle(*range(1, ndim + 1), 0, *range(ndim + 1, full_ndim))
    return pt.alloc(v, *batch_shape, *v.shape)
