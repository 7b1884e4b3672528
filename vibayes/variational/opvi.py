"""What methods are made of, by the path that it has in PyMC."""

from vibayes.approximations.base import Approximation
from vibayes.exceptions import (
    AEVBInferenceError,
    BatchedGroupError,
    DimensionMismatchError,
    ExplicitInferenceError,
    GroupError,
    LocalGroupError,
    NotImplementedInference,
    ParametrizationError,
    VariationalInferenceError,
)
from vibayes.families.base import Group
from vibayes.objectives.base import ObjectiveFunction, Operator
from vibayes.objectives.test_function import TestFunction

__all__ = [
    "AEVBInferenceError",
    "Approximation",
    "BatchedGroupError",
    "DimensionMismatchError",
    "ExplicitInferenceError",
    "Group",
    "GroupError",
    "LocalGroupError",
    "NotImplementedInference",
    "ObjectiveFunction",
    "Operator",
    "ParametrizationError",
    "TestFunction",
    "VariationalInferenceError",
]
