"""Gauss' hypergeometric function as models of customers use it, with a gradient that is cheap.

PyTensor sums the series of the gradient, up to a million terms for each element where z is near 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Add
from pytensor.scalar.math import Hyp2F1
from pytensor.tensor.basic import get_underlying_scalar_constant_value as constant_value
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import rewritten
from vibayes.backend.uses import is_elementwise

__all__ = ["with_cheap_gradients"]

STEP, LAST = 0.05, 3.6  # of the trapezoidal rule: what is left out is below rounding


def with_cheap_gradients(graphs: list[TensorVariable]) -> list[TensorVariable]:
    r"""Return graphs in which the gradient of :math:`F(a, b; a + 1; z)` is that of an integral.

    .. math:: F(a, b; a + 1; z) = \int_0^1 (1 - z w^{1/a})^{-b} \, dw, \qquad a > 0, \; z < 1

    by the double exponential rule (Takahasi and Mori 1974), which resolves both ends. The value is
    PyTensor's, other hypergeometric functions are left as they are. Outside of these a and z the
    gradient is NaN.
    """
    if not any(v.owner is not None and is_2f1(v.owner) for v in ancestors(graphs)):
        return list(graphs)
    return rewritten(graphs, Elemwise, replacement)


def replacement(node: Any) -> list[TensorVariable] | None:
    if not is_2f1(node):
        return None
    a, b, c, z = node.inputs
    if not is_one_more(c, a):
        return None
    value = node.op(*(disconnected_grad(v) for v in node.inputs))  # which is not rewritten again
    log_f = log_integral(a, b, z)
    one = pt.exp(log_f - disconnected_grad(log_f))
    return [value * pt.switch((a > 0) & (z < 1), one, 1.0)]


def is_2f1(node: Any) -> bool:
    return is_elementwise(node, Hyp2F1)


def is_one_more(c: Variable, a: Variable) -> bool:
    """Tell whether c was written as a + 1."""
    if c.owner is None or not is_elementwise(c.owner, Add) or a not in c.owner.inputs:
        return False
    others = [v for v in c.owner.inputs if v is not a]
    if len(others) != 1:
        return False
    return bool(constant_value(others[0], raise_not_constant=False) == 1)


def log_integral(a: TensorVariable, b: TensorVariable, z: TensorVariable) -> TensorVariable:
    places = np.arange(-LAST, LAST + STEP / 2, STEP)
    x = math.pi * np.sinh(places)
    log_w, log_rest = -np.logaddexp(0, -x), -np.logaddexp(0, x)  # of w and 1 - w
    log_weights = log_w + log_rest + np.log(STEP * math.pi * np.cosh(places))
    a, b, z = (v[..., None] for v in (a, b, z))
    # 1 - z w^(1/a), without cancellation where both are near 1
    base = (1 - z) - z * pt.expm1(log_w / a)
    return pt.logsumexp(log_weights - b * pt.log(base), axis=-1)
