"""Gaussian processes: covariance functions, means, and priors and likelihoods made of them.

Rasmussen and Williams (2006), Gaussian Processes for Machine Learning.
"""

from vibayes.gp import cov, mean
from vibayes.gp.hilbert import HSGP, HSGPPeriodic
from vibayes.gp.latent import Latent
from vibayes.gp.marginal import Marginal
from vibayes.gp.sparse import MarginalApprox, MarginalSparse
from vibayes.gp.variational import SVGP

__all__ = [
    "HSGP",
    "SVGP",
    "HSGPPeriodic",
    "Latent",
    "Marginal",
    "MarginalApprox",
    "MarginalSparse",
    "cov",
    "mean",
]
