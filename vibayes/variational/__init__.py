"""The paths of PyMC's variational modules: what they hold is vibayes' own."""

from vibayes.variational import approximations, callbacks, inference, operators, opvi, updates

__all__ = ["approximations", "callbacks", "inference", "operators", "opvi", "updates"]
