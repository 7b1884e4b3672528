"""Mean field: independent normals."""

from __future__ import annotations

from typing import ClassVar

from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.mean_field import MeanFieldGroup

__all__ = ["MeanField"]


class MeanField(SingleGroupApproximation):
    """Mean-field approximation: an independent normal for each unconstrained dimension.

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
    ...     x = vb.HalfNormal("x", shape=2)
    ...     approx = vb.MeanField(start={"x": [1.0, 2.0]}, random_seed=1)
    >>> approx.shared_params
    {'mu': mu, 'rho': rho}
    >>> approx.mean.eval()  # of the unconstrained vector, here of log x
    array([0.        , 0.69314718])
    """

    family: ClassVar[type[Group]] = MeanFieldGroup
