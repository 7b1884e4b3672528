"""Callbacks under the name that users know: ``vb.callbacks.Tracker``."""

from vibayes.inference.callbacks import Callback, CheckParametersConvergence, Tracker

__all__ = ["Callback", "CheckParametersConvergence", "Tracker"]
