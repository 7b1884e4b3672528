"""Point estimates."""

from __future__ import annotations

from typing import ClassVar

from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.delta import DeltaGroup

__all__ = ["AutoDelta"]


class AutoDelta(SingleGroupApproximation):
    """Point estimates: all mass at one value of each variable.

    A fit of it, ``vb.fit(method="delta")``, finds the posterior mode of the unconstrained values by
    steps of an optimizer, on minibatches too. Beside other groups, it has the variables of which a
    point is enough: ``vb.Group([weights], vfam="delta")``. :func:`vibayes.find_MAP` finds the mode
    on the variables' own scale.

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
    random_seed : int, optional
        Seed of a fit.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Gamma("x", 50, 1)
    ...     approx = vb.fit(
    ...         1_000, method="delta", obj_optimizer=vb.adam(learning_rate=0.05), backend="py",
    ...         progressbar=False, diagnose=False,
    ...     )
    >>> approx.mean.eval().round(2)  # log 50
    array([3.91])
    """

    family: ClassVar[type[Group]] = DeltaGroup
