"""Variables that the data meet in products alone: ``sd * z`` of a hierarchy that is not centred.

What the data say is said of the product. Where they say much, a standard normal z and its scale lie
on a bent ridge, as in Bambi's models of many rows a group: the coordinates to search in are then
those of the product.
"""

from __future__ import annotations

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.uses import chooses_elements, is_product, is_view, uses_in, without_axes
from vibayes.model.core import Model

__all__ = ["scale_in_products"]


def scale_in_products(model: Model, rv: TensorVariable) -> TensorVariable | None:
    """Return the positive variables by which a free one is multiplied wherever it is used.

    Elements may be chosen before, and data be factors beside it.

    Returns
    -------
    TensorVariable or None
        Their product, broadcastable to the variable; None if it is used in any other way, or
        multiplied by no variable.
    """
    free = set(model.free_RVs)
    uses = uses_in([*model.free_RVs, *model.observed_RVs, *model.potentials])
    factors: list[Variable] = []
    here: Variable = rv
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
            is_whole = False
        elif not is_view(node):
            break
        here = node.outputs[0]
    found = [v.reshape(()) if all(v.type.broadcastable) else v for v in factors]
    return pt.mul(*found) if len(found) > 1 else (found or [None])[0]


def is_positive(model: Model, v: Variable) -> bool:
    """Tell whether a variable is a free one that is positive, in any shape."""
    v = without_axes(v)
    return v in model.free_RVs and getattr(model.rvs_to_transforms[v], "name", "") == "log"


def is_factor_of(rv: TensorVariable, v: Variable, is_whole: bool) -> bool:
    """Tell whether a factor of a variable, or of some of its elements, is known to be one of all.

    A scalar is, and of all elements in their order what broadcasts to their shape.
    """
    if all(v.type.broadcastable):
        return True
    shape, own = v.type.shape, rv.type.shape
    pairs = zip(shape[::-1], own[::-1], strict=False)
    return is_whole and len(shape) <= len(own) and all(m and n in (1, m) for n, m in pairs)
