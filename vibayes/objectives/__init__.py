"""Objectives: what a fit makes small."""

from vibayes.objectives.base import ObjectiveFunction, Operator
from vibayes.objectives.kl import KL
from vibayes.objectives.renyi import IWELBO, Renyi
from vibayes.objectives.stein import KSD
from vibayes.objectives.test_function import TestFunction

__all__ = [
    "IWELBO",
    "KL",
    "KSD",
    "ObjectiveFunction",
    "Operator",
    "Renyi",
    "TestFunction",
]
