"""What methods are made of, by the path that it has in PyMC."""

from vibayes.approximations.base import Approximation
from vibayes.families.base import Group
from vibayes.objectives.base import ObjectiveFunction, Operator
from vibayes.objectives.test_function import TestFunction

__all__ = ["Approximation", "Group", "ObjectiveFunction", "Operator", "TestFunction"]
