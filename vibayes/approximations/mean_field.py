"""Mean field: independent normals."""

from __future__ import annotations

from typing import ClassVar

from vibayes.approximations.base import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.mean_field import MeanFieldGroup

__all__ = ["MeanField"]


class MeanField(SingleGroupApproximation):
    """Mean-field approximation: an independent normal for each unconstrained dimension.

    Parameters
    ----------
    local_rv, cost_part_grad_scale, scale_cost_to_minibatch
        As for :class:`~vibayes.SingleGroupApproximation`.
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
    ...     x = vb.HalfNormal("x", shape=2)
    ...     approx = vb.MeanField(start={"x": [1.0, 2.0]}, random_seed=1)
    >>> approx.shared_params
    {'mu': mu, 'rho': rho}
    >>> approx.mean.eval()  # of the unconstrained vector, here of log x
    array([0.        , 0.69314718])
    """

    family: ClassVar[type[Group]] = MeanFieldGroup
