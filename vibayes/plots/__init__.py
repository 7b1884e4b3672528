"""Pictures: of a fit, of what it has made, and of a verdict; graphs of models."""

from vibayes.plots.approximation import plot_approximation
from vibayes.plots.graph import model_to_graphviz, model_to_mermaid, model_to_networkx
from vibayes.plots.loss import plot_loss
from vibayes.plots.posterior import plot_posterior
from vibayes.plots.ranks import plot_ranks
from vibayes.plots.verdict import plot_families, plot_verdict

__all__ = [
    "model_to_graphviz",
    "model_to_mermaid",
    "model_to_networkx",
    "plot_approximation",
    "plot_families",
    "plot_loss",
    "plot_posterior",
    "plot_ranks",
    "plot_verdict",
]
