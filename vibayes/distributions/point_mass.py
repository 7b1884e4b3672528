"""The distribution of a number that is known."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import Distribution, to_float
from vibayes.distributions.constraints import Constraints, finite

__all__ = ["DiracDelta"]


class DiracDelta(Distribution):
    r"""All probability at one number.

    .. math:: P(x = c) = 1

    A component of mixtures: of certain zeros, for instance, with counts.

    Parameters
    ----------
    c : array_like
        The number. Whole numbers (by their dtype) make the distribution discrete, others one that
        can be mixed with continuous distributions.

    Raises
    ------
    TypeError
        If it is a free variable of a model.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     components = [vb.DiracDelta.dist(0), vb.Poisson.dist(2.0)]
    ...     fish = vb.Mixture("fish", [0.4, 0.6], components, observed=[0, 0, 3, 1])
    """

    constraints: ClassVar[Constraints] = {"c": finite}
    c: TensorVariable

    @behind_new
    def __init__(self, c: Any) -> None:
        c = pt.as_tensor_variable(c)
        self.discrete = c.dtype[:3] in ("int", "uin", "boo")
        self.c = c.astype("int64") if self.discrete else to_float(c)
        self.params = {"c": self.c}

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return rng, pt.broadcast_to(self.c, tuple(self.size_or_batch(size)))

    def logp(self, value: TensorVariable) -> TensorVariable:
        return pt.switch(pt.eq(value, self.c), 0.0, -np.inf)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return pt.switch(pt.ge(value, self.c), 0.0, -np.inf)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return pt.switch(pt.ge(value, self.c), -np.inf, 0.0)

    def support_point(self) -> TensorVariable:
        return self.c

    @property
    def default_transform(self) -> NoReturn:
        """There is none.

        Raises
        ------
        TypeError
            Always: only a free variable is asked for it, and this one has nothing to be fitted.
        """
        raise TypeError(
            "DiracDelta has no density, so that it cannot be a free variable: use the number "
            "itself, or Deterministic to record it"
        )
