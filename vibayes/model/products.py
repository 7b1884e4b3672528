"""Variables that the data meet in products alone: ``sd * z`` of a hierarchy that is not centred.

What the data say is said of the product. Where they say much, a standard normal z and its scale lie
on a bent ridge, as in Bambi's models of many rows a group: the coordinates to search in are then
those of the product. So it is of ``chol @ z``, of effects that are correlated, and of the
coefficients of a Gaussian process, whose scales are its spectral density (HSGP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import evaluate
from vibayes.backend.uses import (
    axes_after,
    chooses_elements,
    is_made_of_positive,
    is_matrix_product,
    is_product,
    is_view,
    uses_in,
)
from vibayes.distributions.standard_forms import MOST_JOINT
from vibayes.model.core import Model
from vibayes.model.density import constrained_values

__all__ = ["Factor", "factor_in_products"]

POSITIVE_TRANSFORMS = "log", "logodds"


class Factor(NamedTuple):
    """What a variable is multiplied by.

    Attributes
    ----------
    value : TensorVariable
        Broadcastable to the variable, or a matrix.
    axis : int or None
        The axis of the variable, a matrix, of whose vectors each is multiplied by the matrix; None
        if each element is multiplied by its own factor.
    """

    value: TensorVariable
    axis: int | None = None


def factor_in_products(model: Model, rv: TensorVariable) -> Factor | None:
    """Return the positive factors, or the matrix, by which a free variable is always multiplied.

    Elements may be chosen before, and data be factors beside it.

    Returns
    -------
    Factor or None
        The product of those that depend on free variables, or the matrix; None if it is used in
        any other way, or multiplied by no variable.
    """
    free = set(model.free_RVs)
    uses = uses_in([*model.free_RVs, *model.observed_RVs, *model.potentials])
    factors: list[Variable] = []
    here: Variable = rv
    axes: list[int | None] = list(range(rv.type.ndim))
    is_whole = True
    while len(uses.get(here, ())) == 1:
        (node,) = uses[here]
        if is_product(node) and node.inputs.count(here) == 1:
            others = [v for v in node.inputs if v is not here and free.intersection(ancestors([v]))]
            if not all(is_positive(model, v) for v in others):
                break
            if not all(is_factor_of(rv, v, is_whole) for v in others):
                return None
            factors += others
        elif chooses_elements(node, here):
            is_whole, axes = False, axes_after(node, axes)
        elif is_matrix_product(node) and not factors:
            return root_in_product(model, rv, node, here, axes)
        elif not is_view(node):
            break
        here = node.outputs[0]
    if not factors:
        return None
    found = [v.reshape(()) if all(v.type.broadcastable) else v for v in factors]
    return Factor(pt.mul(*found) if len(found) > 1 else found[0])


def root_in_product(
    model: Model, rv: TensorVariable, node: Apply, here: Variable, axes: Sequence[int | None]
) -> Factor | None:
    """Return the triangular matrix by which the vectors of a matrix are multiplied.

    Parameters
    ----------
    model
        The model.
    rv
        The variable.
    node
        A product of two matrices.
    here
        The one of these that is the variable, perhaps transposed.
    axes
        Which axes of the variable those of ``here`` are.
    """
    left, right = node.inputs
    matrix, axis = (left, axes[0]) if right is here else (right.mT, axes[1])
    parents = set(model.free_RVs).intersection(ancestors([matrix]))
    if axis is None or not parents:
        return None
    length = rv.type.shape[axis]
    if length is None or length > MOST_JOINT or matrix.type.shape != (length, length):
        return None
    known = model.compiled(("is triangular", rv), lambda: is_triangular(model, matrix))
    return Factor(matrix, axis) if known else None


def is_triangular(model: Model, matrix: TensorVariable) -> bool:
    """Tell whether a matrix is triangular near where the model starts, and has an inverse."""
    (own,) = graph_replace([matrix], constrained_values(model), strict=False)
    start, rng = model.initial_point(), np.random.default_rng(0)
    near = {v: start[v.name] + 0.5 * rng.standard_normal(v.type.shape) for v in model.value_vars}
    (found,) = evaluate([own], near)
    is_one = np.array_equal(found, np.tril(found)) or np.array_equal(found, np.triu(found))
    return bool(is_one and np.isfinite(found).all() and np.diagonal(found).all())


def is_positive(model: Model, v: Variable) -> bool:
    """Tell whether all elements of an expression are known to be positive.

    Positive free variables are, and what is made of these: as the spectral density of a Gaussian
    process is made of its amplitude and length.
    """

    def is_known(v: Variable) -> bool:
        name = getattr(model.rvs_to_transforms[v], "name", "") if v in model.free_RVs else ""
        return name in POSITIVE_TRANSFORMS

    return is_made_of_positive(v, is_known)


def is_factor_of(rv: TensorVariable, v: Variable, is_whole: bool) -> bool:
    """Tell whether a factor of a variable, or of some of its elements, is known to be one of all.

    A scalar is, and of all elements in their order what broadcasts to their shape.
    """
    if all(v.type.broadcastable):
        return True
    shape, own = v.type.shape, rv.type.shape
    pairs = zip(shape[::-1], own[::-1], strict=False)
    return is_whole and len(shape) <= len(own) and all(m and n in (1, m) for n, m in pairs)
