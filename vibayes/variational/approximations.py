"""The approximations, by the path that they have in PyMC."""

from vibayes.approximations.base import sample_approx
from vibayes.approximations.empirical import Empirical
from vibayes.approximations.full_rank import FullRank
from vibayes.approximations.mean_field import MeanField
from vibayes.approximations.normalizing_flow import NormalizingFlow

__all__ = ["Empirical", "FullRank", "MeanField", "NormalizingFlow", "sample_approx"]
