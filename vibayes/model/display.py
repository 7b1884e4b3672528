"""How a model looks in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytensor.graph.basic import Variable
from pytensor.graph.traversal import walk
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import Distribution, distribution_of, short
from vibayes.html import html_table
from vibayes.model.dims import ModelDims

__all__ = ["HTMLTable", "model_formulas", "model_html", "model_repr", "model_text"]

EXPRESSION = "<expression>"
Cells: TypeAlias = tuple[str, str, str, str]


def model_text(model: ModelDims) -> str:
    """Return the model as ``print`` shows it: in mathematical style, with dims and lengths."""
    return as_lines(model, mathematical_rows(model))


def model_repr(model: ModelDims) -> str:
    """Return the model with the names of all parameters."""
    rows = []
    for v, relation, kind in entries(model):
        what = f"{distribution_of(v)!r}{kind}" if relation == "~" else kind
        dims = model.named_vars_to_dims.get(v.name)
        rows.append((v.name, relation, what, in_brackets(dims or lengths(model, v))))
    return as_lines(model, rows)


def model_html(model: ModelDims) -> str:
    """Return the model as a notebook shows it."""
    title = f"Model {model.name}".strip()
    sides = ("right", "center", "left", "left")
    return html_table(mathematical_rows(model), caption=title, sides=sides)


@dataclass(frozen=True)
class HTMLTable:
    """A table as a terminal and a notebook show it."""

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html


def model_formulas(model: ModelDims, latex: bool, with_params: bool) -> str:
    """Return each variable and what it is, a line each, or as one formula of LaTeX."""
    rows = []
    for v, relation, kind in entries(model):
        if relation == "~":
            dist = distribution_of(v)
            what = formula(model, dist) if with_params else type(dist).__name__
        elif kind == "Data":
            continue
        else:
            what = f"{kind}({of_names(model, v)})" if with_params else kind
            relation = "~"
        rows.append((v.name, relation, what))
    if not latex:
        width = max((len(name) for name, _, _ in rows), default=0)
        return "\n".join(f"{name:>{width}} {relation} {what}" for name, relation, what in rows)
    lines = [f"{in_latex(name)} &\\sim & {in_latex(what)}" for name, _, what in rows]
    return "$$\\begin{array}{rcl}\n" + " \\\\\n".join(lines) + "\n\\end{array}$$"


def in_latex(text: str) -> str:
    """Return a text as LaTeX prints it."""
    escaped = "".join("\\" + c if c in "_%&#${}" else c for c in text)
    return rf"\text{{{escaped}}}"


def as_lines(model: ModelDims, rows: list[Cells]) -> str:
    head = f"<Model{f' {model.name!r}' if model.name else ''}: "
    head += f"{len(model.free_RVs)} free, {len(model.observed_RVs)} observed>"
    width = max((len(row[0]) for row in rows), default=0)
    lines = [f"  {name:>{width}} {rel} {what} {ax}".rstrip() for name, rel, what, ax in rows]
    return "\n".join([head, *lines])


def entries(model: ModelDims) -> Iterator[tuple[TensorVariable, str, str]]:
    """Return each variable, its relation to what it is defined by, and its kind."""
    for rv in model.basic_RVs:
        yield rv, "~", "" if rv in model.free_RVs else " (observed)"
    for v in model.deterministics:
        yield v, "=", "Deterministic"
    for v in model.potentials:
        yield v, "+", "Potential"
    for v in model.data_vars:
        yield v, "=", "Data"


# -- mathematics ----------------------------------------------------------------------------------


def mathematical_rows(model: ModelDims) -> list[Cells]:
    """Return name, relation, definition and axes of each variable."""
    rows = []
    for v, relation, kind in entries(model):
        if relation == "~":
            what = f"{formula(model, distribution_of(v))}{kind}"
        else:
            what = kind if kind == "Data" else f"{kind}({of_names(model, v)})"
        rows.append((v.name, relation, what, in_brackets(named_axes(model, v))))
    return rows


def formula(model: ModelDims, dist: Distribution) -> str:
    """Return a distribution as mathematics writes it: ``Normal(f(slope, X), 1)``."""
    inner = [parameter(model, value) for value in dist.params.values()]
    inner += [formula(model, part) for part in dist.parts]
    return f"{type(dist).__name__}({', '.join(inner)})"


def parameter(model: ModelDims, value: Any) -> str:
    """Return a parameter: a number, a name, or of what it is a function."""
    text = short(value)
    return of_names(model, value) if text == EXPRESSION else text


def of_names(model: ModelDims, expression: Variable) -> str:
    """Return of which named variables an expression is a function, in the model's order."""
    known = {v for v in model.named_vars.values() if v is not expression}
    found = {v for v in walk([expression], lambda v: inputs_of(v, known)) if v in known}
    return f"f({', '.join(name for name, v in model.named_vars.items() if v in found)})"


def inputs_of(variable: Variable, known: set[Variable]) -> Sequence[Variable]:
    """Return what a variable is computed from; of a known one its name says enough."""
    return [] if variable.owner is None or variable in known else variable.owner.inputs


# -- axes -----------------------------------------------------------------------------------------


def in_brackets(texts: Iterable[str | None]) -> str:
    """Return texts in brackets, nothing for none."""
    inner = ", ".join(map(str, texts))
    return f"({inner})" if inner else ""


def lengths(model: ModelDims, variable: TensorVariable) -> list[str]:
    """Return the lengths of the axes of a variable, of data those that they have now."""
    is_data = any(variable is v for v in model.data_vars)
    shape = variable.get_value(borrow=True).shape if is_data else variable.type.shape
    return ["?" if n is None else str(n) for n in shape]


def named_axes(model: ModelDims, variable: TensorVariable) -> list[str]:
    """Return the dims of a variable with their lengths, or its lengths where it has no dims."""
    known = lengths(model, variable)
    dims = model.named_vars_to_dims.get(variable.name) or [None] * len(known)
    named = []
    for dim, length in zip(dims, known, strict=True):
        if length == "?" and dim is not None:
            now = model.dim_length(dim)
            length = "?" if now is None else str(now)
        named.append(length if dim is None else f"{dim}: {length}")
    return named
