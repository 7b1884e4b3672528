"""A small distribution of vectors, so that tests of the model need none of the library's."""

from typing import ClassVar

import pytensor.tensor as pt

from vibayes.distributions.base import Continuous, draw_from


class Spherical(Continuous):
    """Vectors whose elements are independent and normal, taken as one event."""

    ndim_supp = 1
    param_ndims: ClassVar = {"mu": 1}

    def __init__(self, mu):
        self.set_params(mu=mu)

    def random(self, rng, size):
        shape = (*self.size_or_batch(size), self.mu.shape[-1])
        return draw_from(pt.random.normal, self.mu, 1.0, rng=rng, size=shape)

    def logp(self, value):
        return (-0.5 * (value - self.mu) ** 2 - 0.9189385332046727).sum(axis=-1)

    def support_point(self):
        return self.mu
