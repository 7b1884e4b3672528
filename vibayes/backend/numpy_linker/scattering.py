"""Adding to elements that a vector of indices chooses: the gradient of ``effect[group]``.

``numpy.add.at`` goes through the elements one at a time. Of a stack of draws, where the same groups
are chosen in each, the sums of groups are the product with a sparse matrix of ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor import subtensor
from pytensor.tensor.subtensor import unflatten_index_variables

from vibayes.backend.numpy_linker.convert import convert

__all__ = ["group_sums"]


def added(op: Any, node: Apply) -> Callable[..., Any]:
    at_once = convert.dispatch(Op)(op, node)
    place = place_of_vector(op, node.inputs[2:])
    is_plain = not (op.set_instead_of_inc or getattr(op, "ignore_duplicates", False))
    if place is None or not is_plain or any(v.type.dtype[:5] != "float" for v in node.inputs[:2]):
        return at_once
    entries, (which, front) = op.idx_list, place

    def with_sums(x: Any, y: Any, *parts: Any) -> Any:
        index = list(unflatten_index_variables(parts, entries))
        groups = np.asarray(index[which], dtype=np.intp)
        index[which] = slice(None)
        index = [i if isinstance(i, slice) else int(np.asarray(i).item()) for i in index]
        result = np.array(x)
        chosen = result[tuple(index)]  # a view
        axis = sum(isinstance(i, slice) for i in index[:which])
        chosen = np.moveaxis(chosen, axis, 0)
        count = len(chosen)
        if groups.size and not -count <= groups.min() <= groups.max() < count:
            return at_once(x, y, *parts)  # which tells what is wrong
        others = chosen.shape[1:]
        begin = 0 if front else axis
        y = np.broadcast_to(y, (*others[:begin], groups.size, *others[begin:]))
        rows = np.moveaxis(y, begin, 0).reshape(groups.size, int(np.prod(others)))
        sums = group_sums(rows, groups, count)
        chosen += sums.reshape(chosen.shape)
        return result

    return with_sums


def place_of_vector(op: Any, variables: Sequence[Variable]) -> tuple[int, bool] | None:
    """Return where in an index the one vector of integers is, all others being slices or numbers.

    Returns
    -------
    (int, bool) or None
        Its place, and whether its axis comes first in what is chosen, as it does where slices are
        between arrays of indices. None of any other index.
    """
    index = unflatten_index_variables(variables, op.idx_list)
    arrays = [k for k, part in enumerate(index) if not isinstance(part, slice)]
    kinds = [index[k].type for k in arrays]
    if any("int" not in getattr(kind, "dtype", "") or kind.ndim > 1 for kind in kinds):
        return None
    vectors = [k for k, kind in zip(arrays, kinds, strict=True) if kind.shape not in ((), (1,))]
    if len(vectors) != 1:
        return None
    return vectors[0], arrays != list(range(arrays[0], arrays[-1] + 1))


def group_sums(rows: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Return the sums (count, m) of the rows (n, m) of each group.

    Parameters
    ----------
    rows
        What to add.
    groups
        The group of each, (n,): negative ones count from the end.
    count
        How many groups there are.
    """
    from scipy.sparse import csc_array  # late: seldom needed, and long to import

    n = len(groups)
    places = np.where(groups < 0, groups + count, groups)
    ones = csc_array((np.ones(n, rows.dtype), places, np.arange(n + 1)), shape=(count, n))
    return ones @ rows


for name in ("AdvancedIncSubtensor", "AdvancedIncSubtensor1"):  # the last before PyTensor 3.1
    if hasattr(subtensor, name):
        convert.register(getattr(subtensor, name))(added)
