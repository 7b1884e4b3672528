"""Modes whose rewrites call no C compiler.

PyTensor works out what is constant while it rewrites a graph, and compiles operations that have a
graph inside, such as a softmax or a loop, in order to evaluate each of them once: seconds at a
time, wherever there is a C compiler.
"""

from __future__ import annotations

from typing import Any

from pytensor.compile.mode import Mode
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter

from vibayes.backend.settings import WITHOUT_C

__all__ = ["InterpretedRewrites"]


class InterpretedRewrites(Mode):
    """Mode that evaluates what is constant in Python, while it rewrites a graph."""

    @property
    def optimizer(self) -> GraphRewriter:
        """The rewrites of the mode."""
        return Interpreted(super().optimizer)


class Interpreted(GraphRewriter):
    """Rewrites during which PyTensor finds no C compiler.

    Parameters
    ----------
    rewriter : GraphRewriter
        The rewrites.
    """

    def __init__(self, rewriter: GraphRewriter) -> None:
        super().__init__()
        self.rewriter = rewriter

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
