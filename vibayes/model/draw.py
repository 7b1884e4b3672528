"""Draws of random variables and of expressions of them: what the prior says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.graph.basic import Variable

from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.seeds import reseeded
from vibayes.numeric import numeric_value

__all__ = ["draw", "floatX"]


@check_arguments
def draw(
    vars: Variable | Sequence[Variable], draws: int = 1, random_seed: Any = None
) -> np.ndarray | list[np.ndarray]:
    """Draw from random variables, or from expressions of them, jointly.

    Parameters
    ----------
    vars
        One variable or several. Those of one call share the draws of what they have in common.
    draws
        Number of draws.
    random_seed
        Seed of the draws.

    Returns
    -------
    numpy.ndarray or list of numpy.ndarray
        For each variable an array of its shape, with a first axis of length ``draws`` if that is
        more than 1.

    Raises
    ------
    NotImplementedError
        If a variable depends on one that cannot be drawn, such as :class:`vibayes.Flat`.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.draw(vb.Normal.dist(0, 1, shape=3), draws=5, random_seed=1).shape
    (5, 3)
    """
    draws = check_whole(draws, "draws", least=1)
    several = isinstance(vars, Sequence)
    variables = list(vars) if several else [vars]
    outputs, updates = reseeded(variables, random_seed)
    function = pytensor.function([], outputs, updates=updates, mode=EVALUATE_MODE)
    if draws == 1:
        values = function()
    else:
        values = [
            np.stack(column) for column in zip(*(function() for _ in range(draws)), strict=True)
        ]
    return list(values) if several else values[0]


def floatX(value: Any) -> Any:
    """Convert numbers, or a tensor, to the dtype ``pytensor.config.floatX``.

    Parameters
    ----------
    value : array_like or TensorVariable
        What to convert.
    """
    dtype = pytensor.config.floatX
    value = numeric_value(value, "floatX: value")
    return value.astype(dtype) if hasattr(value, "astype") else np.asarray(value, dtype=dtype)
