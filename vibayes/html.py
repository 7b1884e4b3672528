"""Pieces of HTML that notebooks show. Colours follow the text, so that dark pages work too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

__all__ = ["html_table", "loss_svg"]

WIDTH, HEIGHT = 420, 110
BINS = 200
SHORTEST_CURVE = 3


def html_table(
    rows: Iterable[Sequence[str]],
    head: Sequence[str] = (),
    caption: str = "",
    sides: Sequence[str] = (),
) -> str:
    """Return an HTML table of texts.

    Parameters
    ----------
    rows
        The cells.
    head
        Heads of the columns.
    caption
        Title above the table.
    sides
        To which side each column's text goes; the left one by default.
    """

    def line(tag: str, cells: Sequence[str]) -> str:
        aligned = [*sides, *["left"] * (len(cells) - len(sides))]
        return "".join(
            f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
            for cell, side in zip(cells, aligned, strict=True)
        )

    top = f"<tr>{line('th', head)}</tr>" if head else ""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table>{title}{top}{body}</table>"


def binned(losses: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends and the means of a number of stretches of a loss history."""
    ends = np.unique(np.linspace(0, len(losses), min(bins, len(losses)) + 1).astype(int))
    sums = np.add.reduceat(losses, ends[:-1])
    return ends[1:], sums / np.diff(ends)


def limits(means: np.ndarray) -> tuple[float, float]:
    """Return a range that shows the course of a loss, and not just its first fall."""
    finite = means[np.isfinite(means)]
    if not len(finite):
        return 0.0, 1.0
    low, high = finite.min(), np.quantile(finite[len(finite) // 10 :], 0.98)
    margin = 0.08 * (high - low) or max(abs(low), 1.0) * 0.01
    return float(low - margin), float(high + margin)


def loss_svg(losses: np.ndarray) -> str:
    """Return the curve of a loss history as a small SVG drawing, empty for one without a course."""
    if len(losses) < SHORTEST_CURVE:
        return ""
    ends, means = binned(np.asarray(losses, dtype="float64"))
    low, high = limits(means)
    x = WIDTH * ends / len(losses)
    heights = (high - np.nan_to_num(means, nan=high, posinf=high)) / (high - low)
    y = HEIGHT * np.clip(heights, 0, 1)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    style = "font-size:11px;fill:currentColor;opacity:0.7"
    return (
        f'<svg viewBox="-2 -4 {WIDTH + 90} {HEIGHT + 24}" role="img" aria-label="loss curve" '
        f'style="max-width:{WIDTH + 90}px;width:100%;display:block">'
        f'<path d="M0,0V{HEIGHT}H{WIDTH}" fill="none" stroke="currentColor" opacity="0.35"/>'
        f'<polyline points="{points}" fill="none" stroke="#3b82c4" stroke-width="1.5"/>'
        f'<text x="{WIDTH + 6}" y="10" style="{style}">{high:,.5g}</text>'
        f'<text x="{WIDTH + 6}" y="{HEIGHT}" style="{style}">{low:,.5g}</text>'
        f'<text x="0" y="{HEIGHT + 15}" style="{style}">loss, means of '
        f"{-(-len(losses) // len(ends)):,}; {len(losses):,} iterations</text></svg>"
    )
