"""Families of distributions, each known by its name from its class statement on."""

from vibayes.families.base import Group
from vibayes.families.delta import DeltaGroup
from vibayes.families.empirical import EmpiricalGroup
from vibayes.families.full_rank import FullRankGroup
from vibayes.families.gaussian_mixture import GaussianMixtureGroup
from vibayes.families.low_rank import LowRankGroup
from vibayes.families.mean_field import MeanFieldGroup
from vibayes.families.normalizing_flow import NormalizingFlowGroup

__all__ = [
    "DeltaGroup",
    "EmpiricalGroup",
    "FullRankGroup",
    "GaussianMixtureGroup",
    "Group",
    "LowRankGroup",
    "MeanFieldGroup",
    "NormalizingFlowGroup",
]
