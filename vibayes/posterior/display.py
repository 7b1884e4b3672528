"""How an approximation looks in a notebook."""

from __future__ import annotations

from vibayes.families.base import Group
from vibayes.families.joint import Joint
from vibayes.html import html_table, loss_svg
from vibayes.records.outcome import Outcome

__all__ = ["approximation_html"]


def approximation_html(approx: Joint, outcome: Outcome) -> str:
    """Return the families, what they hold, how the fit ended, and the loss curve."""
    rows = [
        (type(group).__name__, group_variables(group), f"{group.ddim:,}") for group in approx.groups
    ]
    ended = [("iterations", f"{len(outcome.hist):,}")] if len(outcome.hist) else []
    ended.append(("why it ended", outcome.ending.reason))
    title = f"{type(approx).__name__}, {approx.ddim:,} dimensions"
    families = html_table(rows, ("family", "variables", "dimensions"), caption=title)
    return f"<div>{families}{html_table(ended)}{loss_svg(outcome.hist)}</div>"


def group_variables(group: Group) -> str:
    """Return the variables of a group, with their shapes."""
    return ", ".join(f"{rv.name} {shape_text(rv.type.shape)}".rstrip() for rv in group.variables)


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Return a shape in words, nothing for a scalar."""
    if not shape:
        return ""
    return "(" + " × ".join("?" if n is None else f"{n:,}" for n in shape) + ")"
