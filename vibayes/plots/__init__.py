"""Pictures: the loss of a fit, the graph of a model."""

from vibayes.plots.graph import model_to_graphviz
from vibayes.plots.loss import plot_loss
from vibayes.plots.posterior import plot_posterior
from vibayes.plots.ranks import plot_ranks

__all__ = ["model_to_graphviz", "plot_loss", "plot_posterior", "plot_ranks"]
