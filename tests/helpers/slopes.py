"""Elementwise functions of vectors, with their derivatives."""

import numpy as np
import pytensor
import pytensor.tensor as pt

from vibayes.backend.modes import EVALUATE_MODE


def values_and_slopes(function, *args, wrt=0, dtype="float64"):
    """Return a function of vectors, and its derivative by one of them."""
    with pytensor.config.change_flags(floatX=dtype):
        inputs = [pt.vector(dtype=dtype) for _ in args]
        out = function(*inputs)
        outputs = [out, pytensor.grad(out.sum(), inputs[wrt], disconnected_inputs="ignore")]
        compiled = pytensor.function(inputs, outputs, mode=EVALUATE_MODE, on_unused_input="ignore")
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    with np.errstate(all="ignore"):
        return compiled(*(np.broadcast_to(a, shape).astype(dtype) for a in args))


def slope_of(function, x, step=1e-6):
    """Return the derivative of a NumPy function, by central differences."""
    h = step * np.maximum(np.abs(x), step)
    return (function(x + h) - function(x - h)) / ((x + h) - (x - h))
