"""Modes whose rewrites call no C compiler, and that keep on disk what they have rewritten.

PyTensor works out what is constant while it rewrites a graph, and compiles operations that have a
graph inside, such as a softmax or a loop, in order to evaluate each of them once: seconds at a
time, wherever there is a C compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property
from types import FunctionType
from typing import Any

from pytensor.compile.mode import Mode
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting import basic
from pytensor.graph.rewriting.basic import GraphRewriter, NodeRewriter
from pytensor.graph.rewriting.db import RewriteDatabase

from vibayes.backend.kept_graphs import kept_graph
from vibayes.backend.settings import WITHOUT_C

__all__ = ["Interpreted", "InterpretedRewrites"]


class InterpretedRewrites(Mode):
    """Mode that evaluates what is constant in Python, while it rewrites a graph.

    What it makes of a graph is kept on disk: see :mod:`vibayes.backend.kept_graphs`.
    """

    _names: tuple[int, list[str]] = -1, []  # of all rewrites, and how many there were in all then

    @property
    def optimizer(self) -> GraphRewriter:
        """The rewrites of the mode."""
        return KeptRewrites(self.chosen, self.names())

    def chosen(self) -> GraphRewriter:
        """Return the rewrites of the mode as PyTensor has them."""
        return super().optimizer

    def names(self) -> list[str]:
        """Return names of the rewrites, and of the classes and functions that do them."""
        count = how_many(self.optdb)
        if self._names[0] != count:
            self._names = count, sorted({name_of(type(self.linker)), *names_of(self.chosen())})
        return self._names[1]


class Interpreted(GraphRewriter):
    """Rewrites during which PyTensor finds no C compiler.

    Parameters
    ----------
    choose : callable
        Returns the rewrites; it is called when they are needed.
    """

    def __init__(self, choose: Callable[[], GraphRewriter]) -> None:
        super().__init__()
        self._choose = choose

    @cached_property
    def rewriter(self) -> GraphRewriter:
        """The rewrites."""
        return self._choose()

    def add_requirements(self, fgraph: FunctionGraph) -> None:
        """Add the features that the rewrites need."""
        self.rewriter.add_requirements(fgraph)

    def apply(self, fgraph: FunctionGraph, *args: Any, **kwargs: Any) -> Any:
        """Rewrite a graph in place."""
        with WITHOUT_C:
            return self.rewriter.apply(fgraph, *args, **kwargs)

    def print_profile(self, stream: Any, prof: Any, level: int = 0) -> None:
        """Print where the time of the rewrites went."""
        self.rewriter.print_profile(stream, prof, level=level)


class KeptRewrites(Interpreted):
    """The same for whole graphs, which are read from the disk where they were rewritten before.

    Parameters
    ----------
    choose : callable
        Returns the rewrites.
    names : list of str
        Their names.
    """

    def __init__(self, choose: Callable[[], GraphRewriter], names: list[str]) -> None:
        super().__init__(choose)
        self._names = names

    def rewrite(self, fgraph: FunctionGraph, *args: Any, **kwargs: Any) -> Any:
        """Rewrite a graph in place."""
        kept = kept_graph(fgraph, self._names)
        if kept is not None and kept.read():
            return None
        result = super().rewrite(fgraph, *args, **kwargs)
        if kept is not None:
            kept.write()
        return result


def names_of(rewriter: GraphRewriter) -> set[str]:
    """Return the names of rewrites, and of the classes and functions that do them."""
    names: set[str] = set()
    seen: dict[int, Any] = {}
    todo: list[Any] = [rewriter]
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, type | FunctionType):
            names.add(name_of(part))
        elif isinstance(part, GraphRewriter | NodeRewriter | basic.OpToRewriterTracker):
            if not hasattr(part, "fn"):
                names.add(f"pytensor.{getattr(part, '__name__', '')}")
            todo += [type(part), *vars(part).values()]
        elif isinstance(part, Mapping):
            todo += part.values()
        elif isinstance(part, Sequence | Set) and not isinstance(part, str):
            todo.extend(part)
    # PyTensor imports those when it has to: they change graphs of sparse matrices alone
    return {name for name in names if not (name.startswith("pytensor.") and "sparse" in name)}


def name_of(code: type | FunctionType) -> str:
    """Return the full name of a class or function."""
    return f"{code.__module__}.{code.__qualname__}"


def how_many(database: RewriteDatabase) -> int:
    """Return how many tags all rewrites have together, which changes when there is a new one."""
    count = 0
    todo, seen = [database], {id(database)}
    while todo:
        for members in todo.pop().__db__.values():
            count += len(members)
            new = [m for m in members if isinstance(m, RewriteDatabase) and id(m) not in seen]
            seen.update(map(id, new))
            todo += new
    return count
