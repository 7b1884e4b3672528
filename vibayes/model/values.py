"""What stands for the unconstrained values of free variables."""

from __future__ import annotations

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import evaluate
from vibayes.distributions.transforms import Transform

__all__ = ["value_variable"]


def value_variable(
    rv: TensorVariable, name: str, transform: Transform | None, dtype: str
) -> TensorVariable:
    """Return the variable that stands for a free random variable's unconstrained value."""
    shape = rv.type.shape
    if None in shape:
        shape = tuple(int(n) for n in evaluate(tuple(rv.shape)))
    if transform is not None:
        shape = tuple(int(n) for n in transform.forward_shape(shape))
    value = pt.TensorType(dtype, shape)(name)  # pt.tensor takes some names for a dtype
    value.tag.is_value = True
    return value
