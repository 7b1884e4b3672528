"""Pictures: the loss of a fit, the graph of a model."""

from vibayes.plots.graph import model_to_graphviz, model_to_mermaid, model_to_networkx
from vibayes.plots.loss import plot_loss
from vibayes.plots.posterior import plot_posterior

__all__ = [
    "model_to_graphviz",
    "model_to_mermaid",
    "model_to_networkx",
    "plot_loss",
    "plot_posterior",
]
