"""Objectives: what a fit makes small."""

from vibayes.objectives.base import Operator
from vibayes.objectives.kl import KL
from vibayes.objectives.renyi import IWELBO, Renyi
from vibayes.objectives.stein import KSD, Stein

__all__ = ["IWELBO", "KL", "KSD", "Operator", "Renyi", "Stein"]
