"""Callbacks: what may look at a fit while it runs, and stop it."""

from vibayes.callbacks.base import Callback
from vibayes.callbacks.stopping import (
    CheckParametersConvergence,
    EarlyStopping,
    StopAtPlateau,
    TimeLimit,
)
from vibayes.callbacks.tracking import TensorBoard, Tqdm, Tracker

__all__ = [
    "Callback",
    "CheckParametersConvergence",
    "EarlyStopping",
    "StopAtPlateau",
    "TensorBoard",
    "TimeLimit",
    "Tqdm",
    "Tracker",
]
