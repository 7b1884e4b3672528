"""The paths of PyMC's variational modules: what they hold is vibayes' own."""

from vibayes.variational import approximations, callbacks, inference, opvi

__all__ = ["approximations", "callbacks", "inference", "opvi"]
