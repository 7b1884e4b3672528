"""The graph of a model, as Graphviz, Mermaid and NetworkX have it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.installing import missing
from vibayes.model.core import Model
from vibayes.model.graph import (
    drawn_graph,
    kind_of,
    node_id,
    parents_of,
    plate_label,
    plates,
    shown_names,
)

__all__ = ["model_to_graphviz", "model_to_mermaid", "model_to_networkx"]

SHAPES = {
    "free": ('(["', '"])'),
    "observed": ('(["', '"])'),
    "Deterministic": ('["', '"]'),
    "Potential": ('{{"', '"}}'),
    "Data": ('("', '")'),
}
SHADED = ("observed", "Data")


@check_arguments
def model_to_graphviz(
    model: Model | None = None,
    *,
    var_names: str | Sequence[str] | None = None,
    save: str | Path | None = None,
    include_dim_lengths: bool = True,
    graph_attr: dict[str, str] | None = None,
) -> Any:
    """Draw the graph of a model: what each variable depends on.

    Ellipses are random variables, shaded where they are observed; boxes are Deterministics and,
    with rounded corners, Data; octagons are Potentials. A plate around variables says along which
    dimensions they repeat.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    var_names : sequence of str, optional
        Variables to show, with everything that they depend on; all by default.
    save : str or Path, optional
        File to write, in the format of its suffix (``.png``, ``.svg``, ``.pdf``), which takes the
        program ``dot`` of Graphviz; or ``.dot`` for the source.
    include_dim_lengths : bool, default True
        Whether plates tell the lengths of their dimensions.
    graph_attr : dict, optional
        Attributes of the graph, such as ``{"rankdir": "LR"}``.

    Returns
    -------
    graphviz.Digraph
        Notebooks show it; its ``source`` is text.

    Raises
    ------
    ImportError
        If the package graphviz is missing: it comes with the extra ``graphs``.
    KeyError
        If a variable is unknown.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model(coords={"school": range(8)}) as model:
    ...     mu = vb.Normal("mu")
    ...     theta = vb.Normal("theta", mu, 1, dims="school")
    >>> graph = vb.model_to_graphviz(model)
    >>> "mu -> theta" in graph.source
    True
    """
    return drawn_graph(modelcontext(model), var_names, save, include_dim_lengths, graph_attr)


@check_arguments
def model_to_mermaid(
    model: Model | None = None,
    *,
    var_names: str | Sequence[str] | None = None,
    include_dim_lengths: bool = True,
) -> str:
    """Return the graph of a model as Mermaid draws it, in Markdown and on web pages.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    var_names : sequence of str, optional
        Variables to show, with everything that they depend on; all by default.
    include_dim_lengths : bool, default True
        Whether plates tell the lengths of their dimensions.

    Raises
    ------
    KeyError
        If a variable is unknown.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     mu = vb.Normal("mu")
    ...     x = vb.Normal("x", mu)
    >>> print(vb.model_to_mermaid(model))
    graph TD
    mu(["mu<br/>~ Normal"])
    x(["x<br/>~ Normal"])
    mu --> x
    """
    model = modelcontext(model)
    edges = parents_of(model)
    names = shown_names(edges, var_names)
    lines, shaded = ["graph TD"], []
    for i, (plate, members) in enumerate(plates(model, names, include_dim_lengths).items()):
        if plate:
            lines.append(f'subgraph plate_{i}["{plate}"]')
        for name in members:
            kind, what = kind_of(model, model.named_vars[name])
            before, after = SHAPES[kind]
            lines.append(f"{mermaid_id(name)}{before}{name}<br/>{what}{after}")
            if kind in SHADED:
                shaded.append(mermaid_id(name))
        if plate:
            lines.append("end")
    lines += [
        f"{mermaid_id(parent)} --> {mermaid_id(name)}" for name in names for parent in edges[name]
    ]
    lines += [f"style {name} fill:#ccc" for name in shaded]
    return "\n".join(lines)


def mermaid_id(name: str) -> str:
    """Return a name that Mermaid takes for a node: none with a special character."""
    return "".join(c if c.isalnum() else "_" for c in node_id(name))


@check_arguments
def model_to_networkx(
    model: Model | None = None,
    *,
    var_names: str | Sequence[str] | None = None,
    include_dim_lengths: bool = True,
) -> Any:
    """Return the graph of a model as one of NetworkX, to be analysed or drawn by it.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    var_names : sequence of str, optional
        Variables to show, with everything that they depend on; all by default.
    include_dim_lengths : bool, default True
        Whether clusters tell the lengths of their dimensions.

    Returns
    -------
    networkx.DiGraph
        A node a variable, with the attributes ``kind`` (free, observed, Deterministic, Potential
        or Data), ``label`` and ``cluster`` (along what it repeats, empty for a scalar).

    Raises
    ------
    ImportError
        If the package networkx is missing.
    KeyError
        If a variable is unknown.
    """
    model = modelcontext(model)
    edges = parents_of(model)
    names = shown_names(edges, var_names)
    try:
        import networkx  # type: ignore[import-untyped]
    except ImportError:
        raise missing("model_to_networkx", "networkx") from None
    graph = networkx.DiGraph(name=model.name)
    for name in names:
        kind, what = kind_of(model, model.named_vars[name])
        cluster = plate_label(model, name, include_dim_lengths)
        graph.add_node(name, kind=kind, label=f"{name}\n{what}", cluster=cluster)
    graph.add_edges_from((parent, name) for name in names for parent in edges[name])
    return graph
