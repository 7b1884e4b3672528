"""How a model looks in a terminal and in a notebook."""

from __future__ import annotations

from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import distribution_of
from vibayes.html import html_table
from vibayes.model.variables import ModelVariables


def model_rows(model: ModelVariables) -> list[tuple[str, str, str, str]]:
    """Return name, relation, definition and axes of each variable."""
    rows = []
    for rv in model.basic_RVs:
        data = "" if rv in model.free_RVs else " (observed)"
        rows.append((rv.name, "~", f"{distribution_of(rv)!r}{data}", axes(model, rv)))
    rows += [(v.name, "=", "Deterministic", axes(model, v)) for v in model.deterministics]
    rows += [(v.name, "+", "Potential", axes(model, v)) for v in model.potentials]
    rows += [(v.name, "=", "Data", axes(model, v)) for v in model.data_vars]
    return rows


def axes(model: ModelVariables, variable: TensorVariable) -> str:
    """Return the dims of a variable, or its shape where it has no dims."""
    dims = model.named_vars_to_dims.get(variable.name)
    if dims is not None:
        return "(" + ", ".join(str(d) for d in dims) + ")"
    if variable.type.ndim == 0:
        return ""
    return "(" + ", ".join("?" if n is None else str(n) for n in variable.type.shape) + ")"


def model_text(model: ModelVariables) -> str:
    rows = model_rows(model)
    head = f"<Model{f' {model.name!r}' if model.name else ''}: "
    head += f"{len(model.free_RVs)} free, {len(model.observed_RVs)} observed>"
    width = max((len(row[0]) for row in rows), default=0)
    lines = [f"  {name:>{width}} {rel} {what} {ax}".rstrip() for name, rel, what, ax in rows]
    return "\n".join([head, *lines])


def model_html(model: ModelVariables) -> str:
    title = f"Model {model.name}".strip()
    return html_table(model_rows(model), caption=title, sides=("right", "center", "left", "left"))
