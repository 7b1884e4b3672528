"""What a model was written with that has no value: a fit is given one by ``more_replacements``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.graphs import copied_with
from vibayes.exceptions import ModelError
from vibayes.model.variables import ModelVariables
from vibayes.streaming.batch import BatchVariable

__all__ = ["check_inputs", "inputs_in", "is_input", "with_inputs"]


def is_input(variable: Variable) -> bool:
    """Tell whether something is a tensor that nothing computes, and that has no value.

    What stands for the value of a random variable is none.
    """
    return (
        variable.owner is None
        and isinstance(variable, TensorVariable)
        and not isinstance(variable, SharedVariable | Constant | BatchVariable)
        and not getattr(variable.tag, "is_value", False)
    )


def inputs_in(graphs: Iterable[Variable], but: Collection[Variable] = ()) -> list[Variable]:
    """Return the tensors without a value on which graphs depend, except by way of some parts."""
    return [v for v in ancestors(list(graphs), blockers=list(but)) if is_input(v) and v not in but]


def check_inputs(left: Collection[Variable], label: str = "") -> None:
    """Raise if tensors that something depends on have no value.

    Raises
    ------
    ModelError
        Names the first of them.
    """
    for variable in left:
        name = variable.name or str(variable)
        raise ModelError(
            f"{label}{': ' if label else ''}the model depends on {name!r}, which has no value: "
            f"fit with more_replacements={{{name}: data}}, or write the model with vb.Data"
        )


def with_inputs(
    graphs: Sequence[Variable], model: ModelVariables, label: str
) -> list[TensorVariable]:
    """Return graphs in which the values of the last fit stand for what has no value."""
    inputs = inputs_in(graphs)
    check_inputs([v for v in inputs if v not in model.input_values], label)
    values = {v: model.input_values[v] for v in inputs}
    return copied_with(values, graphs) if values else list(graphs)
