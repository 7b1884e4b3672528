"""Variational inference on PyTensor."""

from vibayes.distributions.base import Continuous, Discrete, Distribution, logcdf, logp
from vibayes.distributions.continuous import Normal
from vibayes.model.context import modelcontext
from vibayes.model.core import Deterministic, Model, Potential
from vibayes.model.data import Data, set_data
