"""The small network with which a flow lets some dimensions steer the others."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.flows.base import Params

__all__ = ["network", "network_params"]


def network_params(
    name: str, inputs: int, hidden: int, outputs: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return weights of a network whose output is close to zero, but whose gradient is not."""
    return {
        f"{name}_W1": rng.standard_normal((inputs, hidden)) / np.sqrt(max(inputs, 1)),
        f"{name}_b1": 0.5 * rng.standard_normal(hidden),
        f"{name}_W2": 0.01 * rng.standard_normal((hidden, outputs)) / np.sqrt(hidden),
        f"{name}_b2": np.zeros(outputs),
    }


def network(
    x: TensorVariable,
    name: str,
    params: Params,
    masks: tuple[np.ndarray, np.ndarray] | None = None,
) -> TensorVariable:
    r"""Return :math:`\tanh(x W_1 + b_1) W_2 + b_2`.

    Parameters
    ----------
    x
        Inputs, along the last axis.
    name
        What the names of the parameters begin with.
    params
        Parameters as :func:`network_params` makes them, and perhaps others.
    masks
        What the weights of the two layers are multiplied by.
    """
    w1, w2 = params[f"{name}_W1"], params[f"{name}_W2"]
    if masks is not None:
        w1, w2 = (w * mask.astype(w.dtype) for w, mask in zip((w1, w2), masks, strict=True))
    hidden = pt.tanh(pt.dot(x, w1) + params[f"{name}_b1"])
    return pt.dot(hidden, w2) + params[f"{name}_b2"]
