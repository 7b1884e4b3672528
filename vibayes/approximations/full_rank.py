"""Full rank: one normal with all covariances."""

from __future__ import annotations

from typing import ClassVar, cast

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.full_rank import FullRankGroup

__all__ = ["FullRank"]


class FullRank(SingleGroupApproximation):
    """Full-rank approximation: one normal with all covariances of the unconstrained dimensions.

    It has d (d + 3) / 2 parameters for d dimensions; see :class:`LowRank` for many dimensions.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    random_seed : int, optional
        Seed of the noise that a fit draws.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.1)
    ...     approx = vb.fit(method="fullrank_advi", random_seed=1)
    >>> approx.cov.eval().round(2)
    array([[1.  , 1.  ],
           [1.  , 1.01]])
    """

    family: ClassVar[type[Group]] = FullRankGroup

    @property
    def L(self) -> TensorVariable:
        """Cholesky factor of the covariance, up to the signs of its columns."""
        return cast(FullRankGroup, self.groups[0]).L

    @property
    def L_chol(self) -> TensorVariable:
        """Cholesky factor of the covariance, with a positive diagonal."""
        return cast(FullRankGroup, self.groups[0]).L_chol
