"""How an approximation looks in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import prod

import numpy as np

from vibayes.families.base import Group
from vibayes.families.joint import Joint
from vibayes.html import html_table, loss_svg
from vibayes.model.core import Model
from vibayes.model.turns import is_angle
from vibayes.posterior.arviz import axis_names
from vibayes.posterior.draws import draw_some
from vibayes.posterior.summary import Row, circular_row_of, rounded, row_of
from vibayes.records.outcome import Outcome

__all__ = ["approximation_html", "approximation_text"]

FEW = 20
FIRST = 10
DRAWS = 2000
MOST_NUMBERS = 4_000_000  # 32 MB of draws
FEWEST_DRAWS = 200
HEAD = ("", "mean", "sd", "3%", "97%")
ABOUT_CIRCULAR = "circular: mean direction, circular sd; 3% and 97% are about it and can pass ±π"


def approximation_html(approx: Joint, outcome: Outcome) -> str:
    """Return the families, a table of the posterior, how the fit went, and the loss curve."""
    families = [
        (type(group).__name__, group_variables(group), f"{group.ddim:,}") for group in approx.groups
    ]
    title = f"{type(approx).__name__}, {approx.ddim:,} dimensions"
    parts = [html_table(families, ("family", "variables", "dimensions"), caption=title)]
    if is_fitted(outcome):
        rows, notes = summary(approx)
        sides = ("left", *["right"] * (len(HEAD) - 1))
        parts.append(html_table(map(cells, rows), HEAD, sides=sides) if rows else "")
        parts += [f"<div>{escape(note)}</div>" for note in notes]
    parts.append(html_table(facts(outcome)))
    return f"<div>{''.join(parts)}{loss_svg(outcome.hist)}</div>"


def approximation_text(approx: Joint, outcome: Outcome) -> str:
    """Return the families, a table of the posterior, and how the fit went."""
    blocks = [[repr(approx)]]
    if is_fitted(outcome):
        rows, notes = summary(approx)
        blocks.append(aligned([HEAD, *map(cells, rows)] if rows else []) + notes)
    width = max(len(name) for name, _ in facts(outcome))
    blocks.append([f"{name:{width}}  {value}" for name, value in facts(outcome)])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def is_fitted(outcome: Outcome) -> bool:
    """Tell whether there is something to show a table of."""
    return len(outcome.hist) > 0 or outcome.ending != Outcome().ending


def facts(outcome: Outcome) -> list[tuple[str, str]]:
    """Return how the fit went: names and values."""
    found = []
    judgement = outcome.diagnosis
    if judgement is not None:
        found.append(("verdict", judgement.verdict))
        if np.isfinite(judgement.elbo):
            found.append(("ELBO", f"{judgement.elbo:,.2f} ± {judgement.elbo_mcse:.2g}"))
    elif is_fitted(outcome):
        found.append(("verdict", "not judged yet: diagnose() judges it"))
    if len(outcome.hist):
        found.append(("iterations", f"{len(outcome.hist):,}"))
    if outcome.seconds is not None:
        found.append(("seconds", f"{outcome.seconds:.1f}, compilation included"))
    return [*found, ("why it ended", outcome.ending.reason)]


# -- the table ------------------------------------------------------------------------------------


def summary(approx: Joint) -> tuple[list[Row], list[str]]:
    """Return a row for each scalar of few, for the first of many, and notes in words.

    The notes tell what is left out, and which numbers are those of angles. Variables come before
    Deterministics. The seed is always the same, so that the same state looks the same.
    """
    model = approx.model
    shapes = {v.name: v.type.shape for v in [*model.free_RVs, *model.deterministics]}
    draws = min(DRAWS, MOST_NUMBERS // max(approx.ddim, 1))
    if draws < FEWEST_DRAWS or any(group.local for group in approx.groups):
        return [], ["no table of the posterior: too large, or not all there at a time"]
    first = scalars_of(shapes)
    try:
        values = draw_some(approx, list(dict.fromkeys(name for name, _ in first)), draws, 0)
    except Exception as error:  # a display raises nothing; sample() does
        return [], [f"no table of the posterior: {type(error).__name__}: {error}"]
    count = sum(prod(x.shape[1:]) for x in values.values())
    count += sum(size(shape) for name, shape in shapes.items() if name not in values)
    rows = [
        scalar_row(model, name, i, values[name])
        for name, i in first
        if i < prod(values[name].shape[1:])
    ]
    if count > FEW:
        rows = rows[:FIRST]
    left = count - len(rows)
    notes = [f"… and {left:,} more"] if left else []
    if any(row.is_circular for row in rows):
        notes.append(ABOUT_CIRCULAR)
    return rows, notes


def scalar_row(model: Model, name: str, place: int, draws: np.ndarray) -> Row:
    """Return the summary of a scalar of a variable, of which there are draws (n, …)."""
    x = draws.reshape(len(draws), -1)[:, place]
    named = label(model, name, place, draws.shape[1:])
    return circular_row_of(named, x) if is_angle(model, model[name]) else row_of(named, x)


def scalars_of(shapes: dict[str, tuple[int | None, ...]]) -> list[tuple[str, int]]:
    """Return the first scalars of variables: names, and places in the flat variables."""

    def each() -> Iterator[tuple[str, int]]:
        for name, shape in shapes.items():
            for i in range(min(FEW, size(shape) if None not in shape else FEW)):
                yield name, i

    return [pair for pair, _ in zip(each(), range(FEW), strict=False)]


def size(shape: tuple[int | None, ...]) -> int:
    """Return how many scalars a variable has; an axis of unknown length counts once."""
    return prod(1 if n is None else n for n in shape)


def label(model: Model, name: str, place: int, shape: tuple[int, ...]) -> str:
    """Return the name of a scalar, with the labels of its dims."""
    index = np.unravel_index(place, shape) if shape else ()
    named = []
    for axis, i in zip(axis_names(model, name, shape), index, strict=True):
        labels = model.coords.get(axis)
        named.append(str(i if labels is None else labels[i]))
    return f"{name}[{', '.join(named)}]" if named else name


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as texts, with the digits that its width lets tell."""
    numbers = (row.mean, row.sd, row.lower, row.upper)
    name = f"{row.name} (circular)" if row.is_circular else row.name
    return (name, *(rounded(x, row.sd) for x in numbers))


def aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Return lines of cells as texts with aligned columns, the first to the left."""
    if not lines:
        return []
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        f"{name:{first}}" + "".join(f"  {c:>{w}}" for c, w in zip(rest, others, strict=True))
        for name, *rest in lines
    ]


# -- families -------------------------------------------------------------------------------------


def group_variables(group: Group) -> str:
    """Return the variables of a group, with their shapes."""
    return ", ".join(f"{rv.name} {shape_text(rv.type.shape)}".rstrip() for rv in group.variables)


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Return a shape in words, nothing for a scalar."""
    if not shape:
        return ""
    return "(" + " × ".join("?" if n is None else f"{n:,}" for n in shape) + ")"
