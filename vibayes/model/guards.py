"""What a log density need not ask at each step, since data do not change: whether they are inside.

Outside of its support a density is zero, so that formulas stand behind conditions on the value. Of
data these are the same at each step. They are evaluated once, when steps begin; the graph of a step
leaves out those that hold for all data.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.conditions import data_conditions, where_they_hold
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.exceptions import SamplingError
from vibayes.model.core import Model

__all__ = ["DataGuards"]


class DataGuards:
    """The conditions on a model's data, and which of them hold.

    Parameters
    ----------
    model : Model
        The model. Minibatches stand for the whole data; of data that are not in memory nothing is
        known.

    Attributes
    ----------
    holding : tuple of int
        The numbers of the conditions that hold for all data.
    """

    def __init__(self, model: Model) -> None:
        self._data: list[SharedVariable] = []
        self._conditions: list[Variable] = []
        self._evaluate: Callable[[], list[np.ndarray]] = list
        if not model.has_streams:
            self._data, self._conditions, self._evaluate = model.compiled(
                "guards", lambda: guards_of(model)
            )
        self._arrays = [v.get_value(borrow=True) for v in self._data]
        self.holding = self._that_hold()

    def _that_hold(self) -> tuple[int, ...]:
        return tuple(i for i, holds in enumerate(self._evaluate()) if holds)

    def without(self, outputs: list[Variable]) -> list[Variable]:
        """Return expressions of the same values without the conditions that hold."""
        if not self.holding:
            return outputs
        return where_they_hold(outputs, [self._conditions[i] for i in self.holding])

    def check(self) -> None:
        """Raise if data were exchanged for such as conditions do not hold for that did before.

        Raises
        ------
        SamplingError
            Says so.
        """
        if not self.holding:
            return
        arrays = [v.get_value(borrow=True) for v in self._data]
        if all(new is old for new, old in zip(arrays, self._arrays, strict=True)):
            return
        self._arrays = arrays
        if not set(self.holding) <= set(self._that_hold()):
            names = ", ".join(v.name or "data" for v in self._data)
            raise SamplingError(
                f"The data ({names}) were exchanged while the fit ran, and the new ones lie where "
                f"a distribution has no density, or at an end of it: begin a new fit of them"
            )


def guards_of(
    model: Model,
) -> tuple[list[SharedVariable], list[Variable], Callable[[], list[np.ndarray]]]:
    """Return the data of a model, the conditions on them, and a function that evaluates these."""
    batches = {m.minibatch for m in model.minibatches}
    observed = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    whole = model.whole_data_replacements()
    in_whole = graph_replace(observed, whole, strict=False) if observed else []
    data = [
        v
        for v in dict.fromkeys([*ancestors(in_whole), *model.data_vars, *whole.values()])
        if isinstance(v, SharedVariable) and isinstance(v, TensorVariable)
    ]
    conditions = data_conditions(model.logp(sum=False), {*data, *batches})
    if not conditions:
        return [], [], list
    asked = [pt.all(c) for c in graph_replace(conditions, whole, strict=False)]
    function = pytensor.function([], asked, mode=EVALUATE_MODE)
    return data, conditions, function
