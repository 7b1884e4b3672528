"""Formulas of flows, such as ``"scale-hh*5-radial*4-loc"``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from vibayes.flows.base import Flow

__all__ = ["as_flows", "as_formula"]

STEP = re.compile(r"([a-z_]\w*)(?:\*([0-9]+))?")


def as_flows(flow: str | Flow | type[Flow] | Sequence[str | Flow | type[Flow]]) -> tuple[Flow, ...]:
    """Return the flows of a formula, in the order in which noise goes through them.

    Parameters
    ----------
    flow
        A formula: names of flows joined by ``-``, each perhaps repeated by ``*n``. It reads from
        left to right: in ``"scale-loc"`` noise is scaled first and shifted then. Or a flow, or a
        sequence of flows and formulas.

    Raises
    ------
    ValueError
        If a formula cannot be read or names an unknown flow, or if there are no flows.
    TypeError
        If something is neither a formula nor a flow.

    Examples
    --------
    >>> from vibayes.flows import as_flows
    >>> as_flows("scale-planar*2-loc")
    (ScaleFlow(), PlanarFlow(), PlanarFlow(), LocFlow())
    """
    if isinstance(flow, Flow):
        return (flow,)
    if isinstance(flow, type) and issubclass(flow, Flow):
        return (flow(),)
    if isinstance(flow, str):
        steps = re.sub(r"\s", "", flow).lower().split("-")
        return tuple(found for step in steps for found in read_step(step, flow))
    if not isinstance(flow, Sequence):
        raise TypeError(f"flow must be a formula, a flow or a list of flows, got {flow!r}")
    if not flow:
        raise ValueError("flow must name at least one flow, got none")
    return tuple(found for part in flow for found in as_flows(part))


def read_step(step: str, formula: str) -> list[Flow]:
    """Return the flows of one step of a formula, as ``planar*4``."""
    match = STEP.fullmatch(step)
    if match is None or (match[2] is not None and int(match[2]) == 0):
        raise ValueError(
            f"flow {formula!r}: cannot read {step!r}; write the name of a flow, or name*repeats, "
            f"joined by '-', as in 'scale-planar*4-loc'; known are {known_flows()}"
        )
    if match[1] not in Flow.known:
        raise ValueError(f"flow {match[1]!r} is unknown; known are {known_flows()}")
    return [Flow.known[match[1]]()] * int(match[2] or 1)


def known_flows() -> str:
    return ", ".join(sorted(Flow.known))


def as_formula(flows: Sequence[Flow]) -> str:
    """Return the formula of flows; options of theirs are not told."""
    runs = [(name, len(list(run))) for name, run in groupby(flow.short_name for flow in flows)]
    return "-".join(name if count == 1 else f"{name}*{count}" for name, count in runs)
