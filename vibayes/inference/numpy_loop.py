"""Steps in NumPy: the function of one step, in a loop in Python.

A ``pytensor.scan`` around the step would be rewritten as often as the step itself, and gain
nothing where no compiler sees the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType

from vibayes.backend.graphs import fixed_parts
from vibayes.backend.modes import EVALUATE_MODE, compiled_code

__all__ = ["loop_in_numpy"]

Values = list[Any]


def loop_in_numpy(
    changing: Sequence[SharedVariable], windows: Sequence[SharedVariable], targets: list[Variable]
) -> Callable[[int, Values, Values], tuple[Values, np.ndarray]]:
    """Return a function of n steps.

    It takes their number, the values of what changes, and those of the windows; and returns the
    values after the last step, and the loss of each. What a step computes of the data alone is
    computed once.

    Parameters
    ----------
    changing
        What a step changes: tensors, and random generators, which are advanced in place.
    windows
        What it reads beside the data.
    targets
        The next value of each of ``changing``, and the loss if there is one.
    """
    fixed = fixed_parts(targets, [*changing, *windows])
    data, prepare = function_of_shared(fixed)
    inputs: dict[Variable, Variable] = {v: v.type() for v in [*changing, *windows, *fixed]}
    targets = graph_replace(targets, inputs, strict=False)
    more_data = [v for v in ancestors(targets) if isinstance(v, SharedVariable)]
    inputs |= {v: v.type() for v in more_data}
    targets = graph_replace(targets, {v: inputs[v] for v in more_data}, strict=False)
    step = pytensor.function(
        [writable(v) for v in inputs.values()],
        targets,
        mode=EVALUATE_MODE,
        trust_input=True,
        on_unused_input="ignore",
    )
    code, count = compiled_code(step) or step, len(changing)
    has_loss = len(targets) > count

    def run(n: int, values: Values, windows: Values) -> tuple[Values, np.ndarray]:
        known = [*windows, *prepare(*values_of(data)), *values_of(more_data)]
        losses = np.empty(n if has_loss else 0, dtype=targets[-1].type.dtype if has_loss else None)
        with np.errstate(all="ignore"):  # the loop around the steps looks at what is not finite
            for i in range(n):
                try:
                    results = code(*values, *known)
                except Exception:
                    step(*values, *known)  # says at which operation
                    raise
                values = results[:count]
                if has_loss:
                    losses[i] = results[-1]
        return list(values), losses

    return run


def function_of_shared(outputs: Sequence[Variable]) -> tuple[list[SharedVariable], Any]:
    """Return the shared variables in expressions, and a function of their values."""
    shared = [v for v in ancestors(list(outputs)) if isinstance(v, SharedVariable)]
    inputs = {v: v.type() for v in shared}
    replaced = graph_replace(list(outputs), inputs, strict=False)
    function = pytensor.function(
        list(inputs.values()), replaced, mode=EVALUATE_MODE, trust_input=True
    )
    return shared, function


def writable(variable: Variable) -> Any:
    """Return an input of a function that advances random generators where they are."""
    if isinstance(variable.type, RandomType):
        return pytensor.In(variable, mutable=True, borrow=True)
    return variable


def values_of(shared: Sequence[SharedVariable]) -> Values:
    """Return the values of shared variables, which are only read."""
    return [v.get_value(borrow=True) for v in shared]
