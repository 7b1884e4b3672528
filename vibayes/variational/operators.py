"""The objectives, by the path that they have in PyMC."""

from vibayes.objectives.kl import KL
from vibayes.objectives.stein import KSD

__all__ = ["KL", "KSD"]
