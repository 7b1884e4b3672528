"""The callbacks, by the path that they have in PyMC."""

from vibayes.callbacks import Callback, CheckParametersConvergence, Tracker

__all__ = ["Callback", "CheckParametersConvergence", "Tracker"]
