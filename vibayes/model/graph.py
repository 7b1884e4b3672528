"""The graph of a model: which variables depend on which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytensor.graph.basic import Variable
from pytensor.graph.traversal import walk

from vibayes.arguments import chosen_names
from vibayes.distributions.base import distribution_of
from vibayes.installing import missing
from vibayes.model.dims import ModelDims
from vibayes.model.observed import known_shape

__all__ = [
    "drawn_graph",
    "kind_of",
    "node_id",
    "parents_of",
    "plate_label",
    "plates",
    "shown_names",
]

STYLES = {
    "free": dict(shape="ellipse"),
    "observed": dict(shape="ellipse", style="filled", fillcolor="lightgray"),
    "Deterministic": dict(shape="box"),
    "Potential": dict(shape="octagon"),
    "Data": dict(shape="box", style="rounded, filled", fillcolor="lightgray"),
}


def drawn_graph(
    model: ModelDims,
    var_names: str | Sequence[str] | None,
    save: str | Path | None,
    include_dim_lengths: bool,
    graph_attr: Mapping[str, str] | None,
) -> Any:
    """Draw the graph of a model; see :func:`vibayes.model_to_graphviz`."""
    graphviz = import_graphviz()
    edges = parents_of(model)
    shown = shown_names(edges, var_names)
    graph = graphviz.Digraph(model.name or None, graph_attr=dict(graph_attr or {}))
    for i, (plate, names) in enumerate(plates(model, shown, include_dim_lengths).items()):
        if not plate:
            add_nodes(graph, model, names)
            continue
        with graph.subgraph(name=f"cluster_{i}") as cluster:
            cluster.attr(label=plate, labeljust="r", labelloc="b", style="rounded")
            add_nodes(cluster, model, names)
    for name in shown:
        for parent in edges[name]:
            graph.edge(node_id(parent), node_id(name))
    if save is not None:
        write(graph, Path(save))
    return graph


def import_graphviz() -> Any:
    try:
        import graphviz
    except ImportError:
        raise missing("model_to_graphviz", "graphviz", "graphs") from None
    return graphviz


def parents_of(model: ModelDims) -> dict[str, list[str]]:
    """Return, for each named variable, the named variables of which it is made."""
    named = {variable: name for name, variable in model.named_vars.items()}
    edges = {}
    for name, variable in model.named_vars.items():
        roots = list(variable.owner.inputs) if variable.owner is not None else []
        found = [named[v] for v in nearest(roots, named)]
        if variable in model.observed_RVs:
            data = model.rvs_to_values[variable]
            found += [named[v] for v in nearest([data], named) if named[v] != name]
        edges[name] = list(dict.fromkeys(found))
    return edges


def nearest(roots: Sequence[Variable], named: dict[Variable, str]) -> Iterator[Variable]:
    """Return the named variables that are reached from roots without passing another."""

    def inputs(variable: Variable) -> Sequence[Variable] | None:
        if variable in named or variable.owner is None:
            return None
        return variable.owner.inputs

    return (variable for variable in walk(roots, inputs, bfs=True) if variable in named)


def shown_names(edges: dict[str, list[str]], var_names: str | Sequence[str] | None) -> list[str]:
    """Return the names of the variables to show, in the order of the model."""
    wanted, open_names = set(), chosen_names(var_names, list(edges), "variable of the model")
    while open_names:
        name = open_names.pop()
        if name not in wanted:
            wanted.add(name)
            open_names += edges[name]
    return [name for name in edges if name in wanted]


def plates(model: ModelDims, names: Sequence[str], lengths: bool) -> dict[str, list[str]]:
    """Return the variables on each plate, by its label; that of scalars is empty."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(plate_label(model, name, lengths), []).append(name)
    return found


def plate_label(model: ModelDims, name: str, lengths: bool) -> str:
    """Return along what a variable repeats, such as ``school (8)``."""
    variable = model.named_vars[name]
    shape = known_shape(model.rvs_to_values[variable] if is_observed(model, variable) else variable)
    dims = model.named_vars_to_dims.get(name) or (None,) * len(shape)
    labels = []
    for dim, length in zip(dims, shape, strict=True):
        if length is None and dim is not None:
            length = model.dim_length(dim)
        size = "?" if length is None else f"{length:,}"
        labels.append(size if dim is None else f"{dim} ({size})" if lengths else dim)
    return " × ".join(labels)


def add_nodes(graph: Any, model: ModelDims, names: Sequence[str]) -> None:
    """Add variables to a graph, or to a plate of it."""
    for name in names:
        kind, what = kind_of(model, model.named_vars[name])
        graph.node(node_id(name), label=f"{name}\n{what}", **STYLES[kind])


def kind_of(model: ModelDims, variable: Variable) -> tuple[str, str]:
    """Return what a variable is, and the name of its distribution or again what it is."""
    for kind, members in {
        "Deterministic": model.deterministics,
        "Potential": model.potentials,
        "Data": model.data_vars,
    }.items():
        if variable in members:
            return kind, kind
    kind = "observed" if is_observed(model, variable) else "free"
    return kind, f"~ {type(distribution_of(variable)).__name__}"


def is_observed(model: ModelDims, variable: Variable) -> bool:
    return variable in model.observed_RVs


def node_id(name: str) -> str:
    """Return a name that is no port of a node: Graphviz takes a colon for that."""
    return name.replace(":", "_")


def write(graph: Any, path: Path) -> None:
    """Write a graph in the format of the file's suffix."""
    kind = path.suffix.lstrip(".")
    if not kind:
        raise ValueError(f"save: {str(path)!r} has no suffix that tells the format, such as .png")
    data = graph.source.encode() if kind in ("dot", "gv") else graph.pipe(format=kind)
    path.write_bytes(data)
